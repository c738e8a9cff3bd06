"""What a search found, trained with several seeds: the search's own full training, and `mmfuse train --from` it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmfuse.errors import MmfuseError
from mmfuse_runs.comparison import SeedGroup, seed_groups
from mmfuse_runs.origin import resolve_found

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.store import RunStore


def retrained(store: RunStore, searches: Sequence[RunRecord]) -> list[SeedGroup]:
    """Experiments of several seeds on what each of ``searches`` found, the search's own training first.

    Trainings of a single trial (``RUN:TRIAL``), with other settings or on other data are experiments of their own.
    """
    if not searches:
        return []
    trainings = [record for record in store.records() if record.kind == "train" and record.score is not None]
    specs = [(record, store.folder(record.id).spec()) for record in trainings if not record.damaged]
    groups: list[SeedGroup] = []
    for search in searches:
        again = [(record, spec) for record, spec in reversed(specs) if spec.get("source") == search.id]
        groups += seed_groups([*_own_training(store, search), *again]) if again else []
    return [group for group in groups if len(group.seeds) > 1]


def _own_training(store: RunStore, search: RunRecord) -> Iterator[tuple[RunRecord, Mapping[str, Any]]]:
    """The search as the training it ended with; nothing where that is no training anybody could repeat."""
    spec = store.folder(search.id).spec()
    if not spec.get("train") or spec["options"].get("final") == "warm" or search.seed is None:
        return
    try:
        found = resolve_found(
            store, search.id, dataset=None, settings=(), seed=search.seed, test=bool(spec.get("test", True))
        )
    except MmfuseError:  # of an older mmfuse, or damaged: what was trained again stands alone
        return
    yield search, found.model_dump(mode="json")
