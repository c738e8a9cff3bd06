"""`mmfuse extract`: which encoder reads what, and the run that comes of it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest

from mmfuse.encoding import encoder_names
from mmfuse.spec import ExtractSpec, spec_from_json
from mmfuse_cli import follow
from mmfuse_runs.specs import command_of


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(follow, "POLL_S", 0.0)


@pytest.fixture
def annotations(tmp_path):
    """Of COCO, at the default data root: enough to start."""
    folder = tmp_path / "home" / "data" / "coco"
    folder.mkdir(parents=True)
    (folder / "coco_karpathy_train.json").write_text("[]")


def _spec(mmfuse, *words):
    result = mmfuse("extract", *words, "--dry-run")
    assert result.exit_code == 0, result.stderr
    spec = spec_from_json(json.loads(result.stdout)["spec"])
    assert isinstance(spec, ExtractSpec)
    return spec


def test_a_published_encoder_is_named_by_family_and_size(mmfuse):
    spec = _spec(mmfuse, "coco", "--modality", "image", "--encoder", "dinov2-giant")

    assert (spec.dataset, spec.modality, spec.encoder, spec.size) == ("coco", "image", "dinov2", "giant")
    assert (spec.storage, spec.output, spec.class_paired) == ("float16", None, False)
    assert spec.options["image_size"] == 224


def test_settings_reach_the_encoder_and_the_collection(mmfuse, tmp_path):
    spec = _spec(
        mmfuse,
        *("clotho", "--modality", "text", "--encoder", "e5-small", "--storage", "int8", "--output", "x.h5"),
        *("--set", "batch_size=7", "--set", f"data.folder={tmp_path}", "--set", "data.limit=3"),
    )

    assert (spec.options["batch_size"], spec.options["prompt"]) == (7, "query: ")
    assert spec.data == {"folder": str(tmp_path), "limit": 3}
    assert spec.storage == "int8"
    assert spec.output is not None
    assert spec.output.startswith("/")


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (("coco", "image", "dinov3-small"), "no encoder, run or checkpoint file named", "dinov2-small"),
        (("cocoo", "image", "dinov2-small"), "no collection or dataset named 'cocoo'", "did you mean 'coco'"),
        (("cocoo", "image", "7f3a"), "no collection or dataset named 'cocoo'", "did you mean 'coco'"),
        (("coco", "audio", "whisper-tiny"), "coco has no modality 'audio'", "image, text"),
        (("coco", "image", "bge-large"), "encoder bge-large reads text, not image", "dinov2-small"),
        (("avmnist", "image", "dinov2-small"), "avmnist holds tensors, and encoder dinov2 reads files", "RUN"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_a_run_starts(mmfuse, launcher, words, sentence, hint):
    result = mmfuse("extract", words[0], "--modality", words[1], "--encoder", words[2])

    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert hint in result.stderr
    assert launcher.started == []


def test_a_misspelt_option_names_the_nearest(mmfuse):
    result = mmfuse("extract", "coco", "--modality", "image", "--encoder", "dinov2-base", "--set", "image_sise=28")

    assert result.exit_code == 2
    assert "did you mean 'image_size'" in result.stderr


def test_the_encoder_of_a_run_reads_that_runs_data(mmfuse, make_run, store, tmp_path):
    run = make_run(kind="train", settings=["data.limit=100"])
    path = store.folder(run).path / "checkpoints" / "best.ckpt"
    path.parent.mkdir(exist_ok=True)
    path.touch()

    spec = _spec(mmfuse, "avmnist", "--modality", "image", "--encoder", run)

    assert (spec.encoder, spec.size, spec.source) == ("checkpoint", None, run)
    assert spec.options["path"] == str(path)
    assert spec.data["limit"] == 100
    assert spec.class_paired


@pytest.mark.usefixtures("annotations")
def test_a_run_is_started_under_the_encoders_name(mmfuse, launcher, store):
    result = mmfuse("extract", "coco", "--modality", "image", "--encoder", "dinov2-small", "--name", "first")

    record = store.records()[0]
    assert result.exit_code == 0
    assert (record.kind, record.subject, record.dataset) == ("extract", "dinov2-small", "coco")


def test_the_result_says_where_the_file_is_and_what_was_skipped(mmfuse, make_run):
    run = make_run(result={"dataset_label": "coco", "items": 500, "dim": 384, "skipped": 2, "file": "/data/image.h5"})

    shown = " ".join(mmfuse("runs", "show", run).stdout.split())

    assert "items 500 values each 384 items skipped 2 file /data/image.h5" in shown


@pytest.mark.parametrize("encoder", encoder_names())
def test_the_command_that_repeats_an_extraction_gives_the_same_spec(mmfuse, encoder):
    modality = {"dinov2": "image", "bge": "text", "e5": "text"}.get(encoder.partition("-")[0], "audio")
    source = "coco" if modality in ("image", "text") else "clotho"
    spec = _spec(
        mmfuse, source, "--modality", modality, "--encoder", encoder, "--set", "batch_size=3", "--storage", "int8"
    )

    words = shlex.split(command_of(spec))

    assert _spec(mmfuse, *words[2:]) == spec


@pytest.mark.usefixtures("annotations")
def test_an_extraction_is_rerun_as_it_was(mmfuse, launcher, store):
    mmfuse("extract", "coco", "--modality", "image", "--encoder", "dinov2-small")

    result = mmfuse("runs", "rerun", "latest")

    first, second = (store.folder(run_id).spec() for run_id, *_ in launcher.started)
    assert result.exit_code == 0
    assert first == second
    assert mmfuse("runs", "rerun", "latest", "--seed", "3").exit_code == 2


def test_encoders_and_collections_are_in_the_zoo(mmfuse):
    listing = json.loads(mmfuse("zoo", "--json").stdout)

    assert {"dinov2", "bge", "e5", "whisper", "checkpoint"} <= {entry["name"] for entry in listing["encoders"]}
    assert {"coco", "clotho"} <= {entry["name"] for entry in listing["collections"]}
    assert "facebook/dinov2-giant, 1536 values" in mmfuse("zoo", "encoders", "dinov2").stdout


def test_choosing_an_encoder_imports_nothing_heavy():
    code = (
        "import sys; from mmfuse.encoding import resolve_extract; "
        "resolve_extract('coco', 'image', 'dinov2-small', settings=['batch_size=3']); "
        "assert not {'torch', 'numpy', 'h5py', 'transformers'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
