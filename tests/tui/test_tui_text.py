"""Foreign text is harmless, numbers are short, filters find what they say, columns fit."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from mmfuse.errors import BadSpec
from mmfuse_runs.fields import RunView
from mmfuse_runs.query import parse_query
from mmfuse_runs.records import RunRecord
from mmfuse_tui import wording
from mmfuse_tui.charts import score_chart
from mmfuse_tui.clean import clean, fit, wrap
from mmfuse_tui.columns import choose_columns, fit_pieces
from mmfuse_tui.log_tail import LineAssembler, LogTail
from mmfuse_tui.run_columns import ORDERS, order_of, run_columns
from mmfuse_tui.snapshot import StoreSnapshot, notices
from mmfuse_tui.states import look_of
from mmfuse_tui.tiling import tile
from mmfuse_tui.trial_columns import rank_trials, trial_columns

NOW = 1_795_000_000.0
RUN = RunRecord(
    id="20261121-1512-mixmas-avmnist-7f3a",
    kind="search",
    subject="mixmas",
    dataset="avmnist",
    dataset_label="avmnist (stand-in)",
    state="running",
    name="wide sample",
    tags=("baseline", "v2"),
    created=NOW - 7200,
    score=0.81,
    metric="val/accuracy",
    metrics={"test/accuracy": 0.79},
    parameters=812_345,
)


@given(st.text(st.characters(), max_size=80))
def test_cleaned_text_holds_nothing_that_acts_on_a_terminal(text):
    cleaned = clean(text)

    assert all(unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in cleaned)


@pytest.mark.parametrize(
    ("dirty", "harmless"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x9b2Jgone", "gone"),
        ("a\tb\nc", "a b c"),
        ("\u202egnp.exe", "gnp.exe"),
        ("bell\x07", "bell\N{REPLACEMENT CHARACTER}"),
        ("深度 שלום é", "深度 שלום é"),
    ],
)
def test_escapes_vanish_and_letters_stay(dirty, harmless):
    assert clean(dirty) == harmless


@given(st.text(max_size=40), st.integers(0, 30), st.booleans())
def test_fitted_text_takes_exactly_its_cells(text, width, right):
    assert cell_len(fit(clean(text), width, right=right)) == width


@given(st.lists(st.tuples(st.text(max_size=12).map(clean), st.just("")), max_size=4), st.integers(1, 30), st.booleans())
def test_fitted_pieces_take_exactly_their_cells(pieces, width, right):
    assert sum(cell_len(text) for text, _ in fit_pieces(pieces, width, right=right)) == width


@given(st.text(max_size=200).map(clean), st.integers(4, 40))
def test_wrapped_text_keeps_every_word_within_the_width(text, width):
    lines = wrap(text, width)

    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.8432, "0.8432"),
        (12.5, "12.50"),
        (0, "0"),
        (None, "-"),
        (float("nan"), "NaN"),
        (1e-5, "1.0e-5"),
        (1e6, "1.0e6"),
    ],
)
def test_numbers_keep_their_meaning_in_few_characters(value, words):
    assert wording.number(value) == words


def test_a_spread_of_two_digits_keeps_both_however_small():
    assert wording.number(0.00264, digits=2) == "0.0026"


@pytest.mark.parametrize(
    ("seconds", "words"), [(8, "8s"), (192, "3m12s"), (7500, "2h05m"), (360_000, "4d4h"), (None, "-")]
)
def test_spans_have_at_most_two_units(seconds, words):
    assert wording.span(seconds) == words


def test_a_progress_bar_is_as_wide_as_asked_and_grows_with_the_share():
    bars = [wording.bar(share, 10) for share in (-1, 0, 0.26, 0.5, 1, 2)]

    assert {len(filled) + len(rest) for filled, rest in bars} == {10}
    assert [len(filled) for filled, _ in bars] == [0, 0, 3, 5, 10, 10]


def test_a_sparkline_spans_from_lowest_to_highest_and_leaves_gaps():
    assert wording.sparkline((0.0, 1.0, float("nan"), 2.0), 12) == "▁▄ ▇"
    assert wording.sparkline((), 12) == ""


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("", True),
        ("wide", True),
        ("WIDE avmnist", True),
        ("narrow", False),
        ("-narrow", True),
        ('"wide sample"', True),
        ("kind:search", True),
        ("state:running,queued", True),
        ("state:finished", False),
        ("tag:v2 -tag:old", True),
        ("tag:v", True),
        ("tag:2", False),
        ("val/accuracy>0.7", True),
        ("val/accuracy>=81%", True),
        ("test/accuracy<0.5", False),
        ("test/f1>0", False),
        ("params<1m params>800k", True),
        ("age<3h", True),
        ("age<1h", False),
        ("dataset:stand-in", True),
    ],
)
def test_a_filter_finds_what_it_says(query, fits):
    assert parse_query(query).accepts(RunView(RUN, now=NOW)) is fits


@pytest.mark.parametrize("query", ["sate:x", "params>many", "foo>3", "age<soon"])
def test_a_filter_that_means_nothing_is_a_sentence(query):
    with pytest.raises(BadSpec):
        parse_query(query)


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_a_sentence(text):
    try:
        parse_query(text).accepts(RunView(RUN, now=NOW))
    except BadSpec as error:
        assert error.message


@given(st.integers(1, 300))
def test_columns_always_fit_and_the_state_never_leaves(room):
    columns = run_columns(lambda: NOW, {})

    chosen = choose_columns(columns, room, gap=1)

    assert chosen[0][0].name == "state"
    if len(chosen) > 1:
        assert sum(width + 1 for _, width in chosen) - 1 <= room


def test_the_stated_columns_survive_eighty_columns():
    names = [column.name for column, _ in choose_columns(run_columns(lambda: NOW, {}), 75, gap=1)]

    assert names == ["state", "name", "dataset", "score", "progress", "age"]


def test_scores_of_different_data_are_never_ranked_against_each_other():
    runs = [
        replace(RUN, id="a", score=0.5, fingerprint="x"),
        replace(RUN, id="b", score=0.9, fingerprint="y"),
        replace(RUN, id="c", score=0.7, fingerprint="x"),
        replace(RUN, id="d", score=None),
    ]

    order = order_of("score")

    assert order is not None
    assert [run.id for run in order.apply(runs)] == ["c", "a", "b", "d"]


def test_lower_is_first_where_lower_is_better():
    runs = [replace(RUN, id="a", score=0.5, maximize=False), replace(RUN, id="b", score=0.2, maximize=False)]

    assert [run.id for run in order_of("score").apply(runs)] == ["b", "a"]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.column)
def test_every_order_keeps_every_run(order):
    runs = [replace(RUN, id=str(number), score=number or None, parameters=None) for number in range(5)]

    assert sorted(run.id for run in order.apply(runs, reverse=True)) == ["0", "1", "2", "3", "4"]


def test_every_state_has_a_glyph_and_its_word():
    states = ["queued", "starting", "running", "paused", "stopping", "finished", "stopped", "killed", "crashed", "lost"]
    looks = [look_of(replace(RUN, state=state)) for state in states]

    assert [look.word for look in looks] == states
    assert all(len(look.glyph) == 1 for look in looks)
    assert look_of(replace(RUN, damaged=True)).word == "damaged"
    assert look_of(replace(RUN, orphan=True)).word == "orphan"


def test_only_runs_that_ended_between_two_looks_are_announced():
    before = StoreSnapshot((RUN, replace(RUN, id="b", state="finished")))
    after = StoreSnapshot((replace(RUN, state="crashed", reason="loss is NaN"), replace(RUN, id="b", state="finished")))

    found = notices(before, after)

    assert [(notice.title, notice.failed) for notice in found] == [("Run crashed", True)]
    assert "loss is NaN" in found[0].message
    assert notices(StoreSnapshot(loaded=False), after) == []


def test_a_carriage_return_starts_the_line_over_and_pieces_join():
    lines = LineAssembler()
    for piece in ("ep", "och 1\n10%", "\r50", "%\r100%\n", "last\r"):
        lines.feed(piece)

    assert lines.lines() == ("epoch 1", "100%", "last")


@given(st.text(st.characters(blacklist_characters="\r"), max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_a_log_reads_the_same_however_it_was_cut(text, cuts):
    whole, pieces = LineAssembler(), LineAssembler()
    whole.feed(text)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(text)], strict=True):
        pieces.feed(text[start:end])

    assert pieces.lines() == whole.lines()


def test_a_long_log_is_read_from_its_end_and_followed(tmp_path):
    path = tmp_path / "log.1.txt"
    path.write_text("".join(f"line {number}\n" for number in range(10_000)))
    tail = LogTail(window_bytes=1000)

    tail.poll([path])
    first = tail.lines()
    with path.open("ab") as file:
        file.write("schö".encode()[:-1])
    tail.poll([path])
    with path.open("ab") as file:
        file.write("schö".encode()[-1:] + b"n\n")
    tail.poll([path])

    assert first[-1] == "line 9999" and len(first) < 120 and "not shown" in first[0]
    assert tail.lines()[-1] == "schön"
    assert tail.poll([path]) is False


def test_the_log_of_the_next_attempt_follows_under_a_rule(tmp_path):
    first, second = tmp_path / "log.1.txt", tmp_path / "log.2.txt"
    first.write_text("one\n")
    tail = LogTail()
    tail.poll([first])
    second.write_text("two\n")

    tail.poll([first, second])

    assert tail.lines() == ("one", "── log.2.txt ──", "two")


def test_trials_are_ranked_within_their_question_the_running_one_first(trial):
    trials = [
        trial(0, score=0.5),
        trial(1, score=0.7),
        trial(2, status="failed", reason="no"),
        trial(3, stage="fusion", score=0.6),
        trial(4, stage="fusion"),
    ]

    ranked = rank_trials(trials, maximize=True)

    assert [(row.trial.number, row.rank) for row in ranked] == [(4, None), (3, 1), (1, 1), (0, 2), (2, None)]
    assert [row.trial.number for row in rank_trials(trials[:2], maximize=False)] == [0, 1]
    for column in trial_columns():
        assert all(column.pieces(row, 20) is not None for row in ranked)


def test_a_pruned_trials_score_is_of_less_training_and_beats_nobody(trial):
    trials = [trial(0, score=0.5), trial(1, score=0.9, status="pruned"), trial(2, score=0.6)]

    ranked = rank_trials(trials, maximize=True)
    chart = score_chart(trials, metric="val/accuracy", maximize=True)

    assert [(row.trial.number, row.rank) for row in ranked] == [(2, 1), (0, 2), (1, 3)]
    assert max(chart.curves[1].values) == 0.6


@given(st.integers(1, 300), st.integers(1, 80), st.lists(st.sampled_from("abcd"), max_size=4))
def test_tiles_cover_the_deck_exactly_and_show_every_panel_somewhere(width, height, active):
    panels = [("a", "main"), ("b", "side"), ("c", "side"), ("d", "wing")]

    tiles = tile(panels, width=width, height=height, active=active)

    assert sum(piece.width * piece.height for piece in tiles) == width * height
    assert sorted(name for piece in tiles for name in piece.members) == list("abcd")
    assert all(piece.shown in piece.members for piece in tiles)
