"""Snapshots of the code: whole or not there, one for equal code, gone once no run names them."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmfuse_runs import fsck, sourcecode
from mmfuse_runs.sourcecode import NotKept, files_of, folder_of, is_whole, keep, remove, unused
from mmfuse_runs.store import RunStore

EDIT_AND_KEEP = """
import itertools, sys
from pathlib import Path
from mmfuse_runs import sourcecode
tree, home = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(tree))
sourcecode.PACKAGES = ("edited",)
for number in itertools.count():
    (tree / "edited" / "a.py").write_text(f"VALUE = {number}")
    sourcecode.keep(home)
    print(number, flush=True)
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of which snapshots are taken instead of ours."""
    folder = tmp_path / "tree" / "edited"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("VALUE = 1")
    (folder / "data" / "words.txt").write_bytes(b"any\xff bytes")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setattr(sourcecode, "PACKAGES", ("edited",))
    return folder


def grow_old(home):
    for path in (home / "code").iterdir():
        os.utime(path, (0, 0))


def test_our_own_code_is_kept_whole_and_can_be_imported_from_there(tmp_path):
    digest = keep(tmp_path)

    ask = "import mmfuse, mmfuse_runs.worker; print(mmfuse.__file__, mmfuse_runs.__file__)"
    environment = os.environ | {"PYTHONPATH": str(folder_of(tmp_path, digest)), "PYTHONSAFEPATH": "1"}
    told = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)

    assert is_whole(tmp_path, digest)
    assert told.stdout.count(str(folder_of(tmp_path, digest))) == 2
    assert is_whole(tmp_path, digest)  # with the bytecode that was compiled there


def test_equal_code_shares_a_snapshot_and_changed_code_has_its_own(tmp_path, package):
    first, same = keep(tmp_path), keep(tmp_path)
    (package / "__init__.py").write_text("VALUE = 2")
    second = keep(tmp_path)

    assert first == same != second
    assert (folder_of(tmp_path, first) / "edited" / "__init__.py").read_text() == "VALUE = 1"
    assert (folder_of(tmp_path, second) / "edited" / "data" / "words.txt").read_bytes() == b"any\xff bytes"


def test_caches_are_left_out_and_large_files_and_linked_folders_are_linked_to(tmp_path, package):
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"")
    (package / ".#words.txt").symlink_to("nowhere")
    (package / "words.txt~").write_text("older")
    (package / "weights.bin").write_bytes(bytes(sourcecode.LARGEST + 1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.py").write_text("")
    (package / "mine").symlink_to(tmp_path / "mine")

    digest = keep(tmp_path)

    kept = folder_of(tmp_path, digest)
    assert set(files_of(tmp_path, digest)) == {
        f"edited/{name}" for name in ("__init__.py", "data/words.txt", "weights.bin", "mine")
    }
    assert (kept / "edited" / "weights.bin").readlink() == package / "weights.bin"
    assert (kept / "edited" / "mine" / "own.py").exists()
    remove(kept)
    assert (package / "weights.bin").exists()
    assert (tmp_path / "mine" / "own.py").exists()


@pytest.mark.parametrize("damage", ["emptied", "deleted", "manifest"])
def test_a_damaged_snapshot_is_noticed_and_written_anew(tmp_path, package, damage):
    digest = keep(tmp_path)
    folder = folder_of(tmp_path, digest)
    victim = folder / ("manifest.json" if damage == "manifest" else "edited/__init__.py")
    victim.unlink()
    if damage != "deleted":
        victim.write_bytes(b"")

    assert not is_whole(tmp_path, digest)
    assert keep(tmp_path) == digest
    assert is_whole(tmp_path, digest)


def test_an_edited_snapshot_is_not_taken_for_the_code_it_is_named_after(tmp_path, package):
    digest = keep(tmp_path)
    place = folder_of(tmp_path, digest) / "edited" / "__init__.py"
    place.chmod(0o644)
    place.write_text("VALUE = 9")

    assert not is_whole(tmp_path, digest)


def test_many_writers_at_once_leave_one_whole_snapshot(tmp_path, package):
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda _: keep(tmp_path), range(24)))

    (digest,) = digests
    assert is_whole(tmp_path, digest)
    assert [path.name for path in (tmp_path / "code").iterdir()] == [digest]


def test_a_writer_killed_at_any_moment_leaves_whole_snapshots_only(tmp_path, package):
    chance, home = random.Random(1), tmp_path / "home"
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", EDIT_AND_KEEP, str(package.parent), str(home)], stdout=subprocess.PIPE
        )
        writer.stdout.readline()
        time.sleep(chance.uniform(0, 0.02))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()

    kept = [path.name for path in (home / "code").iterdir() if path.name[0] != "."]
    assert kept
    assert all(is_whole(home, digest) for digest in kept)
    assert is_whole(home, keep(home))


def test_a_full_disk_is_a_sentence_and_leaves_nothing_behind(tmp_path, package, monkeypatch):
    write = sourcecode._write_file
    left = iter([True])

    def full(path, content):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(sourcecode, "_write_file", full)

    with pytest.raises(NotKept, match="the code was not kept: No space left on device"):
        keep(tmp_path)
    assert list((tmp_path / "code").iterdir()) == []


def test_data_among_the_code_keep_no_start_waiting(tmp_path, package, monkeypatch):
    monkeypatch.setattr(sourcecode, "MOST", 1 << 20)
    for number in range(2):
        (package / f"{number}.npy").write_bytes(bytes(sourcecode.LARGEST - 1))

    with pytest.raises(NotKept, match=r"more than 1 MiB of files lie in .*edited"):
        keep(tmp_path)


def test_a_home_that_python_cannot_import_from_is_told(tmp_path, package):
    with pytest.raises(NotKept, match="holds a ':'"):
        keep(tmp_path / "a:b")


def test_snapshots_that_a_run_names_stay_even_in_the_trash_and_with_a_damaged_record(tmp_path, package):
    store, digests = RunStore(tmp_path / "home"), []
    for number, place in enumerate(["runs/live", "trash/thrown", "runs/damaged", None]):
        (package / "__init__.py").write_text(f"VALUE = {number}")
        digests.append(keep(store.home))
        if place:
            (store.home / place).mkdir(parents=True)
            (store.home / place / "launch.json").write_text(f'{{"attempts": [{{"code": "{digests[-1]}"')
    fresh = unused(store.home)
    grow_old(store.home)

    assert fresh == []
    assert unused(store.home) == [folder_of(store.home, digests[-1])]
    keep(store.home)
    assert unused(store.home) == []  # it is in use again


def test_what_a_dead_writer_left_is_found_and_removed(tmp_path, package):
    store = RunStore(tmp_path / "home")
    store.runs.mkdir(parents=True)
    draft = store.home / "code" / ".new-1-00"
    (draft / "edited").mkdir(parents=True)
    grow_old(store.home)

    (trouble,) = fsck.mend(fsck.examine(store))

    assert (trouble.where, trouble.mended) == ("code/.new-1-00", True)
    assert list((store.home / "code").iterdir()) == []
