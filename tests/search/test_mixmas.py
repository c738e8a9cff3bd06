"""MixMAS and random search as generators: what they ask, in which order, and what they conclude."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from mmfuse.architecture import Architecture
from mmfuse.errors import BadSpec, UnknownName
from mmfuse.registry import SEARCHES
from mmfuse.search import mixmas
from mmfuse.search import random as random_search
from mmfuse.search.drive import Search
from mmfuse.spec import resolve_search
from mmfuse.task import Modality, Task

AVMNIST = Task(
    "avmnist",
    "multiclass",
    (Modality("image", "grid", (1, 28, 28)), Modality("audio", "grid", (1, 112, 112))),
    10,
    "accuracy",
)
MIMIC = Task(
    "mimic_iii",
    "multiclass",
    (Modality("static", "vector", (5,)), Modality("timeseries", "sequence", (24, 12))),
    6,
    "accuracy",
)


def options(**space: Any) -> mixmas.Options:
    return mixmas.Options(space={"blocks": ["mlp", "hyper", "monarch"], **space})


def play(search: Search, value: dict[str, float]) -> tuple[list[list[Architecture]], Architecture]:
    """Answer every candidate with the sum of the values of the words in it; the lists asked, and the winner."""
    asked = []
    try:
        candidates = next(search)
        while True:
            asked.append(candidates)
            candidates = search.send([sum(value.get(word, 0.0) for word in words(a)) for a in candidates])
    except StopIteration as stop:
        return asked, stop.value


def words(architecture: Architecture) -> Iterable[str]:
    params = architecture.params
    for modality, encoder in params.get("encoders", {}).items():
        yield f"{modality}={encoder['block']}"
    if "encoder" in params:
        yield f"{params['modality']}={params['encoder']['block']}"
    if "fusion" in params:
        yield params["fusion"]
        yield f"network={params['network']['block']}"


def test_it_asks_encoders_then_functions_then_networks() -> None:
    asked, _ = play(mixmas.search(AVMNIST, options(), rng=None), {})

    assert [sorted({candidate.stage for candidate in candidates}) for candidates in asked] == [
        ["encoder/audio", "encoder/image"],
        ["fusion"],
        ["network"],
    ]
    assert [len(candidates) for candidates in asked] == [6, 4, 2]


def test_the_published_space_costs_twelve_trainings() -> None:
    spec = resolve_search("mixmas", "avmnist", preset="paper")

    assert mixmas.expected_trials(AVMNIST, mixmas.Options.model_validate(spec.options)) == 12


@pytest.mark.parametrize("image", ["mlp", "hyper", "monarch"])
@pytest.mark.parametrize(("function", "network"), [("mean", "hyper"), ("concat", "mlp"), ("max", "hyper")])
def test_it_finds_the_best_answer_to_every_question(image: str, function: str, network: str) -> None:
    value = {f"image={image}": 1.0, "audio=monarch": 1.0, function: 1.0, f"network={network}": 1.0}

    _, winner = play(mixmas.search(AVMNIST, options(), rng=None), value)

    assert set(words(winner)) == set(value)


def test_a_beam_keeps_the_second_encoder_in_the_game() -> None:
    value = {"image=mlp": 0.2, "image=hyper": 0.1}
    beam = mixmas.Options(beam=2, space={"blocks": ["mlp", "hyper"]})

    asked, _ = play(mixmas.search(AVMNIST, beam, rng=None), value)

    pairs = {tuple(encoder["block"] for encoder in a.params["encoders"].values()) for a in asked[1]}
    assert len(pairs) == 4
    assert len(asked[1]) == 16


def test_repeats_ask_each_candidate_several_times() -> None:
    asked, _ = play(mixmas.search(AVMNIST, mixmas.Options(repeats=3, space={"blocks": ["mlp"]}), rng=None), {})

    assert [len(candidates) for candidates in asked] == [6, 12, 6]
    assert len(set(asked[1])) == 4


def accepts(name: str, task: Task) -> bool:
    """Whether the search has something to choose from on ``task`` with its defaults."""
    declaration = SEARCHES.declaration(name)
    try:
        declaration.check(task, declaration.Options())
    except BadSpec:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "task"),
    [
        pytest.param(name, task, id=f"{name}-{task.name}")
        for name in SEARCHES.names()
        for task in (AVMNIST, MIMIC)
        if accepts(name, task)
    ],
)
def test_expected_trials_are_the_trials_asked(name: str, task: Task) -> None:
    module = SEARCHES.get(name)
    chosen = module.Options()

    asked, winner = play(module.search(task, chosen, np.random.default_rng(3)), {"mean": 1.0})

    assert sum(map(len, asked)) == module.expected_trials(task, chosen)
    assert winner in [candidate for candidates in asked for candidate in candidates]


@pytest.mark.parametrize("name", SEARCHES.names())
def test_the_same_seed_proposes_the_same_candidates(name: str) -> None:
    module = SEARCHES.get(name)

    first, _ = play(module.search(AVMNIST, module.Options(), np.random.default_rng(1)), {})
    second, _ = play(module.search(AVMNIST, module.Options(), np.random.default_rng(1)), {})

    assert first == second


def test_random_search_draws_without_replacement_and_differs_by_seed() -> None:
    one, _ = play(random_search.search(AVMNIST, random_search.Options(), np.random.default_rng(1)), {})
    two, _ = play(random_search.search(AVMNIST, random_search.Options(), np.random.default_rng(2)), {})

    assert len(set(one[0])) == 12
    assert one != two


def test_equal_choices_are_equal_data_however_they_were_written() -> None:
    brief = mixmas.Space(AVMNIST, mixmas.SpaceOptions(encoders={"image": [{"block": "mlp", "dim": 128}]}))
    full = mixmas.Space(
        AVMNIST, mixmas.SpaceOptions(encoders={"image": [{"dropout": 0.1, "depth": 4, "block": "mlp", "dim": 128}]})
    )

    assert brief.encoder_candidates("image")[0].key == full.encoder_candidates("image")[0].key


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ('space.blocks=["nope"]', "nope"),
        ('space.functions=["product"]', "product"),
        ('space.networks=["ramlp"]', "ramlp"),
        ('space.encoders={"image":[{"block":"mlp","patch":5}]}', "5"),
        ('space.encoders={"image":[{"block":"mlp","patches":7}]}', "patches"),
        ("repeats=0", "repeats"),
        ("sample=3", "sample"),
    ],
)
def test_a_mistake_in_the_space_is_told_before_anything_runs(setting: str, named: str) -> None:
    with pytest.raises((BadSpec, UnknownName)) as caught:
        resolve_search("mixmas", "avmnist", settings=[setting])

    assert named in str(caught.value)


def test_a_single_modality_leaves_nothing_to_fuse() -> None:
    task = Task("mono", "multiclass", (Modality("image", "grid", (1, 8, 8)),), 2, "accuracy")

    with pytest.raises(BadSpec, match="mono"):
        mixmas.check(task, mixmas.Options())
