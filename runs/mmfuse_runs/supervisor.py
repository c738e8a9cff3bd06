"""One supervisor looks after one attempt of one run: waits for a slot, starts the worker, obeys, tells the end.

It is the only writer of ``state.json`` while it lives; the heartbeat is that file's modification time. It outlives the
terminal and the command that started it, and the worker outlives it: output goes to a plain file, and the worker
inherits the lock on its slot, so a run without supervisor (an orphan) still keeps others off its device.

Standard library only, and sparing with that: it stays in memory as long as the run (about 12 MB).
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from mmfuse_runs import inbox
from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.inbox import Request, Verb
from mmfuse_runs.index_event import append_index_event, index_lock
from mmfuse_runs.notice import notify
from mmfuse_runs.result import INDEXED
from mmfuse_runs.slots import Line, NoSuchDevice, Slot, Ticket, slots_for
from mmfuse_runs.statefile import HEARTBEAT_S, StateFile, read_record, say
from mmfuse_runs.states import LIVE, TRANSITIONS, State, whole_record, withdrawn
from mmfuse_runs.verdict import NOTHING, UNKNOWN, Asked, Exit, Verdict, judge
from mmfuse_runs.workerprocess import Command, WorkerProcess, become_subreaper, reap_strays, start

GRACE_S = 30.0
"""Seconds a worker gets between the request to stop and SIGKILL."""
LINE_POLL_S = 0.25
STARTING_POLL_S = 0.1
SILENT_S = 60.0
"""A worker that shows no sign of life for so long gets a remark in ``waiting``; imports take 3 to 10 s."""
SEAL_FROM_BYTES = 1 << 18
"""A journal of this size takes longer to parse than HDF5 takes to load."""
_SIGNS_OF_LIFE = ("progress.json", "metrics.jsonl", "events.jsonl")


class NotOurs(Exception):
    """Somebody else looks after the run, or there is nothing to look after."""


class Unstartable(Exception):
    """The worker cannot be started; the message is for people."""


class Launch(NamedTuple):
    """What ``launch.json`` says of one attempt, as far as it concerns the supervisor."""

    argv: list[str]
    cwd: str
    device: str
    threads: int
    code: Path | None
    """Where the worker imports our packages from; None: from where they are installed."""


class Supervisor:
    """Takes one attempt from `queued`, or from an orphaned worker, to its end."""

    def __init__(self, run: Path, *, ticket: str = "") -> None:
        self._run = run
        self._home = run.parent.parent
        self._ticket = _inherited(self._home, ticket) if ticket else None
        """The place in the line that the launcher took, until the line has it."""
        self._wake = _Wake()
        self._state = StateFile(run, {})
        self._slot: Slot | None = None
        self._asked = NOTHING
        self._kill_at: float | None = None
        self._pause = Request(Verb.CONTINUE)
        """The newest request to pause or to continue: what the worker should be doing."""

    def start(self) -> None:
        """Do the queued attempt.

        Raises:
            NotOurs: the run is not queued, or another supervisor has it.
        """
        try:
            self._claim(frozenset({State.QUEUED}))
            become_subreaper()
            launch = self._read_launch()
            if self._await_slot(launch.device):
                self._work(launch)
                self._seal()
        except Unstartable as error:
            self._settle(Verdict(State.CRASHED, str(error)))
        finally:
            if self._ticket is not None:
                self._ticket.give_up()

    def adopt(self) -> None:
        """Look after a worker whose supervisor died, or settle a run of which nobody is left.

        Raises:
            NotOurs: the run has ended or has a supervisor.
        """
        self._claim(LIVE, bereft=True)
        worker = self._orphan()
        if worker is None:
            last_word = self._last_word()
            self._settle(judge(UNKNOWN, last_word) if last_word else Verdict(State.LOST), last_word)
            return
        self._repeat_last_signal(worker)
        self._watch(worker, before={})
        self._conclude(worker, oom_kills_before=None)

    def _claim(self, states: frozenset[State], *, bereft: bool = False) -> None:
        """Make the run ours, unless it is in another state or its supervisor may still live.

        A ``bereft`` run must have had one: an attempt that was queued just now belongs to the supervisor on its way.
        """
        with index_lock(self._home):
            try:
                record = whole_record(read_record(self._run))
                state, previous = State(record["state"]), ProcessIdentity.from_json(record["supervisor"])
            except (OSError, ValueError) as error:
                raise NotOurs(f"run {self._run.name} cannot be taken over: {error}") from error
            if state not in states:
                raise NotOurs(f"run {self._run.name} is {state}")
            if bereft and previous is None:
                raise NotOurs(f"run {self._run.name} has not been started yet")
            if previous is not None and not previous.gone():
                raise NotOurs(f"run {self._run.name} already has a supervisor, process {previous.pid}")
            self._state = StateFile(self._run, record)
            self._state.note(supervisor=ProcessIdentity.own().to_json())

    def _read_launch(self) -> Launch:
        try:
            read_record(self._run, "config.json")
            attempts = read_record(self._run, "launch.json")["attempts"]
            mine = next(item for item in reversed(attempts) if item["attempt"] == self._state.attempt)
            if mine.get("code_remark"):
                say(mine["code_remark"])
            return Launch(
                [str(word) for word in mine["argv"]],
                str(mine["cwd"]),
                str(mine["device"]),
                int(mine["threads"]),
                self._home / "code" / mine["code"] if mine.get("code") else None,
            )
        except FileNotFoundError as error:
            raise Unstartable(f"{Path(error.filename).name} is missing") from error
        except StopIteration:
            raise Unstartable(f"launch.json says nothing of attempt {self._state.attempt}") from None
        except (KeyError, TypeError) as error:
            raise Unstartable(f"launch.json is damaged: {error}") from error
        except (OSError, ValueError) as error:
            raise Unstartable(str(error)) from error

    def _await_slot(self, device: str) -> bool:
        """Stand in line until a slot is ours; False if the run was called off meanwhile."""
        try:
            wanted = slots_for(device)
        except NoSuchDevice as error:
            raise Unstartable(str(error)) from error
        line = Line(self._home, run=self._run.name, wanted=wanted, ticket=self._ticket)
        self._ticket = None
        try:
            while True:
                if self._called_off():
                    return False
                try:
                    self._slot = line.try_take()
                    waiting = line.waiting
                except OSError as error:
                    waiting = f"the slots in {self._home} cannot be written: {error.strerror}"
                if self._slot is not None:
                    return True
                self._state.note(waiting=waiting)
                self._sleep(LINE_POLL_S)
        finally:
            line.leave()

    def _called_off(self) -> bool:
        for request in self._requests():
            if request.verb in (Verb.STOP, Verb.KILL):
                self._settle(Verdict(withdrawn(self._state.attempt), str(request)))
                return True
            self._pause = request
        return False

    def _work(self, launch: Launch) -> None:
        assert self._slot is not None
        oom_kills, before = _oom_kills(), self._signs_of_life()
        self._state.move(State.STARTING, slot=self._slot.name, waiting=None)
        log = self._run / f"log.{self._state.attempt}.txt"
        try:
            worker, gate = start(
                Command(launch.argv, launch.cwd, self._environment(launch), log, self._slot.descriptor)
            )
        except OSError as error:
            self._release_slot()
            raise Unstartable(f"the worker could not be started: {error}") from error
        self._state.note(worker=worker.identity.to_json())
        failure = gate.open()
        if failure:
            worker.collect()
            self._release_slot()
            raise Unstartable(f"the worker could not be started: {failure}")
        self._watch(worker, before)
        self._conclude(worker, oom_kills)

    def _environment(self, launch: Launch) -> dict[str, str]:
        gpu = self._slot.gpu if self._slot else None
        environment = dict(os.environ) | {
            "MMFUSE_RUN_DIR": str(self._run),
            "OMP_NUM_THREADS": str(launch.threads),
            # Threads that wait by spinning slow a run down twenty times as soon as another process wants the cores.
            "OMP_WAIT_POLICY": "PASSIVE",
            "PYTHONUNBUFFERED": "1",  # what was printed before a kill -9 must be in the log
            "PYTHONSAFEPATH": "1",  # a file of the user's folder must not shadow a module of the worker
            "TQDM_DISABLE": "1",
            "NO_COLOR": "1",
            "TERM": "dumb",
        }
        if gpu is not None:
            # The worker sees one GPU, whichever it is: MMFUSE_DEVICE says so where the user named another index.
            environment |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": gpu, "MMFUSE_DEVICE": "cuda"}
        elif launch.device == "cpu":
            environment |= {"CUDA_VISIBLE_DEVICES": ""}
        if launch.code is not None and launch.code.is_dir():
            # Read before site-packages and whatever an editable install adds, and inherited by the worker's children.
            others = filter(None, [os.environ.get("PYTHONPATH")])
            environment["PYTHONPATH"] = os.pathsep.join([str(launch.code), *others])
        elif launch.code is not None:
            say(f"the code it was asked for with is gone from {launch.code}; it works with what is there now")
        return environment

    def _watch(self, worker: WorkerProcess, before: Mapping[str, tuple[int, int]]) -> None:
        """Obey requests until the worker has ended. ``before`` are the signs of life left by earlier attempts."""
        while not worker.ended:
            self._notice_life(before)
            for request in self._requests():
                self._obey(request, worker)
            self._pause_or_continue(worker)
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill(worker, f"{self._asked.stop}, but it did not stop in time")
            self._sleep(self._patience(), worker.pidfd)
            reap_strays(worker)
        self._notice_life(before)

    def _obey(self, request: Request, worker: WorkerProcess) -> None:
        if request.verb is Verb.KILL:
            self._kill(worker, str(request))
        elif request.verb is Verb.STOP:
            self._stop(worker, request)
        else:
            self._pause = request

    def _stop(self, worker: WorkerProcess, request: Request) -> None:
        grace = GRACE_S if request.grace_s is None else request.grace_s
        deadline = time.monotonic() + grace
        if self._state.state is State.STOPPING:
            self._kill_at = min(deadline, self._kill_at or deadline)
            return
        self._asked, self._kill_at = self._asked._replace(stop=str(request)), deadline
        self._state.move(State.STOPPING, reason=str(request))
        _terminate(worker)

    def _kill(self, worker: WorkerProcess, reason: str) -> None:
        self._asked, self._kill_at = self._asked._replace(kill=reason), None
        worker.signal_group(signal.SIGKILL)
        worker.signal_leader(signal.SIGKILL)

    def _pause_or_continue(self, worker: WorkerProcess) -> None:
        """Bring the worker into line with the newest request; one made before it ran waits until it does."""
        pause = self._pause.verb is Verb.PAUSE
        if pause and self._state.state is State.RUNNING:
            self._state.move(State.PAUSED, reason=str(self._pause))
            worker.signal_group(signal.SIGSTOP)
        elif not pause and self._state.state is State.PAUSED:
            self._state.move(State.RUNNING, reason=str(self._pause))
            worker.signal_group(signal.SIGCONT)

    def _patience(self) -> float:
        """How long nothing needs doing unless somebody wakes us."""
        if self._state.state is State.STARTING:
            return STARTING_POLL_S
        return HEARTBEAT_S if self._kill_at is None else min(HEARTBEAT_S, max(0.0, self._kill_at - time.monotonic()))

    def _notice_life(self, before: Mapping[str, tuple[int, int]]) -> None:
        if self._state.state is not State.STARTING:
            return
        if self._signs_of_life() != before:
            self._state.move(State.RUNNING, waiting=None)
        elif (silent := time.time() - self._state.record["since"]) > SILENT_S:
            self._state.note(waiting=f"no sign of life from the worker for {silent // SILENT_S:.0f} min; see the log")

    def _seal(self) -> None:
        """Leave the columnar copy of a long journal to another process: it needs libraries this one must not load."""
        journal = self._run / "metrics.jsonl"
        try:
            if journal.exists() and journal.stat().st_size >= SEAL_FROM_BYTES:
                os.posix_spawn(sys.executable, [sys.executable, "-m", "mmfuse_runs.seal", str(self._run)], os.environ)
        except OSError as error:
            say(f"metrics were not sealed: {error}")

    def _signs_of_life(self) -> dict[str, tuple[int, int]]:
        signs = {}
        for name in _SIGNS_OF_LIFE:
            with suppress(OSError):
                status = (self._run / name).stat()
                signs[name] = (status.st_mtime_ns, status.st_size)
        return signs

    def _conclude(self, worker: WorkerProcess, oom_kills_before: int | None) -> None:
        ended = worker.collect()
        self._release_slot()
        out_of_memory = oom_kills_before is not None and _oom_kills() > oom_kills_before
        last_word = self._last_word()
        self._settle(judge(ended, last_word, asked=self._asked, out_of_memory=out_of_memory), last_word, ended)

    def _settle(self, verdict: Verdict, last_word: Mapping[str, Any] | None = None, ended: Exit = UNKNOWN) -> None:
        """Write the end of the attempt, however long the disk makes us wait, then tell the index."""
        if verdict.state not in TRANSITIONS[self._state.state]:
            self._state.move(State.RUNNING)  # it did run, only too briefly or too quietly to be seen
        self._state.move(verdict.state, reason=verdict.reason, waiting=None, exit_code=ended.code, signal=ended.signal)
        self._wake.terminated = False  # from here on it means: do not wait for the disk any longer
        while not self._state.saved and self._run.is_dir() and not self._wake.terminated:
            self._sleep(HEARTBEAT_S)
        try:
            append_index_event(self._home, self._run.name, self._summary(last_word))
        except OSError as error:
            say(f"the index was not told, it will be read from the folder: {error}")
        notify(self._run, self._state.record, last_word=last_word)

    def _summary(self, last_word: Mapping[str, Any] | None) -> dict[str, Any]:
        record, result = self._state.record, (last_word or {}).get("result")
        started = [entry["at"] for entry in record["history"] if entry["state"] == State.STARTING]
        facts = {name: record[name] for name in ("state", "attempt", "reason", "exit_code", "signal")}
        facts |= {"started": started[0] if started else None, "ended": record["since"]}
        if isinstance(result, Mapping):
            facts |= {name: result[name] for name in INDEXED if result.get(name) is not None}
        return facts

    def _last_word(self) -> dict[str, Any] | None:
        """This attempt's ``exit.json``; None where the worker left none that can be read."""
        try:
            record = read_record(self._run, "exit.json")
        except (OSError, ValueError):
            return None
        return record if record.get("attempt") == self._state.attempt else None

    def _orphan(self) -> WorkerProcess | None:
        identity = ProcessIdentity.from_json(self._state.record["worker"])
        try:
            return WorkerProcess(identity, child=False) if identity else None
        except ProcessLookupError:
            return None

    def _repeat_last_signal(self, worker: WorkerProcess) -> None:
        """The dead supervisor may have written a state and not lived to send its signal; all of them bear repeating."""
        if self._state.state is State.STOPPING:
            self._asked, self._kill_at = Asked(stop=self._state.record["reason"]), time.monotonic() + GRACE_S
            _terminate(worker)
        elif self._state.state is State.PAUSED:
            self._pause = Request(Verb.PAUSE)
            worker.signal_group(signal.SIGSTOP)
        else:
            worker.signal_group(signal.SIGCONT)

    def _requests(self) -> list[Request]:
        requests = inbox.take(self._run, attempt=self._state.attempt)
        if self._wake.terminated and not self._asked.stop:
            requests.append(Request(Verb.STOP, by="a signal to its supervisor"))
        return requests

    def _release_slot(self) -> None:
        if self._slot is not None:
            self._slot.release()
            self._slot = None

    def _sleep(self, seconds: float, *descriptors: int) -> None:
        self._state.beat()
        self._wake.wait(seconds, *descriptors)


