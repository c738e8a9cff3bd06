"""`mmfuse runs move`, and the place in line that listings tell."""

from __future__ import annotations

import json

import pytest

from mmfuse_runs.slots import draw_ticket


@pytest.fixture
def line(make_run, store):
    """Three runs that wait, first come first; the tickets are held by this process."""
    runs = [make_run("queued", name=name, tags=["odd"] * (name != "two")) for name in ("one", "two", "three")]
    tickets = [draw_ticket(store.home, run=run) for run in runs]
    yield runs
    for ticket in tickets:
        ticket.give_up()


@pytest.mark.parametrize(
    ("words", "order"),
    [
        (("three", "--first"), "201"),
        (("one", "--last"), "120"),
        (("three", "--up"), "021"),
        (("one", "--down"), "102"),
        (("three", "--before", "two"), "021"),
        (("one", "--after", "two"), "102"),
        (("tag:odd", "--last"), "102"),
    ],
)
def test_the_line_is_printed_as_it_is_after_the_move(mmfuse, line, words, order):
    answer = json.loads(mmfuse("runs", "move", *words, "--json").stdout)

    assert [row["run"] for row in answer["line"]] == [line[int(place)] for place in order]
    assert [row["place"] for row in answer["line"]] == [1, 2, 3]
    printed = mmfuse("runs", "move", line[int(order[0])], "--first").stdout.splitlines()[1:]
    assert [row.split()[:2] for row in printed] == [[str(n + 1), line[int(place)]] for n, place in enumerate(order)]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("one",), "no place was named to move to"),
        (("one", "--first", "--last"), "two places were named"),
        (("one", "--before", "one"), "cannot stand before itself"),
        (("nobody", "--first"), "nobody"),
        (("tag:even", "--first"), "no run meets tag:even"),
    ],
)
def test_what_cannot_be_meant_is_refused(mmfuse, line, words, says):
    result = mmfuse("runs", "move", *words)

    assert result.exit_code == 2 and says in result.stderr


def test_listings_say_where_a_run_stands_and_what_it_waits_for(mmfuse, line, make_run):
    make_run("finished")

    mmfuse("runs", "move", "three", "--first")

    states = {row["id"]: row["place"] for row in json.loads(mmfuse("runs", "ls", "--json").stdout)["runs"]}
    assert [states[run] for run in line] == [2, 3, 1] and None in states.values()
    assert "queued #1" in next(row for row in mmfuse("runs", "ls").stdout.splitlines() if line[2] in row)
    shown = mmfuse("runs", "show", "two").stdout
    assert "place 3" in shown and json.loads(mmfuse("runs", "show", "two", "--json").stdout)["place"] == 3
