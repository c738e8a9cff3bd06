"""A block chosen by name with its parameters, as an architecture's JSON holds it: ``{"block": "mlp", "depth": 2}``.

Free of torch: choices are read and checked here, `mmfuse.models.encoders` builds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmfuse.errors import BadSpec
from mmfuse.models.shapes import TokenShape
from mmfuse.options import Options, parse_options
from mmfuse.registry import BLOCKS
from mmfuse.task import Modality, Task


def parse_choice(choice: Mapping[str, Any], *, what: str) -> tuple[str, Options]:
    """The block's name and its validated parameters; ``what`` names the part of the model, such as "encoder image".

    Raises:
        BadSpec: when no block is named, or for its parameters' mistakes.
        UnknownName: when there is no such block.
    """
    name = choice.get("block")
    if not isinstance(name, str):
        raise BadSpec(f"{what} names no block: {dict(choice)!r:.120}", f"known blocks: {', '.join(BLOCKS.names())}")
    values = {key: value for key, value in choice.items() if key != "block"}
    params: Options = parse_options(BLOCKS.declaration(name).Params, values, what=f"{what} (block {name})")
    return name, params


def encoder_problem(name: str, params: Options, modality: Modality) -> str | None:
    """Why block ``name`` cannot encode ``modality``, in a sentence; None when it can."""
    block = BLOCKS.declaration(name)
    if modality.kind not in block.ACCEPTS:
        return f"it takes {' or '.join(sorted(block.ACCEPTS))}, {modality.name} is a {modality.kind}"
    problem: str | None = block.check(params, modality.shape)
    return problem


def network_problem(name: str, params: Options, shape: TokenShape) -> str | None:
    """Why block ``name`` cannot be the fusion network on tokens of ``shape``; None when it can."""
    block = BLOCKS.declaration(name)
    if not hasattr(block, "check_network"):
        return "it encodes grids only and cannot serve as a fusion network"
    problem: str | None = block.check_network(params, tokens=shape.tokens, dim=shape.dim)
    return problem


def check_encoder(choice: Mapping[str, Any], modality: Modality) -> TokenShape:
    """The shape of the tokens the chosen encoder makes of one sample of ``modality``.

    Raises:
        BadSpec, UnknownName: when the choice is malformed or cannot encode the modality.
    """
    what = f"encoder of {modality.name}"
    name, params = parse_choice(choice, what=what)
    problem = encoder_problem(name, params, modality)
    if problem is not None:
        raise BadSpec(
            f"{what}: block {name} is impossible: {problem}",
            f"--set encoders.{modality.name}.OPTION=VALUE; mmfuse zoo blocks {name} lists the options",
        )
    shape: TokenShape = BLOCKS.declaration(name).token_shape(params, modality.shape)
    return shape


def encoder_tap_widths(choice: Mapping[str, Any], modality: Modality) -> tuple[int, ...]:
    """Features of each tap of the chosen encoder; a block that declares none has one, the mean of its tokens.

    Raises:
        BadSpec, UnknownName: when the choice is malformed or cannot encode the modality.
    """
    shape = check_encoder(choice, modality)
    name, params = parse_choice(choice, what=f"encoder of {modality.name}")
    declared = getattr(BLOCKS.declaration(name), "tap_widths", None)
    widths: tuple[int, ...] = declared(params, modality.shape) if declared else (shape.dim,)
    return widths


def check_network(choice: Mapping[str, Any], shape: TokenShape) -> None:
    """Check the chosen fusion network against fused tokens of ``shape``.

    Raises:
        BadSpec, UnknownName: when the choice is malformed or cannot take such tokens.
    """
    name, params = parse_choice(choice, what="fusion network")
    problem = network_problem(name, params, shape)
    if problem is not None:
        raise BadSpec(
            f"fusion network: block {name} is impossible: {problem}",
            f"--set network.OPTION=VALUE; mmfuse zoo blocks {name} lists the options",
        )


def check_encoders(choices: Mapping[str, Mapping[str, Any]], task: Task, *, family: str) -> dict[str, TokenShape]:
    """Token shapes of the chosen encoders, in the task's order of modalities.

    Raises:
        BadSpec: when encoders and modalities do not match one to one, or an encoder is impossible.
        UnknownName: when there is no such block.
    """
    names = {modality.name for modality in task.modalities}
    missing, unknown = sorted(names - set(choices)), sorted(set(choices) - names)
    if missing or unknown:
        problems = [f"no encoder for {', '.join(missing)}"] if missing else []
        problems += [f"{task.name} has no modality {', '.join(unknown)}"] if unknown else []
        raise BadSpec(
            f"model {family}: {'; '.join(problems)}",
            f"{task.name} has {', '.join(sorted(names))}; choose a preset made for it or give encoders.<modality>",
        )
    return {modality.name: check_encoder(choices[modality.name], modality) for modality in task.modalities}
