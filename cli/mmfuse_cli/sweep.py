"""`mmfuse sweep`: the same run for every combination of some settings and seeds."""

from __future__ import annotations

import itertools
import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from mmfuse_cli import complete
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import DataRoot, Dataset, Device, DryRun, Home, Json, Notify, Preset, Settings, Tags, Test
from mmfuse_cli.render import out, out_json, say

if TYPE_CHECKING:
    from mmfuse_runs.specs import Spec


@examples(
    "mmfuse sweep m2_mixer --dataset avmnist --over fit.learning_rate=1e-3,3e-3 --seeds 0,1,2",
    "mmfuse sweep m2_mixer --dataset avmnist --over dropout=0,0.1 --over fusion=concat,max --dry-run",
    "mmfuse sweep fusemix --dataset coco_latents --over fraction=0.1,0.3,1",
    "mmfuse sweep mixmas --search --dataset avmnist --seeds 0,1,2,3,4",
)
def sweep(
    subject: Annotated[
        str,
        typer.Argument(help="The model, or with --search the search.", metavar="NAME", autocompletion=complete.models),
    ],
    dataset: Dataset,
    over: Annotated[
        list[str] | None,
        typer.Option(
            "--over",
            help="A setting and its values, KEY=V1,V2,...; may be repeated: all combinations are run."
            " Without data. or fit. in front it is looked for there, too.",
            metavar="KEY=V1,V2",
        ),
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, each with every combination.", metavar="S1,S2")] = "0",
    search: Annotated[bool, typer.Option("--search", help="NAME is a search, not a model.")] = False,
    preset: Preset = None,
    settings: Settings = None,
    tags: Tags = None,
    test: Test = True,
    device: Device = "auto",
    notify: Notify = None,
    dry_run: DryRun = False,
    json: Json = False,
    home: Home = None,
    data_root: DataRoot = None,
) -> None:
    """Queue a run for every combination of settings and seeds.

    All are checked before the first one starts. They share a tag, by which they can be listed, stopped and compared;
    runs that differ only in their seed are summed up by mmfuse runs compare.
    """
    from mmfuse.spec import resolve_search, resolve_train
    from mmfuse_cli.starting import Label, Placement, notify_with, start
    from mmfuse_runs.begin import check_startable
    from mmfuse_runs.specs import command_of
    from mmfuse_runs.sweeping import combinations, seeds_of, with_prefix

    specs: list[tuple[str, Spec]] = []
    axes = [with_prefix(word, subject, dataset, search=search) for word in over or ()]
    for chosen, seed in itertools.product(combinations(axes), seeds_of(seeds)):
        words = [*(settings or ()), *chosen]
        if search:
            found = resolve_search(subject, dataset, preset=preset, settings=words, seed=seed, test=test)
            specs.append((" ".join(chosen), found))
        else:
            trained = resolve_train(subject, dataset, preset=preset, settings=words, seed=seed, test=test)
            specs.append((" ".join(chosen), trained))
    if dry_run:
        out_json({"specs": [spec.model_dump(mode="json") for _, spec in specs]})
        return
    store = open_store(home)
    for _, spec in specs:
        check_startable(store, spec, device=device, data_root=data_root)
    tag = f"sweep-{secrets.token_hex(2)}"
    started = []
    notify_with(notify)
    for name, spec in specs:
        say(command_of(spec))
        label = Label(name, (tag, *(tags or ())))
        started.append(start(store, spec, placement=Placement(device, data_root), label=label))
    if json:
        out_json({"tag": tag, "runs": started})
        return
    out("\n".join(started))
    say(f"{len(started)} runs; compare them with: mmfuse runs compare tag:{tag}")
