"""The worker: one process that does one attempt of a run. ``python -m mmfuse_runs.worker RUN_DIR``.

The only module of this package that reaches torch, and only through `mmfuse.jobs`. SIGTERM and SIGINT ask it to stop:
it goes on to the next safe point, leaves everything needed to resume, says so in exit.json and exits with 75.
"""

from __future__ import annotations

import errno
import faulthandler
import json
import logging
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from mmfuse.errors import MmfuseError, Stopped
from mmfuse.report import TrialRecord
from mmfuse.spec import spec_from_json
from mmfuse_runs.folder import RunFolder
from mmfuse_runs.reporter import RunReporter
from mmfuse_runs.states import TERMINAL, State

EXIT_FINISHED, EXIT_FAILED, EXIT_STOPPED = 0, 1, 75

logger = logging.getLogger("mmfuse")


class StopRequest:
    """Becomes true, and stays so, once a signal asks the worker to stop."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        return self.requested

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.requested = True


def main(arguments: list[str]) -> int:
    """Do the newest attempt of the run in the given folder; the return value is the process's exit code."""
    should_stop = StopRequest()
    faulthandler.register(signal.SIGUSR2)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    folder = RunFolder(Path(arguments[0]).resolve())
    attempt = folder.launch()["attempts"][-1]
    outcome: dict[str, Any]
    try:
        result = _work(folder, attempt, should_stop)
        outcome = {"status": "finished", "exit_code": EXIT_FINISHED, "error": None, "result": result}
    except Stopped:
        logger.info("stopped at a safe point; everything needed to resume is on disk")
        outcome = {"status": "stopped", "exit_code": EXIT_STOPPED, "error": None, "result": {}}
    except BaseException as error:  # the worker's last word must be written whatever happened
        with suppress(OSError):  # the log is on the disk that may be full
            traceback.print_exc()
        outcome = {"status": "failed", "exit_code": _exit_code(error), "error": _explain(error), "result": {}}
    _write_exit(folder.path, outcome | {"format": 1, "attempt": attempt["attempt"]})
    return int(outcome["exit_code"])


def _work(folder: RunFolder, attempt: dict[str, Any], should_stop: StopRequest) -> dict[str, Any]:
    spec = spec_from_json(folder.spec())
    folder.check_journals()
    history, fingerprint = _earlier(folder)
    reporter = RunReporter(folder.path, run_id=folder.id, attempt=attempt["attempt"])
    try:
        # Imported here so that a stop request during the seconds torch takes to load is already heard.
        from mmfuse.jobs import Workspace, run

        return run(
            spec,
            Workspace(
                folder=folder.path,
                data_root=Path(attempt["data_root"]),
                reporter=reporter,
                should_stop=should_stop,
                # On a GPU slot the worker sees only that GPU, so the index the user named is another one in here.
                device=os.environ.get("MMFUSE_DEVICE", attempt["device"]),
                threads=int(attempt["threads"]),
                history=history,
                fingerprint=fingerprint,
                run=folder.id,
                attempt=attempt["attempt"],
                spent=spent(folder),
            ),
        )
    finally:
        reporter.close()


def _earlier(folder: RunFolder) -> tuple[tuple[TrialRecord, ...], str | None]:
    """Ended trials and the data's fingerprint, as earlier attempts of this run recorded them."""
    fingerprint = None
    for event in folder.events():
        if event.get("ev") == "note" and event.get("message") == "dataset":
            fingerprint = event["facts"]["fingerprint"]
    return tuple(trial for trial in folder.trials() if trial.status != "running"), fingerprint


def spent(folder: RunFolder) -> float:
    """Seconds that earlier attempts worked: from each one's first word to its end, or to its last where nobody saw it.

    To be asked before the present attempt ends.
    """
    ended = {
        entry["attempt"]: entry["at"]
        for entry in folder.state()["history"]
        if entry["state"] in TERMINAL and entry["state"] != State.LOST
    }
    words: dict[int, list[float]] = {}
    for event in folder.events():
        words.setdefault(event["attempt"], []).append(event["t"])
    earlier = {attempt: said for attempt, said in words.items() if attempt != max(words)}
    return float(sum(max(0.0, ended.get(attempt, max(said)) - min(said)) for attempt, said in earlier.items()))


def _exit_code(error: BaseException) -> int:
    return error.exit_code if isinstance(error, MmfuseError) else EXIT_FAILED


def _explain(error: BaseException) -> dict[str, str]:
    """The failure as one sentence and a hint."""
    kind = type(error).__name__
    if isinstance(error, MmfuseError):
        return {"message": error.message, "hint": error.hint, "type": kind}
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return {"message": "the disk is full", "hint": "free some space, then mmfuse runs resume", "type": kind}
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError":
        return {
            "message": f"out of memory: {str(error).partition('. ')[0]:.300}",
            "hint": "use a smaller fit.batch_size or benchmark.batch_size",
            "type": kind,
        }
    text = " ".join(str(error).split())
    return {"message": f"{kind}: {text:.300}", "hint": "the traceback is in the run's log", "type": kind}


def _write_exit(folder: Path, record: dict[str, Any]) -> None:
    temporary = folder / f"exit.json.{os.getpid()}.tmp"
    try:
        temporary.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
        temporary.replace(folder / "exit.json")
    except OSError as error:
        # Without exit.json the supervisor goes by the exit code alone.
        with suppress(OSError):
            temporary.unlink()
        logger.error("exit.json could not be written: %s", error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
