"""What a worker's result holds, and what of it the index keeps. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping

NUMBER = (int, float)
KINDS: Mapping[str, tuple[type, ...]] = {
    "score": NUMBER,
    "metric": (str,),
    "maximize": (bool,),
    "metrics": (dict,),
    "architecture": (dict,),
    "architecture_key": (str,),
    "parameters": NUMBER,
    "macs": NUMBER,
    "latency_ms": NUMBER,
    "checkpoint": (str,),
    "fingerprint": (str,),
    "stand_in": (bool,),
    "dataset_label": (str,),
    "epochs": NUMBER,
    "seconds": NUMBER,
    "search_seconds": NUMBER,
    "trials": NUMBER,
}
"""Types of the fields of ``result`` in ``exit.json``; each may be null as well."""
INDEXED = (
    "score",
    "metric",
    "maximize",
    "metrics",
    "architecture_key",
    "parameters",
    "macs",
    "latency_ms",
    "fingerprint",
    "stand_in",
    "dataset_label",
    "seconds",
    "search_seconds",
)
"""Fields that a run's document in the index has as they are."""
