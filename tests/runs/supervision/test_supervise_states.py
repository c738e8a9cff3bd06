"""The life-cycle as a table: which steps are legal, and what a reader concludes from a record."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse_runs.identity import ProcessIdentity, boot_id, host_name
from mmfuse_runs.states import (
    FOREIGN_LEASE_S,
    LEASE_S,
    LIVE,
    RESUMABLE,
    TERMINAL,
    TRANSITIONS,
    IllegalTransition,
    State,
    advanced,
    check_transition,
    first_record,
    observe,
    withdrawn,
)

DEAD = ProcessIdentity(host_name(), boot_id(), 4_194_303, 1)


def record(state: State, *, supervisor: ProcessIdentity | None = None, worker: ProcessIdentity | None = None) -> dict:
    return first_record("r", at=0.0) | {
        "state": str(state),
        "supervisor": supervisor and supervisor.to_json(),
        "worker": worker and worker.to_json(),
    }


def test_every_state_is_either_live_or_terminal_and_has_its_transitions():
    assert set(State) == LIVE | TERMINAL == set(TRANSITIONS)
    assert not LIVE & TERMINAL


def test_an_ended_attempt_is_followed_by_a_new_one_or_by_nothing():
    for state in TERMINAL:
        assert TRANSITIONS[state] == ({State.QUEUED} if state in RESUMABLE else set())


def test_an_illegal_step_is_refused_with_both_states_in_the_sentence():
    with pytest.raises(IllegalTransition, match=r"from finished to queued; from finished only to nothing"):
        check_transition(State.FINISHED, State.QUEUED)


@given(st.lists(st.sampled_from(State), max_size=40))
def test_any_sequence_of_steps_leaves_a_legal_history(steps: list[State]):
    now = first_record("r", at=0.0)

    for at, step in enumerate(steps, start=1):
        legal = step in TRANSITIONS[State(now["state"])]
        try:
            now = advanced(now, step, at=at)
        except IllegalTransition:
            assert not legal
        else:
            assert legal

    path = [State(entry["state"]) for entry in now["history"]]
    assert path[0] is State.QUEUED and path[-1] == now["state"]
    assert all(after in TRANSITIONS[before] for before, after in itertools.pairwise(path))
    assert now["attempt"] == path.count(State.QUEUED) == now["history"][-1]["attempt"]


def test_the_next_attempt_forgets_the_processes_of_the_last():
    ended = record(State.CRASHED, supervisor=DEAD, worker=DEAD) | {"exit_code": 1, "slot": "cpu.0"}

    queued = advanced(ended, State.QUEUED, at=5.0, reason="resumed by cli")

    assert (queued["supervisor"], queued["worker"], queued["exit_code"], queued["slot"]) == (None, None, None, None)
    assert (queued["attempt"], queued["reason"], queued["since"]) == (2, "resumed by cli", 5.0)


def test_withdrawing_a_later_attempt_keeps_the_run_resumable():
    assert withdrawn(1) is State.CANCELLED
    assert withdrawn(2) in RESUMABLE
    assert withdrawn(2) in TRANSITIONS[State.QUEUED]


@pytest.mark.parametrize("state", sorted(LIVE))
def test_a_run_whose_supervisor_lives_is_what_it_says_however_old_its_heartbeat(state: State):
    seen = observe(record(state, supervisor=ProcessIdentity.own()), mtime=0.0)

    assert seen == (state, False)


@pytest.mark.parametrize("state", sorted(LIVE))
def test_a_run_whose_processes_are_dead_on_this_host_is_lost_at_once(state: State):
    seen = observe(record(state, supervisor=DEAD, worker=DEAD), mtime=time.time())

    assert seen == (State.LOST, False)


def test_a_worker_without_supervisor_is_an_orphan():
    seen = observe(record(State.RUNNING, supervisor=DEAD, worker=ProcessIdentity.own()), mtime=0.0)

    assert seen == (State.RUNNING, True)


def test_processes_of_an_earlier_boot_are_dead():
    earlier = ProcessIdentity.own()._replace(boot_id="another boot")

    assert observe(record(State.RUNNING, supervisor=earlier, worker=earlier), mtime=time.time()).state is State.LOST


@pytest.mark.parametrize(("supervisor", "lease"), [(None, LEASE_S), (DEAD._replace(host="elsewhere"), FOREIGN_LEASE_S)])
def test_where_processes_cannot_be_checked_the_heartbeat_decides(supervisor: ProcessIdentity | None, lease: float):
    queued = record(State.QUEUED, supervisor=supervisor)

    assert observe(queued, mtime=1000.0, now=1000.0 + lease - 1).state is State.QUEUED
    assert observe(queued, mtime=1000.0, now=1000.0 + lease + 1).state is State.LOST


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_an_ended_run_stays_what_it_is(state: State):
    assert observe(record(state, supervisor=DEAD, worker=DEAD), mtime=0.0) == (state, False)
