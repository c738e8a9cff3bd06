"""The machine screen: rows in the order of slots and line, meters, and requests made from it."""

from __future__ import annotations

import json

import pytest

from mmfuse.errors import RunBusy
from mmfuse_runs.identity import host_name
from mmfuse_runs.machine import Gpu, GroupUse, Machine, SlotUse, Waiting
from mmfuse_runs.records import RunRecord
from mmfuse_runs.slots import draw_ticket
from mmfuse_runs.store import RunStore
from mmfuse_tui.app import Dashboard
from mmfuse_tui.dialogs import ConfirmScreen
from mmfuse_tui.machine_rows import machine_rows, meter_lines
from mmfuse_tui.machine_screen import MachineScreen
from mmfuse_tui.mark_table import MarkTable
from mmfuse_tui.runs_screen import RunsScreen
from mmfuse_tui.sketch import plain, width_of

GIGA = 1024**3
NOW = 1_795_000_000.0


def machine(**more) -> Machine:
    return Machine("tern", 16, 0.25, 3.5, 8 * GIGA, 64 * GIGA, 100 * GIGA, 500 * GIGA, **more)


def test_rows_stand_by_slot_then_in_the_order_of_the_line_and_ended_runs_are_left_out():
    runs = [
        RunRecord("last", state="queued"),
        RunRecord("b", state="running"),
        RunRecord("next", state="queued"),
        RunRecord("a", state="paused"),
        RunRecord("over", state="finished"),
        RunRecord("odd", state="starting"),
    ]
    seen = machine(
        slots=(SlotUse("cpu.0", "a"), SlotUse("cpu.1", "b"), SlotUse("cpu.2", "over")),
        line=(Waiting("next", ("cpu.0", "cpu.1"), 1.0, "tern"), Waiting("last", ("cpu.0",), 2.0, "tern")),
        groups={"b": GroupUse(3, 1.5, GIGA)},
    )

    rows = machine_rows(runs, seen, {"b": 42})

    assert [(row.record.id, row.place) for row in rows] == [
        ("a", "cpu.0"),
        ("b", "cpu.1"),
        ("next", "in line 1"),
        ("last", "in line 2"),
        ("odd", ""),
    ]
    assert rows[1].pid == 42 and rows[1].use.processes == 3 and rows[2].waits_for == "cpu.0 or cpu.1"


@pytest.mark.parametrize("width", [60, 78, 150])
def test_meters_tell_shares_and_sizes_and_fit(width):
    gpu = Gpu("GPU-1", "NVIDIA H100", 0.37, 2 * GIGA, 80 * GIGA, 310.0, 61.0)

    lines = meter_lines(machine(gpus=(gpu,)), width)

    drawn = plain(lines)
    assert " 25%  16 cores, load 3.5" in drawn and " 12%  8.59GB of 68.7GB" in drawn
    assert " 37%  NVIDIA H100 · 310 W · 61 °C" in drawn and width_of(lines) <= width


def test_what_the_system_does_not_tell_is_a_dash():
    blank = Machine("tern", 2, None, None, None, None, None, None)

    drawn = plain(meter_lines(blank, 80))

    assert drawn.count("   -") == 3 and "none that nvidia-smi knows of" in drawn


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=["80x24", "200x50"])
async def test_the_machine_shows_live_runs_and_kills_from_there(home, dashboard, control, settle, screen_text, size):
    live = home.add("running", name="worker", age=10)
    home.add("finished", name="over", age=20)
    waiting = home.add("queued", name="waiter", age=5)
    slots = home.path / "slots" / host_name()
    slots.mkdir(parents=True)
    (slots / "cpu.0").write_text(json.dumps({"run": live.name}))
    (home.path / "queue").mkdir()
    (home.path / "queue" / f"{10**18:020d}.7.{host_name()}").write_text(
        json.dumps({"run": waiting.name, "wanted": ["cpu.0"]})
    )
    app = dashboard()

    async with app.run_test(size=size) as pilot:
        await settle(pilot, lambda: len(app.screen.query_one("#runs", MarkTable).rows) == 3)
        await pilot.press("m")
        await settle(
            pilot, lambda: isinstance(app.screen, MachineScreen) and "Live runs 2, 1 in line" in screen_text(app)
        )
        text = screen_text(app)
        assert "cpu.0" in text and "in line 1" in text and "over" not in text and "cores" in text
        await pilot.press("x")
        await settle(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("x")
        await settle(pilot, lambda: control.asked == [("kill", live.name)] and isinstance(app.screen, MachineScreen))
        await pilot.press("escape")
        await settle(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_a_run_that_ends_leaves_the_machine(home, dashboard, settle, screen_text):
    live = home.add("running", name="worker", age=10)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: app.feed.store.loaded and app.feed.store.runs)
        await pilot.press("m")
        await settle(pilot, lambda: "Live runs 1" in screen_text(app))
        home.set_state(live, "finished")
        await settle(pilot, lambda: "no run is live" in screen_text(app))


async def test_a_run_is_moved_in_the_line_by_key_and_seen_at_its_new_place(home, dashboard, settle, screen_text):
    ids = [home.add("queued", name=f"waiter {nth}", age=9 - nth).name for nth in range(3)]
    RunStore(home.path).close()
    tickets = [draw_ticket(home.path, run=run) for run in ids]
    app = Dashboard(RunStore(home.path), clock=lambda: NOW)

    async with app.run_test(size=(150, 40)) as pilot:
        await settle(pilot, lambda: len(app.feed.store.runs) == 3)
        await pilot.press("m")
        await settle(pilot, lambda: "3 in line" in screen_text(app))
        table = app.screen.query_one("#machine-table", MarkTable)
        assert [row.record.id for row in table.rows] == ids and "u Up d Down f First l Last" in screen_text(app)
        await pilot.press("j", "j", "f")
        await settle(pilot, lambda: [row.record.id for row in table.rows] == [ids[2], ids[0], ids[1]])
        assert table.selected.record.id == ids[2] and table.selected.place == "in line 1"
        await pilot.press("space", "space", "d")
        await settle(pilot, lambda: [row.record.id for row in table.rows] == [ids[1], ids[2], ids[0]])
    for ticket in tickets:
        ticket.give_up()


async def test_only_runs_that_wait_can_be_moved_and_a_refusal_is_told(home, dashboard, control, settle, screen_text):
    home.add("running", name="worker", age=10)
    waiting = home.add("queued", name="waiter", age=5)
    control.error = RunBusy("it runs by now")
    app = dashboard()

    async with app.run_test(size=(150, 40), notifications=True) as pilot:
        await settle(pilot, lambda: len(app.feed.store.runs) == 2)
        await pilot.press("m")
        await settle(pilot, lambda: "Live runs 2" in screen_text(app))
        await pilot.press("home")
        table = app.screen.query_one("#machine-table", MarkTable)
        while table.selected.record.id == waiting.name:
            await pilot.press("j")
        await pilot.press("f")
        assert control.moved == []
        while table.selected.record.id != waiting.name:
            await pilot.press("k")
        await pilot.press("f")
        await settle(pilot, lambda: control.moved == [([waiting.name], "first")])
        await settle(pilot, lambda: "it runs by now" in screen_text(app))
