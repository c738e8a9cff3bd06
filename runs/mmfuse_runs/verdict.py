"""What became of a worker: from how its process ended and what it said last to the state of the run.

Standard library only.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any, NamedTuple

from mmfuse_runs.states import State

EXIT_STOPPED = 75
"""The worker stopped at a safe point and can be resumed (EX_TEMPFAIL)."""


class Exit(NamedTuple):
    """How a worker's process ended; both None where nobody could collect it (an adopted worker)."""

    code: int | None = None
    signal: int | None = None

    @property
    def known(self) -> bool:
        """Whether the kernel told how it ended."""
        return self.code is not None or self.signal is not None


class Asked(NamedTuple):
    """What was asked of the worker before it ended; empty sentences where nothing was."""

    stop: str = ""
    kill: str = ""


UNKNOWN = Exit()
NOTHING = Asked()


class Verdict(NamedTuple):
    """The state an attempt ends in, and why in one sentence (empty where the state says it all)."""

    state: State
    reason: str = ""


def judge(
    ended: Exit, last_word: Mapping[str, Any] | None, *, asked: Asked = NOTHING, out_of_memory: bool = False
) -> Verdict:
    """The verdict on an attempt.

    ``last_word`` is this attempt's ``exit.json``, None where there is none. ``out_of_memory`` says whether the kernel
    killed something for memory while the worker ran. An exit code of 0 alone proves nothing: frameworks exit 0 when
    they are terminated.
    """
    if ended.signal is not None:
        return _by_signal(ended.signal, asked, out_of_memory)
    if not ended.known:
        return _by_last_word(last_word, asked)
    if ended.code == 0:
        if _status(last_word) == "finished":
            return Verdict(State.FINISHED)
        return Verdict(State.CRASHED, "the worker exited with 0 but left no exit.json that says it finished")
    if ended.code == EXIT_STOPPED:
        return Verdict(State.STOPPED, asked.stop)
    return Verdict(State.CRASHED, _failure(last_word) or f"the worker exited with {ended.code}; see the log")


def judge_bereft(record: Mapping[str, Any], last_word: Mapping[str, Any] | None) -> Verdict:
    """The verdict on an attempt of which neither worker nor supervisor is left, though ``record`` says it goes on.

    ``last_word`` is what ``exit.json`` says, of whatever attempt; None where there is none. A worker that ended well
    after its supervisor had died leaves a last word, and nobody to write down what it says.
    """
    if last_word is not None and last_word.get("attempt") == record["attempt"]:
        return judge(UNKNOWN, last_word)
    return Verdict(State.LOST, f"its processes ended without a word while it was {record['state']}")


def _by_signal(number: int, asked: Asked, out_of_memory: bool) -> Verdict:
    if asked.kill:
        return Verdict(State.KILLED, asked.kill)
    if asked.stop and number == signal.SIGTERM:
        return Verdict(State.KILLED, f"{asked.stop}, but the worker was not yet able to stop at a safe point")
    guess = " (out of memory?)" if out_of_memory and number == signal.SIGKILL else ""
    return Verdict(State.CRASHED, f"killed by signal {number}{_signal_name(number)}{guess}")


def _by_last_word(last_word: Mapping[str, Any] | None, asked: Asked) -> Verdict:
    status = _status(last_word)
    if status == "finished":
        return Verdict(State.FINISHED)
    if status == "stopped":
        return Verdict(State.STOPPED, asked.stop)
    if status == "failed":
        return Verdict(State.CRASHED, _failure(last_word) or "the worker failed; see the log")
    if asked.kill:
        return Verdict(State.KILLED, asked.kill)
    return Verdict(State.CRASHED, "the worker ended without a last word after its first supervisor was gone")


def _status(last_word: Mapping[str, Any] | None) -> str:
    return str((last_word or {}).get("status", ""))


def _failure(last_word: Mapping[str, Any] | None) -> str:
    error = (last_word or {}).get("error")
    return str(error.get("message", "")) if isinstance(error, Mapping) else ""


def _signal_name(number: int) -> str:
    # 9 is known to everybody; of the rest the name says more than the number.
    if number == signal.SIGKILL or number not in {item.value for item in signal.Signals}:
        return ""
    return f" ({signal.Signals(number).name})"
