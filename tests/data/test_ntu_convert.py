"""Conversions: made once, resumed where they broke off, refreshed where files changed, never half there."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmfuse.data import ntu_convert
from mmfuse.data.ntu_convert import Converted, Plan, convert, fingerprint, open_converted, verify
from mmfuse.errors import DataInvalid, MmfuseError


class Maker:
    """Turns a file's number into a row, and remembers which files it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, path: Path) -> np.ndarray[Any, Any]:
        self.asked.append(path.name)
        text = path.read_text()
        if text.startswith("bad"):
            raise DataInvalid(f"{path.name} is bad")
        return np.full((2, 3), float(text), dtype=np.float32)


def plan(place: Path, count: int = 150, *, make: Any = None) -> Plan:
    place.mkdir(exist_ok=True)
    for number in range(count):
        path = place / f"k{number:03d}"
        if not path.exists():
            path.write_text(str(number))
    named = {path.name: path for path in sorted(place.iterdir())}
    return Plan("things", {"scale": 1}, named, (2, 3), "f4", make or Maker())


def values(converted: Converted) -> list[float]:
    return [float(row[0, 0]) for row in converted.rows]


def test_rows_are_in_the_order_of_their_keys_whatever_the_number_of_workers(tmp_path: Path) -> None:
    one = convert(tmp_path / "one", plan(tmp_path / "files"), workers=1)
    many = convert(tmp_path / "many", plan(tmp_path / "files"), workers=8)

    assert values(one) == list(range(150))
    assert np.array_equal(one.rows, many.rows) and np.array_equal(one.digests, many.digests)
    assert (one.folder / "rows.npy").read_bytes() == (many.folder / "rows.npy").read_bytes()
    assert np.array_equal(np.load(one.folder / "rows.npy"), one.rows)


def test_a_second_run_converts_nothing(tmp_path: Path) -> None:
    convert(tmp_path / "out", plan(tmp_path / "files"))
    maker = Maker()

    convert(tmp_path / "out", plan(tmp_path / "files", make=maker))

    assert maker.asked == []


def test_another_recipe_is_another_conversion(tmp_path: Path) -> None:
    first = plan(tmp_path / "files", 3)

    assert convert(tmp_path, first).folder != convert(tmp_path, replace(first, recipe={"scale": 2})).folder


def test_a_file_that_cannot_be_read_is_noted_and_the_rest_is_there(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "k002").write_text("bad")

    made = convert(tmp_path / "out", plan(tmp_path / "files", 5))

    assert made.unreadable == {"k002": "k002 is bad"}
    assert values(made) == [0, 1, 0, 3, 4]


def test_what_has_not_changed_is_taken_over_when_files_are_added_mended_or_gone(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "k002").write_text("bad file")
    convert(tmp_path / "out", plan(tmp_path / "files", 6))
    (tmp_path / "files" / "k001").unlink()
    (tmp_path / "files" / "k002").write_text("22")
    (tmp_path / "files" / "k004").write_text("4444")
    (tmp_path / "files" / "k100").write_text("100")
    maker = Maker()
    named = {path.name: path for path in sorted((tmp_path / "files").iterdir())}

    again = convert(tmp_path / "out", replace(plan(tmp_path / "files", 0, make=maker), files=named))

    assert sorted(maker.asked) == ["k002", "k004", "k100"]
    assert dict(zip(again.keys, values(again), strict=True)) == {
        "k000": 0, "k002": 22, "k003": 3, "k004": 4444, "k005": 5, "k100": 100,
    }  # fmt: skip
    assert again.unreadable == {}
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if not path.name.endswith(".lock")) == [
        again.folder.name
    ]


class _Slow(Maker):
    def __call__(self, path: Path) -> np.ndarray[Any, Any]:
        if path.name >= "k130":
            time.sleep(60)
        return super().__call__(path)


def _convert_slowly(place: Path, files: Path) -> None:
    convert(place, plan(files, make=_Slow()), workers=1)


@contextmanager
def _killed_between_chunks(place: Path, files: Path) -> Iterator[Path]:
    """The unfinished folder that a conversion leaves behind which was killed after its second chunk of 64."""
    process = multiprocessing.get_context("spawn").Process(target=_convert_slowly, args=(place, files))
    process.start()
    deadline = time.monotonic() + 60
    while not (found := list(place.glob(".*.partial/done.json"))) or json.loads(found[0].read_text())["done"] < 128:
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    yield found[0].parent


def test_a_conversion_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    with _killed_between_chunks(tmp_path / "out", tmp_path / "files") as work:
        assert not (tmp_path / "out" / work.name.removeprefix(".").removesuffix(".partial")).exists()
        with (work / "rows.npy").open("ab") as file:  # a row that was being written
            file.write(b"half a row")
        maker = Maker()

        made = convert(tmp_path / "out", plan(tmp_path / "files", make=maker))

    assert values(made) == list(range(150))
    assert min(maker.asked) == "k128"
    verify(made)
    assert not work.exists()


def test_an_unfinished_conversion_of_other_files_is_begun_anew(tmp_path: Path) -> None:
    with _killed_between_chunks(tmp_path / "out", tmp_path / "files"):
        (tmp_path / "files" / "k000").write_text("1000")

        made = convert(tmp_path / "out", plan(tmp_path / "files"))

    assert values(made) == [1000, *range(1, 150)]


def test_checking_finds_a_row_that_changed(tmp_path: Path) -> None:
    made = convert(tmp_path / "out", plan(tmp_path / "files", 5))
    content = bytearray((made.folder / "rows.npy").read_bytes())
    content[-30] ^= 1
    (made.folder / "rows.npy").write_bytes(content)

    with pytest.raises(DataInvalid, match=r"the row of k003 in .* is not what was written"):
        verify(open_converted(made.folder, (2, 3), "f4"))


def test_a_damaged_conversion_is_refused_with_what_to_remove(tmp_path: Path) -> None:
    made = convert(tmp_path / "out", plan(tmp_path / "files", 5))
    whole = (made.folder / "rows.npy").read_bytes()
    (made.folder / "rows.npy").write_bytes(whole[:-8])
    with pytest.raises(DataInvalid, match=r"rows\.npy is not a complete \.npy array"):
        open_converted(made.folder, (2, 3), "f4")
    (made.folder / "rows.npy").write_bytes(whole)
    (made.folder / "manifest.json").write_text("{}")
    with pytest.raises(DataInvalid, match="is no whole conversion") as caught:
        open_converted(made.folder, (2, 3), "f4")
    assert caught.value.hint == f"remove {made.folder}"


def test_a_disk_with_too_little_room_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = ntu_convert.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(ntu_convert.shutil, "disk_usage", lambda _: usage._replace(free=100))

    with pytest.raises(MmfuseError, match=r"the conversion needs 0\.0 GB and .* has 0\.0 GB left"):
        convert(tmp_path / "out", plan(tmp_path / "files", 5))

    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == []


def test_the_fingerprint_stands_for_the_rows_used_and_not_for_what_lies_beside_them(tmp_path: Path) -> None:
    five, six = (convert(tmp_path / str(n), plan(tmp_path / f"files{n}", n)) for n in (5, 6))

    assert fingerprint([five], [0, 2], {"a": 1}) == fingerprint([six], [0, 2], {"a": 1})
    assert fingerprint([five], [0, 2], {"a": 1}) != fingerprint([five], [2, 0], {"a": 1})
    assert fingerprint([five], [0, 2], {"a": 1}) != fingerprint([five], [0, 2], {"a": 2})
