"""What Tab does in bash, zsh and fish: every name reaches the line as the word that it is, whatever is in it."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer._click.shell_completion import CompletionItem

from mmfuse_cli import shells

NAMES = {
    "plain": "plain",
    "two": "two words",
    "it": "it's",
    "quo": 'quo"te',
    "co": "co$t `x`",
    "a:": "a:b",
    "semi": "semi;colon",
    "gr": "größe 名",
    "\\(p": "(par) [x] *",
    "'sing": "single 'quote' open",
    '"doub': 'double "quote" $open',
}
"""Names of runs by what is typed of them."""
PRINTABLE = st.text(st.characters(blacklist_categories=("C", "Z"), whitelist_characters=" "), min_size=1, max_size=20)
REAL = Path(sys.executable).with_name("mmfuse")
RC = {
    "bash": (["--noprofile", "--rcfile", "{home}/rc", "-i"], "rc", "bind 'set enable-bracketed-paste off'\n"),
    "zsh": (["-i"], ".zshrc", "bindkey -e\n"),
    "fish": (["-i"], "fish/config.fish", "set -g fish_greeting\nset -g fish_autosuggestion_enabled 0\n"),
}
"""How each shell is started, the file that it reads then, and what else must stand in it."""


@pytest.fixture
def ask(mmfuse):
    """Ask as the shell's script does: ``ask("zsh", "mmfuse runs show b")``."""

    def press_tab(shell, line, **more):
        words = line.split(" ")
        cursor = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1), "_TYPER_COMPLETE_ARGS": line}
        result = mmfuse(env={"_MMFUSE_COMPLETE": f"complete_{shell}"} | cursor | more)
        assert result.stderr == ""
        return result.stdout.rstrip("\n")

    return press_tab


@given(PRINTABLE)
def test_bash_reads_a_quoted_name_as_the_name(name):
    assert shlex.split(shells._quoted(name, "")) == [name]
    assert shlex.split("'" + shells._quoted(name, "'") + "'") == [name]
    assert shells._unquoted(shells._quoted(name, "")) == name


def test_zsh_gets_words_without_a_blank_that_spell_name_and_meaning(make_run, ask):
    for name in NAMES.values():
        make_run("finished", name=name)

    start, _, end = ask("zsh", "mmfuse runs show ").partition("offers=(")
    words, _, call = end.rpartition(")")
    # bash spells $'...' as zsh does
    told = subprocess.run(["bash", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True)

    assert (start, call) == ("local -a offers; ", "; _describe -V mmfuse offers")
    assert " " not in words.replace(" $'", "")
    spelled = {line.replace("\\:", "\0").partition(":")[0].replace("\0", ":") for line in told.stdout.splitlines()}
    assert set(NAMES.values()) < spelled


def test_fish_gets_a_line_for_each_name(make_run, ask):
    run_id = make_run("finished", name="two words")

    lines = ask("fish", "mmfuse runs show two", _TYPER_COMPLETE_FISH_ACTION="get-args").splitlines()

    assert lines == [f"two words\t{run_id}"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_names_that_would_break_a_line_are_not_offered(make_run, ask, shell):
    make_run("finished", name="evil\nname\x1b[2J")

    told = ask(shell, "mmfuse runs show evil", _TYPER_COMPLETE_FISH_ACTION="get-args")

    assert told == {"zsh": "_files"}.get(shell, "")


def test_zsh_is_offered_files_where_there_is_nothing_else(ask):
    assert ask("zsh", "mmfuse runs show nothing-like-it") == "_files"


def test_bash_is_answered_with_what_follows_the_last_colon(make_run, ask):
    make_run("finished")

    whole = ask("bash", "mmfuse runs ls state:fin")
    apart = ask("bash", "mmfuse runs ls state : fin")
    bare = ask("bash", "mmfuse runs ls state :")

    assert (whole, apart, bare) == ("state:finished", "finished", "finished")


def test_a_description_cannot_act_on_the_terminal():
    item = CompletionItem("name", help="\x1b]0;owned\x07 `id` $(id)\n")

    assert shells._described(item) == r"$'name:\x20\x5d0\x3bowned\x20\x20\x60id\x60\x20\x24\x28id\x29\x20'"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_names_are_completed_as_they_are_typed(shell, make_run, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    for name in NAMES.values():
        make_run("finished", name=name)
    typed = [f"mmfuse runs show {begun}\t" for begun in NAMES] + ["mmfuse runs ls state:fin\t"]

    with Shell(shell, tmp_path) as terminal:
        words = [terminal.type(line) for line in typed]

    assert words == [f"<runs><show><{name}>" for name in NAMES.values()] + ["<runs><ls><state:finished>"]


class Shell:
    """An interactive shell in a terminal of its own, in which `mmfuse` completes but only prints its words."""

    def __init__(self, shell: str, folder: Path) -> None:
        (folder / "bin").mkdir()
        stand_in = folder / "bin" / "mmfuse"
        stand_in.write_text(
            f'#!/bin/sh\n[ -n "$_MMFUSE_COMPLETE" ] && exec {REAL} "$@"\nprintf \'<%s>\' "$@"\nprintf \'DO%s\\n\' NE\n'
        )
        stand_in.chmod(0o755)
        script = subprocess.run(
            [REAL], env=os.environ | {"_MMFUSE_COMPLETE": f"source_{shell}"}, capture_output=True, text=True
        ).stdout
        arguments, rc, more = RC[shell]
        (folder / rc).parent.mkdir(exist_ok=True)
        (folder / rc).write_text(f"{'autoload -U compinit; compinit -u' if shell == 'zsh' else ''}\n{script}\n{more}")
        environment = os.environ | {
            "HOME": str(folder),
            "ZDOTDIR": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "TERM": "dumb",
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        }
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.execvpe(shell, [shell, *(word.format(home=folder) for word in arguments)], environment)

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)

    def type(self, line: str, *, seconds: float = 60.0) -> str:
        """What `mmfuse` was called with once ``line`` and Enter have been typed."""
        os.write(self._terminal, f"{line}\r".encode())
        shown, deadline = "", time.monotonic() + seconds
        while "DONE" not in shown:
            assert time.monotonic() < deadline, f"nothing came of {line!r}: {shown!r}"
            if select.select([self._terminal], [], [], 0.2)[0]:
                shown += os.read(self._terminal, 4096).decode(errors="replace")
        return shown[shown.rindex("<runs>") : shown.rindex("DONE")]
