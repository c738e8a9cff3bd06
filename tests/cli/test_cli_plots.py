"""`--plot` and `--save` of `mmfuse runs show` and `compare`."""

from __future__ import annotations

import html
import json
import math
import re

import pytest

from mmfuse.architecture import Architecture
from mmfuse.report import TrialRecord
from mmfuse_cli.plots import save_picture
from mmfuse_tui.curves import ChartData, make_curve


def write_metrics(store, run_id, values, metric="val/accuracy"):
    rows = [{"v": 1, "run": run_id, "attempt": 1, "t0": 0.0, "resume_step": None}]
    rows += [{"s": step, "e": None, "t": float(step), "n": None, "m": {metric: value}} for step, value in values]
    (store.folder(run_id).path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def trial(number, score):
    return TrialRecord(number, Architecture("mixmas", {"fusion": "concat"}), 0, status="done", score=score)


@pytest.fixture
def two_runs(make_run, store):
    ids = [make_run("finished", name=name) for name in ("first", "second")]
    write_metrics(store, ids[0], [(0, 0.1), (10, 0.5), (20, 0.7)])
    write_metrics(store, ids[1], [(0, 0.2), (10, 0.3), (20, 0.4)])
    return ids


def test_a_metric_is_drawn_in_the_terminal_with_its_last_value(mmfuse, two_runs):
    result = mmfuse("runs", "show", "first", "--plot", "val/accuracy")

    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0].startswith("val/accuracy") and "0.7000" in lines[0]
    assert len(lines) > 10 and max(map(len, lines)) <= 80
    assert any("⠀" < character <= "⣿" for character in result.stdout)


def test_several_runs_share_one_chart_and_are_named(mmfuse, two_runs):
    result = mmfuse("runs", "compare", "first", "second", "--plot", "val/accuracy")

    legend = result.stdout.splitlines()[0]
    assert "first 0.7000" in legend and "second 0.4000" in legend


def test_a_difference_may_include_where_curves_ended_and_were_best(mmfuse, two_runs, store):
    write_metrics(store, two_runs[1], [(0, 0.2), (10, 0.9), (20, 0.7)])

    told, without = (
        json.loads(mmfuse("runs", "diff", "first", "second", *words, "--json").stdout)["differences"]
        for words in ([], ["--no-curves"])
    )

    assert told["best(val/accuracy)"] == [0.7, 0.9]
    assert "last(val/accuracy)" not in told
    assert "best(val/accuracy)" not in without


def test_the_score_of_a_search_is_drawn_by_trial(mmfuse, make_run):
    make_run("finished", name="found", trials=[trial(0, 0.3), trial(1, 0.6), trial(2, 0.5)])

    result = mmfuse("runs", "show", "found", "--plot", "score")

    assert result.stdout.startswith("score")
    assert "best 0.6000" in result.stdout


def test_a_metric_that_no_run_has_names_the_nearest(mmfuse, two_runs):
    result = mmfuse("runs", "compare", "first", "second", "--plot", "val/acuracy")

    assert result.exit_code == 2
    assert "val/accuracy" in result.stderr


@pytest.mark.parametrize(("ending", "magic"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_curves_are_saved_as_the_picture_that_the_ending_names(mmfuse, two_runs, tmp_path, ending, magic):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"curves.{ending}"

    result = mmfuse("runs", "compare", "first", "second", "--save", str(path))

    assert result.exit_code == 0, result.output
    assert path.read_bytes().startswith(magic)


def test_a_saved_picture_shows_every_curve_by_its_name_whatever_that_is(mmfuse, two_runs, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "curves.svg"
    chart = ChartData(
        "a $title$",
        (
            make_curve("_under", [0, 1, 2], [1.0, math.nan, math.inf]),
            make_curve("$\\frac{a}{$", [5], [0.5]),
            make_curve("\x1b[31mred\u202e", [0, 1], [0.1, 0.2]),
        ),
    )

    save_picture([chart], path)

    text = path.read_text()
    comments = re.findall("<!-- (.*?) -->", text)
    assert {" _under", " $\\frac{a}{$", " red", "a $title$"} <= {html.unescape(comment) for comment in comments}
    assert "\u202e" not in text and "\x1b" not in text


def test_runs_of_one_name_are_told_apart_in_a_chart(mmfuse, make_run, store):
    ids = [make_run("finished", name="same") for _ in range(2)]
    for run_id in ids:
        write_metrics(store, run_id, [(0, 0.1), (10, 0.5)])

    result = mmfuse("runs", "compare", *ids, "--plot", "val/accuracy", "--json")

    names = [curve["name"] for curve in json.loads(result.stdout)["curves"]["val/accuracy"]]
    assert sorted(names) == sorted(f"same {run_id.rpartition('-')[2]}" for run_id in ids)


def test_runs_that_a_chart_cannot_show_are_told(mmfuse, two_runs, make_run):
    make_run("finished", name="third")

    result = mmfuse("runs", "compare", "first", "second", "third", "--plot", "val/accuracy")

    assert "1 of 3 runs has no val/accuracy" in result.stderr


def test_another_ending_is_refused_with_those_there_are(mmfuse, two_runs, tmp_path):
    result = mmfuse("runs", "show", "first", "--save", str(tmp_path / "curves.bmp"))

    assert result.exit_code == 2
    assert ".svg" in result.stderr


def test_a_folder_that_is_not_there_is_one_sentence(mmfuse, two_runs, tmp_path):
    pytest.importorskip("matplotlib")

    result = mmfuse("runs", "show", "first", "--save", str(tmp_path / "nowhere" / "curves.svg"))

    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