class _Wake:
    """Sleep that ends early on a signal (SIGUSR1: a request was dropped; SIGTERM: stop) or a readable descriptor."""

    def __init__(self) -> None:
        self.terminated = False
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, lambda number, frame: None)
        signal.signal(signal.SIGTERM, self._terminate)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def wait(self, seconds: float, *descriptors: int) -> None:
        """Sleep."""
        if self._read in select.select([self._read, *descriptors], [], [], seconds)[0]:
            with suppress(BlockingIOError):
                os.read(self._read, 4096)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.terminated = True


def main(run: str, *, adopt: bool = False, ticket: str = "") -> int:
    """Supervise the run in a folder to its end; the return value is this process's exit code."""
    supervisor = Supervisor(Path(run).absolute(), ticket=ticket)
    os.chdir("/")  # a supervisor must not keep anybody's folder or disk in use
    try:
        supervisor.adopt() if adopt else supervisor.start()
    except NotOurs as error:
        say(str(error))
        return 1
    return 0


def _inherited(home: Path, ticket: str) -> Ticket:
    """The ticket that the launcher drew and passed on; the worker must not inherit it in turn."""
    descriptor, _, name = ticket.partition(":")
    os.set_inheritable(int(descriptor), False)
    return Ticket(home / "queue" / name, int(descriptor))


def _terminate(worker: WorkerProcess) -> None:
    """Ask for a graceful stop. A stopped (paused) group must be continued first, or its members never answer."""
    worker.signal_group(signal.SIGCONT)
    worker.signal_leader(signal.SIGTERM)


def _oom_kills() -> int:
    """How often the kernel has killed for memory since boot, here or in any container of this machine."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
