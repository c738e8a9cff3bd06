"""Stands in for training: ``python -I -S fake_worker.py SCENARIO``. Each scenario is one way for a worker to behave."""

import json
import os
import signal
import sys
import time
from pathlib import Path

RUN = Path(os.environ["MMFUSE_RUN_DIR"])


def attempt():
    return json.loads((RUN / "launch.json").read_text())["attempts"][-1]["attempt"]


def last_word(status, code, *, message="", result=None):
    error = {"message": message, "hint": "", "type": "Fake"} if message else None
    word = {"format": 1, "status": status, "exit_code": code, "attempt": attempt(), "error": error}
    draft = RUN / "exit.json.draft"
    draft.write_text(json.dumps(word | {"result": result or {}}))
    draft.rename(RUN / "exit.json")
    sys.exit(code)


def show_life():
    (RUN / "progress.json").write_text('{"done": 0, "total": 1, "what": "fake", "at": 0, "started": 0}')


def note(name, value):
    with open(RUN / name, "a") as file:
        file.write(f"{value}\n")


def train(*, until_stopped=True):
    """Work until SIGTERM, then save and say so."""
    asked = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    note("pids.txt", os.getpid())
    show_life()
    while not asked or not until_stopped:
        time.sleep(0.01)
    last_word("stopped", 75)


def finish():
    show_life()
    last_word("finished", 0, result={"score": 0.5, "metric": "val/accuracy", "parameters": 7, "unknown": 1})


def finish_unseen():
    last_word("finished", 0)


def exit_silently():
    show_life()


def exit_75_silently():
    show_life()
    sys.exit(75)


def refuse():
    last_word("failed", 2, message="no such patch size: 5 does not divide 28")


def break_down():
    show_life()
    sys.exit(3)


def segfault():
    show_life()
    os.kill(os.getpid(), signal.SIGSEGV)


def ignore_sigterm():
    train(until_stopped=False)


def import_forever():
    """Not yet able to hear SIGTERM, no sign of life."""
    note("importing.txt", os.getpid())
    time.sleep(600)


def sleep_as(name):
    note(name, os.getpid())
    signal.signal(signal.SIGTERM, lambda number, frame: note("sigterm.txt", name))
    while True:
        time.sleep(0.01)


def train_with_children():
    """One child in the worker's group, one that left it by setsid, one orphaned by a double fork."""
    if os.fork() == 0:
        sleep_as("member.txt")
    if os.fork() == 0:
        os.setsid()
        sleep_as("escaped.txt")
    if os.fork() == 0:
        if os.fork():
            os._exit(0)
        os.setsid()
        sleep_as("orphaned.txt")
    while not all((RUN / f"{name}.txt").exists() for name in ("member", "escaped", "orphaned")):
        time.sleep(0.005)
    train()


def finish_when_told():
    note("pids.txt", os.getpid())
    show_life()
    while not (RUN / "finish").exists():
        time.sleep(0.01)
    last_word("finished", 0, result={"score": 0.25})


def tell_environment():
    facts = dict(os.environ) | {"cwd": str(Path.cwd()), "stdin": str(Path("/proc/self/fd/0").readlink())}
    facts |= {"pgid": os.getpgid(0), "pid": os.getpid(), "sid": os.getsid(0)}
    (RUN / "environment.json").write_text(json.dumps(facts))
    print("a line without newline", end="")
    finish()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
