"""`mmfuse arch`: pictures, differences, neighbours, choices, fronts, and whether short trials can be trusted."""

from __future__ import annotations

import json
import random
import re

import pytest
from scipy.stats import kendalltau

from mmfuse.architecture import Architecture
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_parameters
from mmfuse.registry import DATASETS
from mmfuse.report import TrialRecord

BLOCK = {"dim": 8, "patch": 4, "depth": 1, "token_hidden": 4, "channel_hidden": 8, "dropout": 0.0}


def fused(image="mlp", audio="mlp", fusion="concat", network="mlp", stage="network") -> Architecture:
    """A MixMAS candidate for the toy data, as its search would ask for it."""
    encoders = {"audio": {"block": audio, **BLOCK}, "image": {"block": image, **BLOCK}}
    params = {
        "encoders": encoders,
        "fusion": fusion,
        "network": {"block": network, "depth": 1, "token_hidden": 4, "channel_hidden": 8, "dropout": 0.0},
    }
    return Architecture("mixmas", params, stage)


def chain(*layers: list[int]) -> Architecture:
    params = {"modalities": ["image", "audio"], "layers": [list(layer) for layer in layers], "width": 8}
    return Architecture("mfas", params, f"level {len(layers)}")


def trial(number, architecture, score=None, **more) -> TrialRecord:
    status = "failed" if score is None else "done"
    return TrialRecord(number, architecture, seed=number, status=status, score=score, **more)


def alone(number, block, score, modality="image") -> TrialRecord:
    params = {"modality": modality, "encoder": {"block": block}}
    return trial(number, Architecture("unimodal", params, f"encoder/{modality}"), score)


def answer(result) -> dict:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_picture_shows_modalities_blocks_fusion_and_head_within_the_width(mmfuse, make_run):
    run_id = make_run("finished", trials=[trial(0, fused(image="mlp", audio="hyper", fusion="mean"), 0.5)])

    lines = mmfuse("arch", "show", f"{run_id}:0").stdout.splitlines()

    text = "\n".join(lines)
    assert all(word in text for word in ("image", "audio", "mlp", "hyper", "mean", "head", "0.5000"))
    assert all(len(line) <= 80 for line in lines[2:])


def test_an_ascii_picture_holds_nothing_but_ascii(mmfuse, make_run):
    run_id = make_run("finished", trials=[trial(0, chain([0, 2, 0], [1, 1, 1]), 0.5)])

    shown = mmfuse("arch", "show", f"{run_id}:0", "--ascii").stdout

    assert shown.isascii()
    assert "layer 2" in shown


@pytest.mark.parametrize("architecture", [fused(), fused("hyper", "mlp", "max", "hyper")], ids=["plain", "mixed"])
def test_the_json_of_a_picture_builds_the_same_model_again(mmfuse, make_run, architecture):
    task = DATASETS.declaration("toy").TASK
    parameters = count_parameters(build_model(architecture, task))
    run_id = make_run("finished", trials=[trial(0, architecture, 0.5, parameters=parameters)])

    told = answer(mmfuse("arch", "show", f"{run_id}:0", "--json"))
    again = Architecture.from_json(told["architecture"])

    assert again == architecture
    assert again.key == told["key"]
    assert count_parameters(build_model(again, task)) == parameters == told["parameters"]


@pytest.mark.parametrize(
    ("architecture", "edges"),
    [
        (
            fused(),
            {("image", "image encoder"), ("image encoder", "fusion"), ("fusion", "network"), ("network", "head")},
        ),
        (chain([0, 2, 0], [0, 1, 1]), {("image", "image tap 0"), ("layer 1", "layer 2"), ("image tap 0", "layer 2")}),
    ],
    ids=["mixmas", "mfas"],
)
def test_the_graph_says_who_feeds_whom_and_dot_says_the_same(mmfuse, make_run, architecture, edges):
    run_id = make_run("finished", trials=[trial(0, architecture, 0.5)])

    graph = answer(mmfuse("arch", "show", f"{run_id}:0", "--json"))["graph"]
    dot = mmfuse("arch", "show", f"{run_id}:0", "--dot").stdout

    told = [(edge["from"], edge["to"]) for edge in graph["edges"]]
    assert edges <= set(told)
    assert len(told) == len(set(told))
    assert {name for pair in told for name in pair} <= {node["id"] for node in graph["nodes"]}
    assert re.findall(r'"([^"]+)" -> "([^"]+)";', dot) == told


