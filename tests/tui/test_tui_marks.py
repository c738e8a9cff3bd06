"""Many runs at once: marks, bulk requests with one confirmation, tags and notes, columns, groups, a remembered view."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.widgets import Input, TextArea

from mmfuse.errors import RunBusy
from mmfuse_runs.records import RunRecord
from mmfuse_runs.store import RunStore
from mmfuse_tui.app import Dashboard
from mmfuse_tui.column_dialog import ColumnsScreen
from mmfuse_tui.dialogs import ConfirmScreen, HelpScreen
from mmfuse_tui.edit_dialog import EditScreen
from mmfuse_tui.edits import Edit, retag
from mmfuse_tui.grouping import GROUPS, grouped
from mmfuse_tui.mark_table import MarkTable
from mmfuse_tui.runs_pane import RunsPane
from mmfuse_tui.runs_screen import RunsScreen
from mmfuse_tui.verbs import plan_for_many
from mmfuse_tui.view_memory import FILE, ViewMemory, load_view, save_view


def fill(home):
    """Newest first: live a, live b, finished c and d, crashed e."""
    names = [("e", "crashed"), ("d", "finished"), ("c", "finished"), ("b", "running"), ("a", "running")]
    return {name: home.add(state, name=name, age=1000 - nth).name for nth, (name, state) in enumerate(names)}


def table_of(app) -> MarkTable:
    return app.screen.query_one("#runs", MarkTable)


def marked(app) -> set[str]:
    return {run.name for run in app.screen_stack[0].query_one(RunsPane).marked}


async def ready(app, pilot, settle):
    await settle(pilot, lambda: len(table_of(app).rows) == 5)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["space"], {"a"}),
        (["space", "space", "k", "space"], {"a"}),
        (["J", "J"], {"a", "b", "c"}),
        (["G", "K"], {"d", "e"}),
        (["ctrl+a"], set("abcde")),
        (["ctrl+a", "ctrl+a"], set()),
        (["space", "i"], set("bcde")),
        (["space", "space", "escape"], set()),
    ],
)
async def test_marks_by_key(home, dashboard, settle, keys, expected):
    fill(home)
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, settle)
        await pilot.press(*keys)
        await settle(pilot, lambda: marked(app) == expected)


async def test_marks_by_mouse_and_a_plain_click_only_moves_the_cursor(home, dashboard, settle):
    fill(home)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await ready(app, pilot, settle)
        await pilot.click("#runs", offset=(5, 2), control=True)
        await settle(pilot, lambda: marked(app) == {"b"})
        await pilot.click("#runs", offset=(5, 4))
        await settle(pilot, lambda: table_of(app).selected.name == "d" and marked(app) == {"b"})
        await pilot.click("#runs", offset=(5, 5), shift=True)
        await settle(pilot, lambda: marked(app) == {"b", "d", "e"})


async def test_marks_stay_on_their_runs_when_sorted_filtered_and_deleted(home, dashboard, settle, screen_text):
    runs = fill(home)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await ready(app, pilot, settle)
        await pilot.press("space", "o", "o")
        await settle(pilot, lambda: marked(app) == {"a"} and "* 1 marked" in screen_text(app))
        await pilot.press("slash", "c", "r", "a", "s", "h", "enter", "space")
        await settle(pilot, lambda: marked(app) == {"a", "e"})
        (home.runs / runs["e"]).rename(home.path / "away")
        await settle(pilot, lambda: marked(app) == {"a"})


async def test_a_bulk_kill_is_confirmed_once_and_leaves_out_what_has_ended(
    home, dashboard, control, settle, screen_text
):
    runs = fill(home)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await ready(app, pilot, settle)
        await pilot.press("ctrl+a", "x")
        await settle(pilot, lambda: "Kill 2 runs?" in screen_text(app) and "in their state" in screen_text(app))
        text = screen_text(app)
        await pilot.press("x")
        await settle(pilot, lambda: len(control.asked) == 2 and len(app.screen_stack) == 1)

    assert "Kill 2 runs?" in text and "a, b" in text and "nothing to kill in their state: 3" in text
    assert set(control.asked) == {("kill", runs["a"]), ("kill", runs["b"])}


async def test_a_bulk_delete_says_what_is_lost_and_is_not_one_enter_away(home, dashboard, control, settle, screen_text):
    runs = fill(home)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await ready(app, pilot, settle)
        await pilot.press("ctrl+a", "D")
        await settle(pilot, lambda: "Delete 3 runs?" in screen_text(app) and "takes it back" in screen_text(app))
        text = screen_text(app)
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(app.screen, RunsScreen))
        assert control.asked == []
        await pilot.press("D")
        await settle(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("D")
        await settle(pilot, lambda: len(control.asked) == 3)

    assert "Delete 3 runs?" in text and "To the trash: 3 folders with 6MB" in text and "takes it back" in text
    assert {run_id for _, run_id in control.asked} == {runs["c"], runs["d"], runs["e"]}


async def test_one_refusal_does_not_hold_up_the_others(home, dashboard, control, settle, screen_text):
    fill(home)
    control.error = RunBusy("it has just ended")
    app = dashboard()

    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await ready(app, pilot, settle)
        await pilot.press("J", "s", "y")
        await settle(pilot, lambda: len(control.asked) == 2 and "it has just ended" in screen_text(app))


async def test_deleting_for_real_removes_the_folder(home, settle):
    runs = fill(home)
    app = Dashboard(RunStore(home.path), clock=lambda: home.now)

    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, settle)
        await pilot.press("G", "D")
        await settle(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await settle(pilot, lambda: len(table_of(app).rows) == 4)

    assert not (home.runs / runs["e"]).exists() and (home.runs / runs["a"]).exists()


async def test_tags_of_many_and_the_undo_of_it_reach_the_store(home, settle):
    runs = fill(home)
    store = RunStore(home.path)
    store.set_meta(runs["a"], tags=["old"])
    app = Dashboard(RunStore(home.path), clock=lambda: home.now)

    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, settle)
        await pilot.press("J", "t")
        await settle(pilot, lambda: isinstance(app.screen, EditScreen))
        await pilot.press(*"paper", "space", *"-old", "enter")
        await settle(pilot, lambda: store.record(runs["a"]).tags == ("paper",))
        await settle(pilot, lambda: store.record(runs["b"]).tags == ("paper",))
        await settle(pilot, lambda: app.feed.store.by_id[runs["b"]].tags == ("paper",))
        await pilot.press("u")
        await settle(pilot, lambda: store.record(runs["a"]).tags == ("old",) and store.record(runs["b"]).tags == ())


async def test_name_and_notes_of_one_run_are_edited_in_one_dialog(home, dashboard, control, settle):
    runs = fill(home)
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, settle)
        await pilot.press("e")
        await settle(pilot, lambda: isinstance(app.screen, EditScreen))
        app.screen.query_one("#field-name", Input).value = "better"
        app.screen.query_one("#field-notes", TextArea).text = "two\nlines"
        await pilot.press("ctrl+s")
        await settle(pilot, lambda: control.edits)

    assert control.edits == [(runs["a"], Edit("better", (), "two\nlines"))]


async def test_a_star_is_given_to_all_and_taken_from_all(home, dashboard, control, settle):
    runs = fill(home)
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, settle)
        await pilot.press("J", "asterisk")
        await settle(pilot, lambda: len(control.edits) == 2)

    assert dict(control.edits) == {runs["a"]: Edit(starred=True), runs["b"]: Edit(starred=True)}


@given(st.lists(st.sampled_from(["a", "b", "c"]), unique=True), st.text("abc+-, ", max_size=12))
def test_tags_said_with_plus_and_minus_never_double_and_always_obey(tags, words):
    kept = retag(tags, words)

    assert len(set(kept)) == len(kept)
    assert retag(kept, " ".join(f"-{tag}" for tag in kept)) == ()


@given(
    st.lists(st.tuples(st.sampled_from(["x", "y", ""]), st.sampled_from(["p", "q"])), max_size=8),
    st.sampled_from(list(GROUPS)),
)
def test_groups_keep_every_run_and_stand_together_under_one_heading(pairs, name):
    runs = [RunRecord(str(nth), dataset_label=data, subject=data, tags=(tag,)) for nth, (data, tag) in enumerate(pairs)]

    ordered, heads = grouped(runs, name)

    assert sorted(run.id for run in ordered) == sorted(run.id for run in runs)
    keys = [GROUPS[name](run) for run in ordered]
    assert sum(one != other for one, other in pairwise(keys)) == max(0, len(set(keys)) - 1)
    assert len(heads) == (len(set(keys)) if name else 0)


async def test_grouping_names_each_group_once(home, dashboard, settle, screen_text):
    home.add("finished", dataset="toy", age=1)
    home.add("finished", dataset="avmnist", age=2)
    home.add("finished", dataset="toy", age=3)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: len(table_of(app).rows) == 3)
        await pilot.press("b")
        await settle(pilot, lambda: "by dataset" in screen_text(app))
        text = screen_text(app)

    assert "toy 2" in text and "avmnist 1" in text


async def test_columns_are_chosen_moved_and_reset(home, dashboard, settle, screen_text):
    fill(home)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await ready(app, pilot, settle)
        await pilot.press("V")
        await settle(pilot, lambda: isinstance(app.screen, ColumnsScreen))
        await pilot.press("J", "j", "space", "enter")
        await settle(pilot, lambda: isinstance(app.screen, RunsScreen))
        pane = app.screen.query_one(RunsPane)
        assert pane.shown_columns[:3] == ("kind", "state", "dataset")
        await pilot.press("V")
        await settle(pilot, lambda: isinstance(app.screen, ColumnsScreen))
        await pilot.press("r")
        await settle(pilot, lambda: pane.shown_columns[:3] == ("state", "kind", "name"))


async def test_the_view_is_remembered_by_the_next_dashboard(home, dashboard, settle, screen_text):
    fill(home)
    first = dashboard()
    async with first.run_test(size=(120, 40)) as pilot:
        await ready(first, pilot, settle)
        await pilot.press("o", "b", "plus", "slash", *"state:run", "enter")
        await settle(pilot, lambda: load_view(home.path).filter == "state:run")

    second = dashboard()
    async with second.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: len(table_of(second).rows) == 2)
        text = screen_text(second)

    assert "/state:run · by dataset · best first" in text
    assert load_view(home.path) == ViewMemory((), "score", False, "state:run", "dataset", "mmfuse-dark", 50)


@pytest.mark.parametrize(
    "content", [b"", b"{torn", b"[]", b'{"columns": 3, "order": null, "share": true}', b"\xff\xfe", b"[" * 200_000]
)
def test_a_damaged_memory_is_as_if_there_were_none(home, content):
    (home.path / FILE).write_bytes(content)

    assert load_view(home.path) == ViewMemory()


def test_a_memory_keeps_what_it_understands_and_its_limits(home):
    (home.path / FILE).write_text(json.dumps({"order": "score", "share": 990, "group": 7, "novel": 1}))

    assert load_view(home.path) == ViewMemory(order="score", share=85)


def test_a_memory_survives_writing_and_a_vanished_home_is_left_alone(home, tmp_path):
    view = ViewMemory(("state", "name"), "age", True, "kind:search", "tag", "nord", 30)

    save_view(home.path, view)
    save_view(tmp_path / "nowhere", view)

    assert load_view(home.path) == view and not (tmp_path / "nowhere").exists()


async def test_a_remembered_filter_and_theme_that_make_no_sense_any_more_do_no_harm(home, dashboard, settle):
    fill(home)
    save_view(home.path, ViewMemory(("gone",), "gone", False, "gone:x", "gone", "gone", 0))
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, settle)


def test_the_dialog_for_many_names_a_few_and_counts_the_rest():
    runs = [RunRecord(f"run-{nth}", state="finished", starred=nth == 0) for nth in range(9)]

    planned = plan_for_many("delete", runs, sizes={run.id: 1000 for run in runs})

    assert planned.run_ids == tuple(run.id for run in runs)
    assert "and 3 more" in planned.effects[0] and any("1 of them is starred" in effect for effect in planned.effects)


async def test_q_and_the_question_mark_close_the_help(home, dashboard, settle):
    fill(home)
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, settle)
        for key in ("q", "question_mark", "escape"):
            await pilot.press("question_mark")
            await settle(pilot, lambda: isinstance(app.screen, HelpScreen))
            await pilot.press(key)
            await settle(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_a_deleted_run_lies_in_the_trash_and_u_takes_it_back(home, settle, screen_text):
    run = home.add("finished", name="precious", score=0.5)
    home.add("finished", name="other", score=0.4)

    app = Dashboard(RunStore(home.path), clock=lambda: home.now)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot, lambda: app.screen.selected is not None)
        app.screen.go_to(run.name)
        await pilot.press("D")
        await settle(pilot, lambda: "To the trash: 1 folder" in screen_text(app))
        await pilot.press("D")
        await settle(pilot, lambda: len(app.screen.store.runs) == 1)
        assert (home.path / "trash" / run.name / "config.json").exists()

        await pilot.press("u")
        await settle(pilot, lambda: {record.name for record in app.screen.store.runs} == {"precious", "other"})
