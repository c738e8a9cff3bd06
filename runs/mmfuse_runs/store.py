"""The run store: create, list, find, describe and remove runs.

A run is a folder; the index (TinyDB, see `mmfuse_runs.storage`) is what makes listing thousands of them quick. A
listing trusts the index only for runs that nobody works on and whose state.json has not been touched since; every
other run is read from its folder. So whatever happened to the index, what is shown is what the folders say.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmfuse.architecture import canonical_json
from mmfuse.errors import BadSpec, RunBusy, StoreError, UnknownName, unknown_name
from mmfuse_runs.atomic import write_json
from mmfuse_runs.fold import fold
from mmfuse_runs.folder import FORMAT, RunFolder
from mmfuse_runs.index import Index, garbage_uncollected
from mmfuse_runs.index_event import RUNS_TABLE, SNAPSHOT, index_lock
from mmfuse_runs.records import FIELDS, SETTLED, RunRecord, record_of
from mmfuse_runs.states import LEASE_S, LIVE, State, first_record
from mmfuse_runs.storage import IndexTable, open_index_db
from mmfuse_runs.wellformed import well_formed_json

LATEST = ("latest", "@last")
"""Selectors of the newest run."""
_SHOWN_MATCHES = 8
_DRAFT, _DOOMED = ".new-", ".removed-"
_LEFTOVER_S = 3600.0
_FIRST_COMMAND = "mmfuse search mixmas --dataset avmnist"

Document = Mapping[str, Any]

logger = logging.getLogger(__name__)


class RunStore:
    """The runs below one home. Nothing is written, not even the home itself, before the first change.

    A ``read_only`` store never writes; a listing of a store that cannot be written works as well.
    """

    def __init__(self, home: Path, *, read_only: bool = False) -> None:
        self.home = Path(home)
        self.read_only = read_only
        self.runs = self.home / "runs"
        self._prefix = f"{self.runs}{os.sep}"
        self._index = Index(self.home)
        self.db = open_index_db(self._index)
        table = self.db.table(RUNS_TABLE)
        assert isinstance(table, IndexTable)
        self._table = table
        self._repairs = 0
        self._seen: dict[str, tuple[Document, RunRecord]] = {}
        self._listing: dict[str, RunRecord] = {}
        self._going_on: set[str] = set()
        self._listed_at = (0, -1)

    def create(
        self,
        spec: Mapping[str, Any],
        *,
        kind: str,
        subject: str,
        dataset: str,
        name: str = "",
        tags: Iterable[str] = (),
        notes: str = "",
    ) -> RunFolder:
        """Make the folder of a new run in state ``queued``; nothing is started.

        ``spec`` becomes config.json; ``kind``, ``subject`` and ``dataset`` make the id and the index entry.

        Raises:
            BadSpec: the name means something else already.
            StoreError: the home cannot be written or the disk is full; no run is left behind.
        """
        self._must_be_writable()
        check_name(name)
        now = time.time()
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            draft = self.runs / f"{_DRAFT}{os.getpid()}-{os.urandom(4).hex()}"
            draft.mkdir()
            try:
                _write_files(draft, spec, now, name=name, tags=tags, notes=notes)
                folder = self._publish(draft, subject, dataset, now)
            except BaseException:
                _delete(draft)
                raise
        except OSError as error:
            raise self._unwritable(error) from error
        document = fold(folder) | {"kind": kind, "subject": subject, "dataset": dataset, "dataset_label": dataset}
        self._table.put(folder.id, document)
        if not (self.home / SNAPSHOT).exists():
            self._index.compact()
        return folder

    def records(self, *, recheck: bool = True) -> list[RunRecord]:
        """Every run, newest first; damaged ones with ``damaged`` set.

        Without ``recheck``, ended runs are as they were listed before unless the index says that they changed: who
        lists again and again pays for the runs that go on, not for all there are. A state.json that was replaced behind
        the index's back is noticed at the next recheck.
        """
        with garbage_uncollected():
            folders = _changed_ns(self.runs)  # before they are listed: what comes meanwhile is seen the next time
            documents = self.documents()
            listed_at, self._listed_at = self._listed_at, (folders, self.index_version)
            if recheck or folders != listed_at[0]:
                # The index was read first: an entry without a folder is of a run that was removed.
                ids = self.ids()
                found = self._read(ids, documents, gone=documents.keys() - set(ids))
                by_age = sorted(found.values(), key=lambda record: (record.created, record.id), reverse=True)
                self._listing, self._going_on = {record.id: record for record in by_age}, set()
            else:
                has_news = self.index_version != listed_at[1]
                found = self._read(self._changed(documents) if has_news else self._going_on, documents)
                self._listing |= found
            self._going_on -= found.keys()
            self._going_on |= {record.id for record in found.values() if record.live or record.damaged}
            return list(self._listing.values())

    def record(self, run_id: str) -> RunRecord:
        """One run, read from its folder.

        Raises:
            UnknownName: there is no such run; `find` turns what people type into ids.
        """
        folder = self.folder(run_id)
        return record_of(run_id, fold(folder, self.documents().get(run_id)))

    def folder(self, run_id: str) -> RunFolder:
        """The folder of a run.

        Raises:
            UnknownName: there is no such run.
        """
        folder = RunFolder(self.runs / run_id)
        if not run_id or run_id.startswith(".") or "/" in run_id or not folder.path.is_dir():
            raise unknown_name("run", run_id, self.ids())
        return folder

    def find(self, selector: str) -> str:
        """The id of the run that a person means: id, ``latest``, a name, or a prefix or suffix that only one run has.

        Raises:
            UnknownName: no run fits, or several do.
        """
        ids = self.ids()
        if selector in ids:
            return selector
        if selector in LATEST:
            return self._latest()
        names = {run_id: str(document.get("name", "")) for run_id, document in self.documents().items()}
        matches = [run_id for run_id in ids if selector and names.get(run_id) == selector]
        matches = matches or [run_id for run_id in ids if selector and run_id.startswith(selector)]
        matches = matches or [run_id for run_id in ids if selector and run_id.endswith(selector)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise _ambiguous(selector, matches)
        raise _unknown_run(selector, ids, names)

    def set_meta(
        self,
        run_id: str,
        name: str | None = None,
        tags: Iterable[str] | None = None,
        starred: bool | None = None,
        notes: str | None = None,
    ) -> None:
        """Change what the user may say of a run; None leaves a field as it is.

        Raises:
            UnknownName: there is no such run.
            BadSpec: the name means something else already.
            StoreError: the home cannot be written, or meta.json is damaged or of a newer format.
        """
        self._must_be_writable()
        check_name(name or "")
        folder = self.folder(run_id)
        given = {"name": name, "tags": None if tags is None else _distinct(tags), "starred": starred, "notes": notes}
        changes = {field: well_formed_json(value) for field, value in given.items() if value is not None}
        with self.lock():
            write_json(folder.path / "meta.json", folder.meta() | changes)
            self._table.patch(run_id, changes)

    def patch(self, run_id: str, **fields: Any) -> None:
        """Set fields of the run's index entry at once; its folder stays the truth.

        Raises:
            UnknownName: not a field of `RunRecord`.
            StoreError: the home cannot be written.
        """
        for field in fields:
            if field not in FIELDS:
                raise unknown_name("field of a run", field, FIELDS)
        self._must_be_writable()
        self._table.patch(run_id, fields)

    def remove(self, run_id: str) -> None:
        """Delete a run with everything in its folder.

        Raises:
            UnknownName: there is no such run.
            RunBusy: it is still going on.
            StoreError: the home cannot be written.
        """
        doomed = self.runs / f"{_DOOMED}{run_id}-{os.urandom(4).hex()}"
        self.take_away(run_id, doomed)
        _delete(doomed)

    def take_away(self, run_id: str, target: Path) -> None:
        """Move a run's folder to ``target`` on the same disk: it is no run any more.

        Raises:
            UnknownName: there is no such run.
            RunBusy: it is still going on.
            StoreError: the home cannot be written.
        """
        self._must_be_writable()
        with self.lock():
            record = self.record(run_id)
            if record.state in LIVE and not record.damaged:
                raise RunBusy(f"run {run_id} is {record.state} and cannot be removed", f"mmfuse runs stop {run_id}")
            (self.runs / run_id).rename(target)
            self._table.discard([run_id])

    def bring_back(self, source: Path) -> None:
        """Make a folder that was taken away a run again.

        Raises:
            StoreError: there is a run of that id, or the home cannot be written.
        """
        self._must_be_writable()
        target = self.runs / source.name
        with self.lock():
            if target.exists():
                raise StoreError(f"there is a run {source.name} already", f"mmfuse runs show {source.name}")
            source.rename(target)
            self._table.put(target.name, fold(RunFolder(target)))

    def rebuild(self) -> int:
        """Make the index anew from the folders; returns the number of runs.

        Raises:
            StoreError: the home cannot be written, or the index is of a newer format.
        """
        self._must_be_writable()
        with self.lock():
            self._index.refresh()
            documents = {run_id: fold(RunFolder(self.runs / run_id)) for run_id in self.ids()}
            with self._index.transaction() as transaction:
                transaction.clear(RUNS_TABLE)
                for run_id, document in documents.items():
                    transaction.put(RUNS_TABLE, run_id, document)
            self._index.compact()
            self._repairs = self._index.repairs
        for leftover in self.leftovers():
            self.sweep(leftover)
        return len(documents)

    def leftovers(self) -> list[Path]:
        """Folders that a process was killed over while it made or removed them."""
        drafts = [folder for folder in self.runs.glob(".*") if folder.name.startswith((_DRAFT, _DOOMED))]
        return [folder for folder in drafts if time.time() - folder.stat().st_mtime > _LEFTOVER_S]

    def sweep(self, leftover: Path) -> None:
        """Delete one of the `leftovers`.

        Raises:
            StoreError: the store was opened for reading only.
        """
        self._must_be_writable()
        _delete(leftover)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the index's lock: for compare-and-set on files of a run. It may be taken again inside.

        Raises:
            StoreError: the home cannot be written, or another process keeps the lock.
        """
        self._must_be_writable()
        try:
            with index_lock(self.home):
                yield
        except OSError as error:
            raise self._unwritable(error) from error

    def ids(self) -> list[str]:
        """Ids of all runs, in no order.

        Raises:
            StoreError: the home cannot be read.
        """
        try:
            with os.scandir(self.runs) as entries:
                return [entry.name for entry in entries if entry.name[0] != "." and entry.is_dir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"the run store in {self.home} cannot be read: {error.strerror}") from error

    def documents(self) -> Mapping[str, Document]:
        """The index entries by run id, for reading; an index that lost something is made anew first.

        Where that is not possible there are none, and the folders must do.

        Raises:
            StoreError: the index is of a newer format, or cannot be read.
        """
        documents = self._table.documents()
        if self._index.repairs == self._repairs:
            return documents
        try:
            self.rebuild()
        except StoreError as error:
            logger.debug("the index was not repaired: %s", error)
            return {}
        return self._table.documents()

    @property
    def index_version(self) -> int:
        """Goes up when the index is seen to have changed."""
        return self._index.version

    def close(self) -> None:
        """Close the index's files."""
        self.db.close()

    def _changed(self, documents: Mapping[str, Document]) -> set[str]:
        """Ids of listed runs that go on or whose index entry is another one than was listed."""
        seen = self._seen
        return {
            run_id
            for run_id in self._listing
            if run_id in self._going_on or run_id not in seen or documents.get(run_id) is not seen[run_id][0]
        }

    def _read(
        self, run_ids: Iterable[str], documents: Mapping[str, Document], *, gone: Iterable[str] = ()
    ) -> dict[str, RunRecord]:
        """Runs that nobody works on from the index, all others from their folders, of which the index then learns."""
        records: dict[str, RunRecord] = {}
        news: dict[str, tuple[Document | None, Document]] = {}
        for run_id in run_ids:
            known = documents.get(run_id)
            if known is not None and self._is_current(run_id, known):
                records[run_id] = self._settled(run_id, known)
                continue
            document = fold(RunFolder(self.runs / run_id), known)
            records[run_id] = record_of(run_id, document)
            if known is None or (SETTLED in document and document != known):
                news[run_id] = known, document
        self._settle(news, gone=gone)
        return records

    def _is_current(self, run_id: str, document: Document) -> bool:
        """Whether the entry still says what the folder would: a queued run that nobody claims is lost after a while."""
        try:
            mtime_ns = os.stat(f"{self._prefix}{run_id}/state.json").st_mtime_ns  # noqa: PTH116 - thousands a listing
        except OSError:
            return False
        if document.get(SETTLED) != mtime_ns:
            return False
        return document.get("state") != State.QUEUED or time.time() - mtime_ns / 1e9 <= LEASE_S

    def _settled(self, run_id: str, document: Document) -> RunRecord:
        """The record of a current entry, made once per entry."""
        seen = self._seen.get(run_id)
        if seen is None or seen[0] is not document:
            seen = self._seen[run_id] = (document, record_of(run_id, document))
        return seen[1]

    def _settle(self, news: Mapping[str, tuple[Document | None, Document]], *, gone: Iterable[str]) -> None:
        """Let the index know what the folders said; a listing goes on where that is not possible.

        ``news`` holds the entries before and after. One that somebody changed in the meantime is left for next time.
        """
        gone = list(gone)
        if self.read_only or not (news or gone):
            return
        try:
            with self._index.transaction(durable=False) as transaction:
                present = self._index.tables.get(RUNS_TABLE, {})
                for run_id, (known, document) in news.items():
                    if present.get(run_id) is known:
                        transaction.put(RUNS_TABLE, run_id, document)
                for run_id in gone:
                    transaction.delete(RUNS_TABLE, run_id)
        except StoreError as error:
            logger.debug("the index was not brought up to date: %s", error)

    def _latest(self) -> str:
        records = self.records()
        if not records:
            raise UnknownName("there are no runs yet", _FIRST_COMMAND)
        return records[0].id

    def _publish(self, draft: Path, subject: str, dataset: str, now: float) -> RunFolder:
        """Give the finished draft an id that no run has: a folder is never renamed over one that holds files."""
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M")
        while True:
            folder = RunFolder(self.runs / f"{stamp}-{_word(subject)}-{_word(dataset)}-{os.urandom(2).hex()}")
            write_json(draft / "state.json", first_record(folder.id, at=now))
            try:
                draft.rename(folder.path)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            else:
                return folder

    def _must_be_writable(self) -> None:
        if self.read_only:
            raise StoreError(f"the run store in {self.home} was opened for reading only")

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(
            f"the run store in {self.home} cannot be written: {error.strerror}", "choose another with --home"
        )


