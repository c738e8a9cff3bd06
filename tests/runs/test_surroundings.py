"""What a run notes of its surroundings: installed packages, the commit, and what differs from it."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess

import pytest

import mmfuse
from mmfuse_runs import surroundings
from mmfuse_runs.surroundings import PATCH_LIMIT, git_state, packages


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout that mmfuse seems to be imported from, with one commit."""
    place = tmp_path / "checkout"
    (place / "mmfuse").mkdir(parents=True)
    (place / "mmfuse" / "__init__.py").write_text("one\n")
    monkeypatch.setattr(mmfuse, "__file__", str(place / "mmfuse" / "__init__.py"))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    author = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "-A"], [*author, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(place), *words], check=True)
    return place


def test_packages_are_those_that_python_itself_knows():
    known = {
        re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower(): found.version
        for found in reversed(list(importlib.metadata.distributions()))
    }

    assert packages() == dict(sorted(known.items()))


def test_a_clean_checkout_has_a_commit_and_no_patch(checkout, tmp_path):
    state = git_state(tmp_path / "artefacts" / "git.diff")

    assert re.fullmatch(r"[0-9a-f]{40}", state["sha"])
    assert state["dirty"] is False
    assert not (tmp_path / "artefacts").exists()


def test_what_was_changed_since_the_commit_can_be_applied_to_it(checkout, tmp_path):
    (checkout / "mmfuse" / "__init__.py").write_text("two\n")
    patch = tmp_path / "artefacts" / "git.diff"

    assert git_state(patch)["dirty"] is True

    subprocess.run(["git", "-C", str(checkout), "checkout", "-q", "."], check=True)
    subprocess.run(["git", "-C", str(checkout), "apply", str(patch)], check=True)
    assert (checkout / "mmfuse" / "__init__.py").read_text() == "two\n"


def test_a_huge_patch_is_cut_and_says_so(checkout, tmp_path):
    (checkout / "mmfuse" / "__init__.py").write_text("two\n" * (PATCH_LIMIT // 2))

    git_state(tmp_path / "git.diff")

    assert PATCH_LIMIT < (tmp_path / "git.diff").stat().st_size < PATCH_LIMIT + 100
    last = (tmp_path / "git.diff").read_text().splitlines()[-1]
    assert re.fullmatch(rf"\[cut off after {PATCH_LIMIT} of 26\d{{5}} bytes\]", last)


def test_a_git_that_takes_too_long_leaves_it_unknown(checkout, tmp_path, monkeypatch):
    state = surroundings._write_patch(["sh", "-c", "exit 128"], tmp_path / "artefacts" / "git.diff")
    monkeypatch.setattr(surroundings, "_GIT_S", 0.01)
    late = surroundings._write_patch(["sleep", "5"], tmp_path / "artefacts" / "git.diff")

    assert (state, late) == (None, None)
    assert not (tmp_path / "artefacts").exists()


def test_an_installed_package_is_in_no_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(mmfuse, "__file__", str(tmp_path / "site-packages" / "mmfuse" / "__init__.py"))

    assert git_state(tmp_path / "git.diff") is None
