"""What surrounds a run: damaged files, missing devices, a full disk, the launcher and the worker's environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmfuse.errors import BadSpec, StoreError
from mmfuse_runs import control, launch
from mmfuse_runs.atomic import write_json
from mmfuse_runs.states import State

RUNS = Path(launch.__file__).parents[1]


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


def test_the_worker_gets_its_environment_a_session_of_its_own_and_a_plain_log(house):
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
    assert told["pid"] == told["pgid"] == told["sid"] != house.supervisor(run).pid
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
    assert supervisor.wait(timeout=90) == 0


def test_a_kill_that_nobody_asked_for_is_put_down_to_memory_if_the_kernel_killed_meanwhile(house, monkeypatch):
    run = prepare(house, "train", monkeypatch)

    supervisor = supervise_here(house, run, "counts = iter([4, 5]); module._oom_kills = lambda: next(counts)")
    house.wait(run, State.RUNNING)
    house.worker(run).signal(signal.SIGKILL)

    assert supervisor.wait(timeout=90) == 0
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
    monkeypatch.setattr(control, "CONFIRM_S", 0.05)

    control.stop(house.store, run)
    house.eventually(house.worker(run).gone)
    assert supervisor.poll() is None
    obstacle.rmdir()

    assert house.wait(run) is State.STOPPED
    assert supervisor.wait(timeout=90) == 0


def test_a_long_living_launcher_keeps_no_zombie(house):
    run = house.create()
    start_and_look = (
        "import os, sys; from pathlib import Path\n"
        "from mmfuse_runs.store import RunStore; from mmfuse_runs import control, launch\n"
        "store = RunStore(Path(sys.argv[1]))\n"
        "launch.start(store, sys.argv[2], argv=['true'], device='cpu', threads=1)\n"
        "print(control.wait(store, sys.argv[2], timeout=90))\n"
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


def test_a_process_with_a_name_that_is_no_text_does_not_disturb_the_end_of_a_run(house, tmp_path):
    program = os.fsencode(tmp_path) + b"/\xff\xfe"
    os.symlink(sys.executable, program)  # noqa: PTH211 - a name that is no text
    bystander = subprocess.Popen([program, "-I", "-S", "-c", "import time; time.sleep(60)"])

    try:
        run = house.start("train_with_children", until=State.RUNNING)
        control.kill(house.store, run)
        assert house.wait(run) is State.KILLED
        house.eventually(lambda: house.supervisor(run).gone())
        assert b"Traceback" not in house.path(run).joinpath("log.1.txt").read_bytes()
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("attempts", [None, {}, ["x"]])
def test_a_damaged_launch_file_refuses_a_resume_and_leaves_the_run_as_it_was(house, attempts):
    run = house.start("refuse", until=State.CRASHED)
    house.path(run).joinpath("launch.json").write_text(json.dumps({"format": 1, "attempts": attempts}))

    with pytest.raises(StoreError, match=r"launch\.json .* lists no attempts"):
        control.resume(house.store, run)

    assert house.state(run) is State.CRASHED


@pytest.mark.parametrize(
    "damage", [{"attempt": None}, {"history": None}, {"history": [{}]}, {"since": "x"}, {"state": "dancing"}]
)
def test_a_damaged_state_refuses_every_verb_in_a_sentence(house, damage):
    run = house.start("refuse", until=State.CRASHED)
    write_json(house.path(run) / "state.json", house.record(run) | damage)

    for verb in (control.stop, control.kill, control.pause, control.continue_, control.resume, control.adopt):
        with pytest.raises(StoreError, match=r"state\.json of run .* cannot be used"):
            verb(house.store, run)


def test_a_reason_that_is_no_text_does_not_end_the_supervisor(house):
    run = house.start("train", until=State.RUNNING)

    control.stop(house.store, run, reason="a\udcffb")

    assert house.wait(run) is State.STOPPED
    assert house.store.record(run).reason == "asked by cli: a\N{REPLACEMENT CHARACTER}b"


def test_a_run_that_cannot_be_started_does_not_stay_in_the_line(house, monkeypatch):
    run = house.create()
    monkeypatch.setenv("MMFUSE_CPU_SLOTS", "many")

    with pytest.raises(BadSpec, match="MMFUSE_CPU_SLOTS"):
        launch.start(house.store, run)

    assert house.state(run) is State.CRASHED
    assert "MMFUSE_CPU_SLOTS" in house.record(run)["reason"]


def test_a_working_folder_that_is_gone_does_not_keep_a_run_from_starting(house, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()

    run = house.start("finish", until=State.FINISHED)

    assert house.store.folder(run).launch()["attempts"][0]["cwd"] == str(house.store.home)
