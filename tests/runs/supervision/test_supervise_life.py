"""Runs from start to end, with real supervisors and fake workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmfuse.errors import RunBusy
from mmfuse_runs import control, inbox, launch
from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.inbox import Request, Verb
from mmfuse_runs.slots import Line
from mmfuse_runs.states import LIVE, State

RUNS = Path(launch.__file__).parents[1]


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


def test_a_worker_killed_from_outside_shows_as_crashed_within_two_seconds(house):
    run = house.start("train", until=State.RUNNING)

    house.worker(run).signal(signal.SIGKILL)

    assert control.wait(house.store, run, timeout=2) is State.CRASHED
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
    assert Path(f"/proc/{house.worker(run).pid}/stat").read_text().split()[2] == "T"
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
    second, third = house.start("finish"), house.start("finish")

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


@pytest.mark.parametrize(("scenario", "sentence"), [("finish", "has finished"), ("train", "is running")])
def test_a_run_that_finished_or_goes_on_cannot_be_resumed(house, scenario, sentence):
    run = house.start(scenario)
    house.wait(run, State.FINISHED, State.RUNNING)

    with pytest.raises(RunBusy, match=sentence):
        control.resume(house.store, run)


@pytest.mark.parametrize("verb", [control.stop, control.kill, control.pause, control.continue_, control.adopt])
def test_a_run_that_ended_by_itself_refuses_every_verb(house, verb):
    run = house.start("finish", until=State.FINISHED)

    with pytest.raises(RunBusy, match=r"has finished|has ended"):
        verb(house.store, run)


def test_a_started_run_cannot_be_started_again(house):
    run = house.start("train", until=State.RUNNING)

    with pytest.raises(RunBusy, match="cannot be started"):
        house.launch(run, "train")


def test_of_many_who_resume_at_once_one_wins(house):
    run = house.start("refuse", until=State.CRASHED)
    resume = (
        "import sys; from pathlib import Path; from mmfuse.errors import RunBusy\n"
        "from mmfuse_runs.store import RunStore; from mmfuse_runs import control\n"
        "try: control.resume(RunStore(Path(sys.argv[1])), sys.argv[2])\n"
        "except RunBusy: sys.exit(3)"
    )

    rivals = [subprocess.Popen([sys.executable, "-c", resume, house.store.home, run]) for _ in range(3)]
    outcomes = [rival.wait(timeout=20) for rival in rivals]

    house.wait(run)
    attempts = [item["attempt"] for item in house.store.folder(run).launch()["attempts"]]
    assert attempts == list(range(1, 2 + outcomes.count(0)))
    assert outcomes.count(0) >= 1 and set(outcomes) <= {0, 3}


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


def test_the_last_word_of_a_worker_that_ended_alone_counts_once_adopted(house):
    run = house.start("finish_when_told", until=State.RUNNING)
    house.kill_supervisor(run)
    (house.path(run) / "finish").touch()
    house.eventually(house.worker(run).gone)
    assert house.store.record(run).state == State.LOST

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


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", None, "config.json is missing"),
        ("config.json", "{", "config.json is damaged"),
        ("launch.json", None, "launch.json is missing"),
        ("launch.json", "[]", "launch.json is damaged: it holds no JSON object"),
        ("launch.json", '{"attempts": []}', "launch.json says nothing of attempt 1"),
        ("launch.json", '{"attempts": [{"attempt": 1}]}', "launch.json is damaged: 'argv'"),
    ],
)
def test_damaged_files_crash_the_run_with_a_reason(house, name, content, reason):
    run = house.create()
    path = house.path(run) / name
    launch._write(
        house.path(run) / "launch.json",
        {"attempts": [{"attempt": 1, "argv": ["true"], "cwd": "/", "device": "cpu", "threads": 1}]},
    )
    path.unlink() if content is None else path.write_text(content)

    launch.spawn_supervisor(house.path(run), log=house.path(run) / "log.1.txt")

    assert house.wait(run) is State.CRASHED
    assert reason in house.record(run)["reason"]
    assert "Traceback" not in (house.path(run) / "log.1.txt").read_text()


@pytest.mark.parametrize("argv", [["/no/such/program"], ["/etc/passwd"]])
def test_a_command_that_cannot_be_executed_crashes_the_run_with_the_systems_reason(house, argv):
    run = house.create()

    launch.start(house.store, run, argv=argv, device="cpu", threads=1)

    assert house.wait(run) is State.CRASHED
    assert house.record(run)["reason"].startswith("the worker could not be started: ")


def test_a_device_that_is_not_there_crashes_the_run_with_its_name(house, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    run = house.start("train", device="cuda:3")

    assert house.wait(run) is State.CRASHED
    assert "'cuda:3'" in house.record(run)["reason"]


def test_two_supervisors_of_one_run_are_one_too_many(house):
    run = house.start("train", until=State.RUNNING)
    first = house.supervisor(run)

    for adopt in (False, True):
        launch.spawn_supervisor(house.path(run), log=house.path(run) / "log.1.txt", adopt=adopt)

    log = house.path(run) / "log.1.txt"
    house.eventually(lambda: log.read_text().count("supervisor:") == 2)
    assert house.supervisor(run) == first
    assert (house.path(run) / "pids.txt").read_text().count("\n") == 1


def test_the_worker_gets_its_environment_a_group_of_its_own_and_a_plain_log(house):
    run = house.start("tell_environment", until=State.FINISHED)

    told = json.loads((house.path(run) / "environment.json").read_text())
    expected = {"MMFUSE_RUN_DIR": str(house.path(run)), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    expected |= {
        "PYTHONSAFEPATH": "1",
        "TQDM_DISABLE": "1",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "CUDA_VISIBLE_DEVICES": "",
    }
    assert {name: told[name] for name in expected} == expected
    assert told["pgid"] == told["pid"] != told["sid"] == house.supervisor(run).pid
    assert (told["stdin"], told["cwd"]) == ("/dev/null", str(Path.cwd()))
    assert (house.path(run) / "log.1.txt").read_text() == "a line without newline"


def test_the_worker_on_a_gpu_slot_sees_that_gpu_only(house, tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf 'GPU-aa\\nGPU-bb\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    run = house.start("tell_environment", device="cuda:1")
    house.wait(run)

    told = json.loads((house.path(run) / "environment.json").read_text())
    assert told["CUDA_VISIBLE_DEVICES"] == "GPU-bb"
    assert (told["CUDA_DEVICE_ORDER"], told["MMFUSE_DEVICE"]) == ("PCI_BUS_ID", "cuda")
    assert house.record(run)["slot"] == "gpu-GPU-bb.0"


def supervise_here(house, run: str, tweak: str) -> subprocess.Popen:
    """A supervisor in front, with something of its module replaced, and no space left for what it says."""
    code = f"import sys; sys.path.append({str(RUNS)!r}); import mmfuse_runs.supervisor as module; {tweak}; "
    code += "sys.exit(module.main(sys.argv[1]))"
    with open("/dev/full", "w") as full:
        return subprocess.Popen([sys.executable, "-I", "-S", "-c", code, str(house.path(run))], stderr=full)


def prepare(house, scenario: str, monkeypatch) -> str:
    """A run with everything in place but a supervisor."""
    run = house.create()
    with monkeypatch.context() as patched:
        patched.setattr(launch, "spawn_supervisor", lambda *arguments, **options: None)
        house.launch(run, scenario)
    return run


def test_a_worker_that_shows_no_sign_of_life_is_remarked_on(house, monkeypatch):
    run = prepare(house, "import_forever", monkeypatch)

    supervisor = supervise_here(house, run, "module.SILENT_S = 0.2")

    house.eventually(lambda: str(house.record(run)["waiting"]).startswith("no sign of life from the worker for"))
    assert house.state(run) is State.STARTING
    control.kill(house.store, run)
    assert supervisor.wait(timeout=10) == 0


def test_a_kill_that_nobody_asked_for_is_put_down_to_memory_if_the_kernel_killed_meanwhile(house, monkeypatch):
    run = prepare(house, "train", monkeypatch)

    supervisor = supervise_here(house, run, "counts = iter([4, 5]); module._oom_kills = lambda: next(counts)")
    house.wait(run, State.RUNNING)
    house.worker(run).signal(signal.SIGKILL)

    assert supervisor.wait(timeout=10) == 0
    assert house.record(run)["reason"] == "killed by signal 9 (out of memory?)"


def test_a_state_file_that_cannot_be_written_does_not_end_supervision(house):
    run = house.start("finish_when_told", until=State.RUNNING)
    state = house.path(run) / "state.json"
    # A folder in the way of the temporary file refuses the write as a full disk would.
    obstacle = state.with_name(f"state.json.{house.supervisor(run).pid}.tmp")
    obstacle.mkdir()

    (house.path(run) / "finish").touch()
    house.eventually(house.worker(run).gone)
    log = house.path(run) / "log.1.txt"
    house.eventually(lambda: "state.json was not written, will retry" in log.read_text())
    assert house.supervisor(run).alive()
    assert house.state(run) is State.RUNNING
    obstacle.rmdir()

    assert house.wait(run) is State.FINISHED
    house.eventually(house.supervisor(run).gone)


def test_supervision_goes_on_where_neither_state_nor_log_can_be_written(house, monkeypatch):
    run = prepare(house, "train", monkeypatch)
    supervisor = supervise_here(house, run, "pass")
    house.wait(run, State.RUNNING)
    obstacle = house.path(run) / f"state.json.{supervisor.pid}.tmp"
    obstacle.mkdir()

    control.stop(house.store, run)
    house.eventually(house.worker(run).gone)
    assert supervisor.poll() is None
    obstacle.rmdir()

    assert house.wait(run) is State.STOPPED
    assert supervisor.wait(timeout=10) == 0


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


def test_a_long_living_launcher_keeps_no_zombie(house):
    run = house.create()
    start_and_look = (
        "import os, sys; from pathlib import Path\n"
        "from mmfuse_runs.store import RunStore; from mmfuse_runs import control, launch\n"
        "store = RunStore(Path(sys.argv[1]))\n"
        "launch.start(store, sys.argv[2], argv=['true'], device='cpu', threads=1)\n"
        "print(control.wait(store, sys.argv[2], timeout=20))\n"
        "try: os.waitpid(-1, os.WNOHANG)\n"
        "except ChildProcessError: print('no children')"
    )

    told = subprocess.run([sys.executable, "-c", start_and_look, house.store.home, run], capture_output=True, text=True)

    assert told.stdout.split("\n") == ["crashed", "no children", ""], told.stderr


def test_a_run_outlives_the_terminal_and_the_command_that_started_it(house):
    run = house.create()
    start = (
        "import sys; from pathlib import Path; from mmfuse_runs.store import RunStore; from mmfuse_runs import launch\n"
        f"launch.start(RunStore(Path(sys.argv[1])), {run!r}, argv=sys.argv[2:], device='cpu', threads=1)\n"
        "import time; print('started', flush=True); time.sleep(60)"
    )
    fake = str(Path(__file__).with_name("fake_worker.py"))
    pid, terminal = os.forkpty()
    if pid == 0:
        argv = [
            sys.executable,
            "-c",
            start,
            str(house.store.home),
            sys.executable,
            "-I",
            "-S",
            fake,
            "finish_when_told",
        ]
        os.execv(sys.executable, argv)
    house.wait(run, State.RUNNING)

    os.close(terminal)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    time.sleep(0.1)

    assert house.worker(run).alive() and house.supervisor(run).alive()
    (house.path(run) / "finish").touch()
    assert house.wait(run) is State.FINISHED


def test_the_supervisor_needs_no_site_packages():
    code = f"import sys; sys.path.append({str(RUNS)!r}); import mmfuse_runs.supervisor; print(*sys.modules)"

    modules = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    ).stdout

    heavy = {
        "torch",
        "numpy",
        "tinydb",
        "orjson",
        "pydantic",
        "psutil",
        "subprocess",
        "dataclasses",
        "asyncio",
        "socket",
    }
    assert not heavy & set(modules.split())


def test_live_states_are_what_the_store_refuses_to_remove(house):
    run = house.start("train", until=State.RUNNING)

    assert house.state(run) in LIVE
    with pytest.raises(RunBusy):
        house.store.remove(run)
