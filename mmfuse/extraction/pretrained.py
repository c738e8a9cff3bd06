"""Published encoders of the transformers library, an optional extra: loaded strictly, or refused with what to do."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mmfuse.encoding import PretrainedOptions, Published
from mmfuse.errors import BadSpec, DataInvalid, DataMissing
from mmfuse.training.backbones import weights_hash

INSTALL = 'pip install "mmfuse[extract]"'


def transformers() -> Any:
    """The library.

    Raises:
        DataMissing: when it is not installed.
    """
    try:
        import transformers as library
    except ImportError as error:
        raise DataMissing(f"published encoders need the transformers library ({error})", INSTALL) from error
    library.logging.set_verbosity_error()
    return library


def load_model(kind: str, published: Published, options: PretrainedOptions, **arguments: Any) -> Any:
    """The model of class ``kind`` with trained weights, frozen, on the CPU.

    Raises:
        DataMissing: when the library or the weights are not there.
        DataInvalid: when the files lack some of the model's weights, which would otherwise stay random.
    """
    place = where(published, options)
    try:
        model, info = getattr(transformers(), kind).from_pretrained(place, output_loading_info=True, **arguments)
    except (OSError, ValueError) as error:
        raise missing_weights(published, options) from error
    absent = sorted(info["missing_keys"])
    if absent:
        raise DataInvalid(
            f"{place} lacks {len(absent)} of the weights of {kind}, such as {absent[0]}",
            "is it another model's folder?",
        )
    return model.eval().requires_grad_(False)


def load_tokenizer(published: Published, options: PretrainedOptions) -> Any:
    """The text encoder's tokenizer.

    Raises:
        DataMissing: when the library or the tokenizer's files are not there.
    """
    try:
        return transformers().AutoTokenizer.from_pretrained(where(published, options))
    except (OSError, ValueError) as error:
        raise missing_weights(published, options) from error


def where(published: Published, options: PretrainedOptions) -> str:
    """The folder that the options name, else the published place."""
    return str(options.weights) if options.weights else published.place


def missing_weights(published: Published, options: PretrainedOptions) -> DataMissing:
    """The error for weights that can neither be found nor fetched."""
    if options.weights:
        return DataMissing(
            f"{options.weights} does not hold a model of transformers", f"it needs the files of {published.place}"
        )
    return DataMissing(
        f"the weights of {published.place} are neither in the local cache nor could they be fetched",
        f"where there is a network: hf download {published.place} --local-dir DIR; then --set weights=DIR",
    )


def placed(model: Any, options: PretrainedOptions, device: torch.device) -> Any:
    """The model where and in the precision it shall compute."""
    return model.to(device=device, dtype=getattr(torch, options.precision))


def content_of(model: nn.Module) -> str:
    """A hash of the model's weights, as they were loaded."""
    return weights_hash(model.state_dict())


def expect_dim(found: int, published: Published, options: PretrainedOptions) -> int:
    """The length of the model's vectors; published weights must have the published one.

    Raises:
        BadSpec: when they do not.
    """
    if options.weights is None and found != published.dim:
        raise BadSpec(f"{published.place} gives vectors of {found} values, expected {published.dim}")
    return found
