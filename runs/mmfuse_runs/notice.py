"""Telling somebody that a run has ended: a command of theirs, started by the supervisor as its last act.

The command is in the environment of whoever starts the run, so that it can be set once for all (``export
MMFUSE_NOTIFY=...``) and goes with every later attempt that is started from there. Standard library only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmfuse_runs.statefile import say

VARIABLE = "MMFUSE_NOTIFY"
LAST_LINES = 20
_LAST_BYTES = 8192
"""Of a log: well below what a pipe holds, so that nobody has to read it for us to go on."""
_POST = """
import sys, urllib.request
body, kind = sys.stdin.buffer.read(), {"Content-Type": "text/plain; charset=utf-8"}
urllib.request.urlopen(urllib.request.Request(sys.argv[1], data=body, headers=kind), timeout=30)
"""
"""A program of its own, so that the supervisor need not load an HTTP client."""
_GOOD_ENDS = ("finished", "stopped", "cancelled")


def notify(run: Path, record: Mapping[str, Any], *, last_word: Mapping[str, Any] | None = None) -> None:
    """Start the user's command, if there is one, or post to their address; its output goes into the run's log.

    It finds ``MMFUSE_RUN``, ``MMFUSE_STATE``, ``MMFUSE_REASON``, ``MMFUSE_SCORE``, ``MMFUSE_METRIC`` and ``MMFUSE_LOG``
    in its environment, and a message on its standard input: one sentence, and for a run that failed the last lines of
    its log. Nobody waits for it, and nothing it does can change how the run ended.
    """
    command = os.environ.get(VARIABLE)
    if not command:
        return
    facts = _facts(run, record, last_word)
    read, write = os.pipe()
    try:
        os.write(write, message(run, record, facts).encode(errors="replace"))
        os.close(write)
        write = -1
        actions = [(os.POSIX_SPAWN_DUP2, read, 0)]
        words = _words(command)
        os.posix_spawn(words[0], words, os.environ | facts, file_actions=actions)
    except OSError as error:
        say(f"nobody was notified: {error}")
    finally:
        for descriptor in (read, write):
            if descriptor >= 0:
                os.close(descriptor)


def _words(command: str) -> list[str]:
    """What is started: a shell with the command, or for an address the process that posts to it."""
    if command.startswith(("http://", "https://")):
        return [sys.executable, "-I", "-c", _POST, command]
    return ["/bin/sh", "-c", command]


def message(run: Path, record: Mapping[str, Any], facts: Mapping[str, str]) -> str:
    """What the command reads."""
    reason = f": {record['reason']}" if record.get("reason") else ""
    score = f", {facts['MMFUSE_METRIC']} {facts['MMFUSE_SCORE']}" if facts["MMFUSE_SCORE"] else ""
    sentence = f"run {run.name} {record['state']}{reason}{score}\n"
    if record["state"] in _GOOD_ENDS:
        return sentence
    return sentence + "\n" + "".join(f"{line}\n" for line in _last_lines(Path(facts["MMFUSE_LOG"])))


def _facts(run: Path, record: Mapping[str, Any], last_word: Mapping[str, Any] | None) -> dict[str, str]:
    result = (last_word or {}).get("result")
    result = result if isinstance(result, Mapping) else {}
    return {
        "MMFUSE_RUN": run.name,
        "MMFUSE_STATE": str(record["state"]),
        "MMFUSE_REASON": str(record.get("reason") or ""),
        "MMFUSE_SCORE": str(result.get("score") if result.get("score") is not None else ""),
        "MMFUSE_METRIC": str(result.get("metric") or ""),
        "MMFUSE_LOG": str(run / f"log.{record['attempt']}.txt"),
    }


def _last_lines(log: Path) -> list[str]:
    with suppress(OSError), open(log, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_BYTES))
        return file.read().decode(errors="replace").splitlines()[-LAST_LINES:]
    return []
