"""The journals of a run: nothing that was flushed is lost, whatever happens to the writer or the disk."""

from __future__ import annotations

import errno
import json
import math
import multiprocessing
import os
import random
import resource
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse_runs.journal import JournalReader, JournalWriter, decode_row, encode_row

FORK = multiprocessing.get_context("fork")

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(alphabet='abcé\n"\\')
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=8
)
rows = st.dictionaries(st.text(max_size=5), values)


def open_files() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


def same(first: object, second: object) -> bool:
    """Equality in which NaN equals NaN."""
    return repr(first) == repr(second)


@given(row=rows)
def test_a_row_is_read_back_as_it_was_written(row: dict[str, object]) -> None:
    line = encode_row(row)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert same(decode_row(line[:-1]), row)


def test_numbers_that_are_not_finite_survive_and_leave_valid_json(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"

    with JournalWriter(path) as writer:
        writer.append({"m": {"train/loss": math.nan, "a": math.inf, "b": -math.inf, "c": None}})

    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {
        "m": {"train/loss": "NaN", "a": "Infinity", "b": "-Infinity", "c": None}
    }
    numbers = JournalReader(path).poll()[0]["m"]
    assert math.isnan(numbers["train/loss"])
    assert (numbers["a"], numbers["b"], numbers["c"]) == (math.inf, -math.inf, None)


def test_scalars_of_numpy_are_numbers(tmp_path: Path) -> None:
    row = {"m": {"a": numpy.float32(0.5), "b": numpy.float64(0.25), "c": numpy.int64(3), "d": numpy.float32("nan")}}

    read = decode_row(encode_row(row)[:-1])

    assert same(read, {"m": {"a": 0.5, "b": 0.25, "c": 3, "d": math.nan}})


def test_what_is_not_json_is_refused_with_its_type() -> None:
    with pytest.raises(TypeError, match="object"):
        encode_row({"m": object()})


def test_rows_are_seen_after_a_flush_and_only_once(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path / "j.jsonl")
    assert reader.poll() == []

    with JournalWriter(tmp_path / "j.jsonl") as writer:
        writer.append({"s": 1})
        writer.append({"s": 2})
        writer.flush()

        assert reader.poll() == [{"s": 1}, {"s": 2}]
        assert reader.poll() == []


def test_rows_reach_the_file_without_a_flush(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path / "j.jsonl")
    rows = []

    with JournalWriter(tmp_path / "j.jsonl", sync_seconds=0.01) as writer:
        writer.append({"s": 1})
        writer.append({"s": 2})
        deadline = time.monotonic() + 90
        while len(rows) < 2 and time.monotonic() < deadline:
            rows += reader.poll()
            time.sleep(0.005)

        assert rows == [{"s": 1}, {"s": 2}]


def test_a_torn_last_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"s":1}\n{"s":')
    reader = JournalReader(path)
    assert reader.poll() == [{"s": 1}]

    with path.open("ab") as file:
        file.write(b"2}\n")

    assert reader.poll() == [{"s": 2}]


def test_a_writer_cuts_off_the_torn_row_of_the_one_before_it(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"s":1}\n{"s":2')

    with JournalWriter(path) as writer:
        writer.append({"s": 3})

    assert path.read_bytes() == b'{"s":1}\n{"s":3}\n'


def test_a_file_that_is_one_torn_row_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"s":' + b"1" * 3_000_000)

    JournalWriter(path).close()

    assert path.read_bytes() == b""


def test_damaged_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"s":1}\n\x00\xff\n[1]\n{"s":2}\n')

    reader = JournalReader(path)

    assert reader.poll() == [{"s": 1}, {"s": 2}]
    assert reader.bad_lines == 2


def test_a_file_that_shrank_or_was_replaced_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"s":1}\n{"s":2}\n')
    reader = JournalReader(path)
    reader.poll()

    path.write_bytes(b'{"s":3}\n')
    assert reader.poll() == [{"s": 3}]

    (tmp_path / "new").write_bytes(b'{"s":4}\n{"s":5}\n')
    (tmp_path / "new").replace(path)
    assert reader.poll() == [{"s": 4}, {"s": 5}]
    assert reader.restarts == 2


def test_a_reader_keeps_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"s":1}\n')
    before = open_files()

    JournalReader(path).poll()

    assert open_files() == before


def test_rows_longer_than_a_read_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    long = [{"s": number, "text": "x" * 700_000} for number in range(5)]

    with JournalWriter(path) as writer:
        for row in long:
            writer.append(row)

    assert JournalReader(path).poll() == long


