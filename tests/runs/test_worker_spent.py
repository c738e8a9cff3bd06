"""How long earlier attempts of a run worked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmfuse_runs.folder import RunFolder
from mmfuse_runs.worker import spent


def test_earlier_attempts_worked_from_their_first_word_to_their_end(tmp_path: Path) -> None:
    events = [(1, 100.0), (1, 110.0), (2, 500.0)]
    history = [("running", 1, 101.0), ("crashed", 1, 130.0), ("queued", 2, 490.0)]

    assert spent(_run(tmp_path, events, history)) == 30.0


def test_an_attempt_that_was_lost_worked_until_its_last_word(tmp_path: Path) -> None:
    events = [(1, 100.0), (1, 110.0), (2, 500.0), (2, 505.0), (3, 900.0)]
    history = [("lost", 1, 450.0), ("stopped", 2, 507.0), ("queued", 3, 890.0)]

    assert spent(_run(tmp_path, events, history)) == 10.0 + 7.0


def test_a_first_attempt_has_nothing_before_it(tmp_path: Path) -> None:
    assert spent(_run(tmp_path, [(1, 100.0)], [("running", 1, 101.0)])) == 0.0


def _run(path: Path, events: list[tuple[int, float]], history: list[tuple[str, int, float]]) -> RunFolder:
    rows: list[dict[str, Any]] = [{"v": 1, "ev": "attempt", "attempt": attempt, "t": at} for attempt, at in events]
    (path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps = [{"state": state, "attempt": attempt, "at": at, "reason": ""} for state, attempt, at in history]
    (path / "state.json").write_text(json.dumps({"format": 1, "run": "r", "state": "running", "history": steps}))
    return RunFolder(path)
