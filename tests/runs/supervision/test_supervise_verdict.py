"""From the end of a process to the state of a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse_runs.states import TERMINAL, TRANSITIONS, State
from mmfuse_runs.verdict import UNKNOWN, Asked, Exit, judge

FINISHED = {"status": "finished", "attempt": 1}
STOPPED = {"status": "stopped", "attempt": 1}
FAILED = {"status": "failed", "attempt": 1, "error": {"message": "the loss is not a number"}}
STOP, KILL = Asked(stop="asked by cli"), Asked(kill="asked by tui")


@pytest.mark.parametrize(
    ("ended", "word", "asked", "state", "reason"),
    [
        (Exit(0), FINISHED, Asked(), State.FINISHED, ""),
        (Exit(0), FINISHED, KILL, State.FINISHED, ""),
        (Exit(0), None, Asked(), State.CRASHED, "no exit.json"),
        (Exit(0), STOPPED, STOP, State.CRASHED, "no exit.json"),
        (Exit(75), STOPPED, STOP, State.STOPPED, "asked by cli"),
        (Exit(75), None, Asked(), State.STOPPED, ""),
        (Exit(1), FAILED, Asked(), State.CRASHED, "the loss is not a number"),
        (Exit(2), None, Asked(), State.CRASHED, "exited with 2"),
        (Exit(signal=9), None, KILL, State.KILLED, "asked by tui"),
        (Exit(signal=9), None, Asked(), State.CRASHED, "killed by signal 9"),
        (Exit(signal=11), None, Asked(), State.CRASHED, "signal 11 (SIGSEGV)"),
        (Exit(signal=15), None, STOP, State.KILLED, "not yet able to stop"),
        (Exit(signal=15), None, Asked(), State.CRASHED, "signal 15 (SIGTERM)"),
        (UNKNOWN, FINISHED, Asked(), State.FINISHED, ""),
        (UNKNOWN, STOPPED, STOP, State.STOPPED, "asked by cli"),
        (UNKNOWN, FAILED, Asked(), State.CRASHED, "the loss is not a number"),
        (UNKNOWN, None, KILL, State.KILLED, "asked by tui"),
        (UNKNOWN, None, Asked(), State.CRASHED, "without a last word"),
    ],
)
def test_the_end_of_a_worker_is_judged(ended, word, asked, state, reason):
    verdict = judge(ended, word, asked=asked)

    assert verdict.state is state
    assert reason in verdict.reason
    assert bool(reason) == bool(verdict.reason)


def test_memory_is_suspected_only_where_the_kernel_killed_for_it():
    assert judge(Exit(signal=9), None, out_of_memory=True).reason == "killed by signal 9 (out of memory?)"
    assert "memory" not in judge(Exit(signal=9), None).reason
    assert "memory" not in judge(Exit(signal=11), None, out_of_memory=True).reason


@given(
    ended=st.one_of(
        st.builds(Exit, st.integers(0, 255)), st.builds(Exit, st.none(), st.integers(1, 64)), st.just(UNKNOWN)
    ),
    word=st.sampled_from([None, {}, FINISHED, STOPPED, FAILED, {"status": "failed", "error": "odd"}]),
    asked=st.builds(Asked, st.sampled_from(["", "s"]), st.sampled_from(["", "k"])),
    before=st.sampled_from([State.STARTING, State.RUNNING, State.PAUSED, State.STOPPING]),
)
def test_every_verdict_can_be_recorded_from_every_state_of_a_worker(ended, word, asked, before):
    state = judge(ended, word, asked=asked).state

    assert state in TERMINAL
    through_running = State.RUNNING in TRANSITIONS[before] and state in TRANSITIONS[State.RUNNING]
    assert state in TRANSITIONS[before] or through_running
