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
    Notify,
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
    "mmfuse train mfas --dataset avmnist --arch '[[2,4,0],[0,1,1]]'",
    "mmfuse train mfas --dataset avmnist --arch avmnist-4      (a published array, by name)",
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
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            help="A fusion network as published code writes it: per layer a tap of each modality, then the activation "
            "(0 ReLU, 1 sigmoid, 2 leaky ReLU). Or the name of a published one, such as ntu-1.",
            metavar="ARRAY",
        ),
    ] = None,
    convention: Annotated[
        str | None,
        typer.Option(
            "--arch-convention",
            help="Which column of --arch is which modality: task (the dataset's order; default), avmnist (audio, "
            "image), multibench (image, audio), ntu (skeleton, video). An array does not say it itself.",
            metavar="NAME",
        ),
    ] = None,
    preset: Preset = None,
    settings: Settings = None,
    seed: Seed = 0,
    device: Device = "auto",
    name: Name = "",
    tags: Tags = None,
    test: Test = True,
    detach: Detach = False,
    notify: Notify = None,
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
    from mmfuse_cli.arrays import array_params
    from mmfuse_cli.starting import Label, Manner, Placement, start_and_follow
    from mmfuse_runs.origin import resolve_found

    store = open_store(home)
    words = list(settings or ())
    spec: TrainSpec
    if (model is None) == (source is None):
        raise BadSpec("say what to train: either MODEL or --from RUN", "mmfuse zoo models")
    if convention is not None and arch is None:
        raise BadSpec("--arch-convention says how to read --arch, which is missing", "add --arch ARRAY")
    if source is not None:
        if arch is not None:
            raise BadSpec("--arch belongs to a named model, and --from brings its own architecture", "drop --arch")
        if preset is not None:
            raise BadSpec("--preset belongs to a named model, and --from brings its own parameters", "drop --preset")
        spec = resolve_found(store, source, dataset=dataset, settings=words, seed=seed, test=test)
    elif model is not None and dataset is not None:
        drawn = array_params(model, arch, convention=convention, dataset=dataset) if arch is not None else None
        spec = resolve_train(model, dataset, preset=preset, params=drawn, settings=words, seed=seed, test=test)
    else:
        raise BadSpec(f"say what to train {model} on", "add --dataset NAME (mmfuse data ls)")
    start_and_follow(
        store,
        spec,
        placement=Placement(device, data_root),
        label=Label(name, tags or ()),
        manner=Manner(detach, dry_run, json, notify),
    )