def test_a_closed_journal_takes_no_rows(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "j.jsonl")
    writer.append({"s": 1})
    writer.close()
    writer.close()

    for refused in (lambda: writer.append({"s": 2}), lambda: writer.write([{"s": 2}])):
        with pytest.raises(ValueError, match=r"j.jsonl is closed"):
            refused()

    assert JournalReader(tmp_path / "j.jsonl").poll() == [{"s": 1}]


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:5]))

    with JournalWriter(tmp_path / "j.jsonl") as writer:
        writer.append({"s": 1, "text": "longer than five bytes"})

    assert JournalReader(tmp_path / "j.jsonl").poll() == [{"s": 1, "text": "longer than five bytes"}]
    assert writer.dropped_rows == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_short_write_before_a_full_disk_leaves_no_part_of_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write = os.write
    room = [30]

    def write_until_full(fd: int, data: bytes) -> int:
        if room[0] == 0:
            raise OSError(number, os.strerror(number))
        written = write(fd, bytes(data)[: room[0]])
        room[0] -= written
        return written

    path = tmp_path / "j.jsonl"
    with JournalWriter(path, sync_seconds=60) as writer:
        writer.append({"s": 1})
        monkeypatch.setattr(os, "write", write_until_full)
        for step in range(2, 10):
            writer.append({"s": step})
        writer.flush()
        monkeypatch.setattr(os, "write", write)
        writer.append({"s": 10})

    steps = [row["s"] for row in JournalReader(path).poll()]
    assert path.read_bytes().endswith(b"\n")
    assert steps == [1, 2, 3, 4, 10]
    assert writer.dropped_rows == 5


def test_trouble_that_is_not_the_disks_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, data: bytes) -> int:
        raise OSError(errno.EBADF, "bad file descriptor")

    writer = JournalWriter(tmp_path / "j.jsonl", sync_seconds=60)
    writer.append({"s": 1})
    writer.flush()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        writer.append({"s": 2})
        with pytest.raises(OSError, match="bad file"):
            writer.flush()
    writer.close()


def _write_into_a_full_disk(path: Path, dropped: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
    writer = JournalWriter(path, sync_seconds=60)
    for step in range(1000):
        writer.append({"s": step})
        writer.flush()
    writer.close()
    dropped.send(writer.dropped_rows)


def test_a_full_disk_costs_the_rows_that_do_not_fit_and_the_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    dropped, sender = FORK.Pipe(duplex=False)

    child = FORK.Process(target=_write_into_a_full_disk, args=(path, sender))
    child.start()
    lost = dropped.recv()
    child.join(30)

    steps = [row["s"] for row in JournalReader(path).poll()]
    assert child.exitcode == 0
    assert len(steps) > 300
    assert steps == list(range(len(steps)))
    assert len(steps) + lost == 1000
    assert path.read_bytes().endswith(b"\n")


def test_a_forked_child_does_not_write_the_rows_of_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    writer = JournalWriter(path, sync_seconds=60)
    writer.append({"s": 1})
    writer.append({"s": 2})

    child = FORK.Process(target=writer.close)
    child.start()
    child.join(30)
    writer.close()

    assert child.exitcode == 0
    assert JournalReader(path).poll() == [{"s": 1}, {"s": 2}]


def _append_for_ever(path: Path, acknowledge: int) -> None:
    writer = JournalWriter(path, sync_seconds=0.002)
    noise = random.Random(os.getpid())
    while True:
        row = {"pid": os.getpid(), "s": noise.random(), "text": "x" * noise.randrange(3000)}
        writer.append(row)
        if noise.random() < 0.5:
            writer.flush()
            os.write(acknowledge, json.dumps([row["pid"], row["s"]]).encode() + b"\n")


def test_no_acknowledged_row_is_lost_in_a_storm_of_kills(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    acknowledged: list[tuple[int, float]] = []
    noise = random.Random(0)

    for _ in range(40):
        reading, writing = os.pipe()
        child = FORK.Process(target=_append_for_ever, args=(path, writing))
        child.start()
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            first = pipe.readline()
            time.sleep(noise.random() * 0.03)
            os.kill(child.pid or 0, signal.SIGKILL)
            child.join()
            whole = [line for line in [first, *pipe] if line.endswith(b"\n")]
        acknowledged += [tuple(json.loads(line)) for line in whole]
    JournalWriter(path).close()

    reader = JournalReader(path)
    present = {(row["pid"], row["s"]) for row in reader.poll()}
    assert len(acknowledged) >= 40
    assert set(acknowledged) <= present
    assert reader.bad_lines == 0
