"""`mmfuse eval`: measure a trained model."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli import complete
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import Entry, LazyGroup, examples, plain_app
from mmfuse_cli.parameters import (
    DataRoot,
    Detach,
    Device,
    DryRun,
    Home,
    Json,
    Name,
    Notify,
    OptionalDataset,
    Settings,
    Tags,
)


class Split(StrEnum):
    """Part of a dataset."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class EvalGroup(LazyGroup):
    """The measurements there are."""

    ENTRIES = {
        "checkpoint": Entry("mmfuse_cli.evaluate:checkpoint", "Measure a checkpoint on one split."),
        "retrieval": Entry("mmfuse_cli.evaluate:retrieval", "Measure retrieval, with intervals."),
    }


app = plain_app(cls=EvalGroup)


@app.callback()
def measure() -> None:
    """Measure a trained model."""


Place = Annotated[
    str,
    typer.Argument(
        help="A run (its best checkpoint is taken) or a checkpoint file.",
        metavar="RUN|PATH",
        autocompletion=complete.runs,
    ),
]
SplitOption = Annotated[Split, typer.Option("--split", help="What to measure on.")]


@examples(
    "mmfuse eval checkpoint latest",
    "mmfuse eval checkpoint 7f3a --split val --json",
    "mmfuse eval checkpoint old/best.pt --dataset avmnist",
)
def checkpoint(
    place: Place,
    split: SplitOption = Split.TEST,
    dataset: OptionalDataset = None,
    settings: Settings = None,
    device: Device = "auto",
    name: Name = "",
    tags: Tags = None,
    detach: Detach = False,
    notify: Notify = None,
    dry_run: DryRun = False,
    json: Json = False,
    home: Home = None,
    data_root: DataRoot = None,
) -> None:
    """Measure a checkpoint on one split.

    The measurement is a run of its own (kind eval), so it stays in the store with its data's fingerprint.
    """
    from mmfuse_cli.starting import Label, Manner, Placement, start_and_follow
    from mmfuse_runs.origin import resolve_checkpoint

    store = open_store(home)
    spec = resolve_checkpoint(store, place, dataset=dataset, split=split.value, settings=settings or ())
    start_and_follow(
        store,
        spec,
        placement=Placement(device, data_root),
        label=Label(name, tags or ()),
        manner=Manner(detach, dry_run, json, notify),
    )


@examples(
    "mmfuse eval retrieval latest",
    "mmfuse eval retrieval 7f3a --against 52bc",
    "mmfuse eval retrieval 7f3a --dataset flickr30k_latents     (zero-shot: other pairs, same encoders)",
)
def retrieval(
    place: Place,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="Compare with this run or checkpoint, query by query.",
            metavar="RUN|PATH",
            autocompletion=complete.runs,
        ),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Resamples behind the intervals.")] = 10_000,
    split: SplitOption = Split.TEST,
    dataset: OptionalDataset = None,
    settings: Settings = None,
    device: Device = "auto",
    name: Name = "",
    tags: Tags = None,
    detach: Detach = False,
    notify: Notify = None,
    dry_run: DryRun = False,
    json: Json = False,
    home: Home = None,
    data_root: DataRoot = None,
) -> None:
    """Measure retrieval, with intervals.

    Recalls both ways, with what a bootstrap over images (or whatever stands first in the pairs) says of them; ties
    count against the model. Where pairs share only a class: precision at 1, MAP@R and a linear probe.
    """
    from mmfuse.registry import DATASETS
    from mmfuse_cli.starting import Label, Manner, Placement, start_and_follow
    from mmfuse_runs.origin import resolve_checkpoint

    store = open_store(home)
    spec = resolve_checkpoint(store, place, dataset=dataset, split=split.value, settings=settings or ())
    kind = DATASETS.declaration(spec.dataset).TASK.kind
    if kind != "retrieval":
        raise BadSpec(f"{spec.dataset} is a {kind} task, not pairs of latents", f"mmfuse eval checkpoint {place}")
    other = (
        resolve_checkpoint(store, against, dataset=spec.dataset, split=split.value, settings=()) if against else None
    )
    start_and_follow(
        store,
        spec.model_copy(
            update={"measure": "retrieval", "draws": draws, "against": other.checkpoint if other is not None else ""}
        ),
        placement=Placement(device, data_root),
        label=Label(name, tags or ()),
        manner=Manner(detach, dry_run, json, notify),
    )
