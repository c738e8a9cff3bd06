"""What programs read: `--json` on every command, rows as they come, the command of a run."""

from __future__ import annotations

import base64
import io
import json
import shlex
import subprocess
import sys
from subprocess import PIPE

import pytest
import typer
from typer.main import get_command

from mmfuse_cli import render
from mmfuse_cli.lazy import LazyGroup
from mmfuse_cli.main import app
from mmfuse_runs import control
from mmfuse_runs.reporter import RunReporter

NO_ANSWER = {"mmfuse runs export"}
"""`--format json` is how an export is asked for JSON."""


def leaves(command=None, path=("mmfuse",)):
    command = command or get_command(app)
    if not isinstance(command, LazyGroup):
        yield " ".join(path), command
        return
    context = typer.Context(command)
    for name in command.list_commands(context):
        yield from leaves(command.get_command(context, name), (*path, name))


def test_every_command_that_answers_can_answer_in_json():
    without = {name for name, command in leaves() if "json" not in {each.name for each in command.params}}

    assert without == NO_ANSWER


READERS = [
    ["runs", "ls"],
    ["runs", "show", "latest"],
    ["runs", "logs", "latest"],
    ["runs", "cmd", "latest"],
    ["runs", "compare", "state:finished"],
    ["runs", "diff", "first", "second"],
    ["runs", "watch", "first"],
    ["runs", "tag", "first", "--add", "x"],
    ["runs", "note", "first", "a note"],
    ["runs", "gc", "--older", "1d", "--dry-run"],
    ["runs", "rm", "first", "--yes"],
    ["runs", "rerun", "first", "--dry-run"],
    ["arch", "show", "first"],
    ["arch", "front", "state:finished"],
    ["tui", "--keys"],
    ["zoo"],
    ["data", "ls"],
    ["data", "info", "toy"],
    ["data", "get", "toy"],
]


@pytest.fixture
def two_runs(make_run):
    return [make_run("finished", name=name, log=f"{name}\n", kind="train") for name in ("first", "second")]


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_an_answer_is_one_object_with_a_schema_and_nothing_else(mmfuse, two_runs, words):
    result = mmfuse(*words, "--json")

    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout, parse_constant=pytest.fail)
    assert (told["schema"], len(told) > 1) == (1, True)


def test_requests_say_which_runs_they_reached_and_which_refused(mmfuse, make_run, monkeypatch):
    running = make_run("running", tags=["x"])
    monkeypatch.setattr(control, "kill", lambda store, run_id, **options: None)

    would = json.loads(mmfuse("runs", "kill", "tag:x", "--dry-run", "--json").stdout)
    done = json.loads(mmfuse("runs", "kill", "tag:x", "--yes", "--json").stdout)

    assert would == {"schema": 1, "would": "kill", "runs": [{"id": running, "state": "running"}]}
    assert done == {"schema": 1, "killing": [running], "refused": []}


def test_a_removal_says_what_went_and_what_would(mmfuse, make_run, store):
    run_id = make_run("crashed")

    would = json.loads(mmfuse("runs", "rm", run_id, "--dry-run", "--json").stdout)
    gone = json.loads(mmfuse("runs", "rm", run_id, "--yes", "--json").stdout)
    nothing = json.loads(mmfuse("runs", "gc", "--older", "1d", "--yes", "--json").stdout)

    assert (would["would_remove"], gone["removed"], nothing["removed"]) == ([run_id], [run_id], [])
    assert gone["bytes"] == would["bytes"] > 0
    assert store.ids() == []


def test_a_log_in_json_holds_its_last_lines_and_is_not_followed(mmfuse, make_run):
    make_run("finished", log="one\ntwo\nthree\n")

    assert json.loads(mmfuse("runs", "logs", "latest", "-n", "2", "--json").stdout)["lines"] == ["two", "three"]
    assert mmfuse("runs", "logs", "latest", "--follow", "--json").exit_code == 2


