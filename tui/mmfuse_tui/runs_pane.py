"""The table of runs with its filter line: what is shown, in which order, in which groups and columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from mmfuse.errors import BadSpec
from mmfuse_runs.query import Query, parse_query
from mmfuse_runs.records import RunRecord
from mmfuse_tui.clean import clean
from mmfuse_tui.feed import Feed
from mmfuse_tui.filter_reader import Answers, is_meant
from mmfuse_tui.grouping import GROUPS, group_column, grouped, next_group
from mmfuse_tui.mark_table import MarkTable
from mmfuse_tui.run_columns import ORDERS, Order, chosen_columns, order_of, run_columns
from mmfuse_tui.table import Table
from mmfuse_tui.view_memory import ViewMemory

NO_RUNS = "no runs yet"
NO_ANSWERS: Answers = {}
EXAMPLES = "words  kind:search  tag:x  best(val/accuracy)>0.7  fit.epochs>5  age<2d"
FRAME_LINES, LEAST_LINES = 4, 7
"""Lines of the table's frame beside its rows (border, headings, one blank), and the least it has."""


@dataclass(frozen=True)
class Listing:
    """How the runs are listed."""

    order: Order = ORDERS[0]
    reversed: bool = False
    group: str = ""
    columns: tuple[str, ...] = ()


