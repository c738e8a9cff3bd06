"""After the end, and after the death of a supervisor: next attempts, orphans, adoption, lost runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmfuse.errors import RunBusy
from mmfuse_runs import control, inbox, launch
from mmfuse_runs.atomic import write_json
from mmfuse_runs.inbox import Request, Verb
from mmfuse_runs.slots import Line
from mmfuse_runs.states import State, advanced
from mmfuse_runs.store import RunStore


def test_resume_makes_the_next_attempt_with_the_same_command(house):
    run = house.start("train", until=State.RUNNING)
    control.stop(house.store, run)
    house.wait(run)

    assert control.resume(house.store, run, by="tui") == 2

    house.wait(run, State.RUNNING)
    first, second = house.store.folder(run).launch()["attempts"]
    assert (first["argv"], first["device"], first["threads"]) == (second["argv"], second["device"], second["threads"])
    assert (second["attempt"], second["started_by"]) == (2, "tui")
    assert house.path(run).joinpath("log.2.txt").exists()
    assert house.path_taken(run)[-3:] == ["queued", "starting", "running"]


def test_an_exit_file_of_an_earlier_attempt_proves_nothing(house):
    run = house.start("exit_silently", until=State.CRASHED)
    (house.path(run) / "exit.json").write_text('{"status": "finished", "attempt": 1}')

    control.resume(house.store, run)

    assert house.wait(run) is State.CRASHED


def test_a_request_to_an_ended_attempt_does_not_reach_the_next(house):
    run = house.start("refuse", until=State.CRASHED)
    inbox.post(house.path(run), Request(Verb.STOP, attempt=1))

    control.resume(house.store, run)
    inbox.post(house.path(run), Request(Verb.KILL, attempt=1))

    assert house.wait(run) is State.CRASHED


def test_a_later_attempt_withdrawn_from_the_line_stays_resumable(house, monkeypatch):
    run = house.start("refuse", until=State.CRASHED)
    monkeypatch.setenv("MMFUSE_CPU_SLOTS", "1")
    slot = Line(house.store.home, run="other", wanted=["cpu.0"]).try_take()

    control.resume(house.store, run)
    house.eventually(lambda: house.record(run)["waiting"] is not None)
    assert control.stop(house.store, run) is State.STOPPED
    slot.release()

    assert control.resume(house.store, run) == 3


@pytest.mark.parametrize(
    ("scenario", "until", "sentence"),
    [("finish", State.FINISHED, "has finished"), ("train", State.RUNNING, "is running")],
)
def test_a_run_that_finished_or_goes_on_cannot_be_resumed(house, scenario, until, sentence):
    run = house.start(scenario, until=until)

    with pytest.raises(RunBusy, match=sentence):
        control.resume(house.store, run)


def test_of_many_who_resume_at_once_one_wins(house):
    run = house.start("refuse", until=State.CRASHED)
    resume = (
        "import sys; from pathlib import Path; from mmfuse.errors import RunBusy\n"
        "from mmfuse_runs.store import RunStore; from mmfuse_runs import control\n"
        "try: control.resume(RunStore(Path(sys.argv[1])), sys.argv[2])\n"
        "except RunBusy: sys.exit(3)"
    )

    rivals = [subprocess.Popen([sys.executable, "-c", resume, house.store.home, run]) for _ in range(3)]
    outcomes = [rival.wait(timeout=90) for rival in rivals]

    house.wait(run)
    attempts = [item["attempt"] for item in house.store.folder(run).launch()["attempts"]]
    assert attempts == list(range(1, 2 + outcomes.count(0)))
    assert outcomes.count(0) >= 1 and set(outcomes) <= {0, 3}


def test_whoever_settles_a_lost_run_leaves_the_attempt_alone_that_was_queued_meanwhile(house):
    run = house.start("refuse", until=State.CRASHED)
    record = advanced(house.record(run), State.QUEUED, at=time.time(), reason="resumed by somebody else")
    write_json(house.path(run) / "state.json", record)

    finished = subprocess.run(
        [sys.executable, "-I", "-S", launch._SUPERVISE, house.path(run), "--adopt"], capture_output=True, text=True
    )

    assert "has not been started yet" in finished.stderr
    assert house.record(run) == record


def test_of_many_who_resume_a_lost_run_at_once_one_wins(house):
    run = house.start("train", until=State.RUNNING)
    worker = house.worker(run)
    house.kill_supervisor(run)
    worker.signal(signal.SIGKILL)
    house.eventually(worker.gone)

    with ThreadPoolExecutor(4) as people:
        resumed = [people.submit(control.resume, RunStore(house.store.home), run) for _ in range(4)]
        refusals = [done.exception() for done in resumed]

    assert [type(refusal) for refusal in refusals if refusal] == [RunBusy] * 3
    house.wait(run, State.RUNNING)
    assert house.record(run)["attempt"] == 2


def test_a_run_without_supervisor_is_an_orphan_keeps_its_slot_and_can_be_adopted(house, monkeypatch):
    monkeypatch.setenv("MMFUSE_CPU_SLOTS", "1")
    run = house.start("finish_when_told", until=State.RUNNING)
    worker = house.worker(run)

    house.kill_supervisor(run)

    assert worker.alive()
    assert house.store.record(run).orphan
    assert Line(house.store.home, run="greedy", wanted=["cpu.0"]).try_take() is None
    with pytest.raises(RunBusy, match="goes on without its supervisor"):
        control.resume(house.store, run)
    assert control.adopt(house.store, run) is State.RUNNING
    assert not house.store.record(run).orphan
    (house.path(run) / "finish").touch()
    assert house.wait(run) is State.FINISHED
    assert house.worker(run) == worker


def test_adopting_a_run_that_has_a_supervisor_changes_nothing(house):
    run = house.start("train", until=State.RUNNING)
    supervisor = house.supervisor(run)

    assert control.adopt(house.store, run) is State.RUNNING
    assert house.supervisor(run) == supervisor


@pytest.mark.parametrize(("verb", "end"), [(control.stop, State.STOPPED), (control.kill, State.KILLED)])
def test_an_orphan_obeys_for_it_is_adopted_first(house, verb, end):
    run = house.start("train", until=State.RUNNING)
    house.kill_supervisor(run)

    verb(house.store, run)

    assert house.wait(run) is end


def test_an_orphan_can_be_paused_and_a_paused_orphan_stays_paused(house):
    run = house.start("train", until=State.RUNNING)
    house.kill_supervisor(run)
    assert control.pause(house.store, run) is State.PAUSED
    house.kill_supervisor(run)

    assert control.adopt(house.store, run) is State.PAUSED
    assert control.continue_(house.store, run) is State.RUNNING
    control.stop(house.store, run)
    assert house.wait(run) is State.STOPPED


def test_a_paused_run_survives_its_supervisor_and_stays_paused(house):
    run = house.start("train", until=State.RUNNING)
    control.pause(house.store, run)
    house.eventually(lambda: _is_stopped(house.worker(run).pid))  # the state is written down before the signal is sent

    house.kill_supervisor(run)

    # The kernel hangs up on a paused process group that its session leaves behind, within microseconds.
    assert house.worker(run).alive()
    house.eventually(lambda: _is_stopped(house.worker(run).pid))
    assert control.adopt(house.store, run) is State.PAUSED
    assert control.continue_(house.store, run) is State.RUNNING
    control.stop(house.store, run)
    assert house.wait(run) is State.STOPPED


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_the_last_word_of_a_worker_that_ended_alone_counts_once_adopted(house):
    run = house.start("finish_when_told", until=State.RUNNING)
    house.kill_supervisor(run)
    (house.path(run) / "finish").touch()
    house.eventually(house.worker(run).gone)
    assert house.store.record(run).state == State.FINISHED

    with pytest.raises(RunBusy, match="has finished"):
        control.resume(house.store, run)

    assert house.state(run) is State.FINISHED


def test_a_run_that_lost_all_its_processes_is_lost_at_once_and_can_be_resumed(house):
    run = house.start("train", until=State.RUNNING)
    house.kill_supervisor(run)
    house.worker(run).signal(signal.SIGKILL)
    house.eventually(house.worker(run).gone)

    assert house.store.record(run).state == State.LOST
    with pytest.raises(RunBusy, match="is lost; there is nothing to stop"):
        control.stop(house.store, run)
    assert control.resume(house.store, run) == 2
    assert house.wait(run, State.RUNNING) is State.RUNNING
    assert house.path_taken(run)[3:5] == ["lost", "queued"]


def test_a_run_that_nobody_claimed_can_be_resumed_once_its_lease_is_over(house):
    run = house.create()
    os.utime(house.path(run) / "state.json", (1, 1))

    control.resume(house.store, run)

    assert house.record(run)["attempt"] == 2
    control.kill(house.store, run)


def test_a_recycled_pid_is_not_taken_for_the_worker(house):
    run = house.start("train", until=State.RUNNING)
    house.kill_supervisor(run)
    house.worker(run).signal(signal.SIGKILL)
    record = house.record(run)
    bystander = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"])
    record["worker"] |= {"pid": bystander.pid}
    (house.path(run) / "state.json").write_text(json.dumps(record))

    control.adopt(house.store, run)

    assert house.wait(run) is State.LOST
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_two_supervisors_of_one_run_are_one_too_many(house):
    run = house.start("train", until=State.RUNNING)
    first = house.supervisor(run)

    for adopt in (False, True):
        launch.spawn_supervisor(house.path(run), log=house.path(run) / "log.1.txt", adopt=adopt)

    log = house.path(run) / "log.1.txt"
    house.eventually(lambda: log.read_text().count("supervisor:") == 2)
    assert house.supervisor(run) == first
    assert (house.path(run) / "pids.txt").read_text().count("\n") == 1


def test_a_request_reaches_a_run_whose_supervisor_dies_before_it_takes_it(house, monkeypatch):
    run = house.start("train", until=State.RUNNING)
    supervisor = house.supervisor(run)
    supervisor.signal(signal.SIGSTOP)
    nudge = control._nudge

    def die_instead(store, run_id):
        monkeypatch.setattr(control, "_nudge", nudge)
        supervisor.signal(signal.SIGKILL)

    monkeypatch.setattr(control, "_nudge", die_instead)

    control.kill(house.store, run)

    assert house.wait(run) is State.KILLED
