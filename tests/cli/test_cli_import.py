"""`mmfuse runs import`: tables of other programs become runs, and no number changes."""

from __future__ import annotations

import csv
import json
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmfuse.errors import DataInvalid
from mmfuse_runs.importing import import_run, read_table
from mmfuse_runs.store import RunStore
from mmfuse_runs.tensorboard import read_scalars

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
ROWS = st.lists(st.tuples(st.one_of(st.none(), NUMBERS), NUMBERS), min_size=1, max_size=8)


def written(path, format, rows):
    """A file with a row per step, as another program would write it."""
    path = path / f"history.{format}"
    named = [{"step": step, "val/loss": loss, "acc": acc} for step, (loss, acc) in enumerate(rows)]
    if format == "csv":
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, ["step", "val/loss", "acc"])
            writer.writeheader()
            writer.writerows(named)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in named))
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(rows=ROWS)
@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_every_value_equals_its_source_bit_for_bit(tmp_path, format, rows):
    source, store = written(tmp_path, format, rows), RunStore(tmp_path / "home")

    folder = store.folder(import_run(store, read_table(source, format), source=source, format=format))

    for place, name in enumerate(("val/loss", "acc")):
        known = [(step, row[place]) for step, row in enumerate(rows) if row[place] is not None]
        steps, values = folder.metrics().series(name)
        assert [*map(repr, zip(steps, values, strict=True))] == [repr(pair) for pair in known]
    store.close()


def test_an_imported_run_is_listed_with_its_score_and_can_be_read_like_any_other(mmfuse, tmp_path, store):
    source = written(tmp_path, "csv", [(0.9, 0.1), (0.4, 0.8), (0.6, 0.7)])

    run_id = mmfuse("runs", "import", "csv", str(source), "--metric", "val/loss", "--name", "old", "--tag", "x").stdout
    record = store.record(run_id.strip())

    assert (record.kind, record.subject, record.state, record.name, record.tags) == (
        "import",
        "csv",
        "finished",
        "old",
        ("x",),
    )
    assert (record.metric, record.score, record.maximize) == ("val/loss", 0.4, False)
    assert record.metrics["acc"] == 0.7
    assert run_id.strip() in mmfuse("runs", "ls", "best(val/loss)<0.5").stdout
    assert "0.7000" in mmfuse("runs", "show", "old", "--plot", "acc").stdout
    assert mmfuse("runs", "cmd", "old").stdout == f"mmfuse runs import csv {source}\n"
    assert mmfuse("runs", "fsck").exit_code == 0


def test_an_imported_run_cannot_be_done_again(mmfuse, tmp_path):
    mmfuse("runs", "import", "csv", str(written(tmp_path, "csv", [(0.9, 0.1)])), "--name", "old")

    for command in (["runs", "rerun", "old"], ["train", "--from", "old"], ["arch", "show", "old"]):
        result = mmfuse(*command)
        assert result.exit_code == 2
        assert "kind 'import'" in result.stderr


def test_an_imported_run_is_not_taken_for_one_that_worked_too_little(mmfuse, tmp_path, store):
    run_id = mmfuse("runs", "import", "csv", str(written(tmp_path, "csv", [(0.9, 0.1)]))).stdout.strip()

    mmfuse("runs", "gc", "--shorter", "60s", "--yes")

    assert store.ids() == [run_id]


def test_imported_runs_are_not_ranked_against_each_other(mmfuse, tmp_path):
    for number, rows in enumerate([[(0.9, 0.1)], [(0.8, 0.2)]]):
        folder = tmp_path / str(number)
        folder.mkdir()
        mmfuse("runs", "import", "jsonl", str(written(folder, "jsonl", rows)), "--metric", "acc")

    assert "fingerprints differ" in mmfuse("runs", "compare", "kind:import").stderr


