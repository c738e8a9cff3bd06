"""The run store: what is listed is what the folders say, whatever happened to index, folders or processes."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmfuse.architecture import Architecture
from mmfuse.errors import BadSpec, RunBusy, StoreError, UnknownName
from mmfuse.report import TrialRecord
from mmfuse.spec import spec_from_json
from mmfuse_runs import store as store_module
from mmfuse_runs.atomic import write_json
from mmfuse_runs.fold import fold
from mmfuse_runs.folder import RunFolder
from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.index_event import append_index_event
from mmfuse_runs.journal import JournalWriter
from mmfuse_runs.records import RunRecord, architecture_label, encoders_label
from mmfuse_runs.specs import subject_of
from mmfuse_runs.store import RunStore
from mmfuse_runs.tail import StoreWatcher

FORK = multiprocessing.get_context("fork")
SPEC = {"format": 1, "kind": "search", "search": "mixmas", "dataset": "avmnist", "seed": 7}
ARCHITECTURE: dict[str, Any] = {
    "family": "mixmas",
    "params": {
        "encoders": {"image": {"block": "mlp"}, "audio": {"block": "wave"}},
        "fusion": "concat",
        "network": {"block": "mlp"},
    },
}
RESULT = {
    "score": 0.75,
    "metric": "val/accuracy",
    "maximize": True,
    "metrics": {"val/accuracy": 0.75, "test/accuracy": 0.5},
    "architecture": ARCHITECTURE,
    "architecture_key": "mixmas-0123456789",
    "parameters": 1000,
    "macs": 2000,
    "checkpoint": "checkpoints/best.pt",
    "fingerprint": "f00d",
    "stand_in": True,
    "dataset_label": "avmnist (stand-in)",
    "seconds": 12.5,
}
NOBODY = {"host": os.uname().nodename, "boot_id": "an earlier boot", "pid": 1, "start_ticks": 1}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "home")


def create(store: RunStore, **fields: Any) -> RunFolder:
    return store.create(SPEC, kind="search", subject="mixmas", dataset="avmnist", **fields)


def advance(folder: RunFolder, state: str, **fields: Any) -> None:
    """Do what a supervisor does to state.json."""
    record = folder.state()
    now = time.time()
    step = {"state": state, "at": now, "attempt": record["attempt"], "reason": ""}
    record |= {"state": state, "since": now, "history": [*record["history"], step], **fields}
    write_json(folder.path / "state.json", record)


def work(folder: RunFolder) -> None:
    advance(folder, "running", supervisor=ProcessIdentity.own().to_json(), worker=ProcessIdentity.own().to_json())


def finish(folder: RunFolder, result: dict[str, Any] = RESULT) -> None:
    work(folder)
    outcome = {"format": 1, "status": "finished", "exit_code": 0, "attempt": 1, "error": None, "result": result}
    write_json(folder.path / "exit.json", outcome)
    advance(folder, "finished", exit_code=0)


def listed(store: RunStore) -> RunRecord:
    (record,) = store.records()
    return record


def test_a_home_that_does_not_exist_has_no_runs_and_is_not_made(store: RunStore) -> None:
    assert store.records() == []
    assert not store.home.exists()
    with pytest.raises(UnknownName, match="no runs yet"):
        store.find("latest")


def test_a_new_run_is_a_whole_folder_with_a_sayable_id(store: RunStore) -> None:
    folder = create(store, name="first", tags=["b", "a", "b"], notes="why")

    assert re.fullmatch(r"\d{8}-\d{4}-mixmas-avmnist-[0-9a-f]{4}", folder.id)
    assert folder.spec() == SPEC
    assert folder.state()["state"] == "queued"
    assert folder.launch()["attempts"] == []
    assert folder.meta() == {"format": 1, "name": "first", "tags": ["a", "b"], "starred": False, "notes": "why"}
    assert not folder.is_damaged
    assert [path.name for path in store.runs.iterdir()] == [folder.id]


def test_a_new_run_is_listed_with_what_was_asked(store: RunStore) -> None:
    folder = create(store, name="first", tags=["a"])

    record = listed(store)

    assert (record.id, record.kind, record.subject, record.dataset) == (folder.id, "search", "mixmas", "avmnist")
    assert (record.state, record.attempt, record.seed, record.name, record.tags) == ("queued", 1, 7, "first", ("a",))
    assert record.live
    assert record.age_seconds < 60
    assert record.elapsed_seconds is None


def test_words_of_an_id_are_safe_in_a_shell(store: RunStore) -> None:
    folder = store.create(SPEC, kind="train", subject="M2 Mixer/x", dataset="../MM-IMDB")

    assert re.fullmatch(r"\d{8}-\d{4}-m2_mixer_x-mm_imdb-[0-9a-f]{4}", folder.id)


def _create_many(home: Path) -> None:
    store = RunStore(home)
    for _ in range(10):
        create(store)


def test_processes_that_create_runs_at_once_get_different_ids(store: RunStore) -> None:
    makers = [FORK.Process(target=_create_many, args=(store.home,)) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(60)

    records = store.records()

    assert [maker.exitcode for maker in makers] == [0] * 4
    assert len({record.id for record in records}) == 40
    assert store.documents().keys() == {record.id for record in records}


def test_a_run_that_cannot_be_written_leaves_nothing_behind(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, record: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module, "write_json", refuse)

    with pytest.raises(StoreError, match=r"home cannot be written: No space left") as caught:
        create(store)

    assert "--home" in caught.value.hint
    assert list(store.runs.iterdir()) == []


def test_an_ended_run_is_listed_with_its_result(store: RunStore) -> None:
    finish(create(store))

    for record in (listed(store), listed(store), listed(RunStore(store.home, read_only=True))):
        assert (record.state, record.score, record.metric, record.maximize) == ("finished", 0.75, "val/accuracy", True)
        assert record.metrics == RESULT["metrics"]
        assert record.architecture == "wave+mlp concat mlp"
        assert record.architecture_key == Architecture(**ARCHITECTURE).key
        assert (record.dataset_label, record.stand_in, record.fingerprint) == ("avmnist (stand-in)", True, "f00d")
        assert (record.parameters, record.macs, record.seconds, record.exit_code) == (1000, 2000, 12.5, 0)
        assert record.started is not None and record.ended is not None and record.ended >= record.started
        assert json.loads(json.dumps(record.to_json()))["metrics"] == RESULT["metrics"]
    assert store.record(record.id) == record


def test_runs_are_listed_newest_first(store: RunStore) -> None:
    ids = [create(store).id for _ in range(4)]

    assert [record.id for record in store.records()] == ids[::-1]


def test_ended_runs_are_not_read_again_until_their_state_is_touched(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = create(store)
    finish(folder)
    store.records()
    reads = []
    fold = store_module.fold

    def count(folder: RunFolder, known: Any = None) -> dict[str, Any]:
        reads.append(folder.id)
        return fold(folder, known)

    monkeypatch.setattr(store_module, "fold", count)

    fresh = RunStore(store.home)
    fresh.records()
    fresh.records()
    assert reads == []

    advance(folder, "queued", attempt=2)
    assert listed(fresh).state == "queued"
    assert reads == [folder.id]


def test_a_working_run_shows_its_progress(store: RunStore) -> None:
    folder = create(store)
    work(folder)
    now = time.time()
    write_json(
        folder.path / "progress.json", {"done": 3, "total": 12, "what": "trial 3", "at": now, "started": now - 30}
    )
    write_json(folder.path / "launch.json", {"format": 1, "attempts": [{"attempt": 1, "device": "cuda:0"}]})

    record = listed(store)

    assert record.state == "running"
    assert record.progress == (3, 12, "trial 3")
    assert record.eta_seconds == pytest.approx(90, abs=5)
    assert record.device == "cuda:0"
    assert record.elapsed_seconds is not None


def test_work_that_takes_longer_than_expected_promises_no_end(store: RunStore) -> None:
    folder = create(store)
    work(folder)
    report = {"done": 8, "total": 12, "what": "fusion", "at": time.time() - 30, "started": time.time() - 60}
    write_json(folder.path / "progress.json", report)

    assert listed(store).eta_seconds is None


@pytest.mark.parametrize(("maximize", "best"), [(True, 0.75), (False, 0.5)])
def test_a_working_search_shows_its_data_and_its_best_trial(store: RunStore, maximize: bool, best: float) -> None:
    folder = create(store)
    work(folder)
    facts = {"label": "avmnist (stand-in)", "stand_in": True, "fingerprint": "f00d", "train": 10}
    facts |= {"metric": "val/accuracy", "maximize": maximize}
    rows = [{"ev": "note", "message": "dataset", "facts": facts}, trial(0, "done", 0.5), trial(1, "done", 0.75)]
    with JournalWriter(folder.path / "events.jsonl") as journal:
        for row in [*rows, trial(2, "running", None), trial(3, "pruned", 2.0)]:
            journal.append(row)

    record = listed(store)

    assert (record.dataset_label, record.stand_in, record.fingerprint) == ("avmnist (stand-in)", True, "f00d")
    assert (record.score, record.metric, record.maximize) == (best, "val/accuracy", maximize)


def test_a_killed_search_keeps_what_it_found(store: RunStore) -> None:
    folder = create(store)
    work(folder)
    found = {"ev": "note", "message": "found", "facts": {"architecture": ARCHITECTURE, "key": "x"}}
    with JournalWriter(folder.path / "events.jsonl") as journal:
        journal.append(found)
    advance(folder, "killed", signal=9)

    for record in (listed(store), listed(store)):
        assert (record.state, record.signal, record.architecture) == ("killed", 9, "wave+mlp concat mlp")


def test_a_queued_run_says_what_it_waits_for(store: RunStore) -> None:
    folder = create(store)
    advance(folder, "queued", waiting="cpu slots are taken", supervisor=ProcessIdentity.own().to_json())

    assert listed(store).waiting == "cpu slots are taken"


def test_a_run_whose_processes_are_gone_is_lost(store: RunStore) -> None:
    folder = create(store)
    advance(folder, "running", supervisor=NOBODY, worker=NOBODY)

    record = listed(store)

    assert record.state == "lost"
    assert not record.live
    assert "was running" in record.reason
    assert folder.state()["state"] == "running"


@pytest.mark.parametrize(
    ("attempt", "status", "error", "state", "reason"),
    [
        (1, "finished", None, "finished", ""),
        (1, "stopped", None, "stopped", ""),
        (1, "failed", {"message": "the loss is not a number"}, "crashed", "the loss is not a number"),
        (0, "finished", None, "lost", "its processes ended without a word while it was running"),
    ],
)
def test_the_last_word_of_a_worker_counts_though_no_supervisor_was_left_to_write_it_down(
    store: RunStore, attempt: int, status: str, error: dict[str, str] | None, state: str, reason: str
) -> None:
    folder = create(store)
    advance(folder, "running", supervisor=NOBODY, worker=NOBODY)
    word = {"format": 1, "attempt": attempt, "status": status, "error": error, "exit_code": 0, "result": {}}
    (folder.path / "exit.json").write_text(json.dumps(word))

    record = listed(store)

    assert (record.state, record.reason, record.damaged) == (state, reason, False)


def test_a_run_that_nobody_ever_started_is_lost_after_a_while(store: RunStore) -> None:
    folder = create(store)
    assert listed(store).state == "queued"

    long_ago = time.time() - 60
    os.utime(folder.path / "state.json", (long_ago, long_ago))
    assert [listed(store).state, listed(RunStore(store.home)).state] == ["lost", "lost"]

    work(folder)
    assert listed(store).state == "running"


def test_a_queued_run_in_the_index_does_not_stay_queued_for_ever(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(store)
    assert listed(store).state == "queued"

    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 60)

    assert listed(store).state == "lost"


def test_queued_and_lost_runs_are_not_read_at_each_listing(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = create(store)
    advance(lost, "running", supervisor=NOBODY, worker=NOBODY)
    create(store)
    before = store.records()

    monkeypatch.setattr(store_module, "fold", lambda *_: pytest.fail("a folder was read"))

    assert store.records() == RunStore(store.home).records() == before


def test_a_run_that_lost_only_its_supervisor_is_an_orphan(store: RunStore) -> None:
    folder = create(store)
    advance(folder, "running", supervisor=NOBODY, worker=ProcessIdentity.own().to_json())

    record = listed(store)

    assert (record.state, record.orphan) == ("running", True)


def test_a_failed_run_says_why(store: RunStore) -> None:
    folder = create(store)
    work(folder)
    error = {"message": "the loss is not a number", "hint": "", "type": "Diverged"}
    write_json(folder.path / "exit.json", {"format": 1, "status": "failed", "attempt": 1, "error": error, "result": {}})
    advance(folder, "crashed", exit_code=1, reason="exit code 1")

    record = listed(store)

    assert (record.state, record.exit_code, record.reason) == ("crashed", 1, "the loss is not a number")


def test_a_resumed_run_keeps_its_last_result_until_it_has_a_new_one(store: RunStore) -> None:
    folder = create(store)
    finish(folder)
    store.records()

    store.patch(folder.id, state="queued", attempt=2)
    advance(folder, "queued", attempt=2, exit_code=None)
    record = listed(store)
    assert (record.state, record.attempt, record.score, record.exit_code, record.ended) == (
        "queued",
        2,
        0.75,
        None,
        None,
    )

    finish(folder, RESULT | {"score": 0.875})
    assert listed(store).score == 0.875


@pytest.mark.parametrize(
    "damage", [b"", b'{"state": "fin', b"[1]", b"\xff\xfe", b'{"format": 1}', b'{"format":1,"state":"odd"}']
)
@pytest.mark.parametrize("seen_before", [True, False])
def test_a_damaged_state_is_shown_and_hides_nothing_else(store: RunStore, damage: bytes, seen_before: bool) -> None:
    other, folder = create(store), create(store, name="hurt")
    finish(folder)
    if seen_before:
        store.records()

    (folder.path / "state.json").write_bytes(damage)

    for fresh in (store, RunStore(store.home)):
        hurt, whole = fresh.records()
        assert (hurt.id, hurt.damaged, hurt.name) == (folder.id, True, "hurt")
        assert folder.id in hurt.reason
        assert hurt.state == ("finished" if seen_before else "queued")
        assert (whole.id, whole.damaged) == (other.id, False)
        assert fresh.record(folder.id).damaged


@pytest.mark.parametrize("name", ["config.json", "meta.json", "launch.json", "exit.json"])
def test_any_damaged_file_is_named_in_a_sentence(store: RunStore, name: str) -> None:
    folder = create(store)
    finish(folder)
    (folder.path / name).write_bytes(b"{")

    record = listed(store)

    assert record.damaged
    assert record.reason.startswith(f"{name} of run {folder.id} is damaged")
    assert record.state == "finished"


@pytest.mark.parametrize(
    "damage",
    [
        {"result": "x"},
        {"result": {"metrics": [1, 2]}},
        {"result": {"metrics": {"val/accuracy": None}}},
        {"result": {"architecture": "x"}},
        {"result": {"checkpoint": 7}},
        {"result": {"parameters": "many"}},
        {"error": "x"},
    ],
)
def test_a_last_word_of_another_shape_is_a_damaged_file(store: RunStore, damage: dict[str, Any]) -> None:
    folder = create(store)
    finish(folder)
    write_json(folder.path / "exit.json", {"format": 1, "attempt": 1, "status": "finished", **damage})

    with pytest.raises(StoreError, match=r"exit\.json of run .* is damaged"):
        folder.exit()
    assert listed(store).damaged


def test_numbers_that_json_lacks_are_no_damage(store: RunStore) -> None:
    folder = create(store)
    finish(folder, {**RESULT, "score": "NaN", "metrics": {"val/loss": "Infinity"}})

    assert not listed(store).damaged


def test_the_label_of_an_architecture_does_not_depend_on_the_order_of_its_encoders() -> None:
    encoders = ARCHITECTURE["params"]["encoders"]
    turned = {**ARCHITECTURE, "params": {**ARCHITECTURE["params"], "encoders": dict(reversed(encoders.items()))}}

    assert architecture_label(ARCHITECTURE) == architecture_label(turned) == "wave+mlp concat mlp"
    assert encoders_label(ARCHITECTURE) == encoders_label(turned) == "audio wave, image mlp"


def test_a_folder_without_files_is_listed_as_damaged(store: RunStore) -> None:
    (store.runs / "20260304-1512-mixmas-avmnist-7f3a").mkdir(parents=True)

    record = listed(store)

    assert record.damaged
    assert (record.subject, record.dataset, record.state) == ("mixmas", "avmnist", "lost")
    assert record.created == 1772637120
    assert store.folder(record.id).is_damaged


@pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl"])
def test_a_journal_of_a_newer_format_is_told_in_a_sentence(store: RunStore, name: str) -> None:
    folder = create(store)
    work(folder)
    advance(folder, "killed")
    with JournalWriter(folder.path / name) as journal:
        journal.append({"v": 1, "attempt": 1})
    known = (folder.path / name).read_text()

    folder.check_journals()
    assert "damaged" not in fold(folder)

    (folder.path / name).write_text(known.replace('"v":1', '"v":2'))
    with pytest.raises(StoreError, match=rf"{name} .* newer mmfuse \(format 2, this one reads 1\)"):
        folder.check_journals()
    assert "newer mmfuse" in fold(folder)["reason"]


def test_a_file_of_a_newer_format_is_refused_in_a_sentence(store: RunStore) -> None:
    folder = create(store)
    (folder.path / "meta.json").write_text('{"format": 2, "name": "new"}')

    with pytest.raises(StoreError, match=r"meta.json .* newer mmfuse \(format 2, this one reads 1\)"):
        folder.meta()
    with pytest.raises(StoreError, match="newer mmfuse"):
        store.set_meta(folder.id, name="mine")
    assert "newer mmfuse" in store.record(folder.id).reason
    assert json.loads((folder.path / "meta.json").read_text())["name"] == "new"


def test_a_folder_that_vanished_is_not_listed(store: RunStore) -> None:
    folder = create(store)
    finish(folder)
    store.records()

    folder.path.rename(store.home / "elsewhere")

    assert store.records() == []
    assert store.documents() == {}
    with pytest.raises(UnknownName):
        store.record(folder.id)


def test_a_folder_that_was_copied_in_is_listed(store: RunStore, tmp_path: Path) -> None:
    other = RunStore(tmp_path / "other")
    folder = create(other, name="guest")
    finish(folder)
    store.runs.mkdir(parents=True)

    folder.path.rename(store.runs / folder.id)

    assert (listed(store).name, listed(store).score) == ("guest", 0.75)
    assert store.documents().keys() == {folder.id}


def damage_snapshot(home: Path) -> None:
    (home / "store.json").write_bytes(b'{"_meta":{"1":{"schema":1,"gen":1')


def damage_journal(home: Path) -> None:
    (journal,) = home.glob("*.wal")
    journal.write_bytes(journal.read_bytes().replace(b'"starred":true', b'"starred":fals'))


def delete_index(home: Path) -> None:
    for path in home.glob("store.json*"):
        path.unlink()


@pytest.mark.parametrize("damage", [damage_snapshot, damage_journal, delete_index])
@pytest.mark.parametrize("read_only", [True, False])
def test_a_damaged_index_changes_nothing_in_a_listing(
    store: RunStore, damage: Callable[[Path], None], read_only: bool
) -> None:
    first, second = create(store), create(store)
    finish(first)
    store.records()
    store.set_meta(second.id, starred=True)
    before = store.records()

    damage(store.home)

    fresh = RunStore(store.home, read_only=read_only)
    assert fresh.records() == before
    assert fresh.records() == before
    if not read_only:
        assert RunStore(store.home).documents().keys() == {first.id, second.id}
        assert RunStore(store.home).documents()[second.id]["starred"]


def test_rebuild_makes_the_same_index_from_the_folders(store: RunStore) -> None:
    finish(create(store, name="done"))
    create(store, tags=["x"])
    before = store.records()
    append_index_event(store.home, before[0].id, {"name": "wrong"})

    assert store.rebuild() == 2

    assert store.records() == before
    assert {document.get("name", "") for document in store.documents().values()} == {"done", ""}


def test_leftovers_of_killed_processes_are_no_runs_and_go_with_the_next_rebuild(store: RunStore) -> None:
    folder = create(store)
    for name in (".new-4711-00", ".removed-x-00", ".new-fresh"):
        (store.runs / name).mkdir()
        if "fresh" not in name:
            os.utime(store.runs / name, (1, 1))
    (store.runs / "notes.txt").write_text("not a run")
    assert listed(store).id == folder.id

    store.rebuild()

    assert {path.name for path in store.runs.iterdir()} == {folder.id, ".new-fresh", "notes.txt"}


def test_a_store_opened_for_reading_lists_and_writes_nothing(store: RunStore) -> None:
    folder = create(store)
    finish(folder)
    before = {path: path.stat().st_mtime_ns for path in store.home.rglob("*")}

    viewer = RunStore(store.home, read_only=True)

    assert listed(viewer).score == 0.75
    assert viewer.find("latest") == folder.id
    for change in (
        lambda: create(viewer),
        lambda: viewer.set_meta(folder.id, name="x"),
        lambda: viewer.patch(folder.id, state="lost"),
        lambda: viewer.remove(folder.id),
        viewer.rebuild,
    ):
        with pytest.raises(StoreError, match="opened for reading only"):
            change()
    assert {path: path.stat().st_mtime_ns for path in store.home.rglob("*")} == before


def test_a_home_on_a_read_only_disk_is_listed(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = create(store)
    finish(folder)
    opening = os.open

    def refuse_writes(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return opening(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse_writes)
    fresh = RunStore(store.home)

    assert listed(fresh).score == 0.75
    with pytest.raises(StoreError, match=r"cannot be written: Read-only file system"):
        fresh.patch(folder.id, state="lost")


def test_a_run_is_found_by_id_prefix_suffix_name_and_latest(store: RunStore) -> None:
    first, second = create(store, name="baseline"), create(store)

    assert store.find(first.id) == first.id
    assert store.find("baseline") == first.id
    assert store.find(first.id[-4:]) == first.id
    assert store.find(second.id[: len(second.id) - 1]) == second.id
    assert store.find("latest") == store.find("@last") == second.id


@pytest.mark.parametrize("name", ["latest", "@last", " latest"])
def test_no_run_can_take_a_name_that_means_the_newest_run(store: RunStore, name: str) -> None:
    folder = create(store, name="mine")

    for take in (lambda: create(store, name=name), lambda: store.set_meta(folder.id, name=name)):
        with pytest.raises(BadSpec, match="always means the newest run"):
            take()

    assert [record.name for record in store.records()] == ["mine"]


def test_a_selector_that_fits_several_runs_lists_them(store: RunStore) -> None:
    ids = {create(store).id for _ in range(3)}

    with pytest.raises(UnknownName, match="'20' fits 3 runs") as caught:
        store.find("20")

    assert all(run_id in caught.value.hint for run_id in ids)


def test_a_selector_that_fits_no_run_gets_the_nearest(store: RunStore) -> None:
    create(store, name="baseline")

    for selector in ("baselin_", "basline"):
        with pytest.raises(UnknownName, match=f"no run named '{selector}'") as caught:
            store.find(selector)
        assert "did you mean 'baseline'?" in caught.value.hint
    for nothing in ("", "zzz", "../.."):
        with pytest.raises(UnknownName):
            store.find(nothing)


@pytest.mark.parametrize("run_id", ["", ".", "..", "../runs", ".new-1", "unknown"])
def test_only_runs_have_folders(store: RunStore, run_id: str) -> None:
    create(store)

    with pytest.raises(UnknownName):
        store.folder(run_id)


def test_what_the_user_says_is_kept_in_the_folder_and_in_the_index(store: RunStore) -> None:
    folder = create(store, name="old", tags=["a"])

    store.set_meta(folder.id, name="new", tags=["c", "b", "c"], starred=True)
    store.set_meta(folder.id, notes="because")

    expected = {"name": "new", "tags": ["b", "c"], "starred": True, "notes": "because"}
    assert folder.meta() == {"format": 1} | expected
    assert expected.items() <= store.documents()[folder.id].items()
    store.set_meta(folder.id, name="", starred=False, tags=())
    assert (listed(store).name, listed(store).starred, listed(store).tags) == ("", False, ())


def test_what_the_user_says_of_an_ended_run_is_listed(store: RunStore) -> None:
    folder = create(store)
    finish(folder)
    store.records()

    store.set_meta(folder.id, name="good")

    assert listed(store).name == listed(RunStore(store.home)).name == "good"


def test_a_listing_does_not_undo_what_the_user_says_at_the_same_moment(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = create(store, name="old")
    finish(folder)
    fold = store_module.fold

    def rename_after_reading(folder: RunFolder, known: Any = None) -> dict[str, Any]:
        document = fold(folder, known)
        RunStore(store.home).set_meta(folder.id, name="new")
        return document

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "fold", rename_after_reading)
        store.records()

    assert listed(store).name == "new"


def test_a_patch_names_fields_of_runs(store: RunStore) -> None:
    folder = create(store)

    store.patch(folder.id, score=0.5)
    assert listed(store).score == 0.5

    with pytest.raises(UnknownName, match="no field of a run named 'scor'"):
        store.patch(folder.id, scor=1)


def test_a_removed_run_is_gone(store: RunStore) -> None:
    kept, folder = create(store), create(store)
    finish(folder)

    store.remove(folder.id)

    assert [record.id for record in store.records()] == [kept.id]
    assert [path.name for path in store.runs.iterdir()] == [kept.id]
    assert store.documents().keys() == {kept.id}


def test_a_live_run_is_not_removed_but_a_lost_or_damaged_one_is(store: RunStore) -> None:
    folder = create(store)
    work(folder)
    with pytest.raises(RunBusy, match="is running and cannot be removed") as caught:
        store.remove(folder.id)
    assert folder.id in caught.value.hint
    assert folder.state()["state"] == "running"

    (folder.path / "state.json").write_bytes(b"{")
    store.remove(folder.id)
    lost = create(store)
    advance(lost, "running", supervisor=NOBODY, worker=NOBODY)
    store.remove(lost.id)

    assert store.records() == []


def test_the_lock_keeps_other_writers_out_and_lets_its_holder_write(store: RunStore) -> None:
    folder = create(store)

    with store.lock():
        store.patch(folder.id, score=0.25)
        store.set_meta(folder.id, name="inside")

    assert (listed(store).score, listed(store).name) == (0.25, "inside")


def trial(number: int, status: Any, score: float | None) -> dict[str, Any]:
    record = TrialRecord(number, Architecture("mixmas", {"n": number}), seed=number, status=status, score=score)
    return {"v": 1, "ev": "trial", "t": 0.0, "attempt": 1, "trial": record.to_json()}


def test_the_trials_of_a_run_are_its_latest_rows_by_number(store: RunStore) -> None:
    folder = create(store)
    assert folder.trials() == []
    with JournalWriter(folder.path / "events.jsonl") as journal:
        for row in (
            trial(1, "running", None),
            trial(0, "done", 0.5),
            {"ev": "note"},
            {"ev": "trial"},
            trial(1, "done", 1),
        ):
            journal.append(row)

    trials = folder.trials()

    assert [(trial.number, trial.status, trial.score) for trial in trials] == [(0, "done", 0.5), (1, "done", 1)]
    assert len(folder.events()) == 5


def test_a_run_knows_its_checkpoints_and_logs(store: RunStore) -> None:
    folder = create(store)
    assert folder.checkpoint() is None
    (folder.path / "checkpoints").mkdir()
    for name in ("best.pt", "last.pt", "elsewhere.pt"):
        (folder.path / "checkpoints" / name).write_bytes(b"")
    for attempt in (10, 1, 2):
        (folder.path / f"log.{attempt}.txt").write_text("")

    assert folder.checkpoint() == folder.path / "checkpoints" / "best.pt"
    assert folder.checkpoint("last") == folder.path / "checkpoints" / "last.pt"
    assert [path.name for path in folder.log_paths()] == ["log.1.txt", "log.2.txt", "log.10.txt"]
    finish(folder, RESULT | {"checkpoint": "checkpoints/elsewhere.pt"})
    assert folder.checkpoint() == folder.path / "checkpoints" / "elsewhere.pt"


def test_a_watcher_names_the_runs_that_changed(store: RunStore) -> None:
    first = create(store)
    watcher = StoreWatcher(store)
    assert watcher.poll() == set()

    second = create(store)
    assert watcher.poll() == {second.id}

    work(first)
    assert watcher.poll() == {first.id}
    with JournalWriter(first.path / "metrics.jsonl") as journal:
        journal.append({"s": 1, "t": 0, "m": {}})
    assert watcher.poll() == {first.id}
    store.set_meta(second.id, starred=True)
    assert watcher.poll() == {second.id}

    advance(second, "cancelled")
    assert watcher.poll() == {second.id}
    store.remove(second.id)
    assert watcher.poll() == {second.id}
    assert watcher.poll() == set()


def test_a_watcher_takes_no_heartbeat_for_a_change(store: RunStore) -> None:
    folder = create(store)
    work(folder)
    watcher = StoreWatcher(store)

    os.utime(folder.path / "state.json")

    assert watcher.poll() == set()


def test_a_watcher_notices_that_the_processes_of_a_run_are_gone(store: RunStore) -> None:
    folder = create(store)
    sleeper = subprocess.Popen(["sleep", "60"])
    identity = ProcessIdentity.of(sleeper.pid).to_json()
    advance(folder, "running", supervisor=identity, worker=identity)
    watcher = StoreWatcher(store)
    assert watcher.poll() == set()

    sleeper.kill()
    sleeper.wait()

    assert watcher.poll() == {folder.id}
    assert listed(store).state == "lost"


def test_a_watcher_follows_ended_runs_through_the_index_until_they_are_resumed(store: RunStore) -> None:
    folder = create(store)
    finish(folder)
    store.records()
    watcher = StoreWatcher(store)

    store.patch(folder.id, state="queued", attempt=2)
    assert watcher.poll() == {folder.id}
    advance(folder, "queued", attempt=2)
    assert watcher.poll() == {folder.id}


def test_importing_the_store_loads_nothing_heavy() -> None:
    heavy = {"torch", "lightning", "numpy", "h5py", "pydantic", "textual", "rich", "typer", "psutil", "platformdirs"}
    code = f"import sys, mmfuse_runs.store, mmfuse_runs.home, mmfuse_runs.seal; print({heavy!r} & set(sys.modules))"

    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert output == "set()\n"


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("search", {"search": "mixmas"}),
        ("train", {"family": "m2_mixer"}),
        ("eval", {"checkpoint": "best.pt", "split": "test"}),
        ("extract", {"modality": "image", "encoder": "dinov2", "size": "small"}),
        ("extract", {"modality": "image", "encoder": "checkpoint"}),
    ],
)
def test_a_run_is_about_the_same_when_its_index_entry_is_made_anew(
    store: RunStore, kind: str, spec: dict[str, Any]
) -> None:
    whole = spec_from_json({"kind": kind, "dataset": "avmnist", "seed": 0, **spec})
    subject = subject_of(whole)
    folder = store.create(whole.model_dump(mode="json"), kind=kind, subject=subject, dataset="avmnist")

    assert (store.record(folder.id).subject, fold(folder)["subject"]) == (subject, subject)
