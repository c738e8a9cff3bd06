"""`mmfuse runs fsck`: every kind of damage is found, told by the exit code, and mended without losing a record."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time

import pytest

from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.reporter import RunReporter
from mmfuse_runs.slots import draw_ticket


def age(path, seconds=7200.0):
    """Make it look as if nothing had been written there for a while."""
    for each in (*path.rglob("*"), path):
        os.utime(each, (time.time() - seconds,) * 2)


def tear(path):
    """What a power cut leaves of the last row."""
    with open(path / "metrics.jsonl", "ab") as file:
        file.write(b'{"s": 3, "e": nu')


def spoil(path):
    """A row in the middle that is no JSON."""
    lines = (path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (path / "metrics.jsonl").write_bytes(b"".join([*lines[:1], b"\x00\x00garbage\n", *lines[1:]]))


def lose_state(path):
    (path / "state.json").unlink()
    age(path)


def empty_state(path):
    (path / "state.json").write_text("")
    age(path)


def kill_processes(path):
    record = json.loads((path / "state.json").read_text())
    with subprocess.Popen(["sleep", "9"]) as process:
        gone = ProcessIdentity.of(process.pid).to_json()
        process.kill()
    (path / "state.json").write_text(json.dumps(record | {"state": "running", "supervisor": gone}))


def spoil_meta(path):
    (path / "meta.json").write_text("{")


def leave_draft(path):
    (path / "progress.json.99.tmp").write_text("{")


DAMAGE = {
    "the last row of metrics.jsonl is torn": tear,
    "1 row of metrics.jsonl cannot be read": spoil,
    "state.json is missing": lose_state,
    "state.json is damaged": empty_state,
    "meta.json is damaged": spoil_meta,
    "progress.json.99.tmp is left over": leave_draft,
}


@pytest.fixture
def measured(make_run, store):
    """A finished run with two rows; its folder."""
    run_id = make_run("finished", name="measured")
    path = store.folder(run_id).path
    reporter = RunReporter(path, run_id=run_id, attempt=1)
    reporter.metrics({"val/accuracy": 0.5}, step=1)
    reporter.metrics({"val/accuracy": 0.75}, step=2)
    reporter.close()
    return path


def test_a_sound_store_is_sound_and_nothing_is_written(mmfuse, measured, store):
    before = {path: path.read_bytes() for path in store.home.rglob("*") if path.is_file()}

    result = mmfuse("runs", "fsck")

    assert (result.exit_code, result.stdout) == (0, "")
    assert {path: path.read_bytes() for path in store.home.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("told", "damage"), DAMAGE.items(), ids=[act.__name__ for act in DAMAGE.values()])
def test_damage_is_found_mended_and_then_gone(mmfuse, measured, store, told, damage):
    damage(measured)

    found, mended, after = mmfuse("runs", "fsck"), mmfuse("runs", "fsck", "--repair"), mmfuse("runs", "fsck")

    assert (found.exit_code, mended.exit_code, after.exit_code) == (1, 0, 0)
    assert told in found.stdout
    assert mended.stdout.splitlines()[1].startswith("mended")
    record = store.record(measured.name)
    assert (record.damaged, str(record.state)) == (False, "finished")
    assert list(store.folder(measured.name).metrics().series("val/accuracy")[1]) == [0.5, 0.75]


def test_rows_that_cannot_be_read_are_kept_beside(mmfuse, measured):
    spoil(measured)
    tear(measured)

    mmfuse("runs", "fsck", "--repair")

    assert (measured / "metrics.jsonl.bad").read_bytes() == b'\x00\x00garbage\n{"s": 3, "e": nu\n'


def test_a_file_that_was_set_aside_before_is_not_written_over(mmfuse, measured):
    for text in ("{", "["):
        (measured / "meta.json").write_text(text)
        mmfuse("runs", "fsck", "--repair")

    assert [(measured / name).read_text() for name in ("meta.json.bad", "meta.json.bad1")] == ["{", "["]


@pytest.mark.parametrize(("attempt", "state"), [(1, "finished"), (0, "lost")])
def test_of_a_run_without_processes_the_last_word_is_written_down_or_that_it_is_lost(mmfuse, measured, attempt, state):
    kill_processes(measured)
    last_word = json.loads((measured / "exit.json").read_text()) | {"attempt": attempt}
    (measured / "exit.json").write_text(json.dumps(last_word))

    assert "its processes are gone" in mmfuse("runs", "fsck").stdout
    assert mmfuse("runs", "fsck", "--repair").exit_code == 0
    assert json.loads((measured / "state.json").read_text())["state"] == state
    assert mmfuse("runs", "fsck").exit_code == 0


def test_a_run_without_state_or_result_becomes_one_that_can_be_resumed(mmfuse, measured, store):
    (measured / "exit.json").unlink()
    lose_state(measured)

    mmfuse("runs", "fsck", "--repair")

    assert str(store.record(measured.name).state) == "lost"


def test_a_state_that_vanished_just_now_may_be_of_a_run_that_goes_on(mmfuse, measured):
    (measured / "state.json").unlink()
    tear(measured)

    result = mmfuse("runs", "fsck", "--repair")

    assert (result.exit_code, "written here just now" in result.stdout) == (1, True)
    assert not (measured / "state.json").exists()
    assert not (measured / "metrics.jsonl.bad").exists()


def test_a_live_run_is_left_to_its_supervisor(mmfuse, make_run, store):
    path = store.folder(make_run("running")).path
    (path / "metrics.jsonl").write_bytes(b'{"s": 1')
    (path / "progress.json.99.tmp").write_text("{")

    assert mmfuse("runs", "fsck", "--repair").exit_code == 0
    assert (path / "metrics.jsonl").read_bytes() == b'{"s": 1'


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("config.json", "{", "config.json is damaged"),
        ("state.json", '{"format": 99, "state": "dreaming"}', "state.json of a newer mmfuse"),
        ("exit.json", '{"format": 99, "result": "other"}', "exit.json of a newer mmfuse"),
        ("metrics.jsonl", '{"v": 99, "numbers": []}\n', "journals of a newer mmfuse"),
    ],
)
def test_what_only_others_can_mend_stays_wrong_and_untouched(mmfuse, measured, name, text, told):
    (measured / name).write_text(text)

    result = mmfuse("runs", "fsck", "--repair")

    assert (result.exit_code, told in result.stdout) == (1, True)
    assert (measured / name).read_text() == text


def test_a_folder_that_is_no_run_is_told_and_kept(mmfuse, measured, store):
    (store.runs / "holiday").mkdir()
    (store.runs / "holiday" / "photo.jpg").write_bytes(b"x")

    result = mmfuse("runs", "fsck", "--repair")

    assert (result.exit_code, "holiday" in result.stdout) == (1, True)
    assert (store.runs / "holiday" / "photo.jpg").exists()


def test_what_dead_processes_left_is_removed(mmfuse, measured, store):
    draft = store.runs / ".new-1-0badcafe"
    draft.mkdir()
    age(draft)
    ticket = draw_ticket(store.home)
    os.close(ticket.descriptor)

    told = json.loads(mmfuse("runs", "fsck", "--json").stdout)
    mmfuse("runs", "fsck", "--repair")

    assert [trouble["where"] for trouble in told["troubles"]] == [draft.name, f"queue/{ticket.path.name}"]
    assert not draft.exists()
    assert not ticket.path.exists()


def test_a_place_in_the_line_that_is_held_is_no_trouble(mmfuse, measured, store):
    ticket = draw_ticket(store.home)

    assert mmfuse("runs", "fsck", "--repair").exit_code == 0
    assert ticket.path.exists()
    ticket.give_up()


def test_an_index_that_disagrees_with_the_folders_is_made_anew(mmfuse, measured, store, make_run):
    removed = make_run("finished")
    mmfuse("runs", "ls")
    shutil.rmtree(store.folder(removed).path)
    store.patch(measured.name, score=0.1)

    found = mmfuse("runs", "fsck").stdout
    assert mmfuse("runs", "fsck", "--repair").exit_code == 0

    assert "(score)" in found
    assert "there is no folder" in found
    assert json.loads(mmfuse("runs", "ls", "--json").stdout)["runs"][0]["score"] == 0.75
    assert mmfuse("runs", "fsck").exit_code == 0
