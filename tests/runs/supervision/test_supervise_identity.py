"""A process is its pid, its start time and its boot."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from mmfuse_runs.identity import ProcessIdentity


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_living_process_is_alive_and_not_gone(sleeper):
    identity = ProcessIdentity.of(sleeper.pid)

    assert identity.alive()
    assert not identity.gone()


def test_another_process_with_the_same_pid_is_somebody_else_and_is_not_signalled(sleeper):
    recycled = ProcessIdentity.of(sleeper.pid)._replace(start_ticks=1)

    assert recycled.gone()
    assert recycled.signal(signal.SIGKILL) is False
    assert sleeper.poll() is None


def test_a_zombie_is_dead(sleeper):
    identity = ProcessIdentity.of(sleeper.pid)

    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)

    assert identity.gone()
    with pytest.raises(ProcessLookupError):
        ProcessIdentity.of(sleeper.pid)


def test_of_a_process_on_another_host_nothing_is_certain():
    elsewhere = ProcessIdentity.own()._replace(host="elsewhere")

    assert not elsewhere.alive()
    assert not elsewhere.gone()
    assert elsewhere.signal(signal.SIGKILL) is False


def test_a_pidfd_becomes_readable_when_the_process_ends(sleeper):
    pidfd = ProcessIdentity.of(sleeper.pid).open()

    sleeper.kill()

    assert select.select([pidfd], [], [], 10)[0] == [pidfd]
    os.close(pidfd)


def test_an_identity_survives_json():
    own = ProcessIdentity.own()

    assert ProcessIdentity.from_json(own.to_json()) == own


@pytest.mark.parametrize(
    "damaged", [None, {}, {"pid": 1}, {"host": "h", "boot_id": "b", "pid": "x", "start_ticks": 1}, "x", [1]]
)
def test_a_damaged_identity_is_none(damaged):
    assert ProcessIdentity.from_json(damaged) is None


@pytest.mark.parametrize("name", [b"a) R 1 (b", b"\xffno text\xff", b"f\xc3\xbcnfzehn B\xc3\xbcchstaben"])
def test_the_start_time_is_found_behind_a_command_name_of_any_bytes(tmp_path, name):
    program = os.fsencode(tmp_path) + b"/" + name
    os.symlink(sys.executable, program)  # noqa: PTH211 - a name that is no text
    process = subprocess.Popen([program, "-I", "-S", "-c", "import time; time.sleep(60)"])

    try:
        assert ProcessIdentity.of(process.pid).start_ticks >= ProcessIdentity.own().start_ticks
    finally:
        process.kill()
        process.wait()
