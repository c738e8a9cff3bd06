"""From a spec to a run that goes on by itself: the one way in which the command line and the dashboard start runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mmfuse.errors import BadSpec
from mmfuse.readiness import check_data
from mmfuse.registry import SEARCHES
from mmfuse_runs import launch
from mmfuse_runs.home import data_root as resolve_data_root
from mmfuse_runs.origin import with_weights_of_runs
from mmfuse_runs.slots import NoSuchDevice, slots_for, visible_gpus
from mmfuse_runs.specs import USUAL_PRESETS, Spec, subject_of

if TYPE_CHECKING:
    from mmfuse_runs.store import RunStore


def begin(
    store: RunStore,
    spec: Spec,
    *,
    device: str = "auto",
    data_root: str | None = None,
    name: str = "",
    tags: Iterable[str] = (),
    code: str | None = None,
    by: str = "cli",
) -> str:
    """Put a run of ``spec`` into the store and start its supervisor; the run's id.

    ``code`` is the digest of a snapshot (see `mmfuse_runs.sourcecode`); None for the code as it is now.

    Raises:
        UnknownName, DataMissing: the weights of a backbone are to come from a run that does not exist or has none.
        BadSpec, DataMissing, DataInvalid: as `check_startable`.
        StoreError: the home cannot be written, or no process can be made.
    """
    spec = with_weights_of_runs(store, spec)
    check_startable(store, spec, device=device, data_root=data_root)
    folder = store.create(
        spec.model_dump(mode="json"),
        kind=spec.kind,
        subject=subject_of(spec),
        dataset=spec.dataset,
        name=name,
        tags=tuple(tags),
    )
    launch.start(store, folder.id, device=device, data_root=data_root, code=code, started_by=by)
    return folder.id


def check_startable(store: RunStore, spec: Spec, *, device: str, data_root: str | None) -> None:
    """See that the device and the files are there that a run of ``spec`` would need, as far as a glance tells.

    Raises:
        BadSpec: this machine has no such device.
        DataMissing, DataInvalid: files are absent or do not fit together.
    """
    if device.startswith("cuda"):
        try:
            slots_for(device)
        except NoSuchDevice as error:
            raise BadSpec(str(error), "--device auto takes a GPU where there is one") from error
    check_data(spec, resolve_data_root(store.home, data_root))


def usual_preset(search: str, device: str) -> str | None:
    """``paper`` where the run will have a GPU, else ``small``; None for a search that has no such preset."""
    published, small = USUAL_PRESETS
    usual = published if device != "cpu" and visible_gpus() else small
    return usual if usual in getattr(SEARCHES.declaration(search), "PRESETS", {}) else None
