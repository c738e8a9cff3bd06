"""Who came from whom, and what was tried where: told from the candidates of real searches, whose scores are made up."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfuse.options import parse_options
from mmfuse.registry import DATASETS, SEARCHES
from mmfuse.report import NullReporter, TrialRecord
from mmfuse.search.drive import Outcome, drive
from mmfuse.search.mfas import layer_choices
from mmfuse.search.mfas_space import neighbours
from mmfuse_tui.deck import Deck
from mmfuse_tui.heat_map import heat_lines, heat_maps
from mmfuse_tui.importance import Table
from mmfuse_tui.lineage import lineage_lines, lineage_of, winning_path
from mmfuse_tui.sketch import width_of


class MadeUpScores:
    """Scores candidates by chance."""

    joint = False

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def evaluate(self, trials):
        for trial in trials:
            yield TrialRecord(
                trial.number, trial.architecture, trial.seed, status="done", score=self._rng.random(), parameters=1
            )


def searched(search: str, seed: int = 0, **options: object) -> Outcome:
    """The trials that a search asks for on AV-MNIST."""
    module, task = SEARCHES.get(search), DATASETS.declaration("avmnist").TASK
    asking = module.search(task, parse_options(module.Options, options, what=search), np.random.default_rng(seed))
    return drive(asking, evaluator=MadeUpScores(seed), reporter=NullReporter(), seed_of=lambda number: number)


def plain(lines) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in lines]


@pytest.fixture(scope="module")
def chains() -> Outcome:
    """A guided search over chains of up to three layers, in two sweeps, with its random control."""
    return searched("mfas", levels=3, sweeps=2, samples=5, surrogate="forest", finalists=2)


def test_every_later_chain_comes_from_one_that_its_step_could_have_begun_with(chains):
    choices = layer_choices(DATASETS.declaration("avmnist").TASK, SEARCHES.get("mfas").Options())
    found = lineage_of(chains.trials, maximize=True)
    known = {candidate.trial: candidate for candidate in found}

    assert {candidate.stage for candidate in found} == {f"sweep {s}/level {n}" for s in (1, 2) for n in (1, 2, 3)}
    for candidate in found:
        if candidate.stage == "sweep 1/level 1":
            assert candidate.parents == ()
            continue
        [parent] = candidate.parents
        level = int(candidate.stage[-1]) - 1
        chain, before = (tuple(map(tuple, each.architecture.params["layers"])) for each in (candidate, known[parent]))
        assert parent < candidate.trial and known[parent].stage != candidate.stage
        assert chain in neighbours([before], choices, level=level)


@pytest.mark.parametrize("seed", range(5))
def test_with_mixmas_fusions_come_from_the_encoders_chosen_and_networks_from_the_fusion_chosen(seed):
    outcome = searched("mixmas", seed, repeats=2)
    found = lineage_of(outcome.trials, maximize=True)
    by_trial = {candidate.trial: candidate for candidate in found}

    path = winning_path(found, outcome.architecture, maximize=True)

    assert [candidate.stage for candidate in path] == ["encoder/image", "encoder/audio", "fusion", "network"]
    *encoders, fusion, network = path
    assert fusion.parents == tuple(candidate.trial for candidate in encoders)
    assert network.parents == (fusion.trial,) and network.architecture == outcome.architecture
    for nth, name in enumerate(("image", "audio")):
        assert encoders[nth].architecture.params["encoder"] == outcome.architecture.params["encoders"][name]
    assert all(len(candidate.trials) == 2 for candidate in found)
    assert all(parent in by_trial for candidate in found for parent in candidate.parents)


def test_random_networks_come_from_nothing():
    assert all(candidate.parents == () for candidate in lineage_of(searched("random").trials, maximize=True))


@pytest.mark.parametrize("shown", [1, 5, 16, None])
@pytest.mark.parametrize("width", [40, 76, 120])
def test_the_tree_shows_the_whole_way_to_the_winner_and_counts_what_it_leaves_out(chains, shown, width):
    found = lineage_of(chains.trials, maximize=True)
    path = winning_path(found, chains.architecture, maximize=True)

    lines = lineage_lines(found, chains.architecture, width, maximize=True, shown=shown)

    told = plain(lines)
    assert width_of(lines) <= max(width, 60)
    assert sum("★" in line for line in told) == len(path)
    left_out = sum(int(line.partition("… ")[2].split()[0]) for line in told if "… " in line and " more" in line)
    # What is left out below a candidate that is left out itself is not counted: nothing stands there.
    drawn = sum(" more" not in line for line in told)
    assert drawn >= min(len(found), max(shown or len(found), len(path)))
    assert drawn + left_out <= len(found)
    assert shown is not None or (drawn, left_out) == (len(found), 0)


def test_while_a_search_goes_on_its_leader_is_marked_and_what_runs_has_no_score():
    outcome = searched("mixmas")
    trials = [trial for trial in outcome.trials if trial.architecture.stage != "network"]
    running = TrialRecord(99, outcome.trials[-1].architecture, 0)

    told = plain(lineage_lines(lineage_of([*trials, running], maximize=True), None, 80, maximize=True))

    best = max((trial for trial in trials if trial.architecture.stage == "fusion"), key=lambda trial: trial.score)
    assert f"★ {best.architecture.params['fusion']}" in next(line for line in told if "├─ ★" in line)
    assert any(line.split()[-2:] == ["-", "network"] for line in told)


def test_where_less_is_better_the_least_comes_first():
    outcome = searched("mixmas")
    found = lineage_of(outcome.trials, maximize=False)

    path = winning_path(found, None, maximize=False)

    fused = [candidate.score for candidate in found if candidate.stage in ("fusion", "network")]
    assert path[-1].score == min(fused)


rows = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("ab1"), st.floats(0, 1)), min_size=2, max_size=20)


@given(rows, st.booleans())
def test_a_heat_map_counts_averages_and_ranks_what_was_tried(drawn, maximize):
    table = Table("t", tuple({"first": a, "second": b} for a, b, _ in drawn), tuple(score for *_, score in drawn))

    maps = heat_maps(table, maximize=maximize)

    cells = maps[0].cells if maps else {}
    expected = {(a, "first") for a, _, _ in drawn if len({row[0] for row in drawn}) > 1}
    expected |= {(b, "second") for _, b, _ in drawn if len({row[1] for row in drawn}) > 1}
    assert set(cells) == expected
    for (option, position), cell in cells.items():
        scores = [score for a, b, score in drawn if (a if position == "first" else b) == option]
        assert (cell.trials, cell.best) == (len(scores), (max if maximize else min)(scores))
        assert cell.mean == pytest.approx(statistics.fmean(scores))


def test_chains_have_a_map_for_each_thing_that_is_chosen_in_every_layer():
    layers = [{"layer 1 image tap": "2", "layer 1 activation": "relu"}, {"layer 1 image tap": "0"}]
    layers[1] |= {"layer 1 activation": "relu", "layer 2 image tap": "1", "layer 2 activation": "sigmoid"}
    table = Table("mfas", tuple({"depth": str(nth), **row} for nth, row in enumerate(layers, 1)), (0.5, 0.75))

    maps = {heat.title: heat for heat in heat_maps(table, maximize=True)}

    assert set(maps) == {"", "image tap", "activation"}
    assert maps["image tap"].positions == ("layer 1", "layer 2")
    assert maps["image tap"].options == ("0", "1", "2", "none")
    assert maps["activation"].positions == ("layer 2",)  # the first layer's never differed


@settings(max_examples=30)
@given(st.integers(1, 9), st.integers(30, 200))
def test_every_cell_of_a_map_is_drawn_whatever_the_width(positions, width):
    names = [f"choice {nth}" for nth in range(positions)]
    table = Table("t", tuple(dict.fromkeys(names, option) for option in ("left", "right")), (0.25, 0.5))
    [heat] = heat_maps(table, maximize=True)

    lines = heat_lines(heat, width)

    text = "\n".join(plain(lines))
    assert width_of(lines) <= width
    assert text.count("██ 0.5000 ×1") == text.count("·· 0.2500 ×1") == positions
    assert all(name in text for name in names)


@pytest.fixture
def add_search(home) -> Callable[[Outcome], str]:
    def add(outcome: Outcome) -> str:
        run = home.add("finished", subject="mixmas", score=0.9)
        home.trials(run, outcome.trials)
        found = {"family": outcome.architecture.family, "params": dict(outcome.architecture.params)}
        home.finish(run, 0.9, architecture=found)
        return run.name

    return add


async def test_the_search_view_shows_descent_and_choices_in_a_small_terminal(
    add_search, dashboard, settle, screen_text
):
    outcome = searched("mixmas")
    run_id = add_search(outcome)
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, lambda: app.screen.query_one(Deck).run_id == run_id)
        await pilot.press("5", "z")
        await settle(pilot, lambda: "Questions" in screen_text(app))
        seen = set()
        for _ in range(8):
            seen |= {word for word in ("Lineage", "├─ ★", "└─", "chosen where", "best") if word in screen_text(app)}
            await pilot.press("pagedown")
            await pilot.pause()

    assert seen == {"Lineage", "├─ ★", "└─", "chosen where", "best"}
