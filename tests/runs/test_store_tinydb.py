"""TinyDB's own interface over the index and over a journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tinydb import TinyDB, where
from tinydb.operations import delete, increment

from mmfuse.errors import StoreError
from mmfuse_runs.index import Index
from mmfuse_runs.journal import JournalWriter
from mmfuse_runs.storage import IndexDocument, IndexTable, open_index_db, open_journal_db


@pytest.fixture
def db(tmp_path: Path) -> Iterator[TinyDB]:
    db = open_index_db(Index(tmp_path))
    yield db
    db.close()


@pytest.fixture
def runs(db: TinyDB) -> IndexTable:
    table = db.table("runs")
    assert isinstance(table, IndexTable)
    for run_id, score in (("a", 1), ("b", 2), ("c", 3)):
        table.insert(IndexDocument({"score": score, "tags": ["x"]}, run_id))
    return table


def reopened(tmp_path: Path) -> dict[str, dict[str, object]]:
    with open_index_db(Index(tmp_path)) as db:
        return {document.doc_id: dict(document) for document in db.table("runs")}  # type: ignore[misc]


def test_inserted_documents_are_found_by_id_and_by_query(runs: IndexTable) -> None:
    assert len(runs) == 3
    assert runs.get(doc_id="b") == {"score": 2, "tags": ["x"]}  # type: ignore[call-overload]
    assert [document.doc_id for document in runs.search(where("score") > 1)] == ["b", "c"]
    assert runs.contains(where("score") == 3)
    assert runs.count(where("tags").any(["x"])) == 3


def test_an_id_is_given_out_once(runs: IndexTable) -> None:
    with pytest.raises(ValueError, match="already exists"):
        runs.insert(IndexDocument({"score": 9}, "a"))

    drawn = {runs.insert({"score": number}) for number in range(20)}

    assert len(drawn) == 20
    assert len(runs) == 23


def test_update_reaches_the_disk(runs: IndexTable, tmp_path: Path) -> None:
    assert runs.update({"state": "done"}, where("score") > 1) == ["b", "c"]
    runs.update(increment("score"), doc_ids=["a"])  # type: ignore[list-item]
    runs.update(delete("tags"), where("score") == 3)

    assert reopened(tmp_path) == {
        "a": {"score": 2, "tags": ["x"]},
        "b": {"score": 2, "tags": ["x"], "state": "done"},
        "c": {"score": 3, "state": "done"},
    }


def test_update_writes_only_what_changed(runs: IndexTable, tmp_path: Path) -> None:
    (journal,) = tmp_path.glob("store.json.*.wal")
    lines = len(journal.read_bytes().splitlines())

    runs.update({"score": 3}, where("score") >= 2)

    new = journal.read_bytes().splitlines()[lines:]
    assert len(new) == 1
    assert b'"op":"patch"' in new[0]
    assert b'"d":{"score":3}' in new[0]


def test_upsert_updates_or_inserts(runs: IndexTable, tmp_path: Path) -> None:
    runs.upsert({"score": 7}, where("score") == 1)
    runs.upsert(IndexDocument({"score": 8}, "d"))

    assert {run_id: document["score"] for run_id, document in reopened(tmp_path).items()} == {
        "a": 7,
        "b": 2,
        "c": 3,
        "d": 8,
    }


def test_remove_and_truncate_reach_the_disk(runs: IndexTable, tmp_path: Path) -> None:
    assert runs.remove(where("score") == 2) == ["b"]
    assert runs.remove(doc_ids=["c", "unknown"]) == ["c"]  # type: ignore[list-item]
    assert list(reopened(tmp_path)) == ["a"]

    runs.truncate()

    assert reopened(tmp_path) == {}


def test_an_update_that_fails_changes_nothing(runs: IndexTable, tmp_path: Path) -> None:
    def fail(document: dict[str, object]) -> None:
        document["score"] = 0
        if "tags" in document:
            raise KeyError("refused")

    with pytest.raises(KeyError):
        runs.update(fail)

    assert [document["score"] for document in runs] == [1, 2, 3]
    assert [document["score"] for document in reopened(tmp_path).values()] == [1, 2, 3]


def test_changing_a_document_one_got_does_not_reach_the_store(runs: IndexTable) -> None:
    document = runs.search(where("score") == 1)[0]

    document["tags"].append("y")

    assert runs.search(where("score") == 1)[0]["tags"] == ["x"]


def test_tables_are_listed_and_dropped(db: TinyDB, runs: IndexTable, tmp_path: Path) -> None:
    db.table("other").insert({"score": 0})
    assert db.tables() == {"runs", "other"}

    db.drop_table("other")
    assert db.tables() == {"runs"}
    assert len(reopened(tmp_path)) == 3

    db.drop_tables()
    assert reopened(tmp_path) == {}


def test_two_tables_of_one_process_see_each_other(runs: IndexTable, tmp_path: Path) -> None:
    with open_index_db(Index(tmp_path)) as other:
        other.table("runs").insert(IndexDocument({"score": 4}, "d"))

    assert len(runs) == 4


def test_a_journal_is_a_table(tmp_path: Path) -> None:
    with JournalWriter(tmp_path / "metrics.jsonl") as writer:
        writer.append({"s": 1, "m": {"train/loss": 0.5}})
        writer.append({"s": 2, "m": {"train/loss": 0.25}})

    with open_journal_db(tmp_path / "metrics.jsonl") as db:
        assert [row.doc_id for row in db] == [1, 2]
        assert db.search(where("m")["train/loss"] < 0.4) == [{"s": 2, "m": {"train/loss": 0.25}}]
        assert db.get(doc_id=1) == {"s": 1, "m": {"train/loss": 0.5}}


def test_inserts_append_and_are_seen_by_other_readers(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with open_journal_db(path) as db, open_journal_db(path) as other:
        assert len(other) == 0

        assert db.insert({"s": 1}) == 1
        assert db.insert_multiple([{"s": 2}, {"s": 3}]) == [2, 3]

        assert [row["s"] for row in other.all()] == [1, 2, 3]
    assert path.read_bytes() == b'{"s":1}\n{"s":2}\n{"s":3}\n'


def test_rows_of_a_journal_cannot_be_changed_or_removed(tmp_path: Path) -> None:
    with open_journal_db(tmp_path / "metrics.jsonl") as db:
        db.insert({"s": 1})

        for change in (lambda: db.update({"s": 2}), db.truncate, lambda: db.remove(where("s") == 1)):
            with pytest.raises(TypeError, match="only grows"):
                change()
        with pytest.raises(ValueError, match="none named 'other'"):
            db.table("other")
        with pytest.raises(ValueError, match="not a Mapping"):
            db.insert([1])  # type: ignore[arg-type]

        assert db.all() == [{"s": 1}]


def test_looking_at_a_journal_leaves_the_torn_row_of_its_writer_alone(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"s":1}\n{"s":')

    with open_journal_db(path) as db:
        assert len(db) == 1

    assert path.read_bytes() == b'{"s":1}\n{"s":'


def test_an_insert_that_does_not_fit_on_the_disk_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, data: bytes) -> tuple[int, OSError]:
        return 0, OSError(28, "No space left on device")

    with open_journal_db(tmp_path / "metrics.jsonl") as db:
        assert db.insert({"s": 1}) == 1
        with monkeypatch.context() as patch:
            patch.setattr("mmfuse_runs.journal.write_rows", refuse)
            with pytest.raises(StoreError, match="last 1 rows were dropped"):
                db.insert({"s": 2})

        assert db.insert({"s": 3}) == 2
        assert [row["s"] for row in db] == [1, 3]
