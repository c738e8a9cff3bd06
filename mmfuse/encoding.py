"""Frozen encoders and collections by name: what they declare, what fits together, and the spec of an extraction.

This module is free of torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field

from mmfuse.errors import BadSpec, unknown_name
from mmfuse.options import Options, parse_assignments, parse_options
from mmfuse.registry import COLLECTIONS, DATASETS, ENCODERS
from mmfuse.spec import ExtractSpec

CHECKPOINT = "checkpoint"
"""The family of encoders that mmfuse trained itself."""


Given = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
"""A path as it was typed, made independent of the folder it was typed in: a run works in another."""


class EncoderOptions(Options):
    """What every encoder needs to know."""

    batch_size: Annotated[int, Field(ge=1)] = 128
    """Items that the encoder sees at once (the published extraction: 128 images, 512 to 2,048 captions)."""


class PretrainedOptions(EncoderOptions):
    """Encoders of the transformers library."""

    weights: Given | None = None
    """Folder with the model's files; null: the published ones, from the local cache or downloaded."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the forward pass (the published extraction: float32)."""


class CollectionOptions(Options):
    """Where a collection lies, and how much of it is taken."""

    folder: Given | None = None
    """Folder with annotation files and media; null: the collection's name below the data root."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Only the first so many annotated media of each split, for quick experiments."""


class Published(NamedTuple):
    """A published size of an encoder: where its weights come from, and the length of its vectors."""

    place: str
    dim: int


class EncoderChoice(NamedTuple):
    """An encoder by family and size (None where a family has none)."""

    family: str
    size: str | None

    @property
    def name(self) -> str:
        """As it is typed: ``dinov2-small``."""
        return f"{self.family}-{self.size}" if self.size else self.family


def choose_encoder(name: str, *, modality: str) -> EncoderChoice:
    """The encoder called ``name``, such as ``dinov2-small`` or ``ast``.

    Raises:
        UnknownName: when there is no such family or size.
        BadSpec: when it does not read ``modality``.
    """
    known = _known()
    if name not in known:
        raise unknown_name("encoder", name, known)
    reads = ENCODERS.declaration(known[name].family).MODALITY
    if reads not in (None, modality):
        fitting = [other for other, choice in known.items() if modality == ENCODERS.declaration(choice.family).MODALITY]
        raise BadSpec(
            f"encoder {name} reads {reads}, not {modality}", f"for {modality}: {', '.join(fitting) or 'a run'}"
        )
    return known[name]


def encoder_names() -> tuple[str, ...]:
    """The published encoders, as they are typed."""
    return tuple(_known())


def modalities_of(source: str) -> tuple[str, ...]:
    """What the collection or dataset ``source`` is made of, without reading it.

    Raises:
        UnknownName: when there is neither.
    """
    if source in COLLECTIONS.names():
        declared: tuple[str, ...] = COLLECTIONS.declaration(source).MODALITIES
        return declared
    if source in DATASETS.names():
        return tuple(modality.name for modality in DATASETS.declaration(source).TASK.modalities)
    raise unknown_name("collection or dataset", source, (*COLLECTIONS.names(), *DATASETS.names()))


def check_extraction(source: str, *, modality: str, family: str) -> None:
    """Check that ``source`` has the modality, in a form that the encoder family reads.

    Raises:
        UnknownName, BadSpec: when not.
    """
    held = modalities_of(source)
    if modality not in held:
        raise BadSpec(f"{source} has no modality '{modality}'", f"--modality is one of {', '.join(held)}")
    kind = "files" if source in COLLECTIONS.names() else "tensors"
    reads = ENCODERS.declaration(family).READS
    if reads != kind:
        hint = "--encoder RUN: an encoder that mmfuse trained on it" if kind == "tensors" else "mmfuse zoo encoders"
        raise BadSpec(f"{source} holds {kind}, and encoder {family} reads {reads}", hint)


def options_of(source: str) -> type[Options]:
    """The options of the collection or dataset ``source``."""
    registry = COLLECTIONS if source in COLLECTIONS.names() else DATASETS
    model: type[Options] = registry.declaration(source).Options
    return model


def resolve_extract(
    source: str,
    modality: str,
    encoder: str,
    *,
    checkpoint: str | None = None,
    run: str = "",
    settings: Sequence[str] = (),
    data: dict[str, Any] | None = None,
    storage: Literal["float16", "int8"] = "float16",
    class_paired: bool | None = None,
    output: str | None = None,
) -> ExtractSpec:
    """The spec of ``mmfuse extract SOURCE --modality M --encoder E``.

    ``checkpoint`` is the file of an encoder that mmfuse trained, in ``run`` if known; ``encoder`` is then not asked.
    ``class_paired`` None means what the source declares. ``data`` are options of the source to start from. Keys of
    ``settings`` are the encoder's; ``data.*`` the source's.

    Raises:
        UnknownName, BadSpec: for names and options that do not exist or do not fit together.
    """
    family, size = (CHECKPOINT, None) if checkpoint is not None else choose_encoder(encoder, modality=modality)
    check_extraction(source, modality=modality, family=family)
    values = parse_assignments(settings)
    given = values.pop("data", {})
    if not isinstance(given, dict):
        raise BadSpec(f"'data' is a group of options, got {given!r}", "write for example --set data.folder=DIR")
    if checkpoint is not None:
        values["path"] = checkpoint
    options = parse_options(ENCODERS.declaration(family).Options, values, what=f"encoder {encoder}")
    chosen = parse_options(options_of(source), (data or {}) | given, what=source)
    return ExtractSpec(
        dataset=source,
        data=chosen.model_dump(mode="json"),
        modality=modality,
        encoder=family,
        size=size,
        options=options.model_dump(mode="json"),
        storage=storage,
        class_paired=paired_by_class(source) if class_paired is None else class_paired,
        output=output,
        source=run,
    )


def paired_by_class(source: str) -> bool:
    """Whether the dataset declares (``PAIRED_BY = "class"``) that its pairs share nothing but their class."""
    return source in DATASETS.names() and getattr(DATASETS.declaration(source), "PAIRED_BY", "instance") == "class"


def _known() -> dict[str, EncoderChoice]:
    return {spelled: choice for family in ENCODERS.names() for spelled, choice in _spellings(family).items()}


def _spellings(family: str) -> dict[str, EncoderChoice]:
    if family == CHECKPOINT:
        return {}
    sizes: dict[str, Any] = ENCODERS.declaration(family).SIZES
    choices = [EncoderChoice(family, size) for size in sizes]
    return {choice.name: choice for choice in choices}
