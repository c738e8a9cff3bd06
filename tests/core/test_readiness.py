"""Data that are not there, or do not fit together, are told before a process starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmfuse.encoding import resolve_extract
from mmfuse.errors import DataInvalid, DataMissing
from mmfuse.readiness import check_data
from mmfuse.registry import COLLECTIONS
from mmfuse.spec import resolve_train


def _spec(*settings: str):
    return resolve_train("linear_probe", "avmnist", settings=settings, seed=0)


def test_a_stand_in_needs_no_files(tmp_path: Path) -> None:
    check_data(_spec(), tmp_path)


def test_real_files_that_are_absent_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"lacks image/train_data.npy, .*, test_labels.npy"):
        check_data(_spec("data.source=real"), tmp_path)


def test_files_that_are_half_there_are_not_passed_over_for_the_stand_in(tmp_path: Path) -> None:
    (tmp_path / "avmnist").mkdir()
    np.save(tmp_path / "avmnist" / "train_labels.npy", np.zeros(3, dtype=np.uint8))

    with pytest.raises(DataMissing, match="lacks image"):
        check_data(_spec(), tmp_path)
    check_data(_spec("data.source=stand-in"), tmp_path)


def test_files_of_another_shape_are_refused_by_their_headers(tmp_path: Path) -> None:
    shapes = {"image": (3, 784), "audio": (3, 112, 111)}
    for part in ("train", "test"):
        for name, shape in shapes.items():
            (tmp_path / "avmnist" / name).mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / "avmnist" / name / f"{part}_data.npy", np.zeros(shape, dtype=np.uint8))
        np.save(tmp_path / "avmnist" / f"{part}_labels.npy", np.zeros(3, dtype=np.uint8))

    with pytest.raises(DataInvalid, match=r"holds shape \(3, 112, 111\)"):
        check_data(_spec(), tmp_path)


@pytest.mark.parametrize("name", COLLECTIONS.names())
def test_a_collection_without_annotations_is_refused_as_its_reader_would(tmp_path: Path, name: str) -> None:
    modality, encoder = {"image": ("image", "dinov2-small"), "audio": ("audio", "whisper-tiny")}[
        COLLECTIONS.declaration(name).MODALITIES[0]
    ]
    spec = resolve_extract(name, modality, encoder)
    module = COLLECTIONS.get(name)

    with pytest.raises(DataMissing) as refused:
        check_data(spec, tmp_path)
    with pytest.raises(DataMissing) as told:
        module.read(tmp_path, module.Options())

    assert (refused.value.message, refused.value.hint) == (told.value.message, told.value.hint)


def test_one_file_of_annotations_is_enough_to_start(tmp_path: Path) -> None:
    for name, file in {"coco": "dataset_coco.json", "flickr30k": "flickr30k_val.json"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("{}")

        check_data(resolve_extract(name, "image", "dinov2-small"), tmp_path)


def test_a_glance_at_a_stand_in_loads_no_numeric_library(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mmfuse.readiness import check_data; "
        "from mmfuse.spec import resolve_search; "
        "check_data(resolve_search('mixmas', 'avmnist', preset='small', settings=(), seed=0), Path(sys.argv[1])); "
        "sys.exit(bool({'torch', 'numpy', 'scipy', 'h5py'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0
