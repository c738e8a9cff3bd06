"""The search views: diagrams that can be read back, numbers that agree with their definitions, panels at two sizes."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mmfuse.architecture import Architecture
from mmfuse.report import TrialRecord
from mmfuse_runs.records import architecture_label
from mmfuse_tui.board import Block, BoardView, in_columns
from mmfuse_tui.curves import ChartData, make_curve
from mmfuse_tui.deck import Deck
from mmfuse_tui.families import FAMILIES, baseline_of, choices_of, draw_architecture
from mmfuse_tui.importance import explained, importances, trial_tables
from mmfuse_tui.parallel import parallel_lines
from mmfuse_tui.plot import chart_lines
from mmfuse_tui.search_blocks import incumbent_lines
from mmfuse_tui.search_story import arms, guesses, late_fusion_score, questions, spearman
from mmfuse_tui.sketch import Sketch, plain, width_of
from mmfuse_tui.snapshot import RunSnapshot

ENCODER = {"block": "hyper", "dim": 64, "patch": 7, "depth": 2}
ROWS = st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 1))


def mfas(*layers: tuple[int, ...], stage: str = "") -> Architecture:
    params = {"modalities": ["image", "audio"], "layers": [list(row) for row in layers], "width": 16}
    return Architecture("mfas", params, stage)


def mixmas(image: str = "hyper", audio: str = "mlp", fusion: str = "mean", network: str = "mlp", stage: str = "fusion"):
    encoders = {"image": ENCODER | {"block": image}, "audio": ENCODER | {"block": audio}}
    return Architecture(
        "mixmas", {"encoders": encoders, "fusion": fusion, "network": {"block": network, "depth": 1}}, stage
    )


def scored(number: int, architecture: Architecture, score: float, **more) -> TrialRecord:
    return TrialRecord(number, architecture, seed=number, status=more.pop("status", "done"), score=score, **more)


def note(message: str, **facts):
    return {"ev": "note", "message": message, "facts": facts}


@settings(deadline=None)  # the first drawing reads the declarations of backbones
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_an_mfas_diagram_can_be_read_back_into_the_taps_of_every_layer(rows):
    lines = plain(draw_architecture(mfas(*rows), 100)).split("\n")
    columns = {"image": [9, 13, 17], "audio": [25, 29, 33, 37, 41]}

    read = []
    for line in lines:
        if line.startswith("layer"):
            taps = [next(tap for tap, x in enumerate(places) if line[x] == "●") for places in columns.values()]
            read.append((*taps, int("sigmoid" in line)))

    assert read == rows
    for place, (name, places) in enumerate(columns.items()):
        assert [lines[1][x] == "●" for x in places] == [
            tap in {row[place] for row in rows} for tap in range(len(places))
        ], name


def test_a_mixmas_diagram_joins_its_branches_in_one_fusion():
    drawn = plain(draw_architecture(mixmas(), 100))

    assert drawn == "\n".join(
        [
            "╭ image ──╮    ╭ hyper ───────────╮",
            "│ patch 7 │───▶│ 2 deep · 64 wide │─┐  ╭ mean ──╮    ╭ mlp ───╮    ╭ head ╮",
            "╰─────────╯    ╰──────────────────╯ ├─▶│ fusion │───▶│ 1 deep │───▶│      │",
            "╭ audio ──╮    ╭ mlp ─────────────╮ │  ╰────────╯    ╰────────╯    ╰──────╯",
            "│ patch 7 │───▶│ 2 deep · 64 wide │─┘",
            "╰─────────╯    ╰──────────────────╯",
        ]
    )


@pytest.mark.parametrize("width", [50, 56, 76, 100])
def test_diagrams_of_two_modalities_fit_the_narrowest_panel(width):
    for architecture in (mixmas(), mfas((2, 4, 0), (0, 0, 1))):
        assert width_of(draw_architecture(architecture, width)) <= width


def test_a_family_without_a_drawer_and_parameters_that_do_not_fit_one_are_listed():
    assert "a.b  2" in plain(draw_architecture(Architecture("nobody", {"a": {"b": 2}}), 40))
    assert "layers" in plain(draw_architecture(Architecture("mfas", {"layers": "\x1b[2Jodd"}), 40))
    assert choices_of(Architecture("mixmas", {"encoders": None})) == {"encoders": "null"}


def test_every_drawer_is_named_like_a_model():
    from mmfuse.registry import MODELS

    assert FAMILIES.names() and set(FAMILIES.names()) <= set(MODELS.names())


def test_wires_join_where_they_meet():
    sketch = Sketch()
    sketch.wire((0, 0), (2, 0), (2, 2))
    sketch.wire((0, 1), (4, 1))

    assert plain(sketch.lines()) == "──┐\n──┼──\n  │"


def test_an_mfas_label_names_taps_and_activations():
    assert architecture_label(mfas((2, 4, 0), (0, 3, 1)).to_json()) == "2+4 relu > 0+3 sigmoid"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-10, 10)), min_size=4, max_size=20))
def test_explained_variance_is_the_adjusted_r_squared_of_a_regression_on_the_values(pairs):
    values, scores = [value for value, _ in pairs], [score for _, score in pairs]
    kinds = sorted(set(values))
    share = explained(values, scores)
    if len(scores) <= len(kinds) or np.var(scores) < 1e-9:
        return

    design = np.array([[float(value == kind) for kind in kinds] for value in values])
    fitted = design @ np.linalg.lstsq(design, np.array(scores), rcond=None)[0]
    residual = np.sum((np.array(scores) - fitted) ** 2) / (len(scores) - len(kinds))
    expected = 1 - residual / np.var(scores, ddof=1)

    assert share == pytest.approx(max(0.0, expected), abs=1e-6)


def test_a_choice_that_decides_explains_all_and_one_that_does_not_explains_nothing():
    trials = [
        scored(nth, mixmas(fusion=fusion, network=network), score)
        for nth, (fusion, network, score) in enumerate(
            [("sum", "mlp", 0.5), ("sum", "hyper", 0.5), ("max", "mlp", 0.9), ("max", "hyper", 0.9)]
        )
    ]

    first, second = importances(trial_tables(trials)[0], maximize=True)

    assert (first.name, first.share, first.levels[0].value) == ("fusion", 1.0, "max")
    assert (second.name, second.share) == ("network", 0.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=12))
def test_rank_correlation_is_spearmans(pairs):
    one, other = zip(*pairs, strict=True)
    mine = spearman(one, other)

    if len(set(one)) == 1 or len(set(other)) == 1:
        assert mine is None
    else:
        assert mine == pytest.approx(stats.spearmanr(one, other).statistic)


def mfas_run() -> RunSnapshot:
    """A guided search under way: a first level, a predicted one, one random network."""
    first, second = "sweep 1/level 1", "sweep 1/level 2"
    trials = [
        scored(0, mfas((0, 0, 0), stage=first), 0.4),
        scored(1, mfas((2, 4, 0), stage=first), 0.8),
        scored(2, mfas((2, 4, 0), (0, 1, 1), stage=second), 0.85),
        scored(3, mfas((2, 4, 0), (1, 1, 1), stage=second), 0.82),
        scored(4, mfas((1, 4, 0), stage="random"), 0.7),
        scored(5, mfas((2, 4, 0), stage="choice"), 0.99),
    ]
    notes = (
        note("search step", stage=first, temperature=1.0, candidates=30, chains=["a", "b"], predicted=[]),
        note("search step measured", stage=first, measured=[0.4, 0.8], rank_correlation=None),
        note("search step", stage=second, temperature=0.5, candidates=60, chains=["c", "d"], predicted=[0.8, 0.9]),
        note("search step measured", stage=second, measured=[0.85, 0.82], rank_correlation=-1.0),
    )
    return RunSnapshot("run", trials=tuple(trials), notes=notes, metric="val/accuracy")


def test_the_story_keeps_apart_the_search_its_control_and_the_comparison_on_held_out_data():
    run = mfas_run()

    assert {name: [trial.number for trial in trials] for name, trials in arms(run).items()} == {
        "search": [0, 1, 2, 3],
        "random": [4],
    }
    assert late_fusion_score(run) == 0.8 and baseline_of(mfas((2, 4, 0))) == "late fusion"
    rows = {row.name: row for row in questions(run)}
    assert rows["sweep 1/level 2"].rank_correlation == -1.0 and rows["sweep 1/level 2"].best.number == 2
    assert [(guess.predicted, guess.measured) for guess in guesses(run)] == [(0.8, 0.85), (0.9, 0.82)]


def test_the_best_so_far_is_drawn_beside_random_search_and_late_fusion():
    drawn = plain(incumbent_lines(mfas_run(), 90))

    assert "search 0.85" in drawn and "random 0.7" in drawn and "late fusion 0.8" in drawn


def test_parallel_coordinates_name_every_value_and_the_best_and_worst_score():
    table = trial_tables(mfas_run().trials[:5])[0]

    drawn = plain(parallel_lines(table, 90, maximize=True))

    assert "depth" in drawn and "sigmoid" in drawn and "none" in drawn
    assert "0.8500" in drawn and "0.4000" in drawn


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(20, 250))
def test_a_board_shows_every_block_once_and_keeps_to_its_width(heights, width):
    blocks = tuple(
        Block(f"block {nth}", lambda wide, height=height: [(("x" * (wide + 5), ""),)] * height)
        for nth, height in enumerate(heights)
    )

    lines = in_columns(blocks, width)

    assert width_of(lines) <= width + 3
    assert [plain(lines).count(f"block {nth}") for nth in range(len(heights))] == [1] * len(heights)


def test_a_board_has_as_few_columns_as_show_everything():
    blocks = tuple(Block(f"block {nth}", lambda wide: [(("x" * wide, ""),)] * 9) for nth in range(4))

    heights = {height: len(in_columns(blocks, 246, height=height)) for height in (60, 42, 30, 10, 0)}

    assert heights == {60: 21, 42: 21, 30: 21, 10: 10, 0: 10}  # two columns, and four where two do not fit
    assert [len(in_columns(blocks, 118, height=height)) for height in (43, 42)] == [43, 43]


def add_search(home):
    run = home.add("running", subject="mfas", name="guided", age=50)
    story = mfas_run()
    home.trials(run, story.trials)
    with (run / "events.jsonl").open("a") as file:
        file.writelines(json.dumps({"v": 1, "t": home.now, "attempt": 1, **row}) + "\n" for row in story.notes)
    return run


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=["80x24", "200x50"])
async def test_the_search_panels_open_by_digit_and_show_what_was_told(home, dashboard, settle, screen_text, size):
    run = add_search(home)
    app = dashboard()

    async with app.run_test(size=size) as pilot:
        await settle(pilot, lambda: app.screen.query_one(Deck).run_id == run.name)
        await pilot.press("5", "z")
        await settle(pilot, lambda: "Best so far" in screen_text(app) and "search 0.85" in screen_text(app))
        await pilot.press("6")
        await settle(pilot, lambda: "rank correlation -1.00" in screen_text(app))
        await pilot.press("7")
        await settle(pilot, lambda: "layer 1" in screen_text(app) and "▼ head" in screen_text(app))
        board = app.focused
        assert isinstance(board, BoardView)


async def test_a_new_trial_reaches_the_search_panel(home, dashboard, settle, screen_text):
    run = add_search(home)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: app.screen.query_one(Deck).run_id == run.name)
        await pilot.press("5")
        await settle(pilot, lambda: "search 0.85" in screen_text(app))
        home.trials(run, [scored(6, mfas((1, 1, 1), stage="sweep 1/level 2"), 0.9321)])
        await settle(pilot, lambda: "search 0.9321" in screen_text(app))


async def test_the_architecture_panel_shows_what_a_run_trains(home, dashboard, settle, screen_text):
    run = home.add("running", kind="train", subject="mixmas")
    spec = json.loads((run / "config.json").read_text())
    home.write(run / "config.json", spec | {"params": dict(mixmas().params)})
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: app.screen.query_one(Deck).run_id == run.name)
        await pilot.press("7")
        await settle(pilot, lambda: "mean" in screen_text(app) and "hyper" in screen_text(app))


async def test_a_board_keeps_to_the_room_that_its_scroll_bar_leaves(home, dashboard, settle):
    add_search(home)
    app = dashboard()

    async with app.run_test(size=(150, 42)) as pilot:
        await settle(pilot, lambda: "search" in [panel.name for panel in app.screen.query_one(Deck).panels])
        await pilot.press("5")
        await settle(pilot, lambda: isinstance(app.focused, BoardView) and app.focused.show_vertical_scrollbar)
        for _ in range(5):
            await pilot.pause()
        assert app.focused._drawn_width == app.focused.scrollable_content_region.width


async def test_the_last_label_of_an_axis_is_whole_beside_a_scrollbar(home, dashboard, settle, screen_text):
    chart = ChartData("loss", (make_curve("val/loss", range(13), [1 / (step + 1) for step in range(13)]),))
    run = add_search(home)
    app = dashboard()

    async with app.run_test(size=(81, 24)) as pilot:
        await settle(pilot, lambda: app.screen.query_one(Deck).run_id == run.name)
        await pilot.press("5", "z")
        await settle(pilot, lambda: isinstance(app.focused, BoardView))
        board = app.focused
        for count in (1, 4):
            board.set_blocks(tuple(Block(f"block {nth}", partial(chart_lines, chart, rows=11)) for nth in range(count)))
            await settle(pilot, lambda count=count: board.show_vertical_scrollbar is (count > 1))
            axis = next(line for line in screen_text(app).splitlines() if " step 0 " in line)
            assert "12" in axis.split()
