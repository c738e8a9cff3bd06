"""Tables, colours, the live view, and what Tab offers."""

from __future__ import annotations

import io
import json
import shlex
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from mmfuse.spec import resolve_search
from mmfuse_cli import follow, render, views
from mmfuse_cli.glimpse import Glimpse, Watcher
from mmfuse_cli.render import paint, safe_lines, spelled
from mmfuse_cli.table import Column, draw
from mmfuse_cli.views import LiveView, PlainView
from mmfuse_runs import slots
from mmfuse_runs.reporter import RunReporter
from mmfuse_runs.specs import command_of

TEXT = st.text(max_size=30)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=5), st.integers(40, 120))
def test_a_table_has_a_line_a_row_fits_its_width_and_cannot_act_on_the_terminal(cells, width):
    columns = (Column("a", "a"), Column("b", "b", right=True, leaves=1), Column("c", "c", leaves=2))

    lines = draw(columns, [dict(zip("abc", row, strict=True)) for row in cells], width=width)

    assert len(lines) == 1 + len(cells)
    assert all(cell_len(line) <= width and line.isprintable() for line in lines)


def test_the_column_that_leaves_first_is_the_one_with_the_highest_number():
    columns = (Column("a", "aaaa", leaves=1), Column("b", "bbbb"), Column("c", "cccc", leaves=2))
    row = {"a": "1", "b": "2", "c": "3"}

    assert draw(columns, [row], width=16)[0] == "aaaa  bbbb  cccc"
    assert draw(columns, [row], width=15)[0] == "aaaa  bbbb"
    assert draw(columns, [row], width=9)[0] == "bbbb"


def test_wide_characters_are_counted_as_the_terminal_draws_them():
    lines = draw((Column("a", "a"), Column("b", "b")), [{"a": "模型", "b": "1"}, {"a": "m", "b": "2"}])

    assert [cell_len(line.rpartition(" ")[0]) for line in lines[1:]] == [5, 5]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_appear_at_terminals_unless_declined(monkeypatch, variable, value):
    monkeypatch.setenv("TERM", "xterm")
    assert paint("x", "red", Terminal()) == "\x1b[31mx\x1b[0m"
    assert paint("x", "red", io.StringIO()) == "x"

    monkeypatch.setenv(variable, value)

    assert paint("x", "red", Terminal()) == "x"


@given(st.text())
def test_safe_lines_keep_line_breaks_and_nothing_else_that_acts(text):
    assert all(line.isprintable() for line in safe_lines(text).split("\n"))


def test_json_values_are_plain_all_the_way_down():
    value = {"a": (1, float("nan")), 2: {"b": float("-inf")}, "path": render.COLOURS.keys().__class__}

    assert json.loads(json.dumps(spelled(value), allow_nan=False))["a"] == [1, "NaN"]


@pytest.fixture
def glimpse(store, make_run, make_trial) -> Glimpse:
    """A search in the middle of its second stage, named by somebody malicious."""
    trials = [
        make_trial(0, 0.9),
        make_trial(1, 0.3, stage="fusion"),
        make_trial(2, 0.5, stage="fusion", block="[red]\x1b[2J"),
    ]
    run_id = make_run("running", trials=trials)
    path = store.folder(run_id).path
    progress = {"done": 3, "total": 4, "what": "trial 3\x1b]0;x\x07", "at": 100.0, "started": 70.0}
    (path / "progress.json").write_text(json.dumps(progress))
    reporter = RunReporter(path, run_id=run_id, attempt=1)
    for step, value in enumerate((0.1, 0.4, 0.6)):
        reporter.metrics({"val/accuracy": value}, step=step)
    reporter.close()
    return Watcher(store, run_id).look()


def test_the_live_view_shows_state_progress_scores_and_the_best_of_this_stage(glimpse):
    drawn = views.draw(glimpse, "Ctrl-C asks it to stop").plain

    assert "running" in drawn
    assert "75%  trial 3" in drawn
    assert "val/accuracy ▁" in drawn
    assert "0.6000" in drawn
    best = next(line for line in drawn.splitlines() if line.startswith("best so far"))
    assert "2  fusion" in best
    assert "0.5000" in best
    assert drawn.endswith("Ctrl-C asks it to stop")


def test_the_live_view_draws_the_curves_that_are_watched(store, glimpse):
    watcher = Watcher(store, glimpse.record.id, drawn=("val/accuracy", "score", "not/measured"))

    drawn = views.draw(watcher.look(), "hint").plain

    assert [chart.title for chart in watcher.look().charts] == ["val/accuracy", "score by trial"]
    assert any("⠀" < character <= "⣿" for character in drawn)
    assert drawn.endswith("hint")


def test_the_live_view_neither_parses_markup_nor_passes_escapes_on(glimpse):
    screen = io.StringIO()

    Console(file=screen, width=100, no_color=True).print(views.draw(glimpse, ""))

    assert "[red]" in screen.getvalue()
    assert "\x1b" not in screen.getvalue()
    assert "\x07" not in screen.getvalue()


