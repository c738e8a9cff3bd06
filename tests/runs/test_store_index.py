"""The index of all runs: several writers, readers without locks, kills, full disks and damaged files."""

from __future__ import annotations

import copy
import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tinydb import TinyDB, where

import mmfuse_runs
from mmfuse.errors import StoreError
from mmfuse_runs import index as index_module
from mmfuse_runs import index_event
from mmfuse_runs.index import Index
from mmfuse_runs.index_event import append_index_event, index_lock
from mmfuse_runs.storage import open_index_db

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(tmp_path)
    yield index
    index.close()


def put(index: Index, run_id: str, **fields: Any) -> None:
    with index.transaction(durable=False) as transaction:
        transaction.put("runs", run_id, fields)


def runs_of(home: Path) -> dict[str, dict[str, Any]]:
    """What a fresh reader sees."""
    index = Index(home)
    index.refresh()
    index.close()
    return index.tables.get("runs", {})


def wal(home: Path) -> Path:
    (path,) = home.glob("store.json.*.wal")
    return path


def test_an_empty_home_has_no_tables_and_stays_empty(tmp_path: Path) -> None:
    index = Index(tmp_path)

    assert index.refresh()
    assert index.tables == {}
    assert not index.refresh()
    assert list(tmp_path.iterdir()) == []


def test_stock_tinydb_opens_the_snapshot(index: Index, tmp_path: Path) -> None:
    put(index, "a", state="finished", score=0.5)
    put(index, "b", state="killed", score=float("nan"))

    index.compact()

    with TinyDB(tmp_path / "store.json", access_mode="r") as stock:
        runs = stock.table("runs")
        runs.document_id_class = str
        assert stock.tables() == {"_meta", "runs"}
        assert [run.doc_id for run in runs.search(where("state") == "killed")] == ["b"]
        assert [run["score"] for run in runs] == [0.5, "NaN"]


def test_a_reader_sees_what_another_writes(index: Index, tmp_path: Path) -> None:
    reader = Index(tmp_path)
    reader.refresh()

    put(index, "a", state="running")
    assert reader.refresh()
    index.compact()
    put(index, "b", state="queued")

    assert reader.refresh()
    assert not reader.refresh()
    assert reader.tables == {"runs": {"a": {"state": "running"}, "b": {"state": "queued"}}}
    reader.close()


def test_a_compaction_between_snapshot_and_journal_is_noticed(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, "a", state="running")
    index.compact()
    put(index, "b", state="running")
    open_wal = Index._open_wal

    def compact_first(reader: Index, generation: int) -> None:
        monkeypatch.setattr(Index, "_open_wal", open_wal)
        index.compact()
        open_wal(reader, generation)

    monkeypatch.setattr(Index, "_open_wal", compact_first)

    assert sorted(runs_of(tmp_path)) == ["a", "b"]


def test_a_repeated_query_sees_what_another_process_changed(index: Index, tmp_path: Path) -> None:
    put(index, "a", state="running")
    db = open_index_db(Index(tmp_path))
    running = where("state") == "running"
    assert len(db.table("runs").search(running)) == 1

    append_index_event(tmp_path, "a", {"state": "killed"})

    assert db.table("runs").search(running) == []
    assert db.table("runs", cache_size=10).search(running) == []
    db.close()


def test_an_event_of_the_supervisor_changes_only_the_fields_it_names(index: Index, tmp_path: Path) -> None:
    put(index, "a", state="running", name="first")

    assert append_index_event(tmp_path, "a", {"state": "crashed", "exit_code": 1})
    assert append_index_event(tmp_path, "unknown", {"state": "crashed"})

    assert runs_of(tmp_path) == {"a": {"state": "crashed", "exit_code": 1, "name": "first"}}


def test_the_supervisor_needs_neither_site_packages_nor_the_library(index: Index, tmp_path: Path) -> None:
    put(index, "a", state="running")
    packages = Path(mmfuse_runs.__file__).parent.parent
    code = f"""
import sys
sys.path.insert(0, {str(packages)!r})
from mmfuse_runs.index_event import append_index_event
append_index_event({str(tmp_path)!r}, "a", {{"state": "killed"}})
assert not {{"tinydb", "orjson", "mmfuse"}} & set(sys.modules)
"""

    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)

    assert runs_of(tmp_path) == {"a": {"state": "killed"}}


