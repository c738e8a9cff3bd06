"""MFAS as a generator: what it asks, in which order, what it tells, and that it can be replayed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfuse.architecture import Architecture
from mmfuse.errors import BadSpec, MmfuseError
from mmfuse.report import NullReporter, TrialRecord
from mmfuse.search import mfas
from mmfuse.search.drive import Search, Trial, drive
from mmfuse.search.mfas_sampling import temperature
from mmfuse.search.mfas_space import Chain
from mmfuse.spec import CHOICE_STAGE, resolve_search
from mmfuse.task import Modality, Task

MODALITIES = (Modality("image", "grid", (1, 28, 28)), Modality("audio", "grid", (1, 112, 112)))
AVMNIST = Task("avmnist", "multiclass", MODALITIES, 10, "accuracy")
REGRESSION = Task("levels", "regression", MODALITIES, 1, "mae", maximize=False)

Scorer = Callable[[Chain], float]


def chain_of(architecture: Architecture) -> Chain:
    return tuple(tuple(row) for row in architecture.params["layers"])


def goodness(chain: Chain) -> float:
    """Deep taps and ReLU are good, and each layer costs a little."""
    return 0.5 + sum(0.05 * row[0] + 0.03 * row[1] - 0.02 * row[2] for row in chain) / len(chain) - 0.001 * len(chain)


@dataclass
class Played:
    """A search played to its end: the lists it asked for, the winner, and its notes."""

    asked: list[list[Architecture]] = field(default_factory=list)
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    winner: Chain = ()
    winner_stage: str = ""

    @property
    def stages(self) -> list[str]:
        return [candidates[0].stage for candidates in self.asked]

    def told(self, message: str) -> list[dict[str, Any]]:
        return [facts for heard, facts in self.notes if heard == message]


def play(options: mfas.Options, score: Scorer = goodness, *, task: Task = AVMNIST, seed: int = 0) -> Played:
    played = Played()

    def observe(message: str, **facts: Any) -> None:
        played.notes.append((message, facts))

    search = mfas.search(task, options, np.random.default_rng(seed), observe=observe)
    try:
        candidates = next(search)
        while True:
            played.asked.append(candidates)
            candidates = search.send([score(chain_of(candidate)) for candidate in candidates])
    except StopIteration as stop:
        played.winner, played.winner_stage = chain_of(stop.value), stop.value.stage
    return played


def small(**values: Any) -> mfas.Options:
    return mfas.Options(**{"levels": 2, "sweeps": 2, "samples": 6, "surrogate": "gaussian", "control": False} | values)


def compat(**values: Any) -> mfas.Options:
    return mfas.Options(**mfas.PRESETS["compat"] | values)


def test_the_published_search_asks_for_195_trainings_and_scores_450_candidates_per_step() -> None:
    played = play(compat(surrogate_epochs=1))

    assert [len(candidates) for candidates in played.asked] == [30] + 11 * [15]
    assert [step["candidates"] for step in played.told("search step")] == [30] + 11 * [450]


def test_the_first_list_is_every_single_layer_in_published_order() -> None:
    first = play(small()).asked[0]

    assert [chain_of(candidate) for candidate in first[:3]] == [((0, 0, 0),), ((0, 0, 1),), ((0, 1, 0),)]
    assert chain_of(first[-1]) == ((2, 4, 1),)


def test_the_first_sweep_grows_and_later_ones_change_one_layer() -> None:
    played = play(compat(surrogate_epochs=1))

    lengths = [{len(chain_of(candidate)) for candidate in candidates} for candidates in played.asked]
    assert lengths == [{1}, {2}, {3}, {4}] + 8 * [{4}]


def test_exploration_changes_what_is_drawn() -> None:
    plain, curious = play(small()), play(small(exploration=3.0))

    assert plain.asked[0] == curious.asked[0]
    assert plain.asked[1] != curious.asked[1]


def test_stages_name_sweep_and_level() -> None:
    assert play(small()).stages == [
        "sweep 1/level 1",
        "sweep 1/level 2",
        "sweep 2/level 1",
        "sweep 2/level 2",
        CHOICE_STAGE,
    ]


def test_the_temperatures_of_the_published_search_repeat_as_in_its_code() -> None:
    told = [step["temperature"] for step in play(compat(surrogate_epochs=1)).told("search step")]

    numbers = [0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8]
    assert told == [10.0] + [temperature(number, initial=10.0, final=0.2, decay=4.0) for number in numbers]


def test_the_default_temperature_falls_at_every_step() -> None:
    told = [step["temperature"] for step in play(mfas.Options(surrogate="gaussian")).told("search step")]

    assert told == sorted(told, reverse=True)
    assert told[0] == 1.0
    assert told[-1] == pytest.approx(0.1, abs=0.001)


def test_no_network_is_trained_twice_before_the_final_choice() -> None:
    played = play(mfas.Options(surrogate="gaussian", control=False))

    trained = [chain_of(candidate) for candidates in played.asked[:-1] for candidate in candidates]
    assert len(trained) == len(set(trained)) == 195


def test_repeats_train_each_network_several_times() -> None:
    played = play(small(repeats=3))

    assert [len(candidates) for candidates in played.asked[:-1]] == [90, 18, 18, 18]
    assert len(set(played.asked[0])) == 30


def test_the_best_network_stays_a_parent() -> None:
    lucky: Chain = ((0, 0, 0), (2, 4, 1))

    def score(chain: Chain) -> float:
        return 0.9 if chain == lucky else 0.9 * (chain[0] == lucky[0]) * 0.5 + 0.001 * goodness(chain)

    asked = play(small(elites=3, samples=15, sweeps=3), score).asked[2:-1]

    assert any(sum(a != b for a, b in zip(chain_of(c), lucky, strict=False)) == 1 for c in asked[-1])


def test_the_final_choice_repeats_finalists_beside_what_they_have_to_beat() -> None:
    played = play(small(finalists=4, final_repeats=2, control=True))

    final = [chain_of(candidate) for candidate in played.asked[-1]]
    assert played.stages[-2:] == ["random", CHOICE_STAGE]
    assert len(final) == 2 * len(set(final)) == 14
    assert ((2, 4, 0),) in final


def test_the_winner_is_the_best_on_held_out_data() -> None:
    calls = {"final": 0}

    def asking(search: Search) -> tuple[list[Chain], Chain]:
        candidates = next(search)
        finalists: list[Chain] = []
        try:
            while True:
                finalists = [chain_of(candidate) for candidate in candidates]
                last = candidates[0].stage == CHOICE_STAGE
                calls["final"] += last
                # On held-out data the order is turned around.
                candidates = search.send([(-1 if last else 1) * goodness(chain) for chain in finalists])
        except StopIteration as stop:
            return finalists, chain_of(stop.value)

    finalists, winner = asking(mfas.search(AVMNIST, small(), np.random.default_rng(0)))

    assert calls["final"] == 1
    assert winner == min(finalists, key=goodness)


def test_without_finalists_the_best_score_wins() -> None:
    played = play(small(finalists=0))

    trained = {chain_of(candidate) for candidates in played.asked for candidate in candidates}
    assert goodness(played.winner) == max(map(goodness, trained))
    [stage] = {c.stage for candidates in played.asked for c in candidates if chain_of(c) == played.winner}
    assert played.winner_stage == stage != CHOICE_STAGE


def test_a_score_to_minimise_is_minimised() -> None:
    played = play(small(finalists=2), lambda chain: 1 - goodness(chain), task=REGRESSION)

    trained = {chain_of(candidate) for candidates in played.asked for candidate in candidates}
    assert goodness(played.winner) == max(map(goodness, trained))
    assert played.told("search step measured")[-1]["best_score"] == pytest.approx(
        1 - max(map(goodness, {chain_of(c) for candidates in played.asked[:-1] for c in candidates}))
    )


def test_failed_networks_are_no_parents_and_no_winners() -> None:
    def score(chain: Chain) -> float:
        return math.nan if chain[0][0] == 2 else goodness(chain)

    played = play(small(), score)

    later = [chain_of(candidate) for candidates in played.asked[1:2] for candidate in candidates]
    assert all(chain[0][0] != 2 for chain in later)
    assert played.winner[0][0] != 2


def test_when_every_network_fails_the_search_says_so() -> None:
    with pytest.raises(MmfuseError, match="none of the 30 networks"):
        play(small(), lambda chain: math.nan)


def test_finalists_that_all_fail_leave_the_earlier_scores_standing() -> None:
    played = Played()
    search = mfas.search(AVMNIST, small(), np.random.default_rng(0))
    candidates = next(search)
    try:
        while True:
            last = candidates[0].stage == CHOICE_STAGE
            played.asked.append(candidates)
            candidates = search.send([math.nan if last else goodness(chain_of(c)) for c in candidates])
    except StopIteration as stop:
        winner = chain_of(stop.value)

    assert goodness(winner) == max(goodness(chain_of(c)) for candidates in played.asked[:-1] for c in candidates)


def test_a_space_that_runs_out_ends_the_search_early() -> None:
    tiny = small(taps={"image": 1, "audio": 1}, activations=["relu"], finalists=0)

    played = play(tiny)

    assert [[chain_of(c) for c in candidates] for candidates in played.asked] == [
        [((0, 0, 0),)],
        [((0, 0, 0), (0, 0, 0))],
    ]


def test_the_control_changes_nothing_in_the_search() -> None:
    alone, beside = play(small(control=False)), play(small(control=True))

    assert beside.asked[:4] == alone.asked[:4]
    assert len(beside.asked[4]) == sum(map(len, alone.asked[:4]))


@pytest.mark.parametrize(
    ("preset", "stages", "trainings"),
    [
        ("random", ["random", CHOICE_STAGE], 195),
        ("exhaustive-1", ["exhaustive", CHOICE_STAGE], 30),
        ("exhaustive-2", ["exhaustive", CHOICE_STAGE], 930),
        ("late-fusion", ["late fusion", CHOICE_STAGE], 1),
    ],
)
def test_every_baseline_is_one_flag_away(preset: str, stages: list[str], trainings: int) -> None:
    played = play(mfas.Options.model_validate(resolve_search("mfas", "avmnist", preset=preset).options))

    assert played.stages == stages
    assert len(played.asked[0]) == trainings


def test_standings_list_what_the_search_has_to_beat() -> None:
    [standings] = play(small(control=True)).told("standings")

    rows = {row["name"]: row for row in standings["rows"]}
    assert list(rows) == ["search", "late fusion", "best single layer", "random"]
    assert [row["trainings"] for row in rows.values()] == [48, 1, 30, 48]
    assert rows["late fusion"]["chain"] == "2+4 relu"
    assert rows["search"]["held_out"] >= rows["late fusion"]["held_out"]
    assert standings["not_trained"] == [{"preset": "exhaustive-2", "trainings": 930}]


def test_what_a_search_tells_is_json_and_has_predictions_and_their_rank_correlation() -> None:
    played = play(small(), lambda chain: math.nan if chain[-1][1] == 0 else goodness(chain))

    json.dumps(played.notes, allow_nan=False)
    asked, measured = played.told("search step"), played.told("search step measured")
    assert measured[-1]["best_key"] in {key for step in asked for key in step["keys"]}
    assert asked[0]["predicted"] == [] and measured[0]["rank_correlation"] is None
    assert all(len(step["predicted"]) == len(step["keys"]) == 6 for step in asked[1:])
    assert measured[1]["rank_correlation"] > 0.5
    assert asked[1]["keys"] == [candidate.key for candidate in played.asked[1]]


def test_predictions_have_the_sign_of_the_score() -> None:
    told = play(small(), lambda chain: 1 - goodness(chain), task=REGRESSION).told("search step")

    assert all(value > 0 for step in told for value in step["predicted"])


class TableEvaluator:
    """Scores a trial by its architecture and seed, as training would."""

    joint = False

    def evaluate(self, trials: Sequence[Trial]) -> Iterator[TrialRecord]:
        for trial in trials:
            score = goodness(chain_of(trial.architecture)) + 0.01 * math.sin(trial.seed)
            yield TrialRecord(trial.number, trial.architecture, trial.seed, status="done", score=score)


@pytest.mark.parametrize("surrogate", ["gaussian", "lstm"])
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1000), killed_after=st.integers(0, 60))
def test_a_search_killed_anywhere_and_replayed_is_the_same_search(surrogate: str, seed: int, killed_after: int) -> None:
    options = small(surrogate=surrogate, surrogate_epochs=5, control=True)

    def run(finished: dict[int, TrialRecord]) -> Any:
        return drive(
            mfas.search(AVMNIST, options, np.random.default_rng(seed)),
            evaluator=TableEvaluator(),
            reporter=NullReporter(),
            seed_of=lambda number: number * 7 + seed,
            finished=finished,
        )

    whole = run({})

    assert run({record.number: record for record in whole.trials[:killed_after]}) == whole


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ('taps={"smell":3}', "smell"),
        ("strategy=exhaustive", "837,930"),
        ("surrogate=oracle", "surrogate"),
        ('activations=["tanh"]', "activations"),
        ("benchmark.backbones.image.family=m2_mixer", "no taps"),
        ("samples=0", "samples"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(setting: str, named: str) -> None:
    with pytest.raises(MmfuseError) as caught:
        resolve_search("mfas", "avmnist", settings=[setting])

    assert named in str(caught.value)


def test_published_rules_need_a_score_to_maximise() -> None:
    with pytest.raises(BadSpec, match="mae"):
        mfas.check(REGRESSION, compat())


def test_a_single_modality_leaves_nothing_to_fuse() -> None:
    with pytest.raises(BadSpec, match="mono"):
        mfas.check(Task("mono", "multiclass", MODALITIES[:1], 2, "accuracy"), mfas.Options())


def test_activations_can_be_added() -> None:
    played = play(small(activations=["relu", "leaky_relu"]))

    assert {row[-1] for candidate in played.asked[0] for row in chain_of(candidate)} == {0, 2}