def _changed_ns(folder: Path) -> int:
    """When something was last put into a folder or taken out of it; 0 where there is none."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def check_name(name: str) -> None:
    """Refuse a name that would never find its run, because it stands for the newest one.

    Raises:
        BadSpec: with the reason.
    """
    if name.strip() in LATEST:
        raise BadSpec(f"no run can be named '{name}', which always means the newest run", "choose another --name")


def _write_files(
    draft: Path, spec: Mapping[str, Any], now: float, *, name: str, tags: Iterable[str], notes: str
) -> None:
    (draft / "config.json").write_text(canonical_json(dict(spec)) + "\n", encoding="utf-8")
    meta = {"format": FORMAT, "name": name, "tags": _distinct(tags), "starred": False, "notes": notes}
    write_json(draft / "meta.json", well_formed_json(meta))


def _distinct(tags: Iterable[str]) -> list[str]:
    """Each tag once; blank ones, which nobody could see or take away, not at all."""
    return sorted({tag.strip() for tag in tags} - {""})


def _delete(folder: Path) -> None:
    import shutil  # here, because it loads three compression libraries and a listing needs none

    shutil.rmtree(folder, ignore_errors=True)


def _word(text: str) -> str:
    """A part of an id: ids are split at hyphens and typed in shells."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "run"


def _ambiguous(selector: str, matches: list[str]) -> UnknownName:
    shown = ", ".join(sorted(matches, reverse=True)[:_SHOWN_MATCHES])
    more = f" and {len(matches) - _SHOWN_MATCHES} more" if len(matches) > _SHOWN_MATCHES else ""
    return UnknownName(f"'{selector}' fits {len(matches)} runs", f"type more of one of: {shown}{more}")


def _unknown_run(selector: str, ids: list[str], names: Mapping[str, str]) -> UnknownName:
    if not ids:
        return UnknownName(f"no run named '{selector}'", f"there are no runs yet: {_FIRST_COMMAND}")
    full = unknown_name("run", selector, [*ids, *filter(None, names.values())])
    nearest = full.hint.partition("known:")[0].rstrip("; ")
    return UnknownName(full.message, nearest or "mmfuse runs ls shows them all")
