"""Fusion networks in the notation of published code: `train --arch`, and the arrays that `runs show --json` gives."""

from __future__ import annotations

import json

import pytest

FUSION = {"modalities": ["image", "audio"], "layers": [[2, 4, 1], [0, 3, 0]], "width": 16}
FOUND = {"family": "mfas", "params": FUSION, "stage": "choice"}


def spec_of(store, run_id):
    return store.folder(run_id).spec()


@pytest.mark.parametrize(
    ("array", "convention", "layers"),
    [
        ("[[2,4,0],[0,3,1]]", [], [[2, 4, 0], [0, 3, 1]]),
        ("[[2,4,0],[0,3,1]]", ["--arch-convention", "multibench"], [[2, 4, 0], [0, 3, 1]]),
        ("[[4,2,0],[3,0,1]]", ["--arch-convention", "avmnist"], [[2, 4, 0], [0, 3, 1]]),
        ("avmnist-1", [], [[2, 3, 0]]),
    ],
)
def test_a_network_is_trained_from_an_array(mmfuse, launcher, store, array, convention, layers):
    mmfuse("train", "mfas", "--dataset", "avmnist", "--arch", array, *convention, "--set", "width=32")

    params = spec_of(store, launcher.started[0][0])["params"]

    assert (params["layers"], params["modalities"], params["width"]) == (layers, ["image", "audio"], 32)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("mfas", "--arch", "[[4,2,0]]"), "layer 0 is [4, 2, 0]"),
        (("mfas", "--arch", "[[2,4,0]"), "is not an array of rows"),
        (("mfas", "--arch", "[[2,4,0]]", "--arch-convention", "ntu"), "skeleton and video, not image and audio"),
        (("mfas", "--arch", "[[2,4,0]]", "--arch-convention", "avmnst"), "did you mean 'avmnist'"),
        (("mfas", "--arch-convention", "avmnist"), "--arch, which is missing"),
        (("m2_mixer", "--arch", "[[2,4,0]]"), "model m2_mixer is not written as an array"),
    ],
)
def test_an_array_that_cannot_be_read_is_refused_with_the_reason(mmfuse, launcher, words, told):
    result = mmfuse("train", *words, "--dataset", "avmnist")

    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())
    assert launcher.started == []


def test_an_array_does_not_go_with_what_a_run_found(mmfuse, make_run, launcher):
    result = mmfuse("train", "--from", make_run("finished"), "--arch", "[[2,4,0]]")

    assert (result.exit_code, launcher.started) == (2, [])
    assert "--from brings its own architecture" in " ".join(result.stderr.split())


def test_a_run_shows_what_it_found_in_every_convention(mmfuse, make_run):
    found = make_run("finished", result={"score": 0.5, "metric": "val/accuracy", "architecture": FOUND})
    other = make_run("finished")

    arrays = json.loads(mmfuse("runs", "show", found, "--json").stdout)["arrays"]

    assert arrays["task"] == arrays["multibench"] == [[2, 4, 1], [0, 3, 0]]
    assert arrays["avmnist"] == [[4, 2, 1], [3, 0, 0]]
    assert json.loads(mmfuse("runs", "show", other, "--json").stdout)["arrays"] is None


def test_what_a_fusion_search_found_is_retrained_as_the_search_would_have(mmfuse, make_run, launcher, store):
    backbone = {"family": "lenet_image", "params": {"channels": 3, "modality": "image"}, "weights": "0123456789abcdef"}
    result = {
        "score": 0.5,
        "metric": "val/accuracy",
        "architecture": FOUND,
        "full_training": {"width": 256, "dropout": 0.4, "backbones": {"image": backbone}},
    }

    mmfuse("train", "--from", make_run("finished", result=result))

    params = spec_of(store, launcher.started[0][0])["params"]
    assert (params["layers"], params["width"], params["dropout"]) == (FUSION["layers"], 256, 0.4)
    assert params["backbones"]["image"]["weights"] == "0123456789abcdef"


def test_on_other_data_a_found_fusion_leaves_its_backbones_weights_behind(mmfuse, make_run, launcher, store):
    backbone = {"family": "lenet_image", "params": {"channels": 5, "modality": "image"}, "weights": "0123456789abcdef"}
    result = {"architecture": FOUND, "full_training": {"backbones": {"image": backbone}}}
    run = make_run("finished", result=result)

    mmfuse("train", "--from", run, "--set", "data.source=stand-in", "--set", "data.stand_in_seed=7")

    (chosen,) = spec_of(store, launcher.started[0][0])["params"]["backbones"].values()
    assert (chosen["params"]["channels"], chosen["weights"]) == (5, None)


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["search", "mfas"], ["options", "benchmark", "backbones", "image"]),
        (["train", "mfas"], ["params", "backbones", "image"]),
    ],
)
def test_the_weights_of_a_backbone_can_be_those_of_a_run(mmfuse, make_run, launcher, store, words, place):
    run = make_run("finished", name="eyes")
    best = store.folder(run).path / "checkpoints" / "best.ckpt"
    best.parent.mkdir(exist_ok=True)
    best.write_bytes(b"weights")
    key = ".".join([*place[1:], ""])
    settings = ["--set", f"{key}family=lenet_image", "--set", f"{key}weights=eyes"]

    mmfuse(*words, "--dataset", "avmnist", *settings)

    spec = spec_of(store, launcher.started[0][0])
    for name in place:
        spec = spec[name]
    assert spec["weights"] == str(best.resolve())


@pytest.mark.parametrize(
    ("weights", "told"),
    [("nobody", "no run named 'nobody'"), ("gone/best.ckpt", "there is no checkpoint file gone/best.ckpt")],
)
def test_weights_of_nobody_are_told_before_anything_starts(mmfuse, launcher, weights, told):
    settings = ["--set", "backbones.image.family=lenet_image", "--set", f"backbones.image.weights={weights}"]

    result = mmfuse("train", "mfas", "--dataset", "avmnist", *settings)

    assert (result.exit_code, launcher.started) == (2, [])
    assert told in " ".join(result.stderr.split())


def test_a_published_network_can_be_trained_as_published(mmfuse, launcher, store):
    mmfuse("train", "mfas", "--dataset", "ntu", "--arch", "ntu-1", "--preset", "paper", "--set", "fit.batch_size=20")

    spec = spec_of(store, launcher.started[0][0])
    assert spec["params"]["layers"] == [[3, 0, 0], [1, 3, 0], [1, 1, 1], [3, 3, 0]]
    assert (spec["params"]["width"], spec["params"]["dropout"]) == (256, 0.4)
    fit = {name: spec["fit"][name] for name in ("epochs", "batch_size", "schedule", "cycle", "cycle_factor")}
    assert fit == {"epochs": 70, "batch_size": 20, "schedule": "restarts", "cycle": 5.0, "cycle_factor": 2.0}
