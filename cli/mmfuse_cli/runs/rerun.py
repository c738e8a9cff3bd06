"""`mmfuse runs rerun`: a new run from the settings of an old one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli.access import open_store
from mmfuse_cli.kept_code import Code, CodeChoice, last_attempt, wanted_code
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import DataRoot, Detach, DryRun, Home, Json, Name, NextDevice, Notify, Run, Settings, Tags
from mmfuse_cli.render import say

if TYPE_CHECKING:
    from mmfuse_runs.specs import Spec


@examples("mmfuse runs rerun latest", "mmfuse runs rerun 7f3a --seed 1 --set fit.epochs=50")
def rerun(
    run: Run,
    settings: Settings = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Root of all random numbers [the old run's].")] = None,
    code: CodeChoice = Code.KEPT,
    device: NextDevice = None,
    name: Name = "",
    tags: Tags = None,
    detach: Detach = False,
    notify: Notify = None,
    dry_run: DryRun = False,
    json: Json = False,
    home: Home = None,
    data_root: DataRoot = None,
) -> None:
    """Start a new run with the settings of an old one.

    Without --set and --seed it repeats the old run exactly, on the same device and with the code that one worked with;
    with them nothing else changes. The command is printed first.
    """
    from mmfuse.spec import spec_from_json
    from mmfuse_cli.starting import Label, Manner, Placement, start_and_follow
    from mmfuse_runs.specs import command_of

    store = open_store(home)
    origin = store.find(run)
    spec = spec_from_json(store.folder(origin).spec())
    if settings or seed is not None or code is Code.CURRENT:  # else the old code reads its own spec, word for word
        spec = _changed(spec, settings=settings or (), seed=seed)
    with suppress(BadSpec):  # what cannot be typed can still be done again
        say(command_of(spec))
    before = last_attempt(store, origin)
    start_and_follow(
        store,
        spec,
        placement=Placement(
            device or before.get("device") or "auto",
            data_root or before.get("data_root"),
            wanted_code(code, before.get("code")),
        ),
        label=Label(name, tags or ()),
        manner=Manner(detach, dry_run, json, notify),
    )


def _changed(spec: Spec, *, settings: Sequence[str], seed: int | None) -> Spec:
    """``spec`` with other settings, as the code of now understands them.

    Raises:
        BadSpec: there is no such setting, or none at all.
    """
    from mmfuse.spec import EvalSpec, ExtractSpec, SearchSpec, resolve_search, resolve_train
    from mmfuse_runs.specs import all_settings

    if isinstance(spec, EvalSpec | ExtractSpec):
        if not settings and seed is None:
            return spec
        if isinstance(spec, EvalSpec):
            raise BadSpec("a measurement has no settings to change", "mmfuse eval checkpoint --help")
        raise BadSpec("an extraction is repeated as it is", "mmfuse extract --help")
    words = [*all_settings(spec), *settings]
    root = spec.seed if seed is None else seed
    if isinstance(spec, SearchSpec):
        return resolve_search(spec.search, spec.dataset, settings=words, seed=root, train=spec.train, test=spec.test)
    return resolve_train(spec.family, spec.dataset, settings=words, seed=root, test=spec.test, source=spec.source)
