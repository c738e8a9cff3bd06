"""Hashes of files, and when a remembered one is trusted."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from mmfuse.data import hashes
from mmfuse.data.hashes import CACHE, content_hashes


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read for their hash."""
    names: list[str] = []
    real = hashes.sha256_of
    monkeypatch.setattr(hashes, "sha256_of", lambda path: names.append(path.name) or real(path))
    return names


def test_hashes_are_those_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")

    assert content_hashes(tmp_path, ["a"]) == {"a": hashlib.sha256(b"abc").hexdigest()}


def test_an_unchanged_file_is_read_once(tmp_path: Path, reads: list[str]) -> None:
    (tmp_path / "a").write_bytes(b"abc")

    first, second = content_hashes(tmp_path, ["a"]), content_hashes(tmp_path, ["a"])

    assert first == second
    assert reads == ["a"]


def test_a_changed_file_is_read_again(tmp_path: Path, reads: list[str]) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    before = content_hashes(tmp_path, ["a"])
    (tmp_path / "a").write_bytes(b"abd")
    os.utime(tmp_path / "a", ns=(1, 1))

    assert content_hashes(tmp_path, ["a"]) != before
    assert reads == ["a", "a"]


def test_fresh_distrusts_the_cache(tmp_path: Path, reads: list[str]) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    content_hashes(tmp_path, ["a"])

    content_hashes(tmp_path, ["a"], fresh=True)

    assert reads == ["a", "a"]


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 3}', '{"a": {"mark": [3]'])
def test_a_damaged_cache_is_ignored(tmp_path: Path, content: str) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / CACHE).write_text(content)

    assert content_hashes(tmp_path, ["a"]) == {"a": hashlib.sha256(b"abc").hexdigest()}
    assert json.loads((tmp_path / CACHE).read_text())["a"]["sha256"]


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, reads: list[str]) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / CACHE).mkdir()

    assert content_hashes(tmp_path, ["a"]) == content_hashes(tmp_path, ["a"])
    assert reads == ["a", "a"]
