"""`mmfuse runs import wandb`: what was logged to Weights & Biases offline, number for number, without wandb."""

from __future__ import annotations

import json
import lzma
import math
import shutil
import struct
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse.errors import DataInvalid
from mmfuse_runs.importing import read_wandb
from mmfuse_runs.wandb_log import read_log

LOGS = Path(__file__).parents[1] / "fixtures" / "wandb"
"""Written by wandb itself: see make_wandb_logs.py."""
TOLD = json.loads((LOGS / "told.json").read_text())
(WHOLE,) = LOGS.glob("offline-run-*/run-whole001.wandb")
HEAD = WHOLE.read_bytes()[:7]


def flat(values, prefix=""):
    """Groups by their parts, as metrics are called here."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def numbers_logged():
    """What was logged: the points of every metric, but for text, switches and what no float can hold."""
    metrics = {}
    for step, values in TOLD["rows"]:
        for name, value in flat(values):
            if not isinstance(value, bool | str) and (isinstance(value, float) or abs(value) <= 2**53):
                metrics.setdefault(name, []).append((step, 1000.5 + step, float(value)))
    return metrics


def varint(number):
    """A number as messages spell it."""
    return bytes([number]) if number < 128 else bytes([number & 0x7F | 0x80]) + varint(number >> 7)


def part(number, content):
    """A field of a message that holds another, or text."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def whole_record(content):
    """A record of one part, as it stands in a log."""
    return struct.pack("<IHB", zlib.crc32(content, zlib.crc32(b"\x01")), len(content), 1) + content


def written(path, *rows):
    """A log with a row of history for each list of items."""
    records = (part(2, b"".join(part(1, item) for item in items)) for items in rows)
    path.write_bytes(HEAD + b"".join(map(whole_record, records)))
    return path


@pytest.fixture
def killed(tmp_path):
    """The log of a run that was killed with everything it had started."""
    path = tmp_path / "wandb" / "offline-run-1-killed01" / "run-killed01.wandb"
    path.parent.mkdir(parents=True)
    path.write_bytes(lzma.decompress((LOGS / "killed.wandb.xz").read_bytes()))
    return path


def test_every_number_equals_what_was_logged(mmfuse, store):
    (made,) = json.loads(mmfuse("runs", "import", "wandb", str(LOGS), "--json").stdout)["runs"]

    table, expected = store.folder(made["run"]).metrics(), numbers_logged()
    assert set(table.names()) == set(expected)
    for name, points in expected.items():
        steps, values, times = table.points(name)
        assert repr(list(zip(steps, times, values, strict=True))) == repr(points)
    assert made["left_out"] == {"word": 1, "flag": 1, "count": 1, "histogram": 1}


def test_settings_summary_name_notes_and_ending_come_along(mmfuse, store):
    run_id = mmfuse("runs", "import", "wandb", str(LOGS), "--metric", "acc", "--tag", "old").stdout.strip()

    record, spec = store.record(run_id), store.folder(run_id).spec()
    assert (record.name, record.notes, record.tags) == ("größe 名", "two\nlines", ("a b", "old", "ü"))
    assert (record.metric, record.score, record.maximize) == ("acc", 0.7, True)
    assert (record.metrics["best"], record.metrics["nested/b/c"]) == (0.75, -2.0)
    assert spec["options"] == {
        "lr": 0.1,
        "nested.depth": 3,
        "nested.list": [1, 2],
        "text": "héllo",
        "inf": "Infinity",
        "late": 1,
    }
    assert (spec["run"], spec["project"], spec["group"]) == ("whole001", "fusion", "first")
    assert "exit code 3" in record.reason
    assert run_id in mmfuse("runs", "ls", "nested.depth:3", "best(acc)>0.6").stdout
    assert mmfuse("runs", "cmd", run_id).stdout == f"mmfuse runs import wandb {WHOLE}\n"
    assert mmfuse("runs", "fsck").exit_code == 0


def test_a_killed_run_keeps_what_had_reached_the_disk_and_says_that_it_has_no_end(mmfuse, killed, store):
    result = mmfuse("runs", "import", "wandb", str(killed.parents[1]))

    steps, values = store.folder(result.stdout.strip()).metrics().series("loss")
    assert 0 < len(steps) < TOLD["killed_steps"]
    assert [*zip(steps, values, strict=True)] == [(step, 1 / (step + 1)) for step in range(len(steps))]
    assert store.folder(result.stdout.strip()).spec()["options"] == {"long": "word " * 9000}
    assert "its log has no end" in result.stderr


