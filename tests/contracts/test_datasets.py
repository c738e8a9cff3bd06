"""What every dataset promises, whichever it is: a new file in the folder is held to this without further ado."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmfuse.batch import Split, Splits
from mmfuse.data.status import DataStatus
from mmfuse.registry import DATASETS
from mmfuse.task import Task

SMALL: dict[str, dict[str, object]] = {
    "avmnist": {"stand_in_size": 120},
    "mimic_iii": {"stand_in_size": 600},
    "mm_imdb": {"stand_in_size": 60, "image_height": 16, "image_width": 16},
    "ntu": {"stand_in_classes": 2, "stand_in_repeats": 1},
    "scenes": {"pictures": 24},
    "toy": {"samples": 64},
    "toy_sequence": {"samples": 64},
}
"""Options that make a dataset small; one that is not listed is loaded as it is."""

LABELLED = [name for name in DATASETS.names() if DATASETS.declaration(name).TASK.kind != "retrieval"]
"""Datasets of samples; those of latents are held to their promises in test_latents.py."""

every_dataset = pytest.mark.parametrize("name", LABELLED)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def _load(name: str, root: Path, **values: object) -> Splits:
    module = DATASETS.get(name)
    splits: Splits = module.load(root, module.Options(**(SMALL.get(name, {}) | values)))
    return splits


def _all(splits: Splits) -> dict[str, Split]:
    return {"train": splits.train, "val": splits.val, "test": splits.open_test()}


@every_dataset
def test_the_declaration_stands_alone(name: str) -> None:
    declaration = DATASETS.declaration(name)

    assert declaration.TASK.name == name
    assert DATASETS.summary(name).endswith(".")
    assert all(field.description for field in declaration.Options.model_fields.values())
    assert declaration.Options()


@every_dataset
def test_neither_the_file_nor_its_status_needs_torch(name: str, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mmfuse.registry import DATASETS; "
        f"DATASETS.declaration({name!r}); assert 'numpy' not in sys.modules; "
        f"DATASETS.get({name!r}).status(Path({str(tmp_path)!r})); assert 'torch' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


@every_dataset
def test_samples_have_the_tasks_shapes(name: str, root: Path) -> None:
    splits = _load(name, root)

    for split in _all(splits).values():
        batch = split.batch(torch.tensor([0, len(split) - 1]))
        assert list(batch.inputs) == [modality.name for modality in splits.task.modalities]
        for modality in splits.task.modalities:
            assert batch.inputs[modality.name].shape == (2, *modality.shape)
            assert batch.inputs[modality.name].dtype == torch.float32
        assert len(batch.ids) == 2


@every_dataset
def test_targets_are_in_range(name: str, root: Path) -> None:
    splits = _load(name, root)

    for split in _all(splits).values():
        _check_target(splits.task, split.target)


def _check_target(task: Task, target: torch.Tensor) -> None:
    if task.kind == "multiclass":
        assert target.dtype == torch.int64
        assert target.ndim == 1
        assert 0 <= int(target.min()) <= int(target.max()) < task.outputs
    elif task.kind == "multilabel":
        assert target.shape[1:] == (task.outputs,)
        assert set(target.unique().tolist()) <= {0.0, 1.0}
    else:
        assert torch.isfinite(target).all()


@every_dataset
def test_values_are_finite(name: str, root: Path) -> None:
    for split in _all(_load(name, root)).values():
        assert all(bool(values.isfinite().all()) for values in split.all().inputs.values())


@every_dataset
def test_no_sample_is_in_two_splits_and_none_is_empty(name: str, root: Path) -> None:
    splits = _all(_load(name, root))

    ids = torch.cat([split.ids for split in splits.values()]).tolist()
    assert len(ids) == len(set(ids)) == sum(len(split) for split in splits.values())
    assert all(len(split) > 0 for split in splits.values())


@every_dataset
def test_loading_again_gives_the_same_data_and_fingerprint(name: str, root: Path, tmp_path: Path) -> None:
    first, second = _load(name, root), _load(name, tmp_path)

    assert first.fingerprint == second.fingerprint
    for one, other in zip(_all(first).values(), _all(second).values(), strict=True):
        assert one.target.equal(other.target)
        assert one.ids.equal(other.ids)
        assert all(one.inputs[key].equal(other.inputs[key]) for key in one.inputs)


@every_dataset
def test_the_test_split_is_opened_only_when_asked_for_and_gives_the_same_each_time(name: str, root: Path) -> None:
    splits = _load(name, root)

    assert callable(splits.open_test)
    assert splits.open_test().ids.equal(splits.open_test().ids)


@every_dataset
def test_standard_scaling_gives_mean_0_and_deviation_1_on_train(name: str, root: Path) -> None:
    if "scaling" not in DATASETS.declaration(name).Options.model_fields:
        pytest.skip("this dataset has no scaling")

    batch = _load(name, root, scaling="standard").train.all()

    for values in batch.inputs.values():
        assert abs(float(values.mean())) < 1e-3
        assert abs(float(values.std()) - 1.0) < 1e-2


@every_dataset
def test_scaling_is_part_of_the_fingerprint(name: str, root: Path) -> None:
    if "scaling" not in DATASETS.declaration(name).Options.model_fields:
        pytest.skip("this dataset has no scaling")

    assert _load(name, root, scaling="none").fingerprint != _load(name, root).fingerprint


@every_dataset
def test_a_stand_in_is_labelled_as_one(name: str, root: Path) -> None:
    splits = _load(name, root)

    assert splits.stand_in == ("source" in DATASETS.declaration(name).Options.model_fields)
    assert splits.label == (f"{name} (stand-in)" if splits.stand_in else name)
    assert splits.fingerprint
    assert splits.provenance


@every_dataset
def test_status_counts_the_samples_that_are_loaded(name: str, root: Path) -> None:
    module = DATASETS.get(name)
    splits = _all(_load(name, root))

    status = module.status(root, module.Options(**SMALL.get(name, {})))

    assert isinstance(status, DataStatus)
    assert status.dataset == name
    assert status.built
    assert dict(status.samples) == {split: len(rows) for split, rows in splits.items()}


@every_dataset
def test_check_reads_everything_and_finds_nothing_wrong(name: str, root: Path) -> None:
    module = DATASETS.get(name)
    options = module.Options(**SMALL.get(name, {}))
    module.load(root, options)

    assert module.check(root, options).problem == ""


@every_dataset
def test_splits_survive_a_move_to_a_device(name: str, root: Path) -> None:
    splits = _load(name, root)

    moved = splits.to("cpu")

    assert moved.fingerprint == splits.fingerprint
    assert moved.open_test().ids.equal(splits.open_test().ids)
