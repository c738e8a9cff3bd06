"""What every dataset of latents promises; a new file of kind retrieval is tested by being there."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmfuse.data.status import DataStatus
from mmfuse.data.subset_options import SubsetOptions
from mmfuse.latents import LatentPairs, LatentSplits
from mmfuse.registry import DATASETS

SMALL: dict[str, dict[str, object]] = {
    "coco_latents": {"stand_in_pictures": 40, "stand_in_epochs": 1},
    "latent_world": {"images": 60, "validation": 30, "test": 30, "captions": 2},
    "latents": {"of_options": {"stand_in_size": 120}, "encoder_epochs": 1},
}
"""Options that make a dataset small; one that is not listed is loaded as it is."""

NAMES = [name for name in DATASETS.names() if DATASETS.declaration(name).TASK.kind == "retrieval"]
every_dataset = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def _load(name: str, root: Path, **values: object) -> LatentSplits:
    module = DATASETS.get(name)
    splits: LatentSplits = module.load(root, module.Options(**(SMALL.get(name, {}) | values)))
    return splits


def _all(splits: LatentSplits) -> dict[str, LatentPairs]:
    return {"train": splits.train, "val": splits.val, "test": splits.open_test()}


@every_dataset
def test_the_declaration_stands_alone(name: str) -> None:
    declaration = DATASETS.declaration(name)

    assert declaration.TASK.name == name
    assert DATASETS.summary(name).endswith(".")
    assert issubclass(declaration.Options, SubsetOptions)
    assert all(field.description for field in declaration.Options.model_fields.values())


@every_dataset
def test_neither_the_file_nor_its_status_needs_torch(name: str, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mmfuse.registry import DATASETS; "
        f"DATASETS.declaration({name!r}); assert 'numpy' not in sys.modules; "
        f"DATASETS.get({name!r}).status(Path({str(tmp_path)!r})); assert 'torch' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


@every_dataset
def test_pairs_name_items_of_the_tasks_modalities_that_exist_and_are_finite(name: str, root: Path) -> None:
    splits = _load(name, root)

    for pairs in _all(splits).values():
        pairs.check()
        assert pairs.names == tuple(modality.name for modality in splits.task.modalities)
        assert pairs.dims == {modality.name: modality.shape[0] for modality in splits.task.modalities}
        assert pairs.pairs.dtype == torch.int32
        assert len(pairs) > 0


@every_dataset
def test_every_split_says_whose_latents_these_are(name: str, root: Path) -> None:
    splits = _load(name, root)

    for pairs in _all(splits).values():
        assert pairs.fingerprint == splits.fingerprint != ""
        assert pairs.encoders == splits.encoders
        assert set(pairs.encoders) == set(pairs.names)
        assert pairs.label == (f"{name} (stand-in)" if splits.stand_in else name)
        assert pairs.provenance


@every_dataset
def test_no_item_of_the_first_modality_is_in_two_splits(name: str, root: Path) -> None:
    first, seen = _load(name, root).task.modalities[0].name, []

    for pairs in _all(_load(name, root)).values():
        rows = pairs.pairs[:, 0].unique()
        seen += [latent.float().numpy().tobytes() for latent in pairs.items(first, rows)]

    assert len(seen) == len(set(seen))


@every_dataset
def test_loading_again_gives_the_same_pairs_and_fingerprint(name: str, root: Path, tmp_path: Path) -> None:
    first, second = _load(name, root), _load(name, tmp_path)

    assert first.fingerprint == second.fingerprint
    for one, other in zip(_all(first).values(), _all(second).values(), strict=True):
        assert one.pairs.equal(other.pairs)
        assert all(one.latents[key].equal(other.latents[key]) for key in one.names)


@every_dataset
@pytest.mark.parametrize("how", ["random", "k_center", "dpp"])
def test_half_of_the_training_pairs_can_be_asked_for(name: str, how: str, root: Path) -> None:
    whole, half = _load(name, root), _load(name, root, fraction=0.5, subset=how)

    assert len(half.train) == round(len(whole.train) / 2)
    assert len(half.val) == len(whole.val)
    assert half.fingerprint != whole.fingerprint


@every_dataset
def test_status_counts_the_pairs_that_are_loaded(name: str, root: Path) -> None:
    module = DATASETS.get(name)
    splits = _all(_load(name, root))

    status = module.status(root, module.Options(**SMALL.get(name, {})))

    assert isinstance(status, DataStatus)
    assert status.dataset == name
    assert dict(status.samples) == {split: len(pairs) for split, pairs in splits.items()}


@every_dataset
def test_check_reads_everything_and_finds_nothing_wrong(name: str, root: Path) -> None:
    module = DATASETS.get(name)
    options = module.Options(**SMALL.get(name, {}))
    module.load(root, options)

    assert module.check(root, options).problem == ""
