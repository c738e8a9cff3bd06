"""Requests as files."""

from __future__ import annotations

import errno

import pytest

from mmfuse_runs import inbox
from mmfuse_runs.inbox import Request, Verb


def test_requests_are_taken_once_and_oldest_first(tmp_path):
    inbox.post(tmp_path, Request(Verb.CONTINUE, by="b", at=2.0))
    inbox.post(tmp_path, Request(Verb.PAUSE, by="a", at=1.0))

    assert [request.verb for request in inbox.take(tmp_path, attempt=1)] == [Verb.PAUSE, Verb.CONTINUE]
    assert inbox.take(tmp_path, attempt=1) == []
    assert list((tmp_path / "control").iterdir()) == []


def test_a_request_survives_the_file_unchanged(tmp_path):
    asked = Request(Verb.STOP, by="tui", reason="enough", grace_s=2.5, attempt=3, at=7.0)

    inbox.post(tmp_path, asked)

    assert inbox.take(tmp_path, attempt=3) == [asked]


def test_a_request_meant_for_an_earlier_attempt_is_dropped(tmp_path):
    inbox.post(tmp_path, Request(Verb.KILL, attempt=1))

    assert inbox.take(tmp_path, attempt=2) == []
    assert not inbox.pending(tmp_path, Verb.KILL)


@pytest.mark.parametrize("text", ["", "{", "[]", '"now"', '{"grace_s": "soon"}', "\x00\xff"])
def test_a_damaged_file_is_still_the_request_its_name_says(tmp_path, text):
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "stop.json").write_text(text, encoding="latin-1")

    assert [request.verb for request in inbox.take(tmp_path, attempt=5)] == [Verb.STOP]


def test_a_full_disk_still_lets_a_request_through(tmp_path, monkeypatch):
    def refuse(path, record):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(inbox, "write_json", refuse)

    inbox.post(tmp_path, Request(Verb.STOP, by="tui"))

    assert inbox.take(tmp_path, attempt=1) == [Request(Verb.STOP)]


def test_a_run_without_control_folder_has_no_requests(tmp_path):
    assert inbox.take(tmp_path, attempt=1) == []
    assert not inbox.pending(tmp_path, Verb.STOP)