def test_a_run_that_found_nothing_yet_names_its_trials(mmfuse, make_run):
    result = mmfuse("arch", "show", make_run("running"))

    assert result.exit_code == 2
    assert "found no architecture" in result.stderr


def test_a_difference_says_what_was_added_removed_and_changed(mmfuse, make_run):
    trials = [trial(0, chain([0, 2, 0]), 0.4), trial(1, chain([0, 1, 0], [2, 1, 1]), 0.6)]
    run_id = make_run("finished", trials=trials)

    told = answer(mmfuse("arch", "diff", f"{run_id}:0", f"{run_id}:1", "--json"))
    shown = mmfuse("arch", "diff", f"{run_id}:0", f"{run_id}:1").stdout

    changes = {row["what"]: (row["change"], row["first"], row["second"]) for row in told["changes"]}
    assert changes["layer 1 audio tap"] == ("changed", "2", "1")
    assert changes["layer 2 image tap"] == ("added", None, "2")
    assert "layer 1 image tap" not in changes
    assert re.search(r"^~  layer 1 audio tap\s+2\s+1$", shown, flags=re.MULTILINE)
    assert re.search(r"^\+  layer 2 activation\s+sigmoid$", shown, flags=re.MULTILINE)


def test_architectures_of_equal_choices_are_compared_by_their_parameters(mmfuse, make_run):
    wide = Architecture("mfas", {**chain([0, 2, 0]).params, "width": 16}, "level 1")
    run_id = make_run("finished", trials=[trial(0, chain([0, 2, 0]), 0.4), trial(1, wide, 0.6)])

    told = answer(mmfuse("arch", "diff", f"{run_id}:0", f"{run_id}:1", "--json"))

    assert told["changes"] == [{"change": "changed", "what": "width", "first": 8, "second": 16}]
    assert "the same architecture" in mmfuse("arch", "diff", f"{run_id}:0", f"{run_id}:0").stderr


def test_why_lists_exactly_the_neighbours_by_one_change(mmfuse, make_run):
    trials = [
        alone(0, "mlp", 0.6),
        alone(1, "hyper", 0.5),
        trial(2, fused(fusion="concat", stage="fusion"), 0.70),
        trial(3, fused(fusion="mean", stage="fusion"), 0.64),
        trial(4, fused(fusion="mean", network="hyper"), 0.90),
        trial(5, fused(fusion="concat", network="hyper"), 0.72),
        trial(6, fused(fusion="concat"), 0.74),
        trial(7, fused(fusion="max")),
        trial(8, fused(fusion="max", stage="choice"), 0.99),
    ]
    run_id = make_run("finished", trials=trials)

    told = answer(mmfuse("arch", "why", f"{run_id}:2", "--json"))["neighbours"]

    found = {(row["choice"], row["instead"]): row for row in told}
    assert set(found) == {("encoder of image", "hyper"), ("fusion", "mean"), ("network", "hyper")}
    assert found["encoder of image", "hyper"]["difference"] == pytest.approx(0.1)
    assert found["fusion", "mean"]["difference"] == pytest.approx((0.70 + 0.74) / 2 - 0.64)
    assert found["network", "hyper"]["trials"] == [5]
    assert "+0.0800" in mmfuse("arch", "why", f"{run_id}:2").stdout


def test_why_of_a_run_without_trials_is_a_sentence(mmfuse, make_run):
    result = mmfuse("arch", "why", make_run("finished", kind="train"))

    assert (result.exit_code, "no scored trials" in result.stderr) == (2, True)