class RunsPane(Container):
    """Runs as the user wants to see them, in its ``table``; it asks the feed for nothing but snapshots."""

    class ViewChanged(Message):
        """The user listed the runs in another way."""

    def __init__(self, feed: Feed, *, clock: Callable[[], float], id: str | None = None) -> None:
        super().__init__(id=id)
        self._feed = feed
        self._clock = clock
        self._every = run_columns(clock, feed.sparks)
        self.table: MarkTable[RunRecord] = MarkTable(
            self._every, key=lambda run: run.id, empty="reading the store …", id="runs"
        )
        self._heads: dict[str, str] = {}
        self._filter = Query()
        self._verdicts: dict[str, tuple[RunRecord, Answers, bool]] = {}
        self._tells_time = False
        self._listing = Listing()

    def compose(self) -> ComposeResult:
        """Table, then the line that filters it."""
        yield self.table
        with Horizontal(id="filter-line"):
            yield Static("/", id="filter-mark")
            yield Input(placeholder=EXAMPLES, id="filter")
            yield Static(id="filter-says", markup=False)

    @property
    def column_names(self) -> tuple[tuple[str, str], ...]:
        """Name and title of every column there is."""
        return tuple((column.name, column.title) for column in self._every)

    @property
    def shown_columns(self) -> tuple[str, ...]:
        """Names of the columns that are shown where there is room."""
        return tuple(column.name for column in chosen_columns(self._every, self._listing.columns))

    @property
    def marked(self) -> tuple[RunRecord, ...]:
        """The marked runs, in the order of the table where they are shown."""
        marks, shown = self.table.marks, self.table.rows
        if not marks:
            return ()
        here = [run for run in shown if run.id in marks]
        hidden = marks - {run.id for run in here}
        return (*here, *(run for run in self._feed.store.runs if run.id in hidden))

    def remembered(self, memory: ViewMemory) -> None:
        """List the runs as they were listed before."""
        group = memory.group if memory.group in GROUPS else ""
        self._listing = Listing(order_of(memory.order) or ORDERS[0], memory.reversed, group, memory.columns)
        if memory.filter:
            self.query_one("#filter-line").add_class("-open")
            self.set_filter(memory.filter)
        self._set_columns()

    def to_remember(self, memory: ViewMemory) -> ViewMemory:
        """``memory`` with how the runs are listed now."""
        listing = self._listing
        return replace(
            memory,
            columns=listing.columns,
            order=listing.order.column,
            reversed=listing.reversed,
            group=listing.group,
            filter=self._filter.text,
        )

    def fill(self) -> None:
        """Filter, sort and group what the store holds now."""
        now, all_runs, listing = self._clock(), self._feed.store.runs, self._listing
        shown = [run for run in all_runs if self._is_meant(run, now)] if self._filter.text else all_runs
        ordered, heads = grouped(listing.order.apply(shown, reverse=listing.reversed), listing.group)
        self._heads.clear()
        self._heads.update(heads)
        table = self.table
        gone = table.marks - self._feed.store.by_id.keys()
        with self.app.batch_update():
            table.sorted_by = listing.order.column
            table.descending = listing.order.descending is not listing.reversed
            table.set_rows(ordered, empty=self._why_empty())
            table.set_marks(table.marks - gone)
            self.write_titles()
            self.styles.max_height = max(LEAST_LINES, len(all_runs) + FRAME_LINES)

    def open_filter(self, text: str | None = None) -> None:
        """Show the filter line; it has the focus on return, not a message later as with ``focus()``.

        ``text`` is put into it for the user to go on with.
        """
        self.query_one("#filter-line").add_class("-open")
        line = self.query_one("#filter", Input)
        line.select_on_focus = text is None
        if text is not None:
            line.value = text
            line.cursor_position = len(text)
        self.screen.set_focus(line)

    def leave_filter(self) -> None:
        """Back to the table, which has the focus on return; an empty line is closed."""
        if not self._filter.text:
            self.query_one("#filter-line").remove_class("-open")
        self.screen.set_focus(self.table)

    def close_filter(self) -> None:
        """All runs again."""
        self.set_filter("")
        self.query_one("#filter-line").remove_class("-open")

    def set_filter(self, text: str) -> None:
        """Show the runs that fit ``text``."""
        self.query_one("#filter", Input).value = text
        self._apply_filter(text)

    def next_order(self) -> None:
        """The next order."""
        self._relist(order=ORDERS[(ORDERS.index(self._listing.order) + 1) % len(ORDERS)], reversed=False)

    def turn(self) -> None:
        """The same order, turned round."""
        self._relist(reversed=not self._listing.reversed)

    def next_group(self) -> None:
        """The next way to group the runs."""
        self._relist(group=next_group(self._listing.group))
        self._set_columns()

    def show_columns(self, names: tuple[str, ...]) -> None:
        """Show these columns; the usual ones for none."""
        self._relist(columns=names)
        self._set_columns()

    def write_titles(self) -> None:
        """How many runs there are, how many are marked, and how they are listed."""
        shown, total, marked = len(self.table.rows), len(self._feed.store.runs), len(self.table.marks)
        title = f"[b]Runs[/] {shown} of {total}" if shown != total else f"[b]Runs[/] {total}"
        self.border_title = title + (f" · [$accent]* {marked} marked[/]" if marked else "")
        listing = self._listing
        words = [f"/{self._filter.text}"] if self._filter.text else []
        words += [f"by {listing.group}"] if listing.group else []
        words.append(listing.order.words + (", reversed" if listing.reversed else ""))
        self.border_subtitle = Content(clean(" · ".join(words)))
        if self._filter.text and self._feed.slip and self._filter.opens_folders:
            self._say(self._feed.slip, bad=True)
        elif self._filter.text:
            self._say(f"{shown} of {total}" + (f", {self._unread} to read" if self._unread else ""))

    @on(Table.HeadPressed, "#runs")
    def _head_pressed(self, event: Table.HeadPressed) -> None:
        order = order_of(event.column)
        if order is not None:
            turned = order is self._listing.order and not self._listing.reversed
            self._relist(order=order, reversed=turned)

    @on(MarkTable.Marked)
    def _marked(self) -> None:
        self.write_titles()

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        self._apply_filter(event.value)

    def _relist(self, **changes: object) -> None:
        self._listing = replace(self._listing, **changes)  # type: ignore[arg-type]
        self.fill()
        self.post_message(self.ViewChanged())

    def _set_columns(self) -> None:
        columns = chosen_columns(self._every, self._listing.columns)
        self.table.set_columns((group_column(self._heads), *columns) if self._listing.group else columns)

    def _apply_filter(self, text: str) -> None:
        """Filter as the user types; what does not parse leaves the table as it is and says why."""
        try:
            query = parse_query(text)
        except BadSpec as error:
            self._say(error.message, bad=True)
            return
        self._say("")
        if query.text != self._filter.text:
            self._filter = query
            self._verdicts.clear()
            self._tells_time = any(field.name == "age" for field in query.fields)
            self._feed.ask(query if query.opens_folders else None)
            self.post_message(self.ViewChanged())
        self.fill()

    def _is_meant(self, run: RunRecord, now: float) -> bool:
        """Asked once per run and its answers: few change from snapshot to snapshot. Only ages always do."""
        answers = self._feed.answers.get(run.id, NO_ANSWERS)
        known = self._verdicts.get(run.id)
        if known is not None and known[0] is run and known[1] is answers and not self._tells_time:
            return known[2]
        verdict = is_meant(self._filter, run, now=now, answers=answers)
        self._verdicts[run.id] = (run, answers, verdict)
        return verdict

    @property
    def _unread(self) -> int:
        return self._feed.unread if self._filter.opens_folders else 0

    def _why_empty(self) -> str:
        if not self._feed.store.runs:
            return NO_RUNS
        return f"{self._unread} runs to read …" if self._unread else "no run fits the filter"

    def _say(self, words: str, *, bad: bool = False) -> None:
        says = self.query_one("#filter-says", Static)
        says.update(Text(words))
        says.set_class(bad, "-bad")