operations = st.lists(
    st.tuples(
        st.sampled_from(["put", "patch", "delete", "clear", "compact", "supervisor"]),
        st.sampled_from("abc"),
        st.dictionaries(st.sampled_from(["state", "score", "tags"]), st.integers() | st.lists(st.text(max_size=2))),
    ),
    max_size=12,
)


def apply(model: dict[str, dict[str, Any]], op: str, run_id: str, fields: dict[str, Any]) -> None:
    if op == "put":
        model[run_id] = dict(fields)
    elif op in ("patch", "supervisor") and run_id in model:
        model[run_id] = model[run_id] | fields
    elif op == "delete":
        model.pop(run_id, None)
    elif op == "clear":
        model.clear()


def perform(index: Index, op: str, run_id: str, fields: dict[str, Any]) -> None:
    if op == "compact":
        assert index.compact()
    elif op == "supervisor":
        append_index_event(index.home, run_id, fields, durable=False)
    else:
        with index.transaction(durable=False) as transaction:
            arguments = {"put": (run_id, fields), "patch": (run_id, fields), "delete": (run_id,), "clear": ()}[op]
            getattr(transaction, op)("runs", *arguments)


@settings(deadline=None, max_examples=60)
@given(steps=operations)
def test_the_index_is_a_dictionary_for_its_writer_and_for_every_reader(steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as home:
        index, follower, model = Index(Path(home)), Index(Path(home)), {}

        for step in steps:
            perform(index, *step)
            apply(model, *step)
            follower.refresh()
            assert follower.tables.get("runs", {}) == model

        index.refresh()
        assert index.tables.get("runs", {}) == model == runs_of(Path(home))
        index.close()
        follower.close()


@settings(deadline=None, max_examples=60)
@given(steps=operations.filter(bool), cut=st.integers(min_value=0, max_value=10_000))
def test_a_journal_cut_anywhere_holds_the_state_after_some_earlier_step(steps: list[Any], cut: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        index, model = Index(home), {}
        history = [(0, {})]
        put(index, "a", state=0)
        apply(model, "put", "a", {"state": 0})
        history = [(0, {}), (wal(home).stat().st_size, copy.deepcopy(model))]
        for step in (step for step in steps if step[0] != "compact"):
            perform(index, *step)
            apply(model, *step)
            history.append((wal(home).stat().st_size, copy.deepcopy(model)))
        index.close()

        size = cut % (history[-1][0] + 1)
        os.truncate(wal(home), size)

        expected = [state for length, state in history if length <= size][-1]
        assert runs_of(home) == expected
        put(Index(home), "after", state=1)
        assert runs_of(home) == expected | {"after": {"state": 1}}


def test_documents_of_readers_do_not_change_under_them(index: Index, tmp_path: Path) -> None:
    put(index, "a", state="running")
    before = index.tables["runs"]["a"]

    append_index_event(tmp_path, "a", {"state": "killed"})
    index.refresh()

    assert before == {"state": "running"}
    assert index.tables["runs"]["a"] == {"state": "killed"}


def test_the_journal_is_folded_into_the_snapshot_when_it_outgrows_it(index: Index, tmp_path: Path) -> None:
    for number in range(400):
        put(index, "a", number=number, text="x" * 300)

    assert wal(tmp_path).stat().st_size <= index_module.COMPACT_BYTES
    assert runs_of(tmp_path)["a"]["number"] == 399


def test_leftovers_of_killed_writers_go_with_the_next_compaction(index: Index, tmp_path: Path) -> None:
    put(index, "a", state="running")
    (tmp_path / "store.json.7.wal").write_bytes(b"")
    (tmp_path / "store.json.4711.tmp").write_bytes(b"half a snap")

    assert runs_of(tmp_path) == {"a": {"state": "running"}}
    index.compact()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["store.json", "store.json.1.wal", "store.json.lock"]
    assert runs_of(tmp_path) == {"a": {"state": "running"}}


def test_a_damaged_line_is_skipped_counted_and_kept_beside(index: Index, tmp_path: Path) -> None:
    for run_id in "abc":
        put(index, run_id, state="running")
    text = wal(tmp_path).read_bytes()
    wal(tmp_path).write_bytes(text.replace(b'"id":"b"', b'"id":"x"'))

    fresh = Index(tmp_path)
    fresh.refresh()
    assert (fresh.repairs, sorted(fresh.tables["runs"])) == (1, ["a", "c"])
    put(fresh, "d", state="queued")

    assert sorted(runs_of(tmp_path)) == ["a", "c", "d"]
    assert (tmp_path / "store.json.0.bad").is_file()
    fresh.close()


@pytest.mark.parametrize(
    "damage", [b"", b'{"_meta":{"1":{"schema":1,"gen":3,"app":"0"}},"runs":{"a', b"[]", b"\x00" * 50]
)
def test_a_damaged_snapshot_is_set_aside_by_the_next_writer(index: Index, tmp_path: Path, damage: bytes) -> None:
    put(index, "a", state="running")
    index.compact()
    (tmp_path / "store.json").write_bytes(damage)

    fresh = Index(tmp_path)
    fresh.refresh()
    assert (fresh.repairs, fresh.tables) == (1, {})
    put(fresh, "b", state="queued")

    assert runs_of(tmp_path) == {"b": {"state": "queued"}}
    (aside,) = tmp_path.glob("store.json.*.bad")
    assert aside.read_bytes() == damage
    fresh.close()


def test_the_supervisor_leaves_a_damaged_index_alone(index: Index, tmp_path: Path) -> None:
    (tmp_path / "store.json").write_bytes(b"nonsense")

    assert append_index_event(tmp_path, "a", {"state": "killed"}) is False
    assert not list(tmp_path.glob("*.wal"))


def test_a_snapshot_of_a_newer_format_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text('{"_meta": {"1": {"schema": 2, "gen": 5, "app": "9"}}, "runs": {}}')

    with pytest.raises(StoreError, match=r"newer mmfuse \(format 2, this one reads 1\)"):
        Index(tmp_path).refresh()


def test_an_event_of_a_newer_format_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(index_event, "SCHEMA", 2)
        append_index_event(tmp_path, "a", {"state": "running"})

    with pytest.raises(StoreError, match=r"newer mmfuse \(format 2, this one reads 1\)"):
        Index(tmp_path).refresh()


def test_a_snapshot_of_a_newer_format_is_not_written_by_the_supervisor(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text('{"_meta": {"1": {"schema": 9, "gen": 2, "app": "9"}}}')

    assert append_index_event(tmp_path, "a", {"state": "killed"}) is False


class FullDisk:
    """``os.write`` that has room for some more bytes, then fails as a full disk does: short first."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.write = os.write

    def __call__(self, fd: int, data: bytes) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self.write(fd, bytes(data)[: self.room])
        self.room -= written
        return written


def test_an_event_that_does_not_fit_on_the_disk_leaves_nothing(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, "a", state="running")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", FullDisk(20))
        with pytest.raises(StoreError, match="No space left"):
            put(index, "b", state="running")
    put(index, "c", state="running")

    assert sorted(runs_of(tmp_path)) == ["a", "c"]
    assert index.tables["runs"].keys() == {"a", "c"}


def test_events_of_one_transaction_are_appended_all_or_none(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, "a", state="running")
    line = wal(tmp_path).stat().st_size

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", FullDisk(line + 20))
        with pytest.raises(StoreError, match="No space left"), index.transaction() as transaction:
            transaction.put("runs", "b", {"state": "running"})
            transaction.put("runs", "c", {"state": "running"})

    assert sorted(runs_of(tmp_path)) == ["a"]


def _fill(home: Path, acknowledged: Connection) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    index, done = Index(home), 0
    try:
        while True:
            put(index, f"{done:06}", text="x" * 200)
            done += 1
    except StoreError:
        acknowledged.send(done)


def test_a_disk_that_fills_up_costs_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    receiver, sender = FORK.Pipe(duplex=False)

    child = FORK.Process(target=_fill, args=(tmp_path, sender))
    child.start()
    done = receiver.recv()
    child.join(30)

    assert done > 200
    assert sorted(runs_of(tmp_path)) == [f"{number:06}" for number in range(done)]


def test_a_compaction_that_fails_does_not_fail_the_event(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(index_module, "_write_durably", refuse)
    for number in range(400):
        put(index, "a", number=number, text="x" * 300)

    assert index.compact() is False
    assert runs_of(tmp_path)["a"]["number"] == 399
    assert not list(tmp_path.glob("*.tmp"))


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no-such-home cannot be written"):
        put(Index(tmp_path / "no-such-home"), "a", state="running")


def test_the_lock_may_be_taken_again_by_its_holder(index: Index, tmp_path: Path) -> None:
    with index_lock(tmp_path), index_lock(tmp_path):
        put(index, "a", state="running")
        append_index_event(tmp_path, "a", {"state": "killed"})

    assert runs_of(tmp_path) == {"a": {"state": "killed"}}


def test_a_lock_that_stays_taken_is_reported(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_event, "LOCK_SECONDS", 0.05)
    taken, sender = FORK.Pipe(duplex=False)

    def hold() -> None:
        with index_lock(tmp_path):
            sender.send("taken")
            time.sleep(60)

    holder = FORK.Process(target=hold)
    holder.start()
    taken.recv()
    with pytest.raises(StoreError, match="keeps the index locked"):
        put(index, "a", state="running")
    holder.kill()
    holder.join()

    put(index, "a", state="running")
    assert list(runs_of(tmp_path)) == ["a"]


def test_a_forked_child_does_not_keep_the_lock_of_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, sender = FORK.Pipe(duplex=False)

    def fork_while_locked() -> None:
        with index_lock(tmp_path):
            if os.fork() == 0:
                time.sleep(5)
                os._exit(0)
            sender.send("forked")
            os.kill(os.getpid(), signal.SIGKILL)

    parent = FORK.Process(target=fork_while_locked)
    parent.start()
    ready.recv()
    parent.join()
    monkeypatch.setattr(index_event, "LOCK_SECONDS", 2.0)

    with index_lock(tmp_path):
        pass


def _write_many(home: Path, writer: int, count: int) -> None:
    index_module.COMPACT_BYTES = 4096
    index = Index(home)
    for number in range(count):
        put(index, f"{writer}-{number}", text="x" * 50)
        append_index_event(home, f"{writer}-{number}", {"number": number}, durable=False)


def _read_for_ever(home: Path, reads: Connection) -> None:
    index, count = Index(home), 0
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    reads.send(0)
    while not stopped:
        index.refresh()
        Index(home).refresh()
        count += 1
    reads.send((count, index.repairs))


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Any]:
    """A process that reads all the time; call it for its (reads, damages)."""
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_read_for_ever, args=(tmp_path, sender))
    process.start()
    receiver.recv()

    def result() -> tuple[int, int]:
        process.terminate()
        process.join(30)
        assert process.exitcode == 0, "a read failed"
        return receiver.recv()

    yield result
    process.kill()
    process.join()


def test_eight_writers_lose_nothing_and_no_reader_fails(tmp_path: Path, reader: Any) -> None:
    writers = [FORK.Process(target=_write_many, args=(tmp_path, writer, 60)) for writer in range(8)]
    for process in writers:
        process.start()
    for process in writers:
        process.join(60)

    reads, damages = reader()
    runs = runs_of(tmp_path)
    assert [process.exitcode for process in writers] == [0] * 8
    assert runs.keys() == {f"{writer}-{number}" for writer in range(8) for number in range(60)}
    assert all(run["number"] == int(run_id.partition("-")[2]) for run_id, run in runs.items())
    assert reads > 0
    assert damages == 0


def _write_for_ever(home: Path, acknowledge: int) -> None:
    index_module.COMPACT_BYTES = 2048
    index, number = Index(home), 0
    while True:
        run_id = f"{os.getpid()}-{number % 20}"
        put(index, run_id, number=number, text="x" * 100)
        os.write(acknowledge, f"{run_id} {number}\n".encode())
        number += 1


def test_no_acknowledged_event_is_lost_in_a_storm_of_kills(tmp_path: Path, reader: Any) -> None:
    noise = random.Random(0)
    reading, writing = os.pipe()

    def start() -> Any:
        process = FORK.Process(target=_write_for_ever, args=(tmp_path, writing))
        process.start()
        return process

    writers = [start() for _ in range(4)]
    acknowledged: dict[str, int] = {}
    rest = b""
    for _ in range(40):
        time.sleep(noise.random() * 0.04)
        victim = noise.randrange(len(writers))
        writers[victim].kill()
        writers[victim].join()
        *lines, rest = (rest + os.read(reading, 1 << 20)).split(b"\n")
        for line in lines:
            run_id, number = line.decode().split()
            acknowledged[run_id] = int(number)
        writers[victim] = start()
    for process in writers:
        process.kill()
        process.join()

    reads, damages = reader()
    runs = runs_of(tmp_path)
    assert len(acknowledged) > 40
    assert [run_id for run_id, number in acknowledged.items() if runs[run_id]["number"] < number] == []
    assert reads > 0
    assert damages == 0
    assert Index(tmp_path).compact()
    assert runs_of(tmp_path) == runs
