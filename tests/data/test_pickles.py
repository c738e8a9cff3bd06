"""Pickles of arrays open; pickles that do anything else are refused before they do it."""

import collections
import pickle
from pathlib import Path

import numpy as np
import pytest

from mmfuse.data.pickles import load_arrays, load_object
from mmfuse.errors import DataInvalid


class _Trap:
    """Writes a file when it is unpickled by the ordinary means."""

    def __init__(self, call: object, *arguments: object) -> None:
        self.recipe = call, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.recipe


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_containers_come_back_as_they_were(tmp_path: Path, protocol: int) -> None:
    content = {
        "floats": np.random.default_rng(0).normal(size=(3, 4)),
        "flags": np.array([True, False]),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "scalar": np.float32(1.5),
        "plain": [1, 2.5, "text", None, (True, b"bytes"), {3}, complex(1, 2)],
        "ordered": collections.OrderedDict(a=1),
        "ragged": np.array([[1], [2, 3]], dtype=object),
    }
    (tmp_path / "file.pk").write_bytes(pickle.dumps(content, protocol=protocol))

    loaded = load_arrays(tmp_path / "file.pk")

    assert loaded["plain"] == content["plain"]
    assert loaded["ordered"] == content["ordered"]
    assert loaded["ragged"].tolist() == [[1], [2, 3]]
    for name in ("floats", "flags", "fortran", "scalar"):
        assert np.array_equal(loaded[name], content[name])


def test_the_spellings_of_older_and_newer_numpy_both_open(tmp_path: Path) -> None:
    content = pickle.dumps(np.arange(3.0), protocol=2)
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "new.pk").write_bytes(content)
    (tmp_path / "old.pk").write_bytes(old)

    assert load_arrays(tmp_path / "old.pk").tolist() == load_arrays(tmp_path / "new.pk").tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("call", "name"),
    [(open, "io.open"), (eval, "builtins.eval"), (getattr, "builtins.getattr"), (np.load, "numpy.load")],
)
def test_anything_else_is_refused_by_name_and_not_executed(tmp_path: Path, call: object, name: str) -> None:
    target = tmp_path / "written"
    arguments = (str(target), "w") if call is open else (f"open({str(target)!r}, 'w')", "x")
    (tmp_path / "file.pk").write_bytes(pickle.dumps({"harmless": np.ones(2), "trap": _Trap(call, *arguments)}))

    with pytest.raises(DataInvalid, match=f"asks for _?{name}, which is not part of an array"):
        load_arrays(tmp_path / "file.pk")

    assert not target.exists()


def test_the_trap_would_have_worked_with_an_ordinary_unpickler(tmp_path: Path) -> None:
    target = tmp_path / "written"

    pickle.loads(pickle.dumps(_Trap(open, str(target), "w")))

    assert target.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        pickle.dumps(np.arange(100.0))[:-50],
        b"\x80\x04}."[:2],
        b"\x80\x04\x95" + b"\xff" * 8 + b".",  # a frame longer than any file
    ],
)
def test_a_damaged_file_is_told_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.pk").write_bytes(content)

    with pytest.raises(DataInvalid, match=r"file.pk is not a complete pickle of arrays") as caught:
        load_arrays(tmp_path / "file.pk")

    assert "\n" not in caught.value.message


def test_an_object_in_a_npy_file_comes_back_as_it_was(tmp_path: Path) -> None:
    words = {"ix_to_word": {0: "_UNK_", 1: "sea"}, "lookup": np.eye(2)}
    np.save(tmp_path / "words.npy", np.array(words, dtype=object))

    back = load_object(tmp_path / "words.npy")

    assert back["ix_to_word"] == words["ix_to_word"]
    assert np.array_equal(back["lookup"], np.eye(2))


def test_an_object_that_would_run_something_is_refused_before_it_does(tmp_path: Path) -> None:
    victim = tmp_path / "made by the trap"
    np.save(tmp_path / "trap.npy", np.array(_Trap(Path.touch, victim), dtype=object))

    with pytest.raises(DataInvalid, match="nothing was executed"):
        load_object(tmp_path / "trap.npy")
    assert not victim.exists()
