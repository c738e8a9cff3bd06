"""The run store beside the plain ways of doing the same: raw writes, sqlite, and TinyDB as it comes."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from sidebyside import Ratio, in_turns
from tinydb import TinyDB, where

from mmfuse_runs.index import Index
from mmfuse_runs.index_event import RUNS_TABLE
from mmfuse_runs.journal import JournalWriter
from mmfuse_runs.storage import IndexTable, open_index_db, open_journal_db

ROW = {
    "s": 12345,
    "e": 3,
    "t": 1795249587.123,
    "n": None,
    "m": {"train/loss": 0.123456, "train/accuracy": 0.98765, "val/loss": 1.5, "val/accuracy": 0.5, "lr": 0.001},
}
RUN = {
    "kind": "search",
    "subject": "mixmas",
    "dataset": "avmnist",
    "state": "running",
    "tags": ["baseline"],
    "metrics": {"val/accuracy": 0.5, "val/loss": 1.25, "test/accuracy": 0.5},
    "notes": "x" * 200,
}


def measure(*, quick: bool = False) -> list[Ratio]:
    """Seconds per row or change, each pair in turns on the same disk."""
    rows, documents, rounds = (200, 50, 1) if quick else (10_000, 10_000, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            *_journal(folder, rows, rounds),
            *_stock_journal(folder, documents, rounds),
            *_index(folder, documents, rounds),
        ]


def _journal(folder: Path, rows: int, rounds: int) -> list[Ratio]:
    ready = json.dumps(ROW, separators=(",", ":")).encode() + b"\n"
    raw = os.open(folder / "raw.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
    values = (12345, 3, 1795249587.123, None, json.dumps(ROW["m"]))
    database = sqlite3.connect(folder / "rows.sqlite", isolation_level=None)
    for statement in ("pragma journal_mode = wal", "pragma synchronous = normal", "create table rows (s, e, t, n, m)"):
        database.execute(statement)

    with open_journal_db(folder / "table.jsonl") as journal, JournalWriter(folder / "writer.jsonl") as writer:
        table = journal.table(TinyDB.default_table_name)
        append = _repeat(rows, lambda: writer.append(ROW))
        insert = _repeat(rows, lambda: table.insert(ROW))
        write = _repeat(rows, lambda: os.write(raw, ready))
        commit = _repeat(rows, lambda: database.execute("insert into rows values (?, ?, ?, ?, ?)", values))
        found = [
            Ratio("append a row (buffered) / raw write", *in_turns(append, write, rounds=rounds), goal=3),
            Ratio("TinyDB insert / raw write", *in_turns(insert, write, rounds=rounds), goal=3),
            Ratio("sqlite WAL insert / ours", *in_turns(insert, commit, rounds=rounds), goal=2, quicker=True),
        ]
    os.close(raw)
    database.close()
    return found


def _stock_journal(folder: Path, documents: int, rounds: int) -> list[Ratio]:
    found = []
    for size, goal in ((300, 200), (documents, 1000)):
        # One insert into few rows is over before the clock's noise is: several are timed together.
        times = max(1, 6000 // size)
        path = folder / f"stock-{size}.json"
        path.write_text(json.dumps({"_default": {str(number): ROW for number in range(1, size + 1)}}))
        with TinyDB(path) as stock, open_journal_db(folder / f"ours-{size}.jsonl") as ours:
            ours.insert_multiple([ROW] * size)
            inserts = [_repeat(times, lambda database=each: database.insert(ROW)) for each in (ours, stock)]
            pair = in_turns(*inserts, rounds=rounds)
        found.append(Ratio(f"stock TinyDB insert at {size} rows / ours", *pair, goal=goal, quicker=True))
    return found


def _index(folder: Path, documents: int, rounds: int) -> list[Ratio]:
    """One durable change of state among many runs; most of it is the disk's own ``fdatasync``."""
    (folder / "stock.json").write_text(json.dumps({RUNS_TABLE: {str(n): RUN | {"id": n} for n in range(documents)}}))
    index = Index(folder)
    with index.transaction() as transaction:
        for number in range(documents):
            transaction.put(RUNS_TABLE, str(number), RUN | {"id": number})
    with TinyDB(folder / "stock.json") as stock, open_index_db(index) as ours:
        table = ours.table(RUNS_TABLE)
        assert isinstance(table, IndexTable)

        def ours_changes() -> None:
            table.patch("7", {"state": "killed"})

        def stock_changes() -> None:
            stock.table(RUNS_TABLE).update({"state": "killed"}, where("id") == 7)

        beside_stock = in_turns(ours_changes, stock_changes, rounds=rounds)
        beside_disk = in_turns(
            _repeat(20, ours_changes), _repeat(20, lambda: _append_durably(folder / "durable")), rounds=rounds
        )
    name = f"state change among {documents} runs"
    return [
        Ratio(f"stock TinyDB {name} / ours", *beside_stock, goal=300, quicker=True),
        Ratio(f"{name} / append and fdatasync of as many bytes", *beside_disk, goal=1.5),
    ]


def _append_durably(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
    os.write(fd, b"x" * 150)
    os.fdatasync(fd)
    os.close(fd)


def _repeat(times: int, work: Callable[[], object]) -> Callable[[], None]:
    def repeated() -> None:
        for _ in range(times):
            work()

    return repeated
