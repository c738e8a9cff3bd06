"""The filter line means what the command line means, folders included, and reads no more than it must."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from textual.widgets import Input

from mmfuse_runs.folder import RunFolder
from mmfuse_runs.query import parse_query
from mmfuse_runs.store import RunStore
from mmfuse_tui import filter_reader
from mmfuse_tui.filter_reader import FilterReader, is_meant
from mmfuse_tui.snapshot import StoreSnapshot
from mmfuse_tui.table import Table

FILTERS = [
    "best(val/accuracy)>0.8",
    "last(train/loss)<0.5 or is:live",
    "not best(val/accuracy)>0.8",
    "fit.epochs>5",
    "fit.epochs=30 and not (state:crashed or min(train/loss)<0.05)",
    "set.sample=1000 kind:search",
    "smooth(train/loss)<1 -tag:odd",
    "best(nothing)>0",
    "age<2d best(val/accuracy)>0.1",
    "m2 or (kind:search and last(val/accuracy)>=0.5)",
]


class Counting:
    """Folders of a home, and which of them were opened."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self.opened: list[str] = []

    def folder(self, run_id: str) -> RunFolder:
        self.opened.append(run_id)
        return self._store.folder(run_id)


@pytest.fixture
def measured(home):
    """Runs with curves and settings of every sort."""
    for nth in range(6):
        state = ("finished", "running", "crashed")[nth % 3]
        run = home.add(
            state, kind=("train", "search")[nth % 2], subject="m2_mixer", tags=["odd"] * (nth % 2), age=60 + nth
        )
        curve = (
            (step, {"train/loss": (nth + 1) / (step + 1), "val/accuracy": nth / 6 + step / 90}) for step in range(9)
        )
        home.metrics(run, curve)
        home.write(
            run / "config.json", {"format": 1, "kind": "train", "fit": {"epochs": 3 * nth}, "options": {"sample": nth}}
        )
    home.write(run / "config.json", {"format": 1, "kind": "train", "fit": {"epochs": 30}, "options": {"sample": 1000}})
    home.add("finished", name="bare", kind="train", age=100)
    return home


def answers_of(reader: FilterReader, store: StoreSnapshot) -> dict:
    """All that the reader finds for the filter it was asked."""
    answers = {}
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = reader.look(store)
        answers.update(found.answers if found else {})
        if found and not found.unread:
            return answers
    raise AssertionError("it never read everything")


@pytest.mark.parametrize("text", FILTERS)
def test_the_screen_means_the_runs_that_the_command_line_means(measured, text):
    store = RunStore(measured.path)
    records, query = store.records(), parse_query(text)
    now = time.time()
    reader = FilterReader(store)
    reader.ask(query)

    answers = answers_of(reader, StoreSnapshot(tuple(records)))

    meant = [run for run in records if is_meant(query, run, now=now, answers=answers.get(run.id, {}))]
    assert meant == query.chosen(records, store, now=now)


def test_a_run_whose_answers_are_not_there_yet_is_neither_shown_nor_taken_for_one_that_has_none():
    from mmfuse_runs.records import RunRecord

    run, query = RunRecord("a", state="finished"), parse_query("not best(val/f1)>0.5")

    assert not is_meant(query, run, now=0.0, answers={})
    assert is_meant(query, run, now=0.0, answers={"best(val/f1)": None})


def test_only_folders_that_the_filter_needs_are_opened_and_each_once(measured):
    store = RunStore(measured.path)
    snapshot, folders = StoreSnapshot(tuple(store.records())), Counting(store)
    reader = FilterReader(folders)
    reader.ask(parse_query("state:crashed best(val/accuracy)>0.1"))

    answers_of(reader, snapshot)
    crashed = {run.id for run in snapshot.runs if run.state == "crashed"}
    assert sorted(folders.opened) == sorted(crashed)

    reader.ask(parse_query("best(val/accuracy)>0.2"))
    answers_of(reader, snapshot)
    assert sorted(folders.opened) == sorted(run.id for run in snapshot.runs)
    assert reader.look(snapshot) is None


def test_what_a_run_that_goes_on_measures_is_read_again_and_what_has_ended_is_not(measured, monkeypatch):
    monkeypatch.setattr(filter_reader, "LIVE_SECONDS", 0.0)
    store = RunStore(measured.path)
    snapshot, folders = StoreSnapshot(tuple(store.records())), Counting(store)
    live = next(run for run in snapshot.runs if run.state == "running")
    reader = FilterReader(folders)
    reader.ask(parse_query("last(train/loss)<99"))
    before = answers_of(reader, snapshot)
    opened = len(folders.opened)

    measured.metrics(measured.runs / live.id, [(50, {"train/loss": 7.0})])
    after = answers_of(reader, snapshot)

    assert before[live.id] != after[live.id] == {"last(train/loss)": 7.0} and after.keys() == {live.id}
    assert len(folders.opened) == opened
    ended = tuple(replace(run, state="finished", ended=1.0) if run is live else run for run in snapshot.runs)
    reader.look(StoreSnapshot(ended))
    reader.look(StoreSnapshot(ended))
    measured.metrics(measured.runs / live.id, [(51, {"train/loss": 8.0})])
    assert reader.look(StoreSnapshot(ended)) is None


async def test_the_filter_line_takes_settings_and_curves_and_says_what_is_wrong(
    measured, dashboard, settle, screen_text
):
    app = dashboard()

    async with app.run_test(size=(150, 40)) as pilot:
        table = app.screen.query_one("#runs", Table)
        await settle(pilot, lambda: len(table.rows) == 7)
        await pilot.press("slash", *"fit.epochs=30")
        await settle(pilot, lambda: len(table.rows) == 2 and "2 of 7" in screen_text(app))
        line = app.screen.query_one("#filter", Input)
        line.value = "best(val/accuracy)>0.8 fit.epochs>5"
        await settle(pilot, lambda: [run.id for run in table.rows] != [] and "of 7" in screen_text(app))
        expected = parse_query(line.value).chosen(RunStore(measured.path).records(), RunStore(measured.path))
        await settle(pilot, lambda: {run.id for run in table.rows} == {run.id for run in expected})
        line.value = "fit.epoch>5"
        await settle(pilot, lambda: "no setting of these runs named 'fit.epoch'" in screen_text(app))
        line.value = "kind:train best(>3"
        await settle(pilot, lambda: "column " in screen_text(app))
        line.value = "kind:train (x"
        await settle(pilot, lambda: "column 12: this '(' is not closed" in screen_text(app))


async def test_a_run_that_changes_is_asked_again(measured, dashboard, settle):
    live = measured.add("running", name="worker", kind="train", age=5)
    measured.metrics(live, [(1, {"val/accuracy": 0.9})])
    app = dashboard()

    async with app.run_test(size=(150, 40)) as pilot:
        table = app.screen.query_one("#runs", Table)
        await settle(pilot, lambda: len(table.rows) == 8)
        await pilot.press("slash", *"worker is:live best(val/accuracy)>0.8")
        await settle(pilot, lambda: [run.name for run in table.rows] == ["worker"])
        measured.set_state(live, "finished")
        await settle(pilot, lambda: table.rows == ())
