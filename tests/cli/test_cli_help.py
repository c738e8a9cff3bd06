"""Help, docs, start-up and the guard around all commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

import mmfuse
from mmfuse_cli.lazy import LazyGroup
from mmfuse_cli.main import app

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
HEAVY = ("torch", "lightning", "numpy", "h5py", "textual", "pandas", "sklearn", "scipy")


def commands(command: Any = None, path: tuple[str, ...] = ("mmfuse",)) -> Iterator[tuple[str, Any]]:
    """Every command there is, with its full name."""
    command = command or get_command(app)
    yield " ".join(path), command
    if isinstance(command, LazyGroup):
        context = typer.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))


ALL = dict(commands())


@pytest.mark.parametrize("name", ALL)
def test_every_command_shows_its_help(mmfuse, name):
    result = mmfuse(*name.split()[1:], "--help")

    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: {name} ")


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_option_has_help(name):
    assert ALL[name].help
    for parameter in ALL[name].params:
        assert parameter.help, parameter.name


@pytest.mark.parametrize("name", [name for name, command in ALL.items() if isinstance(command, LazyGroup)])
def test_the_line_in_a_listing_is_the_first_line_of_the_commands_own_help(name):
    for child, entry in ALL[name].ENTRIES.items():
        assert ALL[f"{name} {child}"].help.splitlines()[0] == entry.summary


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_option_is_documented(name):
    section = sections().get(name)

    assert section is not None, f"docs/cli.md has no section `{name}`"
    for parameter in ALL[name].params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            if option.startswith("--") and option not in COMMON:
                assert f"`{option}" in section, option


def test_the_docs_describe_no_command_that_is_not_there():
    assert set(sections()) == set(ALL)


COMMON = ("--home", "--data-root", "--json", "--install-completion", "--show-completion")
"""Options documented once for all commands."""


def sections() -> dict[str, str]:
    """The text of docs/cli.md by the command it is about."""
    parts = re.split(r"^#+ `(mmfuse[^`]*)`$", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_common_options_are_documented_once():
    head = DOCS.read_text(encoding="utf-8").partition("# `mmfuse")[0]

    assert all(f"`{option}" in head for option in COMMON)


@pytest.mark.parametrize("words", [("--help",), ("search", "--help"), ("runs", "ls")])
def test_help_and_listings_import_nothing_heavy(words, make_run):
    make_run("finished")

    modules = imported_by(*words)

    assert "mmfuse_cli.main" in modules
    assert not modules & {*HEAVY, "pydantic", "rich.console", "rich.table"}


def test_the_zoo_reads_declarations_only():
    assert not imported_by("zoo") & {*HEAVY}


def test_listing_datasets_imports_no_torch():
    assert "torch" not in imported_by("data", "ls")


def imported_by(*words: str) -> set[str]:
    """Modules a fresh interpreter holds after a command."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(list(sys.modules)), file=sys.stderr))\n"
        "from mmfuse_cli.main import main\n"
        "main()"
    )
    answer = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=os.environ.copy())
    assert answer.returncode == 0, answer.stderr
    return set(json.loads(answer.stderr.splitlines()[-1]))


def test_without_a_command_the_help_is_shown(mmfuse):
    assert "Commands:" in mmfuse().stdout


def test_the_version_is_the_librarys(mmfuse):
    assert mmfuse("--version").stdout == f"mmfuse {mmfuse_version()}\n"


def mmfuse_version() -> str:
    return mmfuse.__version__


@pytest.mark.parametrize(
    "words", [("serch",), ("runs", "lss"), ("runs",), ("runs", "ls", "--jsn"), ("runs", "ls", "-n", "x")]
)
def test_usage_errors_are_one_sentence_with_a_hint(mmfuse, words):
    result = mmfuse(*words)

    assert result.exit_code == 2
    assert re.fullmatch(r"error: .+\nhint:  .+\n", result.stderr)


@pytest.fixture
def broken_listing(monkeypatch):
    """A mistake inside mmfuse."""

    def fail(store):
        raise ZeroDivisionError("a \x1b[31mmistake")

    monkeypatch.setattr("mmfuse_runs.store.RunStore.records", fail)


def test_a_mistake_in_mmfuse_is_told_without_a_traceback(mmfuse, broken_listing):
    result = mmfuse("runs", "ls")

    assert result.exit_code == 1
    assert "error: ZeroDivisionError: a mistake" in result.stderr
    assert "mmfuse --debug runs ls" in result.stderr
    assert "Traceback" not in result.output


def test_debug_shows_the_traceback_and_the_sentence(mmfuse, broken_listing):
    result = mmfuse("--debug", "runs", "ls")

    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "error: ZeroDivisionError" in result.stderr


def test_a_home_that_cannot_be_written_is_one_sentence(mmfuse, tmp_path):
    (tmp_path / "file").write_text("")

    result = mmfuse("search", "mixmas", "--dataset", "avmnist", "--home", str(tmp_path / "file" / "home"))

    assert result.exit_code == 1
    assert "error: the run store in" in result.stderr
    assert "Traceback" not in result.output