def test_runs_that_never_measured_the_metric_come_without_a_score(mmfuse, killed, store):
    shutil.copy(WHOLE, killed.with_name(WHOLE.name))

    result = mmfuse("runs", "import", "wandb", str(killed.parent), "--metric", "loss")
    refused = mmfuse("runs", "import", "wandb", str(killed.parent), "--metric", "los")

    assert "run-whole001.wandb has no metric 'loss', and its run no score" in result.stderr
    assert {store.record(run_id).score is None for run_id in result.stdout.split()} == {True, False}
    assert "did you mean 'loss'" in refused.stderr
    assert len(store.ids()) == 2


def test_a_log_that_is_cut_off_anywhere_gives_what_is_whole(tmp_path):
    content, whole = WHOLE.read_bytes(), read_log(WHOLE)
    lengths = set()

    for end in range(len(HEAD), len(content), 11):
        (tmp_path / "run-cut.wandb").write_bytes(content[:end] + bytes(end % 3))
        found = read_log(tmp_path / "run-cut.wandb")
        assert repr(found.rows) == repr(whole.rows[: len(found.rows)])
        assert found.exit_code is None
        lengths.add(len(found.rows))

    assert lengths == set(range(len(whole.rows) + 1))


def test_a_folder_with_its_link_to_the_latest_run_holds_each_run_once(mmfuse, tmp_path, store):
    shutil.copytree(LOGS, tmp_path / "wandb")
    (tmp_path / "wandb" / "latest-run").symlink_to(WHOLE.parent.name)

    mmfuse("runs", "import", "wandb", str(tmp_path / "wandb"))
    mmfuse("runs", "import", "wandb", str(tmp_path / "wandb" / "latest-run" / WHOLE.name))

    assert len(store.ids()) == 2


@pytest.mark.parametrize(
    ("content", "told", "code"),
    [
        (None, "no offline log with a number lies in", 2),
        (HEAD, "(1 without one)", 2),
        (b"step,loss\n1,2\n", "is no log of Weights & Biases': it does not begin as one", 2),
        (HEAD[:6] + b"\x01", "it is of version 1, and only version 0 can be read", 2),
        (WHOLE.read_bytes()[:200] + b"?" + WHOLE.read_bytes()[201:], "it is damaged at byte", 2),
        (HEAD + whole_record(b"\xff"), "is no log of Weights & Biases'", 2),
    ],
)
def test_what_is_no_log_makes_no_run_and_says_why(mmfuse, tmp_path, store, content, told, code):
    if content is not None:
        (tmp_path / "run-x.wandb").write_bytes(content)

    result = mmfuse("runs", "import", "wandb", str(tmp_path))

    assert (result.exit_code, store.ids()) == (code, [])
    assert told in result.stderr


@given(st.binary(max_size=200))
def test_any_bytes_are_a_log_or_a_sentence(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run-x.wandb"
        path.write_bytes(HEAD + content)
        try:
            read_log(path)
        except DataInvalid as error:
            assert "is no log" in error.message


def test_numbers_come_as_json_as_text_and_as_they_are(tmp_path):
    path = written(
        tmp_path / "run-x.wandb",
        [
            part(1, b"json") + part(16, b"0.1"),
            part(1, b"strict") + part(16, b'"NaN"'),
            part(1, b"older") + part(16, b'{"a": {"b": 2}}'),
            part(2, b"double") + b"\x31" + struct.pack("<d", 0.1),
            part(2, b"negative") + b"\x28\x05",
            part(2, b"switch") + b"\x20\x01",
            part(2, b"text") + part(7, b"0.5"),
            part(2, b"huge") + part(16, b"1" * 99),
        ],
        [part(1, b"_step") + part(16, b"7"), part(1, b"json") + part(16, b"1e999")],
    )

    table, _ = read_wandb(path)

    assert repr([(step, dict(sorted(numbers.items()))) for step, _, numbers in table.rows]) == repr(
        [
            (0, {"double": 0.1, "json": 0.1, "negative": -3.0, "older/a/b": 2.0, "strict": math.nan}),
            (7, {"json": math.inf}),
        ]
    )
    assert table.left_out == {"switch": 1, "text": 1, "huge": 1}
