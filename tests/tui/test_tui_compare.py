"""The compare screen: only equal data side by side, curves laid over each other, what differs, what it cost."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfuse_runs.records import RunRecord
from mmfuse_tui.board import BoardView
from mmfuse_tui.compare_blocks import (
    Comparison,
    cost_of,
    difference_lines,
    over_seeds,
    overlaid,
    pareto_lines,
    result_lines,
)
from mmfuse_tui.compare_screen import CompareScreen
from mmfuse_tui.curves import ChartData, make_curve
from mmfuse_tui.mark_table import MarkTable
from mmfuse_tui.plot import make_plot
from mmfuse_tui.runs_screen import RunsScreen
from mmfuse_tui.sketch import plain
from mmfuse_tui.snapshot import ComparedRun, RunSnapshot


def compared(name: str, score: float | None, parameters: int | None = None, *, spec=None, result=None, values=()):
    record = RunRecord(
        name, name=name, score=score, metric="val/accuracy", fingerprint="9f", parameters=parameters, state="finished"
    )
    curve = make_curve("val/accuracy", range(len(values)), values)
    charts = (ChartData("accuracy", (curve,), "step"),) if values else ()
    return ComparedRun(record, RunSnapshot(name, charts=charts, spec=spec or {}, result=result or {}))


def test_results_are_ranked_and_keep_the_signs_of_their_runs():
    lines = plain(result_lines(Comparison((compared("low", 0.5), compared("high", 0.9), compared("none", None))), 80))

    rows = [line.split()[:3] for line in lines.split("\n")[1:]]
    assert rows[:2] == [["1◆", "high", "0.9000"], ["2●", "low", "0.5000"]] and rows[2][1] == "none"


def test_results_that_may_not_be_ranked_have_no_places():
    comparison = Comparison((compared("low", 0.5), compared("high", 0.9)), "the runs saw different data")

    lines = plain(result_lines(comparison, 80)).split("\n")[1:]

    assert [line.split()[1] for line in lines] == ["low", "high"]
    assert not any(character.isdigit() for line in lines for character in line[:3])


def test_curves_that_several_runs_have_lie_in_one_chart_and_missing_ones_keep_their_place():
    runs = (compared("a", 0.1, values=[1, 2]), compared("b", 0.1), compared("c", 0.1, values=[3, 4, 5]))

    [chart] = overlaid(runs)

    assert chart.title == "val/accuracy"
    assert [list(curve.values) for curve in chart.curves] == [[1, 2], [], [3, 4, 5]]


def seeded(*values):
    runs = []
    for seed, scores in enumerate(values):
        run = compared(f"s{seed}", scores[-1], values=scores, spec={"family": "m2_mixer", "seed": seed})
        runs.append(replace(run, record=replace(run.record, seed=seed, subject="m2_mixer")))
    return Comparison(tuple(runs))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 5), st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_over_seeds_the_mean_lies_in_the_band_of_all_runs(count, length, seed):
    values = np.random.default_rng(seed).normal(size=(count, length))

    [curve] = over_seeds(seeded(*values.tolist())).curves

    low, high = curve.band
    assert curve.values == pytest.approx(values.mean(axis=0))
    assert low == pytest.approx(values.min(axis=0)) and high == pytest.approx(values.max(axis=0))


def test_the_band_is_drawn_from_the_lowest_to_the_highest_run_and_no_further():
    plot = make_plot(over_seeds(seeded([0.0] * 20, [1.0] * 20, [0.5] * 20)), 60, 14)

    text = ["".join(piece for piece, _ in row) for row in plot.rows][1:-2]
    lit = [
        4 * row + bit % 4
        for row, line in enumerate(text)
        for bit, mask in enumerate((0x01, 0x02, 0x04, 0x40))
        if 0x2800 < ord(line[20]) < 0x2900 and (ord(line[20]) - 0x2800) & (mask | mask << (1 if mask == 0x40 else 3))
    ]
    assert min(lit) == round(float(plot.window.dot_rows(1.0))) and max(lit) == round(float(plot.window.dot_rows(0.0)))
    assert round(float(plot.window.dot_rows(0.5))) in lit


def test_seeds_of_different_length_are_drawn_as_far_as_all_go_and_strangers_have_no_band():
    [curve] = over_seeds(seeded([1.0, 2.0, 3.0, 4.0], [3.0, 4.0])).curves

    assert curve.steps.tolist() == [0.0, 1.0] and curve.values.tolist() == [2.0, 3.0]
    assert over_seeds(seeded([1.0, 2.0])) is None
    assert over_seeds(Comparison((compared("a", 0.1, values=[1, 2]), compared("b", 0.1)))) is None


def test_only_differing_options_are_listed():
    runs = (
        compared("a", 0.1, spec={"fit": {"rate": 0.1, "epochs": 3}}),
        compared("b", 0.1, spec={"fit": {"rate": 0.2, "epochs": 3}}),
    )

    drawn = plain(difference_lines(runs, 60))

    assert "fit.rate" in drawn and "0.1000" in drawn and "0.2000" in drawn and "epochs" not in drawn


def test_the_front_names_its_runs_and_their_cost():
    runs = (compared("big", 0.9, 2_000_000), compared("small", 0.8, 1000), compared("waste", 0.7, 3000))

    drawn = plain(pareto_lines(Comparison(runs), "parameters", 70))

    below = [line for line in drawn.split("\n") if " for " in line]
    assert [line.split()[-1] for line in below] == ["small", "big"]


def test_every_run_of_the_cost_chart_keeps_its_sign_also_where_the_front_ends():
    runs = (compared("big", 0.9, 2_000_000), compared("small", 0.8, 1000), compared("waste", 0.7, 1_000_000))

    drawn = plain(pareto_lines(Comparison(runs), "parameters", 70)).split("\n")[1:13]

    assert all(sign in "".join(drawn) for sign in "●◆▲")


def test_latency_is_read_from_the_result_where_it_was_measured():
    assert cost_of(compared("a", 0.1, result={"latency_ms": 2.5}), "latency_ms") == 2.5
    assert cost_of(compared("a", 0.1), "latency_ms") is None
    assert "no run has both" in plain(pareto_lines(Comparison((compared("a", 0.1),)), "latency_ms", 90))


def fill(home):
    """Three runs of one experiment with several seeds, and one on other data."""
    other = home.add(
        "finished", name="other", score=0.99, age=900, result={"fingerprint": "77", "dataset_label": "toy"}
    )
    made = [other]
    for seed, score in enumerate((0.7, 0.8, 0.9)):
        run = home.add(
            "finished", kind="train", subject="mixmas", name=f"seed{seed}", score=score, seed=seed, age=500 - seed
        )
        home.metrics(run, ((step, {"val/accuracy": score * step / 50, "val/loss": 1.0}) for step in range(50)))
        made.append(run)
    return made


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=["80x24", "200x50"])
async def test_marked_runs_are_compared_and_other_data_is_left_out_until_the_user_insists(
    home, dashboard, settle, screen_text, size
):
    fill(home)
    app = dashboard()

    async with app.run_test(size=size) as pilot:
        await settle(pilot, lambda: len(app.screen.query_one("#runs", MarkTable).rows) == 4)
        await pilot.press("ctrl+a", "c")
        await settle(pilot, lambda: isinstance(app.screen, CompareScreen) and len(app.screen.comparison.runs) == 3)
        await settle(pilot, lambda: "Left out" in screen_text(app) and "other" in screen_text(app))
        assert [record.name for record in app.screen.comparison.records] == ["seed2", "seed1", "seed0"]
        await settle(pilot, lambda: " 1● seed2" in screen_text(app))
        await pilot.press("I")
        await settle(pilot, lambda: "Not comparable" in screen_text(app) and "fingerprints differ" in screen_text(app))
        assert len(app.screen.comparison.runs) == 4
        await pilot.press("I")
        await settle(pilot, lambda: len(app.screen.comparison.runs) == 3)
        await pilot.press("escape")
        await settle(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_seeds_are_taken_together_and_costs_go_round(home, dashboard, settle, screen_text):
    fill(home)
    app = dashboard()

    async with app.run_test(size=(200, 70)) as pilot:
        await settle(pilot, lambda: len(app.screen.query_one("#runs", MarkTable).rows) == 4)
        await pilot.press("ctrl+a", "c")
        await settle(pilot, lambda: "0.8000 ± 0.10" in screen_text(app) and "3 seeds: 0, 1, 2" in screen_text(app))
        assert "[0.7000, 0.9000]" in screen_text(app) and "Score and cost · parameters" in screen_text(app)
        await pilot.press("m")
        await settle(pilot, lambda: "multiply-accumulates" in screen_text(app))
        assert app.screen.query_one(BoardView).has_focus


async def test_a_comparison_follows_its_runs(home, dashboard, settle):
    live = home.add("running", kind="train", subject="m2_mixer", age=5)
    home.add("running", kind="train", subject="m2_mixer", age=6)
    home.metrics(live, [(1, {"val/loss": 1.0})])
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: len(app.screen.query_one("#runs", MarkTable).rows) == 2)
        await pilot.press("ctrl+a", "c")
        await settle(pilot, lambda: isinstance(app.screen, CompareScreen) and len(app.screen.comparison.runs) == 2)
        home.metrics(live, [(2, {"val/loss": 0.25})])
        await settle(pilot, lambda: _last_loss(app.screen.comparison.runs[0]) == 0.25)


def _last_loss(run: ComparedRun) -> float | None:
    return next(
        (float(curve.values[-1]) for chart in run.run.charts for curve in chart.curves if len(curve.values)), None
    )


async def test_one_run_is_no_comparison(home, dashboard, settle, screen_text):
    fill(home)
    app = dashboard()

    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await settle(pilot, lambda: len(app.screen.query_one("#runs", MarkTable).rows) == 4)
        await pilot.press("space", "c")
        await settle(pilot, lambda: "Mark two runs" in screen_text(app))
        assert isinstance(app.screen, RunsScreen)


async def test_hostile_options_cannot_act_on_the_terminal(home, dashboard, settle, screen_text):
    for nth in range(2):
        run = home.add("finished", name=f"\x1b[2J{nth}", score=0.5, age=nth)
        spec = json.loads((run / "config.json").read_text())
        home.write(run / "config.json", spec | {"evil\x1b[31m": f"[b]\x07{nth}"})
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: len(app.screen.query_one("#runs", MarkTable).rows) == 2)
        await pilot.press("ctrl+a", "c")
        await settle(pilot, lambda: "evil" in screen_text(app))
        assert all(character.isprintable() for character in screen_text(app).replace("\n", ""))