def test_the_live_view_draws_on_stderr_and_leaves_nothing_behind_on_stdout(glimpse, monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    view = LiveView()
    view.show(glimpse, "hint")
    view.tell("asked it to stop")
    view.close()

    assert "75%" in terminal.getvalue()
    assert "asked it to stop" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_the_plain_view_says_each_thing_once(glimpse, capsys):
    view = PlainView()

    view.show(glimpse)
    view.show(glimpse)

    told = capsys.readouterr().err.splitlines()
    assert len(told) == len(set(told)) == 5
    assert sum(line.startswith("trial") for line in told) == 3


def test_the_best_trial_of_a_metric_to_minimise_has_the_lowest_score(glimpse, make_trial):
    from dataclasses import replace

    lower = Glimpse(replace(glimpse.record, maximize=False), [make_trial(0, 0.3), make_trial(1, 0.2)])

    assert lower.best.number == 1


def test_a_follower_is_told_once_what_this_attempt_noted_in_a_sentence(store, make_run, monkeypatch, capsys):
    run_id = make_run("finished")
    path = store.folder(run_id).path
    for attempt, words in ((0, "an earlier attempt"), (1, "the loss is that of guessing\x1b[2J")):
        reporter = RunReporter(path, run_id=run_id, attempt=attempt)
        reporter.note("collapse alarm", sentence=words)
        reporter.note("found", label="no sentence")
        reporter.close()
    monkeypatch.setattr(follow, "POLL_S", 0.0)

    follow.follow(store, run_id, ours=False)

    told = capsys.readouterr().err
    assert told.count("collapse alarm: the loss is that of guessing") == 1
    assert "earlier" not in told and "\x1b" not in told


def test_a_run_without_scores_draws_the_trials_it_has(store, make_run, make_trial):
    run_id = make_run("running", trials=[make_trial(0, 0.1), make_trial(1, 0.2)])

    assert list(Watcher(store, run_id).look().scores) == [0.1, 0.2]


SETTINGS = ('space.blocks=["mlp","wave"]', "data.limit=50", "fit.schedule=cosine", "benchmark.epochs=7")


@pytest.mark.parametrize("settings", [(), SETTINGS])
@pytest.mark.parametrize("preset", [None, "small", "paper"])
def test_the_reproducing_command_gives_the_same_spec_again_on_any_machine(mmfuse, monkeypatch, preset, settings):
    wanted = resolve_search("mixmas", "avmnist", preset=preset, settings=settings, seed=3)
    command = shlex.split(command_of(wanted))

    for gpus in ([], ["GPU-0"]):
        monkeypatch.setattr(slots, "visible_gpus", lambda gpus=gpus: gpus)
        again = json.loads(mmfuse(*command[1:], "--dry-run").stdout)["spec"]

        assert again == wanted.model_dump(mode="json")


def test_a_spec_that_settings_cannot_spell_is_done_again_by_its_id(mmfuse, make_run, store):
    run_id = make_run("finished")
    path = store.folder(run_id).path / "config.json"
    spec = json.loads(path.read_text())
    spec["options"]["repeats"] = -1
    path.write_text(json.dumps(spec))

    assert f"$ mmfuse runs rerun {run_id}" in mmfuse("runs", "show", run_id).stdout


@pytest.fixture
def complete(mmfuse):
    """What bash is offered for a line: ``complete("mmfuse runs st")``."""

    def press_tab(line: str) -> list[str]:
        words = line.split(" ")
        asking = {"_MMFUSE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        result = mmfuse(env=asking)
        assert result.stderr == ""
        return result.stdout.split()

    return press_tab


def test_tab_offers_commands_runs_tags_and_conditions(complete, make_run):
    run_id = make_run("finished", name="baseline", tags=["paper"])

    assert complete("mmfuse runs st") == ["stop"]
    assert complete(f"mmfuse runs show {run_id[:8]}") == [run_id]
    assert complete("mmfuse runs show base") == ["baseline"]
    assert complete("mmfuse runs ls --sort score ta") == ["tag:"]
    assert complete("mmfuse search mixmas --tag pa") == ["paper"]


def test_tab_offers_only_runs_that_wait_where_runs_are_moved(complete, make_run):
    make_run("finished", name="done")
    waiting = make_run("queued", name="next")

    assert set(complete("mmfuse runs move ")) == {waiting, "next"} == set(complete("mmfuse runs move next --before "))


def test_tab_offers_what_the_library_has(complete):
    assert "avmnist" in complete("mmfuse search mixmas --dataset ")
    assert complete("mmfuse search mixm") == ["mixmas"]
    assert complete("mmfuse search mixmas --preset pa") == ["paper"]
    assert complete("mmfuse search mixmas --set benchmark.ep") == ["benchmark.epochs="]
    assert complete("mmfuse train unimodal --set head_h") == ["head_hidden="]
    assert complete("mmfuse search mixmas --dataset avmnist --set data.sc") == ["data.scaling="]


def test_tab_offers_metrics_settings_conditions_and_trials(complete, make_run, make_trial):
    run_id = make_run("finished", trials=[make_trial(0, 0.5), make_trial(1, 0.6)], tags=["paper"])

    assert complete("mmfuse runs show latest --plot val/") == ["val/accuracy"]
    assert complete("mmfuse runs ls --sort +best(val/") == [r"+best\(val/accuracy\)"]
    assert complete("mmfuse runs ls --cols id,fit.ep") == ["id,fit.epochs"]
    assert complete("mmfuse runs export --rows subj") == ["subject"]
    assert complete("mmfuse runs kill state:") == ["state:finished"]
    assert complete("mmfuse runs ls is:st") == ["is:stand-in", "is:starred"]
    assert complete("mmfuse runs ls test/") == ["test/accuracy"]
    assert complete(f"mmfuse arch show {run_id}:") == [f"{run_id}:0", f"{run_id}:1"]


def test_tab_offers_what_lies_in_the_trash(complete, make_run, mmfuse):
    run_id = make_run("finished")
    mmfuse("runs", "rm", run_id, "--yes")

    assert complete("mmfuse runs restore 2") == [run_id]


def test_tab_is_silent_where_nothing_can_be_read(complete, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMFUSE_HOME", str(tmp_path / "file"))

    assert complete("mmfuse runs show 2") == []