def test_the_command_of_a_run_can_be_typed(mmfuse, make_run):
    make_run("finished", seed=3, preset="small", settings=["fit.epochs=7"])

    command = mmfuse("runs", "cmd", "latest").stdout

    assert shlex.split(command)[:5] == ["mmfuse", "search", "mixmas", "--dataset", "avmnist"]
    assert "--set fit.epochs=7" in command
    assert mmfuse(*shlex.split(command)[1:], "--dry-run").exit_code == 0


def test_the_command_is_copied_where_there_is_a_terminal(mmfuse, make_run, monkeypatch):
    make_run("finished", seed=3)
    refused = mmfuse("runs", "cmd", "latest", "--copy")
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)

    assert render.copy(refused.stdout)

    assert "no terminal to copy to" in refused.stderr
    assert terminal.getvalue() == f"\x1b]52;c;{base64.b64encode(refused.stdout.encode()).decode()}\a"


@pytest.fixture
def measured(make_run, store):
    """A run with three rows, one of a trial."""
    run_id = make_run("finished")
    reporter = RunReporter(store.folder(run_id).path, run_id=run_id, attempt=1)
    reporter.metrics({"val/accuracy": 0.5, "val/loss": float("nan")}, step=1, epoch=0)
    reporter.metrics({"val/loss": 0.25}, step=2, trial=3)
    reporter.metrics({"val/accuracy": 0.75}, step=3)
    reporter.close()
    return run_id


def test_rows_are_printed_in_order_and_chosen_by_metric(mmfuse, measured):
    lines = mmfuse("runs", "tail", measured).stdout.splitlines()
    rows = [json.loads(line) for line in mmfuse("runs", "tail", measured, "--json").stdout.splitlines()]
    chosen = mmfuse("runs", "tail", measured, "--metric", "val/accuracy", "-n", "1", "--json").stdout

    assert lines == [
        "step 1  epoch 0  val/accuracy 0.5000  val/loss NaN",
        "step 2  trial 3  val/loss 0.2500",
        "step 3  val/accuracy 0.7500",
    ]
    assert [(row["step"], row["trial"], row["attempt"]) for row in rows] == [(1, None, 1), (2, 3, 1), (3, None, 1)]
    assert rows[0]["metrics"] == {"val/accuracy": 0.5, "val/loss": "NaN"}
    assert json.loads(chosen)["metrics"] == {"val/accuracy": 0.75}


def test_followed_rows_come_one_by_one_until_the_run_ends(make_run, store, end_run):
    run_id = make_run("running")
    reporter = RunReporter(store.folder(run_id).path, run_id=run_id, attempt=1)
    command = [sys.executable, "-m", "mmfuse_cli", "runs", "tail", run_id, "--follow", "--json"]

    with subprocess.Popen(command, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        reporter.metrics({"val/loss": 0.5}, step=1)
        reporter.flush()
        first = json.loads(process.stdout.readline())
        reporter.metrics({"val/loss": 0.25}, step=2)
        reporter.close()
        end_run(run_id, "finished")
        rest = [json.loads(line) for line in process.stdout]

    assert first["metrics"] == {"val/loss": 0.5}
    assert [row["metrics"] for row in rest] == [{"val/loss": 0.25}]
    assert process.returncode == 0


def test_drawn_curves_are_points_in_json(mmfuse, measured):
    told = json.loads(mmfuse("runs", "show", measured, "--plot", "val/accuracy", "--json").stdout)
    compared = json.loads(mmfuse("runs", "compare", measured, "--plot", "val/accuracy", "--json").stdout)

    for answer in (told, compared):
        (curve,) = answer["curves"]["val/accuracy"]
        assert (curve["steps"], curve["values"]) == ([1.0, 3.0], [0.5, 0.75])


def test_a_watched_run_ends_with_its_curves(mmfuse, measured, tmp_path):
    shown = mmfuse("runs", "watch", measured, "--plot", "val/accuracy").stdout
    saved = mmfuse("runs", "watch", measured, "--plot", "val/accuracy", "--save", str(tmp_path / "curve.svg"))

    assert "val/accuracy" in shown
    assert any("⠀" < character <= "⣿" for character in shown)
    assert saved.exit_code == 0
    assert (tmp_path / "curve.svg").read_text().lstrip().startswith("<?xml")
