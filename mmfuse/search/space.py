"""The space MixMAS and its random baseline search: encoders per modality, fusion functions, fusion networks.

Sizes follow the candidates of MixMAS (arXiv 2412.18437): every component other than the kind of block keeps the
hyper-parameters of the M2-Mixer baseline. ``small`` scales them down so that a search ends in minutes on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import Field

from mmfuse.architecture import Architecture, canonical_json
from mmfuse.errors import BadSpec, unknown_name
from mmfuse.models.block_choice import encoder_problem, parse_choice
from mmfuse.options import Options, parse_options
from mmfuse.registry import BLOCKS, MODELS
from mmfuse.task import Modality, ModalityKind, Task

FUSIONS = ("concat", "gated", "max", "mean", "sum")

Size = Literal["small", "paper"]
BlockParams = dict[str, Any]


class SpaceOptions(Options):
    """The candidates of each question."""

    size: Size = "small"
    """Sizes of the candidates: "small" for a CPU, "paper" as MixMAS publishes them."""
    blocks: list[str] | None = ["hyper", "mlp", "monarch"]
    """Mixer blocks tried as encoders where they fit the modality (those of the paper's figure); null tries all."""
    encoders: dict[str, list[BlockParams]] = {}
    """Encoders by modality, spelled out; modalities not named here get one encoder per block."""
    functions: Annotated[list[str], Field(min_length=1)] = ["concat", "sum", "mean", "max"]
    """Fusion functions tried (the paper's figure: concatenation, max, mean; its code adds sum)."""
    networks: Annotated[list[str], Field(min_length=1)] = ["mlp", "hyper"]
    """Mixer blocks tried as fusion network; the first is the one functions are compared with."""
    network_params: dict[str, BlockParams] = {}
    """Parameters of fusion networks by block, laid over the size's own."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout of every candidate (MixMAS: 0.1)."""


class Space:
    """The candidates for one task, checked and sorted, so that listing order never matters.

    Raises:
        UnknownName, BadSpec: at construction, for names that do not exist or a modality without any candidate.
    """

    def __init__(self, task: Task, options: SpaceOptions) -> None:
        self.task = task
        self.options = options
        unknown = sorted(set(options.functions) - set(FUSIONS))
        if unknown:
            raise BadSpec(f"no fusion function named '{unknown[0]}'", f"known: {', '.join(FUSIONS)}")
        self.functions = tuple(sorted(set(options.functions)))
        default, *others = dict.fromkeys(options.networks)
        self.networks = tuple(self._network(block) for block in (default, *sorted(others)))
        names = [modality.name for modality in task.modalities]
        for strange in sorted(set(options.encoders) - set(names)):
            raise unknown_name(f"modality of {task.name}", strange, names)
        for strange in sorted(set(options.network_params) - set(options.networks)):
            raise unknown_name("block in space.networks", strange, options.networks)
        self.skipped: dict[str, tuple[str, ...]] = {}
        self._encoders = {modality.name: self._encoders_of(modality) for modality in task.modalities}

    def encoders(self, modality: str) -> tuple[BlockParams, ...]:
        """The candidate encoders of ``modality``; `skipped` says which blocks do not fit it, and why."""
        return self._encoders[modality]

    def encoder_candidates(self, modality: str) -> list[Architecture]:
        """One unimodal architecture per candidate encoder of ``modality``."""
        return [
            _architecture("unimodal", {"modality": modality, "encoder": encoder}, stage=f"encoder/{modality}")
            for encoder in self.encoders(modality)
        ]

    def fused(
        self, encoders: Mapping[str, BlockParams], *, function: str, network: BlockParams, stage: str
    ) -> Architecture:
        """The multimodal architecture made of one choice per question."""
        params = {
            "encoders": {modality.name: dict(encoders[modality.name]) for modality in self.task.modalities},
            "fusion": function,
            "network": dict(network),
        }
        return _architecture("mixmas", params, stage=stage)

    def _encoders_of(self, modality: Modality) -> tuple[BlockParams, ...]:
        if not any(modality.kind in BLOCKS.declaration(block).ACCEPTS for block in BLOCKS.names()):
            raise BadSpec(
                f"no mixer block reads a {modality.kind}, and {modality.name} of {self.task.name} is one",
                f"mmfuse search mfas --dataset {self.task.name} fuses backbones, which do",
            )
        given = self.options.encoders.get(modality.name)
        encoders = given if given is not None else self._one_per_block(modality)
        fitting, reasons = [], []
        for encoder in encoders:
            name, params = parse_choice(self._with_dropout(encoder), what=f"encoder of {modality.name}")
            reason = encoder_problem(name, params, modality)
            if reason is None:
                fitting.append(_choice(name, params))
            else:
                reasons.append(f"{name}: {reason}")
        self.skipped[modality.name] = tuple(reasons)
        if not fitting:
            raise BadSpec(
                f"no candidate encoder fits {modality.name} {modality.shape}: {'; '.join(reasons) or 'none given'}",
                "--set space.blocks='[\"mlp\"]', or spell encoders out with --set space.encoders",
            )
        return tuple(sorted(fitting, key=lambda choice: (choice["block"], canonical_json(choice))))

    def _one_per_block(self, modality: Modality) -> list[BlockParams]:
        names = self.options.blocks if self.options.blocks is not None else BLOCKS.names()
        return [encoder_params(block, modality, size=self.options.size) for block in names]

    def _network(self, block: str) -> BlockParams:
        if not hasattr(BLOCKS.declaration(block), "check_network"):
            raise BadSpec(
                f"the block '{block}' encodes grids only and cannot serve as fusion network", "mmfuse zoo blocks"
            )
        sized = network_params(block, size=self.options.size) | self.options.network_params.get(block, {})
        return _choice(*parse_choice(self._with_dropout(sized), what=f"fusion network {block}"))

    def _with_dropout(self, choice: BlockParams) -> BlockParams:
        """``choice`` with the space's dropout where the block has one and none was given."""
        block = choice.get("block")
        has_dropout = block in BLOCKS.names() and "dropout" in BLOCKS.declaration(block).Params.model_fields
        return {"dropout": self.options.dropout, **choice} if has_dropout else choice


def _choice(block: str, params: Options) -> BlockParams:
    """Spelled out in full, so that equal choices are equal data however they were written."""
    return {"block": block, **params.model_dump(mode="json")}


def _architecture(family: str, params: BlockParams, *, stage: str) -> Architecture:
    """With every parameter of the family spelled out, for the same reason."""
    complete = parse_options(MODELS.declaration(family).Params, params, what=f"model {family}")
    return Architecture(family, complete.model_dump(mode="json"), stage)


def encoder_params(block: str, modality: Modality, *, size: Size) -> BlockParams:
    """The candidate encoder of kind ``block`` for ``modality``: the size's common numbers, then the block's own.

    A block whose sizes are not the common ones declares ``sized(size, shape)``.
    """
    declaration = BLOCKS.declaration(block)
    if modality.kind in declaration.ACCEPTS and hasattr(declaration, "sized"):
        return {"block": block, **declaration.sized(size, modality.shape)}
    numbers = dict(_TEXT[size] if modality.name == "text" else _ENCODER[size][modality.kind])
    if modality.kind == "grid":
        numbers["patch"] = max(1, modality.shape[1] // _PATCHES_PER_SIDE[size])
    return {"block": block, **_known(declaration, numbers)}


def network_params(block: str, *, size: Size) -> BlockParams:
    """The candidate fusion network of kind ``block``."""
    return {"block": block, **_known(BLOCKS.declaration(block), _NETWORK[size])}


def _known(declaration: ModuleType, numbers: BlockParams) -> BlockParams:
    return {name: value for name, value in numbers.items() if name in declaration.Params.model_fields}


_PATCHES_PER_SIDE: dict[Size, int] = {"small": 4, "paper": 2}
"""M2-Mixer cuts AV-MNIST into 2 x 2 patches (14 of 28 pixels, 56 of 112)."""

_ENCODER: dict[Size, dict[ModalityKind, BlockParams]] = {
    "small": {
        "grid": {"dim": 64, "token_hidden": 32, "channel_hidden": 128, "depth": 2},
        "sequence": {"dim": 64, "token_hidden": 16, "channel_hidden": 64, "depth": 1},
        "vector": {"dim": 64, "token_hidden": 8, "channel_hidden": 64, "depth": 1},
    },
    "paper": {
        "grid": {"dim": 128, "token_hidden": 32, "channel_hidden": 3072, "depth": 4},
        "sequence": {"dim": 64, "token_hidden": 16, "channel_hidden": 64, "depth": 1},
        "vector": {"dim": 64, "token_hidden": 16, "channel_hidden": 64, "depth": 1},
    },
}
"""``paper``: M2-Mixer's numbers for AV-MNIST (grids) and MIMIC-III (series and vectors)."""

_TEXT: dict[Size, BlockParams] = {
    "small": {"dim": 64, "token_hidden": 32, "channel_hidden": 128, "depth": 2},
    "paper": {"dim": 256, "token_hidden": 32, "channel_hidden": 3072, "depth": 4},
}
"""``paper``: M2-Mixer's numbers for MM-IMDB."""

_NETWORK: dict[Size, BlockParams] = {
    "small": {"token_hidden": 32, "channel_hidden": 128, "depth": 1},
    "paper": {"token_hidden": 32, "channel_hidden": 3072, "depth": 2},
}
"""``paper``: the fusion mixer of M2-Mixer and of MixMAS's released configuration."""

PRESETS: dict[str, dict[str, Any]] = {
    "small": {
        "space": {"size": "small", "dropout": 0.3},
        "benchmark": {"sample": 1500},
        "fit": {"epochs": 12, "learning_rate": 3e-3, "schedule": "cosine", "early_stopping": 6},
    },
    "paper": {
        "space": {"size": "paper", "blocks": ["mlp", "hyper", "ramlp"]},
        "benchmark": {"sample": 1000, "learning_rate": 1e-4},
        "fit": {"epochs": 300, "learning_rate": 1e-4},
    },
}
"""Presets of every search over this space. ``small`` finishes in minutes on a CPU: with the paper's sample of 382 small
encoders of hard inputs stay near chance, and a few thousand training samples want more dropout. ``paper`` has the sizes
and the schedule of MixMAS's release."""
