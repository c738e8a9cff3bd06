"""Files of latents: written once whatever happens, read back, and refused when anything about them is wrong."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import latent_world as world
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmfuse.data.latents_file import decode, map_rows, read_pairs, read_unreadable, read_vectors, survey
from mmfuse.data.latents_layout import SCHEMA, Storage, finish_layout, quantise, restore, right_answers
from mmfuse.data.latents_writer import LatentWriter
from mmfuse.errors import DataInvalid, DataMissing, RunBusy


def _write(path: Path, *, modality: str = "image", storage: Storage = "float16", batch: int = 7) -> Path:
    with LatentWriter(path, world.table(), world.column(modality, storage=storage, batch=batch)) as writer:
        for rows in writer.pending():
            writer.write(rows.start, world.vectors(rows))
        writer.publish()
    return path


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_vectors_come_back_as_precisely_as_their_storage_allows(tmp_path: Path, storage: Storage) -> None:
    path = _write(tmp_path / "image.h5", storage=storage)

    stored, scale = read_vectors(path, survey(path).columns["image"])

    assert np.abs(decode(stored, scale) - world.vectors(range(40))).max() < (5e-4 if storage == "float16" else 5e-3)
    assert stored.dtype == storage


@given(
    rows=arrays(
        np.float32, st.tuples(st.integers(1, 5), st.integers(1, 8)), elements=st.floats(-60000, 60000, width=32)
    )
)
@settings(max_examples=100, deadline=None)
def test_int8_is_off_by_at_most_a_127th_of_the_largest_value_of_its_row(rows: np.ndarray) -> None:
    stored, scale = quantise(rows, "int8")

    largest = np.abs(rows).max(axis=1, keepdims=True)
    assert (np.abs(restore(stored, scale) - rows) <= largest / 127 + 1e-2).all()


def test_the_layout_is_contiguous_and_uncompressed_with_each_item_once(tmp_path: Path) -> None:
    path = _write(tmp_path / "image.h5")

    with h5py.File(path) as file:
        x = file["mod/image/x"]
        assert (x.chunks, x.compression, x.dtype, x.shape) == (None, None, np.float16, (40, 6))
        assert file["split/train/pairs"].dtype == np.int32
        assert len(file["split/train/pairs"]) + len(file["split/val/pairs"]) + len(file["split/test/pairs"]) == 120
        assert file["mod/image/id"][3].decode() == "picture 3.jpg"
        assert file.attrs["schema"] == SCHEMA
        assert len(file["mod/image"].attrs["encoder_sha"]) == 16


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_the_vectors_say_what_made_them_and_how_large_they_are(tmp_path: Path, storage: Storage) -> None:
    path, identity = _write(tmp_path / "image.h5", storage=storage), world.column("image").encoder

    with h5py.File(path) as file:
        told = dict(file["mod/image/x"].attrs)
        assert file.attrs["finished"] and file.attrs["tool"].startswith("mmfuse ")
    assert (told["encoder"], told["revision"]) == (identity.name, identity.weights)
    assert (told["pooling"], bool(told["normalised"])) == (identity.pooling, identity.normalised)
    assert json.loads(told["preprocessing"]) == identity.preprocessing
    assert told["source_dtype"] == "float32"
    assert told["max_abs"] == pytest.approx(np.abs(world.vectors(range(40))).max(), rel=5e-3)


def test_rows_are_marked_by_switches(tmp_path: Path) -> None:
    with h5py.File(_write(tmp_path / "image.h5")) as file:
        for name in ("done", "unreadable"):
            assert file[f"mod/image/{name}"].dtype == np.bool_


def test_other_programs_find_the_right_answers_of_val_and_test_in_both_directions(tmp_path: Path) -> None:
    table = world.table()

    with h5py.File(_write(tmp_path / "image.h5")) as file:
        assert "gold" not in file["split/train"]
        for split in ("val", "test"):
            pairs = set(map(tuple, table.splits[split].tolist()))
            for direction, flip in (("image_to_text", 1), ("text_to_image", -1)):
                gold = file[f"split/{split}/gold/{direction}"]
                indptr, indices = gold["indptr"][()], gold["indices"][()]
                assert indptr.dtype == indices.dtype == np.int32
                assert len(indptr) == len(table.ids[direction.partition("_")[0]]) + 1
                found = {(n, int(a)) for n in range(len(indptr) - 1) for a in indices[indptr[n] : indptr[n + 1]]}
                assert {couple[::flip] for couple in found} == pairs


def test_pairs_that_share_a_class_have_no_right_answers(tmp_path: Path) -> None:
    table = world.table()
    labels = {split: np.zeros(len(rows), np.int64) for split, rows in table.splits.items()}

    with LatentWriter(tmp_path / "image.h5", replace(table, labels=labels), world.column()) as writer:
        for rows in writer.pending():
            writer.write(rows.start, world.vectors(rows))
        writer.publish()

    with h5py.File(tmp_path / "image.h5") as file:
        assert set(file["split/val"]) == {"pairs", "label"}


@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 5)), max_size=30))
def test_right_answers_are_the_distinct_partners_that_are_there(couples: list[tuple[int, int]]) -> None:
    pairs = np.array(couples, dtype=np.int32).reshape(-1, 2)

    indptr, indices = right_answers(pairs[:, 0], pairs[:, 1], count=5)

    for query in range(5):
        expected = sorted({answer for asked, answer in couples if asked == query and answer >= 0})
        assert indices[indptr[query] : indptr[query + 1]].tolist() == expected


def test_a_writer_killed_while_it_finishes_ends_in_the_same_bytes(tmp_path: Path) -> None:
    whole = _write(tmp_path / "whole.h5")
    with LatentWriter(tmp_path / "image.h5", world.table(), world.column()) as writer:
        for rows in writer.pending():
            writer.write(rows.start, world.vectors(rows))
    with h5py.File(writer.partial) as file:
        assert not file.attrs["finished"] and np.isnan(file["mod/image/x"].attrs["max_abs"])
    finish_layout(str(writer.partial), "image", largest=1.0)

    assert _write(tmp_path / "image.h5").read_bytes() == whole.read_bytes()


_DIES_OPEN = """
import os, sys, h5py
file = h5py.File(sys.argv[1], "r+", libver="v108")
file.attrs.modify("finished", True)
file.flush()
os.kill(os.getpid(), 9)
"""


def test_a_file_that_was_open_for_finishing_when_its_writer_was_killed_can_be_opened_again(tmp_path: Path) -> None:
    path = _write(tmp_path / "image.h5")

    assert subprocess.run([sys.executable, "-c", _DIES_OPEN, str(path)], check=False).returncode == -signal.SIGKILL

    assert survey(path).columns["image"].rows == 40


def test_pairs_and_ids_come_back(tmp_path: Path) -> None:
    table = world.table()

    found = read_pairs(_write(tmp_path / "image.h5"))

    assert found.ids["image"] == table.ids["image"]
    assert {split: rows.tolist() for split, rows in found.splits.items()} == {
        split: rows.tolist() for split, rows in table.splits.items()
    }


def test_mapped_rows_equal_read_rows(tmp_path: Path) -> None:
    path = _write(tmp_path / "image.h5")
    stored = survey(path).columns["image"]

    assert (map_rows(path, stored)[0] == read_vectors(path, stored)[0]).all()


def test_a_file_does_not_tell_when_it_was_written(tmp_path: Path) -> None:
    first = _write(tmp_path / "first.h5")
    time.sleep(1.1)  # HDF5 counts whole seconds

    assert _write(tmp_path / "second.h5").read_bytes() == first.read_bytes()


def test_a_killed_writer_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    script = str(Path(__file__).with_name("write_latents.py"))
    path, whole = tmp_path / "image.h5", _write(tmp_path / "whole.h5")
    writer = subprocess.Popen([sys.executable, script, str(path), "30"], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "0\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert not path.exists()

    shown = subprocess.run([sys.executable, script, str(path), "0"], capture_output=True, text=True, check=True).stdout

    assert shown.split() == ["7", "14", "21", "28", "35"]
    assert path.read_bytes() == whole.read_bytes()


@settings(max_examples=20, deadline=None)
@given(stops=st.lists(st.integers(0, 6), max_size=4))
def test_any_interruptions_end_in_the_same_bytes(stops: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("stops")
    whole = _write(folder / "whole.h5")
    for stop in stops:
        with LatentWriter(folder / "image.h5", world.table(), world.column()) as writer:
            for rows in writer.pending()[:stop]:
                writer.write(rows.start, world.vectors(rows))

    assert _write(folder / "image.h5").read_bytes() == whole.read_bytes()


def test_nothing_is_published_before_every_row_is_written(tmp_path: Path) -> None:
    with LatentWriter(tmp_path / "image.h5", world.table(), world.column()) as writer:
        writer.write(0, world.vectors(range(7)))
        with pytest.raises(DataInvalid, match="33 of 40 items left"):
            writer.publish()

    assert not (tmp_path / "image.h5").exists()


def test_two_writers_do_not_write_the_same_file(tmp_path: Path) -> None:
    with LatentWriter(tmp_path / "image.h5", world.table(), world.column()), pytest.raises(RunBusy):
        LatentWriter(tmp_path / "image.h5", world.table(), world.column()).__enter__()


@pytest.mark.parametrize(
    ("table", "column", "sentence"),
    [
        (world.table(images=39), world.column(), "other items"),
        (world.table(), world.column(dim=5), "other settings"),
        (world.table(), world.column(batch=8), "other settings"),
    ],
)
def test_a_half_written_file_of_something_else_is_refused(
    tmp_path: Path, table: object, column: object, sentence: str
) -> None:
    with LatentWriter(tmp_path / "image.h5", world.table(), world.column()) as writer:
        writer.write(0, world.vectors(range(7)))

    with pytest.raises(DataInvalid, match=sentence):
        LatentWriter(tmp_path / "image.h5", table, column).__enter__()  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "sentence"), [(np.nan, "NaN or infinite"), (np.inf, "NaN"), (7e4, "exceeds 65,504")])
def test_latents_that_are_no_numbers_or_too_large_are_refused_by_the_items_name(
    tmp_path: Path, value: float, sentence: str
) -> None:
    rows = world.vectors(range(7))
    rows[4, 2] = value

    with (
        LatentWriter(tmp_path / "image.h5", world.table(), world.column()) as writer,
        pytest.raises(DataInvalid, match=f"picture 4.jpg by image-encoder .*{sentence}"),
    ):
        writer.write(0, rows)


def test_items_that_could_not_be_read_are_named_and_marked(tmp_path: Path) -> None:
    path = tmp_path / "image.h5"
    with LatentWriter(path, world.table(), world.column()) as writer:
        for rows in writer.pending():
            writer.write(rows.start, world.vectors(rows), unreadable=[2] if rows.start == 7 else [])
        assert writer.publish() == ("picture 9.jpg",)

    assert np.flatnonzero(read_unreadable(path, "image")).tolist() == [9]


def _as_earlier(path: Path) -> None:
    """Files had one array of marks: 0 not yet, 1 written, 2 unreadable."""
    with h5py.File(path, "r+", libver="v108") as file:
        group = file["mod/image"]
        marks = group["done"][()].astype(np.uint8) + group["unreadable"][()]
        del group["done"], group["unreadable"]
        group["done"] = marks


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "image.h5"
    with LatentWriter(path, world.table(), world.column()) as writer:
        for rows in writer.pending():
            writer.write(rows.start, world.vectors(rows), unreadable=[2] if rows.start == 7 else [])
        writer.publish()

    _as_earlier(path)

    assert survey(path).columns["image"].rows == 40
    assert np.flatnonzero(read_unreadable(path, "image")).tolist() == [9]


def test_half_written_files_of_earlier_versions_are_begun_anew(tmp_path: Path) -> None:
    with LatentWriter(tmp_path / "image.h5", world.table(), world.column()) as writer:
        writer.write(0, world.vectors(range(7)))
    _as_earlier(writer.partial)

    with pytest.raises(DataInvalid, match="begun by an earlier version"):
        writer.__enter__()


def test_an_absent_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no file of latents"):
        survey(tmp_path / "image.h5")


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3000])


def _text(path: Path) -> None:
    path.write_text("not an HDF5 file")


def _stranger(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros(3)


def _newer(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["schema"] = "mmfuse-latents/2"


def _unfinished(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["mod/image/done"][5:8] = 0


def _wrong_width(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["mod/image/x"]
        file["mod/image/x"] = np.zeros((39, 6), np.float16)


def _renamed_encoder(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        told = file["mod/image"].attrs["encoder"]
        file["mod/image"].attrs["encoder"] = told.replace("image-encoder", "another-coder")


def _no_ids(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["mod/image/done"]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_truncated, "truncated"),
        (_text, "is not an HDF5 file"),
        (_stranger, "holds no latents"),
        (_newer, "newer format mmfuse-latents/2"),
        (_unfinished, "holds 37 of 40 items of image"),
        (_wrong_width, r"float16 \(39, 6\), expected .*40"),
        (_renamed_encoder, "encoder of image was changed"),
        (_no_ids, "damaged"),
    ],
)
def test_a_file_that_is_not_right_is_refused_in_one_sentence(tmp_path: Path, damage: object, sentence: str) -> None:
    path = _write(tmp_path / "image.h5")
    damage(path)  # type: ignore[operator]

    with pytest.raises(DataInvalid, match=sentence) as caught:
        survey(path)
    assert "\n" not in caught.value.message


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_file_cut_anywhere_is_refused_in_one_sentence(share: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = _write(tmp_path_factory.mktemp("cut") / "image.h5")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    with pytest.raises(DataInvalid, match=r"truncated|damaged|not an HDF5 file"):
        survey(path)


def test_values_that_became_nan_are_refused_by_row(tmp_path: Path) -> None:
    path = _write(tmp_path / "image.h5")
    with h5py.File(path, "r+") as file:
        file["mod/image/x"][17, 3] = np.nan

    with pytest.raises(DataInvalid, match="NaN or infinity in row 17 of image"):
        read_vectors(path, survey(path).columns["image"])


def test_pairs_of_items_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "image.h5")
    with h5py.File(path, "r+") as file:
        file["split/val/pairs"][2] = [40, 3]

    with pytest.raises(DataInvalid, match=r"pair 2 of val names the items \[40, 3\]"):
        read_pairs(path)
