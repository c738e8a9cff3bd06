"""TinyDB over our files, through its documented extension points: a `Storage` and a `Table` each.

`open_index_db` gives the index of all runs, `open_journal_db` one journal of one run. Stock TinyDB rewrites its whole
file for each change, without a lock, and answers repeated searches from a cache that other processes' writes never
reach. Here a change appends, several processes may write the index, and the query cache is off.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from tinydb import TinyDB
from tinydb.storages import Storage
from tinydb.table import Document, Table

from mmfuse.errors import StoreError
from mmfuse_runs.index import Index, Transaction
from mmfuse_runs.journal import JournalReader, JournalWriter


def open_index_db(index: Index) -> TinyDB:
    """The index as a TinyDB whose document ids are strings (run ids)."""
    return _IndexDB(index, storage=IndexStorage)


def open_journal_db(path: Path) -> TinyDB:
    """A journal as a TinyDB with one table; ids count its rows from 1.

    ``insert`` appends one line in constant time; rows cannot be changed or removed. Nothing is written, and a torn
    last line of another writer is left alone, until the first insert.
    """
    return _JournalDB(path, storage=JournalStorage)


class IndexStorage(Storage):
    """Lets TinyDB see the index; single changes go past `write`, through `IndexTable`."""

    def __init__(self, index: Index) -> None:
        self.index = index

    def read(self) -> dict[str, dict[str, Any]] | None:
        """Every table, as it is on disk now."""
        self.index.refresh()
        return {name: dict(table) for name, table in self.index.tables.items() if table} or None

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Make the tables equal to ``data``: what TinyDB does to drop some."""
        with self.index.transaction() as transaction:
            for name in self.index.tables.keys() - data.keys():
                transaction.clear(name)
            for name, table in data.items():
                before = self.index.tables.get(name, {})
                for document_id in before.keys() - table.keys():
                    transaction.delete(name, document_id)
                for document_id, document in table.items():
                    if before.get(document_id) != document:
                        transaction.put(name, document_id, document)

    def close(self) -> None:
        """Close the index's files."""
        self.index.close()


class IndexDocument(Document):
    """A document of its own: changing it, however deep, does not reach the index."""

    def __init__(self, value: Mapping[str, Any], doc_id: str) -> None:
        super().__init__(_copy(value), doc_id)  # type: ignore[arg-type]  # TinyDB annotates int, document_id_class says str


class IndexTable(Table):
    """A table of the index. Give documents an id by ``insert(IndexDocument(fields, run_id))``."""

    document_class: type[Document] = IndexDocument
    document_id_class = str  # type: ignore[assignment]  # any class will do for TinyDB, which annotates int

    def __init__(self, storage: IndexStorage, name: str, cache_size: int = 0, persist_empty: bool = False) -> None:
        self._index = storage.index
        super().__init__(storage, name, cache_size=0, persist_empty=persist_empty)

    def documents(self) -> Mapping[str, Mapping[str, Any]]:
        """Every document by id, not copied: for reading only."""
        self._index.refresh()
        return self._index.tables.get(self.name, {})

    def put(self, document_id: str, document: Mapping[str, Any], *, durable: bool = True) -> None:
        """Insert or replace one document in constant time."""
        with self._index.transaction(durable=durable) as transaction:
            transaction.put(self.name, document_id, document)

    def patch(self, document_id: str, fields: Mapping[str, Any], *, durable: bool = True) -> None:
        """Set fields of one document in constant time; nothing happens to one that is not there."""
        with self._index.transaction(durable=durable) as transaction:
            transaction.patch(self.name, document_id, fields)

    def discard(self, document_ids: Iterable[str]) -> None:
        """Remove documents, if they are there, in constant time each."""
        with self._index.transaction() as transaction:
            for document_id in document_ids:
                transaction.delete(self.name, document_id)

    def _get_next_id(self) -> str:
        # TinyDB asks outside the lock: only an id that nobody else can draw is safe.
        return os.urandom(16).hex()

    def _read_table(self) -> dict[str, Mapping[str, Any]]:
        self._index.refresh()
        return dict(self._index.tables.get(self.name, {}))

    def _update_table(self, updater: Callable[[Any], None]) -> None:
        with self._index.transaction() as transaction:
            overlay = _Overlay(self._index.tables.get(self.name, {}))
            updater(overlay)
            overlay.record(self.name, transaction)


