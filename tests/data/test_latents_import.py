"""FuseMix's published .dpt files: read without running code, each vector once, pairs kept."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmfuse.data import latents
from mmfuse.data.latents_import import DptSplit, import_dpt, read_dpt
from mmfuse.errors import BadSpec, DataInvalid, DataMissing


def _rows(count: int, dim: int, *, seed: int) -> list[Tensor]:
    return list(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)))


def _save(path: Path, rows: list[Tensor], **more: object) -> Path:
    torch.save({**{str(number): row for number, row in enumerate(rows)}, **more}, path)
    return path


@pytest.fixture
def train(tmp_path: Path) -> DptSplit:
    """Four images, each stored three times as its three captions want."""
    images = [image for image in _rows(4, 6, seed=0) for _ in range(3)]
    return DptSplit(
        _save(tmp_path / "image-train.dpt", images), _save(tmp_path / "text-train.dpt", _rows(12, 5, seed=1))
    )


@pytest.fixture
def test(tmp_path: Path) -> DptSplit:
    """Three images once, and six captions that say whose they are."""
    text = _save(
        tmp_path / "text-test.dpt",
        _rows(6, 5, seed=3),
        txt2img={n: n // 2 for n in range(6)},
        img2txt={n: [2 * n, 2 * n + 1] for n in range(3)},
    )
    return DptSplit(_save(tmp_path / "image-test.dpt", _rows(3, 6, seed=2)), text)


def _import(folder: Path, splits: dict[str, DptSplit]) -> list[Path]:
    return import_dpt(folder, splits, name="coco", encoders={"image": "dinov2-giant", "text": "bge-large"})


def test_equal_rows_become_one_item_and_every_pair_is_kept(tmp_path: Path, train: DptSplit, test: DptSplit) -> None:
    files = _import(tmp_path / "coco", {"train": train, "val": test, "test": test})

    splits = latents.load(tmp_path, latents.Options(files=tuple(files)))

    assert splits.train.pairs.tolist() == [[n // 3, n] for n in range(12)]
    assert splits.val.pairs.tolist() == [[4 + n // 2, 12 + n] for n in range(6)]
    assert splits.train.latents["image"].shape == (4 + 3 + 3, 6)
    assert splits.encoders["image"].startswith("dinov2-giant@")
    image, _ = read_dpt(train.image)
    text, _ = read_dpt(train.text)
    batch = splits.train.batch(torch.arange(12))
    assert np.abs(batch.inputs["image"].numpy() - image).max() < 2e-3
    assert np.abs(batch.inputs["text"].numpy() - text).max() < 2e-3


def test_the_command_imports_into_a_folder_of_its_own(tmp_path: Path, train: DptSplit, test: DptSplit) -> None:
    folder = latents.build(
        tmp_path,
        name="mine",
        image_encoder="dinov2-giant",
        text_encoder="bge-large",
        train_image=train.image,
        train_text=train.text,
        test_image=test.image,
        test_text=test.text,
    )

    assert folder == tmp_path / "latents" / "mine"
    assert sorted(path.name for path in folder.glob("*.h5")) == ["image.h5", "text.h5"]


def test_half_a_split_is_refused(tmp_path: Path, train: DptSplit) -> None:
    with pytest.raises(BadSpec, match="val needs both --val-image and --val-text"):
        latents.build(
            tmp_path,
            name="mine",
            image_encoder="a",
            text_encoder="b",
            train_image=train.image,
            train_text=train.text,
            val_image=train.image,
        )


def test_nothing_is_replaced(tmp_path: Path, train: DptSplit) -> None:
    _import(tmp_path / "coco", {"train": train})

    with pytest.raises(BadSpec, match="is there already"):
        _import(tmp_path / "coco", {"train": train})


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("executed"),)  # type: ignore[return-value]


def test_a_pickle_that_wants_to_run_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"0": _Evil()}, tmp_path / "evil.dpt")

    with pytest.raises(DataInvalid, match="nothing in it was executed"):
        read_dpt(tmp_path / "evil.dpt")
    assert not (tmp_path / "executed").exists()


def _truncated(path: Path) -> None:
    torch.save({"0": torch.zeros(4)}, path)
    path.write_bytes(path.read_bytes()[:-80])


def _list(path: Path) -> None:
    torch.save([torch.zeros(4)], path)


def _gap(path: Path) -> None:
    torch.save({"0": torch.zeros(4), "2": torch.zeros(4)}, path)


def _ragged(path: Path) -> None:
    torch.save({"0": torch.zeros(4), "1": torch.zeros(5)}, path)


def _matrix(path: Path) -> None:
    torch.save({"0": torch.zeros(4, 4)}, path)


def _plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"0": 1}, protocol=2)[:-3])


def _sparse(path: Path) -> None:
    torch.save({"0": torch.zeros(4), "1": torch.ones(4).to_sparse()}, path)


def _complex(path: Path) -> None:
    torch.save({"0": torch.zeros(4, dtype=torch.complex64)}, path)


def _empty(path: Path) -> None:
    torch.save({"0": torch.zeros(0)}, path)


def _nan(path: Path) -> None:
    torch.save({"0": torch.zeros(4), "1": torch.tensor([0, 1, float("nan"), 0])}, path)


def _large(path: Path) -> None:
    torch.save({"0": torch.zeros(4), "1": torch.tensor([0, -7e4, 0, 0])}, path)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_sparse, "row 1 is no vector"),
        (_complex, "row 0 is no vector"),
        (_empty, "row 0 is no vector"),
        (_nan, "row 1 holds NaN"),
        (_large, "row 1 holds .* 65,504 or more"),
        (_truncated, "truncated or damaged"),
        (_list, "holds list, expected a dictionary"),
        (_gap, "2 rows, but none of number 1"),
        (_ragged, "row 1 is no vector of the length"),
        (_matrix, "row 0 is no vector"),
        (_plain_pickle, "damaged"),
    ],
)
def test_a_file_that_is_not_right_is_refused_in_one_sentence(tmp_path: Path, make: object, sentence: str) -> None:
    make(tmp_path / "x.dpt")  # type: ignore[operator]

    with pytest.raises(DataInvalid, match=sentence) as caught:
        read_dpt(tmp_path / "x.dpt")
    assert "\n" not in caught.value.message


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_file_cut_anywhere_is_refused_in_one_sentence(share: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = _save(tmp_path_factory.mktemp("cut") / "x.dpt", _rows(3, 4, seed=0))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    with pytest.raises(DataInvalid, match="damaged"):
        read_dpt(path)


def test_files_of_different_sets_are_refused(tmp_path: Path, train: DptSplit, test: DptSplit) -> None:
    with pytest.raises(DataInvalid, match=r"has 3 rows and .* has 12"):
        _import(tmp_path / "coco", {"train": DptSplit(test.image, train.text)})
    with pytest.raises(DataInvalid, match="does not fit 6 texts and 2 images"):
        _import(tmp_path / "coco", {"test": DptSplit(_save(tmp_path / "two.dpt", _rows(2, 6, seed=9)), test.text)})


@pytest.mark.parametrize("owners", ["no map", {"a": "b"}, {0: 0, 1: 0}], ids=str)
def test_a_map_that_is_none_is_refused_before_anything_is_written(
    tmp_path: Path, test: DptSplit, owners: object
) -> None:
    text = torch.load(test.text, weights_only=True) | {"txt2img": owners}
    torch.save(text, tmp_path / "odd.dpt")

    with pytest.raises(DataInvalid, match="its map from texts to images does not fit"):
        _import(tmp_path / "coco", {"test": DptSplit(test.image, tmp_path / "odd.dpt")})
    assert not (tmp_path / "coco").exists()


def test_an_absent_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="there is no file"):
        read_dpt(tmp_path / "x.dpt")
