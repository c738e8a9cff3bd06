"""Runs from start to end and what is asked of them on the way, with real supervisors and fake workers."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from mmfuse.errors import RunBusy
from mmfuse_runs import control, inbox
from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.inbox import Request, Verb
from mmfuse_runs.slots import Line
from mmfuse_runs.states import LIVE, State


def gone(pid: int) -> bool:
    try:
        ProcessIdentity.of(pid)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("scenario", "state", "reason", "code", "number"),
    [
        ("finish", State.FINISHED, "", 0, None),
        ("finish_unseen", State.FINISHED, "", 0, None),
        ("exit_silently", State.CRASHED, "no exit.json", 0, None),
        ("exit_75_silently", State.STOPPED, "", 75, None),
        ("refuse", State.CRASHED, "no such patch size: 5 does not divide 28", 2, None),
        ("break_down", State.CRASHED, "exited with 3", 3, None),
        ("segfault", State.CRASHED, "SIGSEGV", None, 11),
    ],
)
def test_how_a_worker_ends_decides_the_state(house, scenario, state, reason, code, number):
    run = house.start(scenario)

    assert house.wait(run) is state
    record = house.record(run)
    assert reason in record["reason"]
    assert (record["exit_code"], record["signal"]) == (code, number)


def test_a_finished_run_passed_through_every_state_and_its_result_is_in_the_index(house):
    run = house.start("finish", until=State.FINISHED)

    assert house.path_taken(run) == ["queued", "starting", "running", "finished"]
    house.eventually(house.supervisor(run).gone)
    document = house.store.documents()[run]
    assert (document["state"], document["score"], document["parameters"]) == ("finished", 0.5, 7)
    assert "unknown" not in document


def test_a_worker_killed_from_outside_shows_as_crashed(house):
    run = house.start("train", until=State.RUNNING)

    house.worker(run).signal(signal.SIGKILL)

    assert house.wait(run) is State.CRASHED
    assert house.record(run)["reason"] == "killed by signal 9"


def test_stop_lets_the_worker_save_and_says_who_asked(house):
    run = house.start("train", until=State.RUNNING)

    control.stop(house.store, run, by="tui", reason="seen enough")

    assert house.wait(run) is State.STOPPED
    assert house.path_taken(run) == ["queued", "starting", "running", "stopping", "stopped"]
    assert house.record(run)["reason"] == "asked by tui: seen enough"


def test_stop_signals_the_leader_only_and_strays_are_found_and_ended(house):
    run = house.start("train_with_children", until=State.RUNNING)

    control.stop(house.store, run)

    assert house.wait(run) is State.STOPPED
    assert not (house.path(run) / "sigterm.txt").exists()
    for name in ("member.txt", "escaped.txt", "orphaned.txt"):
        assert gone(house.pid(run, name)), name


def test_kill_ends_the_worker_and_its_strays_at_once(house):
    run = house.start("train_with_children", until=State.RUNNING)

    assert control.kill(house.store, run, reason="wrong data") is State.KILLED

    assert house.record(run)["reason"] == "asked by cli: wrong data"
    assert all(gone(house.pid(run, name)) for name in ("member.txt", "escaped.txt", "orphaned.txt"))


def test_a_worker_that_ignores_the_request_is_killed_after_the_grace_time(house):
    run = house.start("ignore_sigterm", until=State.RUNNING)

    control.stop(house.store, run, grace_s=0.1)

    assert house.wait(run) is State.KILLED
    assert "did not stop in time" in house.record(run)["reason"]


def test_a_second_stop_may_shorten_the_grace_time(house):
    run = house.start("ignore_sigterm", until=State.RUNNING)
    assert control.stop(house.store, run) is State.STOPPING

    control.stop(house.store, run, grace_s=0)

    assert house.wait(run) is State.KILLED


def test_a_worker_that_cannot_hear_yet_is_killed_by_a_stop(house):
    run = house.start("import_forever", until=State.STARTING)
    house.eventually((house.path(run) / "importing.txt").exists)

    control.stop(house.store, run)

    assert house.wait(run) is State.KILLED
    assert house.path_taken(run) == ["queued", "starting", "stopping", "killed"]


def test_a_paused_run_stands_still_and_goes_on(house):
    run = house.start("train", until=State.RUNNING)

    assert control.pause(house.store, run) is State.PAUSED
    house.eventually(lambda: Path(f"/proc/{house.worker(run).pid}/stat").read_text().split()[2] == "T")
    assert control.continue_(house.store, run) is State.RUNNING
    house.eventually(lambda: Path(f"/proc/{house.worker(run).pid}/stat").read_text().split()[2] != "T")


def test_a_paused_run_can_be_stopped_and_saves(house):
    run = house.start("train_with_children", until=State.RUNNING)
    control.pause(house.store, run)

    control.stop(house.store, run)

    assert house.wait(run) is State.STOPPED


def test_a_paused_run_can_be_killed(house):
    run = house.start("train", until=State.RUNNING)
    control.pause(house.store, run)

    assert control.kill(house.store, run) is State.KILLED


def test_verbs_may_be_repeated(house):
    run = house.start("train", until=State.RUNNING)

    assert [control.pause(house.store, run) for _ in range(2)] == [State.PAUSED] * 2
    assert [control.continue_(house.store, run) for _ in range(2)] == [State.RUNNING] * 2
    control.stop(house.store, run)
    house.wait(run)
    assert control.stop(house.store, run) is control.kill(house.store, run) is State.STOPPED
    assert house.path_taken(run).count("paused") == 1


def test_sigterm_to_the_supervisor_means_stop(house):
    run = house.start("train", until=State.RUNNING)

    house.supervisor(run).signal(signal.SIGTERM)

    assert house.wait(run) is State.STOPPED


def test_a_request_that_comes_before_the_supervisor_cancels_the_run(house):
    run = house.create()
    inbox.post(house.path(run), Request(Verb.STOP, by="early bird"))

    house.launch(run, "train")

    assert house.wait(run) is State.CANCELLED
    assert house.record(run)["worker"] is None
    assert house.record(run)["reason"] == "asked by early bird"


def test_a_pause_that_comes_before_the_worker_is_kept_until_it_runs(house):
    run = house.create()
    inbox.post(house.path(run), Request(Verb.PAUSE))

    house.launch(run, "train")

    assert house.wait(run, State.PAUSED) is State.PAUSED


def test_a_run_waits_for_its_slot_says_for_whom_and_can_be_withdrawn(house, monkeypatch):
    monkeypatch.setenv("MMFUSE_CPU_SLOTS", "1")
    first = house.start("finish_when_told", until=State.RUNNING)
    second = house.start("finish")
    house.eventually(lambda: house.record(second)["waiting"] is not None)
    third = house.start("finish")

    house.eventually(lambda: house.record(third)["waiting"] is not None)
    house.eventually(lambda: house.record(second)["waiting"] == f"cpu.0 is held by {first}")
    assert control.stop(house.store, second) is State.CANCELLED
    house.eventually(lambda: house.record(third)["waiting"] == f"cpu.0 is held by {first}")
    with pytest.raises(RunBusy, match="still waits for its slot"):
        control.pause(house.store, third)
    (house.path(first) / "finish").touch()

    assert house.wait(third) is State.FINISHED
    assert house.record(third)["waiting"] is None


def test_a_queued_run_that_nobody_started_can_be_cancelled(house, monkeypatch):
    monkeypatch.setattr(control, "CONFIRM_S", 0.05)
    run = house.create()

    assert control.stop(house.store, run) is State.CANCELLED
    assert not inbox.pending(house.path(run), Verb.STOP)


@pytest.mark.parametrize("verb", [control.stop, control.kill, control.pause, control.continue_, control.adopt])
def test_a_run_that_ended_by_itself_refuses_every_verb(house, verb):
    run = house.start("finish", until=State.FINISHED)

    with pytest.raises(RunBusy, match=r"has finished|has ended"):
        verb(house.store, run)


def test_a_started_run_cannot_be_started_again(house):
    run = house.start("train", until=State.RUNNING)

    with pytest.raises(RunBusy, match="cannot be started"):
        house.launch(run, "train")


def test_the_heartbeat_goes_on_while_the_run_is_paused(house):
    run = house.start("train", until=State.RUNNING)
    control.pause(house.store, run)
    state = house.path(run) / "state.json"
    before = state.stat().st_mtime_ns

    house.eventually(lambda: state.stat().st_mtime_ns > before)

    assert json.loads(state.read_text())["since"] * 1e9 < state.stat().st_mtime_ns


def test_a_slot_is_free_once_the_run_has_ended(house):
    for scenario in ("finish", "segfault"):
        house.wait(house.start(scenario))

    names = [path.name for path in house.slot_files()]

    assert names
    for name in names:
        assert Line(house.store.home, run="next", wanted=[name]).try_take() is not None


def test_live_states_are_what_the_store_refuses_to_remove(house):
    run = house.start("train", until=State.RUNNING)

    assert house.state(run) in LIVE
    with pytest.raises(RunBusy):
        house.store.remove(run)