class _Overlay(MutableMapping[str, dict[str, Any]]):
    """A table as TinyDB's updaters see it: documents are copied when touched, and only changed ones are written."""

    def __init__(self, table: Mapping[str, dict[str, Any]]) -> None:
        self._table = table
        self._touched: dict[str, dict[str, Any] | None] = {}

    def __getitem__(self, document_id: str) -> dict[str, Any]:
        if document_id not in self._touched:
            self._touched[document_id] = _copy(self._table[document_id])
        document = self._touched[document_id]
        if document is None:
            raise KeyError(document_id)
        return document

    def __setitem__(self, document_id: str, document: dict[str, Any]) -> None:
        self._touched[document_id] = document

    def __delitem__(self, document_id: str) -> None:
        if document_id not in self:
            raise KeyError(document_id)
        self._touched[document_id] = None

    def __contains__(self, document_id: object) -> bool:
        if document_id in self._touched:
            return self._touched[document_id] is not None
        return document_id in self._table

    def __iter__(self) -> Iterator[str]:
        yield from (key for key in self._table if key in self)
        yield from (key for key in self._touched if key in self and key not in self._table)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def record(self, name: str, transaction: Transaction) -> None:
        """Add the changes to the transaction: fields where only fields were set, whole documents otherwise."""
        for document_id, document in self._touched.items():
            before = self._table.get(document_id)
            if document is None:
                if before is not None:
                    transaction.delete(name, document_id)
            elif before is None or before.keys() - document.keys():
                transaction.put(name, document_id, document)
            else:
                fields = {key: value for key, value in document.items() if key not in before or before[key] != value}
                if fields:
                    transaction.patch(name, document_id, fields)


class JournalStorage(Storage):
    """One journal as TinyDB's default table. Rows that were read are kept: for small tables and notebooks."""

    def __init__(self, path: Path) -> None:
        self._reader = JournalReader(path)
        self._writer: JournalWriter | None = None
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._restarts = 0

    def read(self) -> dict[str, dict[str, Any]] | None:
        """The rows so far by their number."""
        for row in self._reader.rows():
            if self._reader.restarts != self._restarts:
                self._restarts = self._reader.restarts
                self._rows = {}
            self._rows[str(len(self._rows) + 1)] = row
        return {TinyDB.default_table_name: self._rows} if self._rows else None

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Refuse: a journal only grows.

        Raises:
            TypeError: always.
        """
        raise TypeError("a journal only grows: its rows cannot be changed or removed")

    def append(self, rows: list[Mapping[str, Any]]) -> None:
        """Add rows and hand them to the kernel at once.

        Raises:
            StoreError: the disk is full.
        """
        if self._writer is None:
            self._writer = JournalWriter(self._reader.path)
        dropped = self._writer.dropped_rows
        self._writer.write(rows)
        lost = self._writer.dropped_rows - dropped
        if lost:
            raise StoreError(f"{self._reader.path} cannot grow: the last {lost} rows were dropped", "free some space")

    def close(self) -> None:
        """Close the writer, if there was one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class JournalTable(Table):
    """A journal's rows as documents; numbered from 1 by their place in the file."""

    def __init__(self, storage: JournalStorage, name: str, cache_size: int = 0, persist_empty: bool = False) -> None:
        if name != TinyDB.default_table_name:
            raise ValueError(f"a journal is one table, it has none named '{name}'")
        self._journal = storage
        self._known: int | None = None
        super().__init__(storage, name, cache_size=0, persist_empty=False)

    def insert(self, document: Mapping[str, Any]) -> int:
        """Append one row; returns its number."""
        return self._append([document])

    def insert_multiple(self, documents: Iterable[Mapping[str, Any]]) -> list[int]:
        """Append rows with one write; returns their numbers."""
        rows = list(documents)
        if not rows:
            return []
        last = self._append(rows)
        return list(range(last - len(rows) + 1, last + 1))

    def _append(self, rows: list[Mapping[str, Any]]) -> int:
        for row in rows:
            if not isinstance(row, Mapping):
                raise ValueError("Document is not a Mapping")
        last = self._count() + len(rows)
        # Unknown until the rows are in the file: if that fails they are counted again.
        self._known = None
        self._journal.append(rows)
        self._known = last
        return last

    def _count(self) -> int:
        """Rows so far: counted once, then known, because a journal has one writer."""
        if self._known is None:
            self._known = len(self)
        return self._known

    def _update_table(self, updater: Callable[[Any], None]) -> None:
        self._journal.write({})


class _IndexDB(TinyDB):
    table_class: type[Table] = IndexTable


class _JournalDB(TinyDB):
    table_class: type[Table] = JournalTable


def _copy(value: Any) -> Any:
    """A JSON value of its own."""
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