def test_choices_count_average_and_rank_every_value(mmfuse, make_run):
    trials = [
        trial(n, fused(fusion=f), s) for n, (f, s) in enumerate([("concat", 0.2), ("mean", 0.9), ("concat", 0.6)])
    ]
    run_id = make_run("finished", trials=trials)

    rows = answer(mmfuse("arch", "choices", run_id, "--json"))["choices"]

    assert [(row["choice"], row["value"], row["trials"]) for row in rows] == [
        ("fusion", "mean", 1),
        ("fusion", "concat", 2),
    ]
    assert (rows[1]["mean"], rows[1]["best"]) == (pytest.approx(0.4), 0.6)
    assert "mean" in mmfuse("arch", "choices", run_id).stdout


def test_the_front_is_that_of_comparing_every_trial_with_every_other(mmfuse, make_run):
    rng = random.Random(3)
    points = [(rng.randrange(8) / 8, rng.randrange(1, 9)) for _ in range(40)]
    made = [trial(n, chain([n, 0, 0]), score, parameters=cost) for n, (score, cost) in enumerate(points)]
    run_id = make_run("finished", trials=made)

    told = answer(mmfuse("arch", "front", run_id, "--json"))

    def beaten(score, cost):
        return any(s >= score and c <= cost and (s, c) != (score, cost) for s, c in points)

    expected = {f"{run_id}:{n}" for n, point in enumerate(points) if not beaten(*point)}
    assert {point["name"] for point in told["front"]} == expected
    assert told["points"] == 40
    assert [point["cost"] for point in told["front"]] == sorted(point["cost"] for point in told["front"])


def test_the_front_of_runs_needs_equal_data_or_insistence(mmfuse, make_run):
    result = {"metric": "val/accuracy", "fingerprint": "aaaa", "dataset_label": "avmnist"}
    make_run("finished", name="small", result={**result, "score": 0.7, "parameters": 10})
    make_run("finished", name="large", result={**result, "score": 0.9, "parameters": 100})
    make_run("finished", name="worse", result={**result, "score": 0.6, "parameters": 100})

    told = answer(mmfuse("arch", "front", "kind:search", "--json"))
    make_run("finished", result={**result, "score": 0.9, "parameters": 1, "fingerprint": "bbbb"})

    assert [point["name"] for point in told["front"]] == ["small", "large"]
    assert "fingerprints differ" in mmfuse("arch", "front", "kind:search").stderr
    assert mmfuse("arch", "front", "kind:search", "--insist").exit_code == 0


def test_trials_have_no_latency(mmfuse, make_run):
    run_id = make_run("finished", trials=[trial(0, fused(), 0.5, parameters=3)])

    assert mmfuse("arch", "front", run_id, "--cost", "latency").exit_code == 2


def test_trust_is_kendalls_tau_between_trials_and_their_full_trainings(mmfuse, make_run, store):
    short, full = [0.3, 0.5, 0.4, 0.6], [0.7, 0.8, 0.85, 0.9]
    fusions = ("concat", "mean", "sum", "max")
    trials = [trial(number, fused(fusion=fusions[number]), score) for number, score in enumerate(short)]
    search = make_run("finished", trials=trials)
    for number, score in enumerate(full):
        run_id = make_run(
            "finished", kind="train", result={"metric": "val/accuracy", "fingerprint": "aaaa", "score": score}
        )
        config = store.folder(run_id).path / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"source": f"{search}:{number}"}))
    other = {"metric": "val/accuracy", "fingerprint": "bbbb", "score": 0.1}
    make_run("finished", kind="train", result=other)

    told = answer(mmfuse("arch", "trust", search, "--json"))

    assert told["pairs"] == 4
    assert told["tau"] == pytest.approx(kendalltau(short, full).statistic)
    assert told["low"] <= told["tau"] <= told["high"]
    assert f"Kendall tau {told['tau']:+.3f}" in mmfuse("arch", "trust", search).stdout


def test_trust_without_full_trainings_says_how_to_get_one(mmfuse, make_run):
    run_id = make_run("finished", trials=[trial(0, fused(), 0.5)])

    result = mmfuse("arch", "trust", run_id)

    assert (result.exit_code, f"mmfuse train --from {run_id}:0" in result.stderr) == (2, True)
