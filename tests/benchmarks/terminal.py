"""A program in a terminal of its own, driven through tmux's control mode: keys in, screens and their times out.

tmux is a whole terminal (it answers what programs ask of one, and applies what they draw cell by cell), so what is
waited for is what a person would see. One client stays connected, so that pressing a key and looking at the screen cost
a millisecond instead of a process each.
"""

from __future__ import annotations

import os
import queue
import re
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil

COLUMNS, ROWS = 200, 50
LOOK_SECONDS = 0.02
"""Longest pause between two looks at a screen that is waited for."""
TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


class NeverSeen(Exception):
    """What was waited for did not come; holds the screen."""


class Terminal:
    """One program on a screen of `COLUMNS` x `ROWS` cells."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        socket = Path(self._folder.name) / "tmux"
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self._environment = os.environ | {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        size = ["-x", str(COLUMNS), "-y", str(ROWS)]
        settings = ["set-option", "-g", "window-size", "manual", ";", "set-option", "-g", "remain-on-exit", "on"]
        self._call("new-session", "-d", *size, "sleep 1000000", ";", *settings)
        self._client = subprocess.Popen(
            [*self._tmux, "-C", "attach"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",  # what the program draws is told in pieces that may end inside of a character
            env=self._environment,
        )
        self._answers: queue.Queue[list[str]] = queue.Queue()
        self._drawn = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._answers.get(timeout=10)  # to the attaching itself
        self._ask("set-option -s exit-unattached on")  # should this process be killed, nothing stays behind
        self.began = 0.0
        """When the program was started, as `time.perf_counter` tells it."""
        self._process: psutil.Process | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call("kill-server")
        self._client.wait(timeout=10)
        self._reader.join(timeout=10)
        self._folder.cleanup()

    def start(self, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        """Start the program; the clock runs from here."""
        script = Path(self._folder.name) / "start.sh"
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in (environment or {}).items())
        script.write_text(f"unset PYTHONDONTWRITEBYTECODE\n{exports}exec {shlex.join(command)}\n")
        self.began = time.perf_counter()
        self._ask(f"respawn-pane -k {shlex.join(['sh', str(script)])}")
        self._process = psutil.Process(int(self._ask("display-message -p '#{pane_pid}'")[0]))

    def press(self, key: str) -> None:
        """Press one key, in tmux's names."""
        self._ask(f"send-keys {shlex.quote(key)}")

    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(self._ask("capture-pane -p"))

    def wait(self, fits: Callable[[str], object], *, timeout: float = 60.0) -> float:
        """The moment at which the screen was first seen to fit.

        Raises:
            NeverSeen: it did not within ``timeout`` seconds.
        """
        deadline = time.perf_counter() + timeout
        while True:
            self._drawn.clear()
            text = self.text()
            now = time.perf_counter()
            if fits(text):
                return now
            if now > deadline:
                raise NeverSeen(text)
            self._drawn.wait(LOOK_SECONDS)

    def cpu_seconds(self) -> float:
        """What the program and the processes it started have used of the processor so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self._processes())

    def cpu_nanoseconds(self) -> int:
        """What the threads of the program itself have used so far, finer than `cpu_seconds`: for single frames."""
        assert self._process is not None
        stats = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(stat.read_text().split()[0]) for stat in stats)

    def load(self, seconds: float) -> float:
        """CPU seconds a second over the next ``seconds``; less than a tick of the kernel's clock counts as one."""
        cpu, began = self.cpu_seconds(), time.perf_counter()
        time.sleep(seconds)
        return max(self.cpu_seconds() - cpu, TICK_SECONDS) / (time.perf_counter() - began)

    def resident_bytes(self) -> float:
        """Memory of the program and the processes it started."""
        return float(sum(process.memory_info().rss for process in self._processes()))

    def _processes(self) -> list[psutil.Process]:
        assert self._process is not None
        return [self._process, *self._process.children(recursive=True)]

    def _call(self, *arguments: str) -> None:
        subprocess.run([*self._tmux, *arguments], check=True, env=self._environment)

    def _ask(self, command: str) -> list[str]:
        assert self._client.stdin is not None
        self._client.stdin.write(command + "\n")
        self._client.stdin.flush()
        return self._answers.get(timeout=30)

    def _read(self) -> None:
        """Sort what the control client says into answers and news that something was drawn."""
        assert self._client.stdout is not None
        answer: list[str] | None = None
        for line in self._client.stdout:
            line = line.rstrip("\n")
            if re.match(r"%(end|error) ", line) and answer is not None:
                self._answers.put(answer)
                answer = None
            elif answer is not None:
                answer.append(line)
            elif line.startswith("%begin "):
                answer = []
            elif line.startswith("%output "):
                self._drawn.set()
