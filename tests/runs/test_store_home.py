"""Where runs and data live."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmfuse.errors import StoreError
from mmfuse_runs.home import data_root, resolve_home


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    for name in ("MMFUSE_HOME", "MMFUSE_DATA", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_the_option_comes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFUSE_HOME", "~/variable")
    (tmp_path / ".mmfuse").mkdir()

    assert resolve_home("option") == tmp_path / "option"
    assert resolve_home() == tmp_path / "user" / "variable"


def test_a_folder_of_the_project_comes_before_that_of_the_user(tmp_path: Path) -> None:
    assert resolve_home() == tmp_path / "user" / ".local" / "share" / "mmfuse"

    (tmp_path / ".mmfuse").mkdir()

    assert resolve_home() == tmp_path / ".mmfuse"


def test_a_folder_called_runs_is_never_taken_for_a_home(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()

    assert resolve_home() == tmp_path / "user" / ".local" / "share" / "mmfuse"


def test_data_lives_in_the_home_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_root(tmp_path) == tmp_path / "data"

    monkeypatch.setenv("MMFUSE_DATA", "/big/disk")
    assert data_root(tmp_path) == Path("/big/disk")
    assert data_root(tmp_path, "~/mine") == tmp_path / "user" / "mine"


def test_a_relative_home_is_refused_where_the_working_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    with pytest.raises(StoreError, match="the folder you are in is gone"):
        resolve_home("relative")
    assert resolve_home() == tmp_path / "user" / ".local" / "share" / "mmfuse"
    assert resolve_home(str(tmp_path)) == tmp_path
