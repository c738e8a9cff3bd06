"""A table paints what changed and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from textual.app import App

from mmfuse_tui.columns import Column
from mmfuse_tui.mark_table import MarkTable


@dataclass(frozen=True)
class Item:
    """A row with one cell."""

    key: str
    words: str


class Watched(MarkTable[Item]):
    """Remembers which lines it was asked to draw."""

    asked: list[int]

    def render_line(self, y):
        """Draw, and remember."""
        self.asked.append(y)
        return super().render_line(y)


@pytest.fixture
def table():
    """Twelve rows in a small window."""
    columns = (Column("words", "Words", lambda item, _: [(item.words, "")], 12, 0),)
    made = Watched(columns, key=lambda item: item.key)
    made.asked = []
    return made


class Page(App[None]):
    """A table and nothing else."""

    def __init__(self, table):
        super().__init__()
        self._table = table

    def compose(self):
        """The table."""
        yield self._table


async def test_news_of_one_row_paints_one_line_and_what_is_out_of_sight_none(table):
    rows = tuple(Item(str(nth), f"row {nth}") for nth in range(40))

    async with Page(table).run_test(size=(40, 12)) as pilot:
        table.set_rows(rows)
        await pilot.pause()
        table.asked.clear()

        rows = (*rows[:3], replace(rows[3], words="changed"), *rows[4:])
        table.set_rows(rows)
        await pilot.pause()
        assert table.asked == [4]

        table.asked.clear()
        table.set_rows((*rows[:30], replace(rows[30], words="changed"), *rows[31:]))
        await pilot.pause()
        assert table.asked == []


async def test_rows_that_come_go_or_change_places_are_painted(table):
    rows = tuple(Item(str(nth), f"row {nth}") for nth in range(5))

    async with Page(table).run_test(size=(40, 12)) as pilot:
        table.set_rows(rows)
        await pilot.pause()
        for shown in (rows[::-1], rows[:3], (), rows):
            table.set_rows(shown)
            await pilot.pause()
            lines = [strip.text.strip("▌ ") for strip in pilot.app.screen._compositor.render_strips()]
            words = [line for line in lines if line.startswith("row")]
            assert words == [item.words for item in shown]


async def test_the_cursor_and_marks_move_on_the_screen_with_their_rows(table):
    rows = tuple(Item(str(nth), f"row {nth}") for nth in range(5))

    async with Page(table).run_test(size=(40, 12)) as pilot:
        table.set_rows(rows)
        table.focus()
        await pilot.press("space", "j")
        table.set_rows(rows[::-1])
        await pilot.pause()
        lines = [strip.text.rstrip() for strip in pilot.app.screen._compositor.render_strips()]
        assert [line for line in lines if line[:1] in "*▌" and line.strip()] == ["▌row 2", "*row 0"]
