"""The filter language: what a text means, where its mistakes are, and the laws that joined terms obey."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse.errors import UnknownName
from mmfuse_runs.fields import RunView, field_named
from mmfuse_runs.folder import RunFolder
from mmfuse_runs.query import DEEPEST, BadQuery, parse_query
from mmfuse_runs.records import RunRecord

NOW = 1_795_000_000.0
RUN = RunRecord(
    id="20261121-1512-mixmas-avmnist-7f3a",
    kind="search",
    subject="mixmas",
    dataset_label="avmnist (stand-in)",
    stand_in=True,
    state="running",
    name="wide sample",
    tags=("baseline", "v2"),
    created=NOW - 7200,
    score=0.81,
    metric="val/accuracy",
    metrics={"test/accuracy": 0.79},
    architecture="mlp+hyper concat mlp",
)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("kind:train or tag:v2", True),
        ("kind:train or tag:v3", False),
        ("kind:train and tag:v2 or wide", True),
        ("kind:train and (tag:v2 or wide)", False),
        ("not kind:train", True),
        ("not (kind:train or wide)", False),
        ("-(kind:train or wide)", False),
        ("not not wide", True),
        ("wide AND NOT narrow", True),
        ('"wide or"', False),
        ("arch~hyper", True),
        ("status:running algo:mixmas", True),
        ("is:live is:stand-in -is:starred", True),
        ("best(val/accuracy)>0.8", True),
        ("last(test/accuracy)<0.7", False),
        ("tag!=v2", False),
        ("seed:3", False),
        ("score:81%", True),
    ],
)
def test_terms_are_joined_as_they_read(text: str, meant: bool) -> None:
    assert parse_query(text).accepts(RunView(RUN, now=NOW)) is meant


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("kind:search sate:x", 13),
        ("age<soon", 5),
        ("(wide or narrow", 1),
        ("wide)", 5),
        ("wide or", 8),
        ("or wide", 1),
        ("wide and or", 10),
        ("()", 2),
        ("top(val/accuracy)>1", 1),
        ("best()>1", 1),
        ("kind>3", 6),
        ("wide state:runing", 12),
        ("state:running,cra,stoped", 7),
        ("is:bogus", 4),
        ("not", 4),
    ],
)
def test_a_mistake_is_told_with_its_column(text: str, column: int) -> None:
    with pytest.raises(BadQuery, match=f"^column {column}: ") as caught:
        parse_query(text)

    assert caught.value.column == column


def test_too_many_parentheses_are_a_sentence_and_no_overflow() -> None:
    with pytest.raises(BadQuery, match="inside each other"):
        parse_query("(" * 5000 + "wide")

    assert parse_query("(" * DEEPEST + "wide" + ")" * DEEPEST).accepts(RunView(RUN, now=NOW))


TERMS = st.sampled_from(["wide", "narrow", "kind:search", "tag:old", "score>0.5", "age<1h"])
TREES = st.recursive(
    TERMS,
    lambda below: st.one_of(
        st.tuples(st.just("not"), below),
        st.tuples(st.just("and"), below, below),
        st.tuples(st.just("or"), below, below),
    ),
    max_leaves=12,
)


def spelled(tree) -> str:
    if isinstance(tree, str):
        return tree
    if tree[0] == "not":
        return f"not ({spelled(tree[1])})"
    return f"({spelled(tree[1])}) {tree[0]} ({spelled(tree[2])})"


def holds(tree) -> bool:
    if isinstance(tree, str):
        return parse_query(tree).accepts(RunView(RUN, now=NOW))
    parts = [holds(part) for part in tree[1:]]
    return not parts[0] if tree[0] == "not" else all(parts) if tree[0] == "and" else any(parts)


@given(TREES)
def test_joined_terms_obey_the_laws_of_logic(tree) -> None:
    assert parse_query(spelled(tree)).accepts(RunView(RUN, now=NOW)) is holds(tree)


class OneFolder(NamedTuple):
    """Every run's folder is this one."""

    path: Path

    def folder(self, run_id: str) -> RunFolder:
        return RunFolder(self.path)


@pytest.fixture
def view(tmp_path) -> RunView:
    """A run with a curve and settings in its folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    spec = {"format": 1, "options": {"repeats": 3, "space": {"size": "small"}}, "fit": {"epochs": 30}}
    (folder / "config.json").write_text(json.dumps(spec))
    rows = [{"v": 1, "run": "run", "attempt": 1, "t0": 0.0, "resume_step": None}]
    for step, (loss, accuracy) in enumerate([(0.9, 0.2), (0.3, 0.8), ("NaN", 0.7), (0.5, 0.6)]):
        rows.append({"s": step, "e": step, "t": 0.0, "n": None, "m": {"val/loss": loss, "val/accuracy": accuracy}})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return RunView(RUN, now=NOW, folders=OneFolder(folder))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("best(val/loss)", 0.3),
        ("best(val/accuracy)", 0.8),
        ("max(val/loss)", 0.9),
        ("min(val/accuracy)", 0.2),
        ("last(val/loss)", 0.5),
        ("last(test/accuracy)", 0.79),
        ("fit.epochs", 30),
        ("set.repeats", 3),
        ("space.size", "small"),
        ("set.space.size", "small"),
    ],
)
def test_a_field_reads_what_it_names(view: RunView, name: str, value: object) -> None:
    assert field_named(name).read(view) == value


def test_a_smoothed_end_lies_between_the_values_it_sums_up(view: RunView) -> None:
    smooth = field_named("smooth(val/accuracy)").read(view)

    expected = sum(0.9**age * value for age, value in enumerate((0.6, 0.7, 0.8, 0.2))) / sum(
        0.9**age for age in range(4)
    )
    assert smooth == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("fit.epochs>=30 space.size:sma", True),
        ("set.repeats=3", True),
        ("set.repeats!=3", False),
        ("space.size=small", True),
        ("space.size>3", False),
        ("fit.patience=3", False),
    ],
)
def test_settings_compare_as_numbers_or_as_text(view: RunView, text: str, meant: bool) -> None:
    assert parse_query(text).accepts(view) is meant


def test_a_setting_that_no_run_has_names_the_nearest(view: RunView, tmp_path) -> None:
    folders = OneFolder(tmp_path / "run")
    query = parse_query("fit.epohcs>3")

    with pytest.raises(UnknownName) as caught:
        query.chosen([RUN], folders)
    assert "did you mean 'fit.epochs'" in caught.value.hint
    assert query.chosen([], folders) == []
    assert parse_query("fit.epochs>3").chosen([RUN], folders) == [RUN]
