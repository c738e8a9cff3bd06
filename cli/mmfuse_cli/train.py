"""`mmfuse train`: train one model in full, named or found by a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli import complete
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import (
    DataRoot,
    Detach,
    Device,
    DryRun,
    Home,
    Json,
    Name,
    OptionalDataset,
    Preset,
    Seed,
    Settings,
    Tags,
    Test,
)

if TYPE_CHECKING:
    from mmfuse.spec import TrainSpec


@examples(
    "mmfuse train m2_mixer --dataset avmnist",
    "mmfuse train m2_mixer --dataset avmnist --preset small --set fit.epochs=5",
    "mmfuse train --from latest                  (the architecture the newest run found)",
    "mmfuse train --from 7f3a:12 --seed 1        (trial 12 of a search)",
    "mmfuse zoo models m2_mixer                  (lists the options and presets of a model)",
)
def train(
    model: Annotated[
        str | None,
        typer.Argument(help="The model (mmfuse zoo models).", metavar="[MODEL]", autocompletion=complete.models),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Take the architecture this run found, or that of one of its trials; training and data as there.",
            metavar="RUN[:TRIAL]",
            autocompletion=complete.runs,
        ),
    ] = None,
    dataset: OptionalDataset = None,
    preset: Preset = None,
    settings: Settings = None,
    seed: Seed = 0,
    device: Device = "auto",
    name: Name = "",
    tags: Tags = None,
    test: Test = True,
    detach: Detach = False,
    dry_run: DryRun = False,
    json: Json = False,
    home: Home = None,
    data_root: DataRoot = None,
) -> None:
    """Train one model, or an architecture that a run found.

    The run goes on by itself in the background; this command follows it. Ctrl-C asks it to save and stop, a second
    Ctrl-C leaves it running.
    """
    from mmfuse.spec import resolve_train
    from mmfuse_cli.starting import Label, Manner, Placement, start_and_follow
    from mmfuse_runs.origin import resolve_found

    store = open_store(home)
    words = list(settings or ())
    spec: TrainSpec
    if (model is None) == (source is None):
        raise BadSpec("say what to train: either MODEL or --from RUN", "mmfuse zoo models")
    if source is not None:
        if preset is not None:
            raise BadSpec("--preset belongs to a named model, and --from brings its own parameters", "drop --preset")
        spec = resolve_found(store, source, dataset=dataset, settings=words, seed=seed, test=test)
    elif model is not None and dataset is not None:
        spec = resolve_train(model, dataset, preset=preset, settings=words, seed=seed, test=test)
    else:
        raise BadSpec(f"say what to train {model} on", "add --dataset NAME (mmfuse data ls)")
    start_and_follow(
        store,
        spec,
        placement=Placement(device, data_root),
        label=Label(name, tags or ()),
        manner=Manner(detach, dry_run, json),
    )
