"""`mmfuse runs baselines`: what the result of a search has to be compared with, on equal terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mmfuse.errors import BadSpec, MmfuseError
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import DataRoot, Device, DryRun, Home, Json, Run
from mmfuse_cli.render import out, out_json, say

if TYPE_CHECKING:
    from mmfuse.spec import SearchSpec, TrainSpec
    from mmfuse_runs.specs import Spec


@examples("mmfuse runs baselines latest", "mmfuse runs baselines 7f3a --dry-run")
def baselines(
    run: Run,
    device: Device = "auto",
    dry_run: DryRun = False,
    json: Json = False,
    home: Home = None,
    data_root: DataRoot = None,
) -> None:
    """Queue what a search must be compared with.

    On the same data, seed and training: M2-Mixer, each single modality with the encoder that was found, a linear probe,
    and random search with as many trials. They are tagged "baseline"; put them side by side with mmfuse runs compare.
    """
    from mmfuse.spec import SearchSpec, spec_from_json
    from mmfuse_cli.starting import Label, Placement, start
    from mmfuse_runs.specs import command_of

    store = open_store(home)
    folder = store.folder(store.find(run))
    origin = spec_from_json(folder.spec())
    if not isinstance(origin, SearchSpec):
        raise BadSpec(f"run {folder.id} is no search", "mmfuse runs ls kind:search")
    found = ((folder.exit() or {}).get("result") or {}).get("architecture")
    specs = list(_baselines(origin, found, source=folder.id))
    if dry_run:
        out_json({"specs": [spec.model_dump(mode="json") for spec in specs]})
        return
    started = []
    for spec in specs:
        say(command_of(spec))
        label = Label(tags=("baseline",))
        started.append(start(store, spec, placement=Placement(device, data_root), label=label))
    if json:
        out_json({"runs": started})
    else:
        out("\n".join(started))


def _baselines(origin: SearchSpec, found: Mapping[str, Any] | None, *, source: str) -> Iterator[Spec]:
    from mmfuse.spec import resolve_train
    from mmfuse_runs.specs import data_and_fit

    def train(family: str, **more: Any) -> TrainSpec:
        settings = data_and_fit(origin)
        return resolve_train(
            family, origin.dataset, settings=settings, seed=origin.seed, test=origin.test, source=source, **more
        )

    yield from _m2_mixer(origin.dataset, train)
    yield train("linear_probe")
    for modality, encoder in ((found or {}).get("params", {}).get("encoders") or {}).items():
        yield train("unimodal", params={"modality": modality, "encoder": encoder})
    if origin.search != "random":
        yield _random(origin)


def _m2_mixer(dataset: str, train: Callable[..., TrainSpec]) -> Iterator[TrainSpec]:
    """M2-Mixer in its default size, or else in the first published one for the dataset."""
    from mmfuse.registry import MODELS

    named = [preset for preset in MODELS.declaration("m2_mixer").PRESETS if preset.startswith(dataset)]
    for preset in (None, *named):
        with suppress(MmfuseError):
            yield train("m2_mixer", preset=preset)
            return
    say(f"M2-Mixer has no size for {dataset}: left out")


def _random(origin: SearchSpec) -> SearchSpec:
    """Random search over the same space, with as many trials of the same kind."""
    from mmfuse.registry import SEARCHES
    from mmfuse.spec import resolve_search, task_of
    from mmfuse_runs.specs import all_settings

    declaration = SEARCHES.declaration(origin.search)
    task = task_of(origin.dataset, origin.data)
    trials = declaration.expected_trials(task, declaration.Options.model_validate(origin.options))
    shared = [word for word in all_settings(origin) if word.startswith(("space", "benchmark", "data", "fit"))]
    return resolve_search(
        "random",
        origin.dataset,
        settings=[*shared, f"trials={trials}"],
        seed=origin.seed,
        train=origin.train,
        test=origin.test,
    )
