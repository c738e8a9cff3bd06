"""Folders that appear whole or not at all."""

import multiprocessing
import time
from pathlib import Path

import pytest

from mmfuse.data.staging import staged
from mmfuse.errors import DataMissing


def test_a_finished_folder_is_there_and_nothing_else_is_but_the_lock(tmp_path: Path) -> None:
    with staged(tmp_path / "deep" / "set") as work:
        assert work is not None
        (work / "file").write_text("content")
        assert not (tmp_path / "deep" / "set").exists()

    assert (tmp_path / "deep" / "set" / "file").read_text() == "content"
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == [".set.lock", "set"]


def test_a_failure_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), staged(tmp_path / "set") as work:
        assert work is not None
        (work / "half").write_text("content")
        raise RuntimeError("broken")

    assert [path.name for path in tmp_path.iterdir()] == [".set.lock"]


def test_what_a_killed_process_left_is_not_used(tmp_path: Path) -> None:
    (tmp_path / ".set.partial").mkdir()
    (tmp_path / ".set.partial" / "half").write_text("old")

    with staged(tmp_path / "set") as work:
        assert work is not None
        (work / "whole").write_text("new")

    assert [path.name for path in (tmp_path / "set").iterdir()] == ["whole"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(DataMissing, match="cannot be made"), staged(tmp_path / "file" / "set"):
        pass


def _build(folder: Path, log: Path) -> None:
    with staged(folder) as work:
        if work is not None:
            with log.open("a") as file:
                file.write("built\n")
            time.sleep(0.2)
            (work / "whole").write_text("content")
    assert (folder / "whole").read_text() == "content"


def test_of_several_processes_one_builds_and_all_find_the_result(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_build, args=(tmp_path / "set", tmp_path / "log")) for _ in range(4)]

    for process in processes:
        process.start()
    for process in processes:
        process.join(120)

    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert (tmp_path / "log").read_text() == "built\n"
