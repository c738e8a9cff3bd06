"""What a listing shows of one run, in one flat record."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from mmfuse_runs.states import TERMINAL


class Progress(NamedTuple):
    """How far the present activity is."""

    done: float
    total: float
    what: str


@dataclass(frozen=True)
class RunRecord:
    """One run as the index and its folder describe it. Times are Unix seconds; ``seconds`` is work, not waiting."""

    id: str
    kind: str = ""
    """``search``, ``train`` or ``eval``."""
    subject: str = ""
    """Name of the search algorithm or model family."""
    dataset: str = ""
    dataset_label: str = ""
    """The dataset's name for tables: says when it is the stand-in."""
    stand_in: bool = False
    fingerprint: str = ""
    """Content hash of the data: only runs with the same one may be ranked against each other."""
    state: str = "lost"
    attempt: int = 1
    name: str = ""
    tags: tuple[str, ...] = ()
    starred: bool = False
    notes: str = ""
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    score: float | None = None
    metric: str = ""
    maximize: bool = True
    metrics: Mapping[str, float] = field(default_factory=dict)
    progress: Progress | None = None
    eta_seconds: float | None = None
    architecture: str = ""
    """Short label for people; `architecture_key` identifies."""
    architecture_key: str = ""
    parameters: int | None = None
    macs: int | None = None
    latency_ms: float | None = None
    """Median time of one sample's forward pass on the run's device."""
    seconds: float | None = None
    search_seconds: float | None = None
    """What the search alone cost, training of what it found left out."""
    device: str = ""
    reason: str = ""
    """Why the run is in its state, where that needs saying."""
    waiting: str = ""
    """Why a queued run does not start yet."""
    orphan: bool = False
    """The worker goes on but its supervisor is gone (`mmfuse runs adopt`)."""
    exit_code: int | None = None
    signal: int | None = None
    seed: int | None = None
    damaged: bool = False
    """A file of the folder cannot be read; ``reason`` says which."""

    @property
    def live(self) -> bool:
        """Whether the run waits, works or is paused."""
        return self.state not in TERMINAL

    @property
    def age_seconds(self) -> float:
        """Since the run was created."""
        return max(0.0, time.time() - self.created)

    @property
    def elapsed_seconds(self) -> float | None:
        """From the first start to the end, or to now; None for a run that never started."""
        if self.started is None:
            return None
        return max(0.0, (time.time() if self.ended is None else self.ended) - self.started)

    @property
    def label(self) -> str:
        """The name the user gave, else the id; blanks and invisible characters alone are no name."""
        is_visible = any(character.isprintable() and not character.isspace() for character in self.name)
        return self.name if is_visible else self.id

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for ``--json``."""
        record = {name: getattr(self, name) for name in FIELDS}
        progress = self.progress._asdict() if self.progress is not None else None
        return record | {"tags": list(self.tags), "metrics": dict(self.metrics), "progress": progress}


FIELDS = tuple(item.name for item in fields(RunRecord))
"""Names of the record's fields, which are also the keys of an index document."""
DEFAULTS: Mapping[str, Any] = {
    item.name: [] if item.name == "tags" else {} if item.name == "metrics" else item.default
    for item in fields(RunRecord)
    if item.name != "id"
}
"""What a field is where an index document does not hold it, in JSON."""


def record_of(run_id: str, document: Mapping[str, Any]) -> RunRecord:
    """The record of an index document (see `mmfuse_runs.fold`), which leaves out what has its default."""
    record = object.__new__(RunRecord)
    # A frozen dataclass is filled field by field, which alone would take half of the time of a listing. What is left
    # out here is found in the class, where dataclasses keep the defaults.
    vars(record).update(
        document,
        id=run_id,
        tags=tuple(document.get("tags", ())),
        metrics=document.get("metrics", {}),
        progress=Progress(*document["progress"]) if document.get("progress") else None,
    )
    return record


SETTLED = "settled"
"""Key of a document of a run that nobody works on: the modification time (ns) of the state.json it was made of. As long
as the file still has it, the run need not be read again."""


def is_settled(document: Mapping[str, Any]) -> bool:
    """Whether an index document describes an ended run in full; a resumed run's patched state ends that."""
    return SETTLED in document and document.get("state", DEFAULTS["state"]) in TERMINAL


def architecture_label(architecture: Mapping[str, Any] | None) -> str:
    """A few words for an architecture: ``wave+mlp concat mlp``, ``2+4 relu > 0+3 sigmoid`` (MFAS's taps), ``m2_mixer``.

    Blocks of encoders stand in the order of their modalities' names: files differ in the order they keep them in.
    """
    if not architecture:
        return ""
    params = architecture.get("params")
    params = params if isinstance(params, Mapping) else {}
    encoders = params.get("encoders")
    if isinstance(encoders, Mapping) and encoders:
        words = ["+".join(_block(encoders[name]) for name in sorted(encoders)), str(params.get("fusion", ""))]
        network = params.get("network")
        return " ".join(word for word in [*words, _block(network) if network else ""] if word)
    if _is_chain(params.get("layers")):
        return " > ".join(_layer(row) for row in params["layers"])
    if "modality" in params:
        return f"{params['modality']} {_block(params.get('encoder'))}".strip()
    return str(architecture.get("family", ""))


def encoders_label(architecture: Mapping[str, Any] | None) -> str:
    """Which block encodes which modality, such as ``audio wave, image mlp``; empty where there are no encoders."""
    params = (architecture or {}).get("params")
    encoders = params.get("encoders") if isinstance(params, Mapping) else None
    if not isinstance(encoders, Mapping):
        return ""
    return ", ".join(f"{name} {_block(encoders[name])}" for name in sorted(encoders))


_ACTIVATIONS = ("relu", "sigmoid", "leaky relu")
"""Activation codes of MFAS's published arrays."""


def _is_chain(layers: Any) -> bool:
    """Whether these are fusion layers as MFAS describes them: taps, then an activation."""
    return (
        isinstance(layers, list)
        and bool(layers)
        and all(isinstance(row, list) and len(row) > 1 and row[-1] in range(len(_ACTIVATIONS)) for row in layers)
    )


def _layer(row: list[int]) -> str:
    return f"{'+'.join(map(str, row[:-1]))} {_ACTIVATIONS[row[-1]]}"


def _block(part: Any) -> str:
    return str(part.get("block", "")) if isinstance(part, Mapping) else ""
