"""Numbers in columns: attempts that replace each other, memory, and the sealed copy."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import random
import tracemalloc
from array import array
from pathlib import Path
from typing import Any

import h5py
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfuse.errors import RunBusy, StoreError
from mmfuse_runs.folder import RunFolder
from mmfuse_runs.journal import JournalWriter
from mmfuse_runs.seal import seal, unseal
from mmfuse_runs.tail import MetricsTable

FORK = multiprocessing.get_context("fork")


def header(attempt: int, resume_step: int | None = None) -> dict[str, Any]:
    return {"v": 1, "run": "r", "attempt": attempt, "t0": 0.0, "resume_step": resume_step}


def row(step: int, trial: int | None = None, **metrics: float) -> dict[str, Any]:
    named = {name.replace("_", "/"): value for name, value in metrics.items()}
    return {"s": step, "e": None, "t": float(step), "n": trial, "m": named}


def journal(path: Path, *rows: dict[str, Any]) -> Path:
    with JournalWriter(path) as writer:
        for item in rows:
            writer.append(item)
    return path


def table(path: Path, *rows: dict[str, Any]) -> MetricsTable:
    metrics = MetricsTable(journal(path / "metrics.jsonl", *rows))
    metrics.poll()
    return metrics


def points(metrics: MetricsTable, name: str, trial: int | None = None) -> list[tuple[int, float]]:
    steps, values = metrics.series(name, trial)
    return list(zip(steps, values, strict=True))


def test_series_are_columns_of_steps_and_values(tmp_path: Path) -> None:
    metrics = table(tmp_path, header(1), row(1, train_loss=0.5), row(2, train_loss=0.25))

    assert metrics.series("train/loss") == (array("q", [1, 2]), array("d", [0.5, 0.25]))
    assert metrics.names() == ["train/loss"]
    assert metrics.last("train/loss") == 0.25
    assert metrics.series("unknown") == (array("q"), array("d"))
    assert metrics.last("unknown") is None


def test_a_poll_takes_only_what_is_new(tmp_path: Path) -> None:
    metrics = table(tmp_path, header(1), row(1, train_loss=0.5))
    assert not metrics.poll()

    journal(tmp_path / "metrics.jsonl", row(2, train_loss=0.25))

    assert metrics.poll()
    assert points(metrics, "train/loss") == [(1, 0.5), (2, 0.25)]


def test_a_metric_of_several_kinds_of_rows_is_one_series_by_step(tmp_path: Path) -> None:
    metrics = table(
        tmp_path,
        header(1),
        row(1, train_loss=3),
        row(2, train_loss=2, val_loss=9),
        row(3, train_loss=1),
        row(4, val_loss=8),
    )

    assert points(metrics, "train/loss") == [(1, 3), (2, 2), (3, 1)]
    assert points(metrics, "val/loss") == [(2, 9), (4, 8)]
    assert list(metrics.points("train/loss")[2]) == [1.0, 2.0, 3.0]


def test_trials_are_apart_from_the_run(tmp_path: Path) -> None:
    metrics = table(tmp_path, header(1), row(1, 0, val_loss=3), row(1, 4, val_loss=2), row(1, train_loss=1))

    assert metrics.trials() == [0, 4]
    assert metrics.names() == ["train/loss"]
    assert metrics.names(4) == ["val/loss"]
    assert points(metrics, "val/loss", 4) == [(1, 2)]


def test_a_resumed_attempt_hides_what_earlier_ones_wrote_later(tmp_path: Path) -> None:
    metrics = table(
        tmp_path,
        header(1),
        *(row(step, train_loss=step) for step in (1, 2, 3, 4)),
        header(2),
        header(2, resume_step=2),
        row(3, train_loss=30),
    )

    assert points(metrics, "train/loss") == [(1, 1), (2, 2), (3, 30)]


def test_an_attempt_that_has_not_resumed_yet_hides_nothing(tmp_path: Path) -> None:
    metrics = table(tmp_path, header(1), row(1, train_loss=1), header(2))

    assert points(metrics, "train/loss") == [(1, 1)]


def test_an_attempt_that_starts_again_without_saying_so_replaces_the_earlier_one(tmp_path: Path) -> None:
    metrics = table(tmp_path, header(1), row(1, train_loss=1), row(2, train_loss=2), header(2), row(1, train_loss=10))

    assert points(metrics, "train/loss") == [(1, 10)]


def test_a_trial_that_is_run_again_replaces_only_itself(tmp_path: Path) -> None:
    metrics = table(
        tmp_path,
        header(1),
        row(1, 0, val_loss=1),
        row(1, 1, val_loss=2),
        row(2, 1, val_loss=3),
        header(2),
        row(1, 1, val_loss=20),
        row(2, 1, val_loss=30),
    )

    assert points(metrics, "val/loss", 0) == [(1, 1)]
    assert points(metrics, "val/loss", 1) == [(1, 20), (2, 30)]


@settings(deadline=None, max_examples=50)
@given(
    attempts=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12)), min_size=1, max_size=4),
    seed=st.integers(0, 9),
)
def test_any_chain_of_attempts_shows_each_step_once_from_the_attempt_that_did_it_last(
    tmp_path_factory: pytest.TempPathFactory, attempts: list[tuple[int, int]], seed: int
) -> None:
    rows, model = [], {}
    for attempt, (wanted, length) in enumerate(attempts, start=1):
        start = min(wanted, max(model, default=0))
        rows += [header(attempt), header(attempt, start if attempt > 1 else None)]
        model = {step: value for step, value in model.items() if step <= start}
        for step in range(start + 1, start + 1 + length):
            rows.append(row(step, train_loss=attempt))
            model[step] = attempt

    path = tmp_path_factory.mktemp("chain")
    whole = table(path, *rows)
    piecewise = MetricsTable(path / "pieces.jsonl")
    noise = random.Random(seed)
    for item in rows:
        journal(path / "pieces.jsonl", item)
        if noise.random() < 0.5:
            piecewise.poll()
    piecewise.poll()

    assert points(whole, "train/loss") == sorted(model.items())
    assert points(piecewise, "train/loss") == sorted(model.items())


def test_numbers_that_are_not_finite_and_rows_that_are_odd(tmp_path: Path) -> None:
    odd = [
        {"s": 2},
        {"s": "x", "t": 0, "m": {}},
        {"s": 3, "t": 0, "m": {"train/loss": "high"}},
        {"s": 4, "t": 0, "m": 5},
    ]
    metrics = table(tmp_path, header(1), row(1, train_loss=math.nan), *odd, row(5, train_loss=math.inf))

    steps, values = metrics.series("train/loss")

    assert list(steps) == [1, 5]
    assert math.isnan(values[0])
    assert values[1] == math.inf
    assert metrics.bad_lines == 4


def test_a_file_that_was_replaced_is_read_from_its_start(tmp_path: Path) -> None:
    metrics = table(tmp_path, header(1), row(1, train_loss=1), row(2, train_loss=2))

    (tmp_path / "metrics.jsonl").unlink()
    journal(tmp_path / "metrics.jsonl", header(1), row(1, val_loss=7))

    assert metrics.poll()
    assert metrics.names() == ["val/loss"]


def test_a_hundred_thousand_rows_of_seven_numbers_fit_in_ten_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    names = [f"train/part{number}" for number in range(7)]
    with path.open("w") as file:
        for step in range(100_000):
            numbers = dict.fromkeys(names, step + 0.5)
            file.write(json.dumps({"s": step, "e": 0, "t": step, "n": None, "m": numbers}) + "\n")

    tracemalloc.start()
    metrics = MetricsTable(path)
    metrics.poll()
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(metrics.series(names[6])[0]) == 100_000
    assert held < 10e6
    assert peak < 30e6


@pytest.fixture
def ended(tmp_path: Path) -> RunFolder:
    folder = tmp_path / "20261121-1512-mixmas-toy-0000"
    folder.mkdir()
    (folder / "state.json").write_text('{"format": 1, "state": "finished"}')
    journal(
        folder / "metrics.jsonl",
        header(1),
        *(row(step, train_loss=1 / (step + 1), train_accuracy=step) for step in range(100)),
        row(3, 7, val_loss=math.nan),
        header(2, 50),
        row(51, train_loss=0.5, train_accuracy=0.5),
    )
    return RunFolder(folder)


def test_a_sealed_run_reads_as_its_journal(ended: RunFolder) -> None:
    path = seal(ended)

    sealed, parsed = unseal(ended), ended.metrics()

    assert sealed is not None
    assert path.name == "sealed.h5"
    assert sealed.trials() == parsed.trials() == [7]
    for trial in (None, 7):
        assert sealed.names(trial) == parsed.names(trial)
        for name in parsed.names(trial):
            assert repr(sealed.points(name, trial)) == repr(parsed.points(name, trial))


def test_a_sealed_metric_says_its_range(ended: RunFolder) -> None:
    with h5py.File(seal(ended)) as file:
        accuracy, loss = dict(file["run/train/accuracy"].attrs), dict(file["trials/7/val/loss"].attrs)

    assert (accuracy["min"], accuracy["max"], accuracy["last"]) == (0, 50, 0.5)
    assert math.isnan(loss["last"])
    assert "min" not in loss


def test_a_sealed_copy_follows_a_run_that_goes_on(ended: RunFolder) -> None:
    seal(ended)
    sealed = unseal(ended)
    assert sealed is not None

    journal(ended.path / "metrics.jsonl", header(3, 20), row(21, train_loss=0.1, train_accuracy=0))

    assert sealed.poll()
    assert repr(sealed.series("train/loss")) == repr(ended.metrics().series("train/loss"))
    assert unseal(ended) is None


def test_a_run_without_numbers_is_sealed_too(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"format": 1, "state": "cancelled"}')
    folder = RunFolder(tmp_path)
    assert unseal(folder) is None

    seal(folder)

    sealed = unseal(folder)
    assert sealed is not None
    assert sealed.names() == []


def test_a_live_run_is_not_sealed(ended: RunFolder) -> None:
    (ended.path / "state.json").write_text('{"format": 1, "state": "running"}')

    with pytest.raises(RunBusy, match="is running; only an ended run"):
        seal(ended)


def test_a_damaged_or_newer_sealed_file_is_named(ended: RunFolder) -> None:
    path = seal(ended)
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = 2
    with pytest.raises(StoreError, match="newer mmfuse"):
        unseal(ended)

    path.write_bytes(b"not HDF5")
    with pytest.raises(StoreError, match=r"sealed.h5 is damaged"):
        unseal(ended)


def _die_while_sealing(folder: RunFolder) -> None:
    create = h5py.Group.create_dataset

    def die(self: Any, *arguments: Any, **options: Any) -> None:
        create(self, *arguments, **options)
        self.file.flush()
        os._exit(9)

    h5py.Group.create_dataset = die
    seal(folder)


def test_a_kill_while_sealing_leaves_nothing_locked(ended: RunFolder) -> None:
    child = FORK.Process(target=_die_while_sealing, args=(ended,))
    child.start()
    child.join(30)

    assert child.exitcode == 9
    assert unseal(ended) is None
    seal(ended)
    assert unseal(ended) is not None