def test_groups_text_and_times_find_their_place(mmfuse, tmp_path, store):
    source = tmp_path / "m.jsonl"
    rows = [
        {"_step": 5, "_timestamp": 100.5, "val": {"loss": 0.5, "note": "good"}, "ok": True, "gone": None},
        {"_step": 7, "_timestamp": 101.5, "val": {"loss": "NaN"}},
    ]
    source.write_text("\n".join(map(json.dumps, rows)) + "\n\n")

    result = mmfuse("runs", "import", "jsonl", str(source), "--json")
    (told,) = json.loads(result.stdout)["runs"]
    steps, values, times = store.folder(told["run"]).metrics().points("val/loss")

    assert (told["metrics"], told["left_out"]) == (["val/loss"], {"val/note": 1, "ok": 1})
    assert "1 values of 'val/note'" in result.stderr
    assert (list(steps), values[0], math.isnan(values[1]), list(times)) == ([5, 7], 0.5, True, [100.5, 101.5])


def test_rows_without_a_step_are_counted(mmfuse, tmp_path, store):
    (tmp_path / "plain.csv").write_text("loss\n3\n2\n")

    run_id = mmfuse("runs", "import", "csv", str(tmp_path / "plain.csv")).stdout.strip()

    assert list(store.folder(run_id).metrics().series("loss")[0]) == [0, 1]


@pytest.mark.parametrize(
    ("format", "text", "more", "told"),
    [
        ("csv", None, [], "there is no file"),
        ("csv", "step,loss\n1,0.5\nx,0.4\n", [], "line 3: the step 'x' is no whole number"),
        ("csv", "step,loss\n1,0.5,7\n", [], "line 2: more cells"),
        ("csv", "step,loss\n1,high\n", [], "no numbers"),
        ("csv", "n,loss\n1,0.5\n", ["--step", "m"], "no column 'm'"),
        ("csv", "step,loss\n1,0.5\n", ["--metric", "los"], "did you mean 'loss'"),
        ("jsonl", '{"loss": 1}\n{"loss": \n', [], "line 2"),
        ("jsonl", "[1, 2]\n", [], "line 1: no JSON object"),
    ],
)
def test_a_file_that_cannot_be_read_makes_no_run_and_says_where(mmfuse, tmp_path, store, format, text, more, told):
    source = tmp_path / "file"
    if text is not None:
        source.write_text(text)

    result = mmfuse("runs", "import", format, str(source), *more)

    assert result.exit_code == 2
    assert told in result.stderr
    assert store.ids() == []


EVENTS = Path(__file__).parents[1] / "fixtures" / "tensorboard"


def test_tensorboards_scalars_equal_their_source_run_by_run(mmfuse, store):
    expected = json.loads((EVENTS / "told.json").read_text())

    made = json.loads(mmfuse("runs", "import", "tb", str(EVENTS), "--json").stdout)["runs"]

    assert {run["name"] for run in made} == set(expected)
    for run in made:
        assert run["left_out"] == {"words": 1, "many": 1}
        table = store.folder(run["run"]).metrics()
        assert set(table.names()) == set(expected[run["name"]])
        for name, points in expected[run["name"]].items():
            steps, values, times = table.points(name)
            found = [[step, time, value] for step, time, value in zip(steps, times, values, strict=True)]
            assert repr(found) == repr(points)


def test_an_event_file_that_is_cut_off_anywhere_gives_what_is_whole(tmp_path):
    source = next((EVENTS / "lr_0.1").glob("events.*"))
    content, whole = source.read_bytes(), [repr(scalar) for scalar in read_scalars(source.parent)]
    lengths = set()

    for end in range(len(content)):
        (tmp_path / source.name).write_bytes(content[:end])
        found = [repr(scalar) for scalar in read_scalars(tmp_path)]
        assert found == whole[: len(found)]
        lengths.add(len(found))

    assert lengths == set(range(len(whole) - 1))  # the last record holds two values


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "no event file with a scalar"), (b"\x05" + bytes(11) + b"\xff" * 5 + bytes(4), "no event file of")],
)
def test_a_folder_without_events_makes_no_run(mmfuse, tmp_path, store, content, told):
    if content is not None:
        (tmp_path / "events.out.tfevents.1.x").write_bytes(content)

    result = mmfuse("runs", "import", "tb", str(tmp_path))

    assert (result.exit_code, told in result.stderr, store.ids()) == (2, True, [])


@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_a_sentence(content):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "events.out.tfevents.1.x").write_bytes(content)
        try:
            list(read_scalars(Path(folder)))
        except DataInvalid as error:
            assert "no event file" in error.message
