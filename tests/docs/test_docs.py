"""What the pages promise about themselves: links lead somewhere, commands and options exist, snippets run."""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from mmfuse.architecture import Architecture
from mmfuse.options import Options
from mmfuse.registry import DATASETS
from mmfuse.report import TrialRecord
from mmfuse.spec import BenchmarkOptions, FitOptions, TapOptions, resolve_search
from mmfuse_cli.lazy import LazyGroup
from mmfuse_cli.main import app
from mmfuse_runs.reporter import RunReporter
from mmfuse_runs.states import TRANSITIONS
from mmfuse_runs.store import RunStore

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NEW_NAMES = {"rings", "shift", "late_average", "mutation"}
"""What docs/extending.md adds; test_extending.py installs it."""


class Fence(NamedTuple):
    """A fenced block of a page: the words after its opening backticks, and its text."""

    page: Path
    mark: str
    text: str


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def label(value: Any) -> str | None:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else None


def fences() -> Iterator[Fence]:
    for page in PAGES:
        for mark, text in re.findall(r"^```(\S[^\n]*)?\n(.*?)^```$", read(page), flags=re.MULTILINE | re.DOTALL):
            yield Fence(page, mark, text)


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What can stand behind ``#`` in a link to the page."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(linked), f"{target}: no such heading"


def typed_commands() -> list[Any]:
    """Every ``mmfuse ...`` line of a console block, as words."""
    found = []
    for fence in fences():
        for line in fence.text.splitlines() if fence.mark == "console" else ():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words = words[1:]
            if words[:1] == ["mmfuse"]:
                ends = [place for place, word in enumerate(words) if word in ("|", ">", "&&", "&")]
                found.append(pytest.param(words[1 : ends[0] if ends else None], id=f"{fence.page.name}: {line}"))
    return found


def resolved(words: list[str]) -> tuple[Any, list[str]]:
    """The command that ``words`` name and the words left for it."""
    command, rest = get_command(app), list(words)
    while isinstance(command, LazyGroup) and rest and not rest[0].startswith("-"):
        child = command.get_command(typer.Context(command), rest[0])
        assert child is not None, f"no command '{rest[0]}' in mmfuse {' '.join(words)}"
        command, rest = child, rest[1:]
    return command, rest


def test_pages_show_commands() -> None:
    assert len(typed_commands()) > 30


@pytest.mark.parametrize("words", typed_commands())
def test_every_typed_command_exists_and_takes_its_options(words: list[str]) -> None:
    command, rest = resolved(words)

    with contextlib.suppress(typer.Exit):
        context = command.make_context(command.name, list(rest))
        left = [word for word in context.args if word.startswith("--")]
        if left:
            assert words[:2] == ["data", "build"]
            known = inspect.signature(DATASETS.get(context.params["dataset"]).build).parameters
            assert {word.removeprefix("--").replace("-", "_") for word in left} <= set(known)


@pytest.mark.parametrize(
    "words",
    [
        case
        for case in typed_commands()
        if case.values[0][:1] in (["search"], ["train"], ["zoo"]) or case.values[0][:2] == ["data", "info"]
        if not NEW_NAMES & set(case.values[0]) and "shift" not in str(case.values[0]) and "--from" not in case.values[0]
    ],
)
def test_what_a_typed_command_asks_for_is_accepted(words: list[str], tmp_path: Path) -> None:
    dry = ["--dry-run"] if words[0] in ("search", "train") else []
    place = [] if words[0] == "zoo" else ["--home", str(tmp_path)]

    result = CliRunner().invoke(app, [*words, *dry, *place], prog_name="mmfuse")

    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_command_named_in_the_text_exists(page: Path) -> None:
    for command in re.findall(r"`mmfuse ([a-z ]+)", prose(page)):
        resolved(command.split())


def test_every_setting_named_in_the_text_exists() -> None:
    groups: dict[str, set[str]] = {
        "fit": set(FitOptions.model_fields),
        "benchmark": {*BenchmarkOptions.model_fields, *TapOptions.model_fields},
        "data": {key for name in DATASETS.names() for key in _options(name).model_fields},
    }

    for page in PAGES:
        for group, key in re.findall(r"`(fit|benchmark|data)\.([a-z_]+)[=`]", prose(page)):
            if key == "py":  # a file of that name, not a setting
                continue
            assert key in groups[group], f"{page.name}: {group}.{key}"


def _options(dataset: str) -> type[Options]:
    model: type[Options] = DATASETS.declaration(dataset).Options
    return model


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one search that has a trial and a validated epoch."""
    home = tmp_path_factory.mktemp("docs") / "home"
    store = RunStore(home)
    spec = resolve_search("mixmas", "toy").model_dump(mode="json")
    folder = store.create(spec, kind="search", subject="mixmas", dataset="toy")
    reporter = RunReporter(folder.path, run_id=folder.id, attempt=1)
    found = Architecture("unimodal", {"modality": "image", "encoder": {"block": "mlp"}})
    reporter.trial(TrialRecord(0, found, seed=1, status="done", score=0.5))
    reporter.resumed(0)
    reporter.metrics({"val/accuracy": 0.75}, step=8, epoch=1)
    reporter.close()
    store.close()
    return home


RUNNABLE = [
    pytest.param(fence.text, id=f"{fence.page.name}-{number}")
    for number, fence in enumerate(fences())
    if fence.mark == "python run"
]


@pytest.mark.parametrize("source", RUNNABLE)
def test_snippets_marked_as_runnable_run_and_say_something(
    source: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(source, "snippet", "exec"), {"home": str(home)})

    shown = capsys.readouterr().out
    assert shown.strip()
    assert "[]" not in shown


def test_all_other_snippets_are_python() -> None:
    for fence in fences():
        if fence.mark.startswith("python"):
            ast.parse(fence.text)


def test_the_table_of_states_is_the_one_in_the_code() -> None:
    page = read(ROOT / "docs" / "architecture.md")
    table = page.partition("| state | means |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (\w+) \| [^|]+ \| ([^|]+) \|$", table, flags=re.MULTILINE)

    told = {state: set() if after == "nothing" else set(after.split(", ")) for state, after in rows}

    assert told == {str(state): {str(after) for after in following} for state, following in TRANSITIONS.items()}


def test_the_diagram_of_states_shows_legal_steps_only() -> None:
    (diagram,) = [fence.text for fence in fences() if fence.mark == "mermaid"]
    steps = re.findall(r"(\w+) --> (\w+)", diagram)

    assert len(steps) > 10
    for old, new in steps:
        assert new in {str(after) for state, following in TRANSITIONS.items() if state == old for after in following}


def test_the_page_names_every_import_contract() -> None:
    page = read(ROOT / "docs" / "architecture.md")
    contracts = tomllib.loads(read(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]

    assert [contract["name"] for contract in contracts if f"**{contract['name']}.**" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_pages_keep_to_the_vocabulary_and_name_nobodys_machine(page: Path) -> None:
    """A run is a run and its process a worker; absolute paths are somebody's own."""
    words = re.findall(r"\b(?:sessions?|helpers?|agents?)\b", read(page), flags=re.IGNORECASE)
    paths = re.findall(r"(?<![\w.~/)-])/(?:work|home|root|Users|tmp|mnt)/\S*", read(page))

    assert (words, paths) == ([], [])
