"""`mmfuse runs stop, kill, pause, continue, adopt, tag, note, rm, gc, logs`: what is done to runs."""

from __future__ import annotations

import json
import os

import pytest

from mmfuse.errors import RunBusy
from mmfuse_cli import access
from mmfuse_runs import control

VERBS = {"stop": "stop", "kill": "kill", "pause": "pause", "continue": "continue_", "adopt": "adopt"}


@pytest.fixture
def asked(monkeypatch):
    """The requests that reached `mmfuse_runs.control`: (verb, run, options)."""
    requests = []
    for name in VERBS.values():

        def take(store, run_id, *, verb=name, **options):
            requests.append((verb, run_id, options))

        monkeypatch.setattr(control, name, take)
    return requests


@pytest.fixture
def at_terminal(monkeypatch):
    """Somebody is there to answer."""
    monkeypatch.setattr(access, "somebody_there", lambda: True)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_reaches_the_named_run_without_asking(mmfuse, make_run, asked, verb):
    run_id = make_run("running")

    result = mmfuse("runs", verb, run_id)

    assert result.exit_code == 0
    assert result.stdout == f"{run_id}\n"
    assert [(verb, run) for verb, run, _ in asked] == [(VERBS[verb], run_id)]


def test_stop_hands_grace_and_reason_on(mmfuse, make_run, asked):
    make_run("running")

    mmfuse("runs", "stop", "latest", "--grace", "5", "--reason", "lunch")

    assert asked[0][2] == {"grace_s": 5.0, "by": "cli", "reason": "lunch"}


def test_conditions_choose_live_runs_only_and_are_confirmed(mmfuse, make_run, asked, at_terminal):
    make_run("finished", tags=["x"])
    running = make_run("running", tags=["x"])

    refused = mmfuse("runs", "kill", "tag:x", answer="n\n")
    assert asked == []
    agreed = mmfuse("runs", "kill", "tag:x", answer="y\n")

    assert refused.exit_code == 130
    assert agreed.exit_code == 0
    assert [run for _, run, _ in asked] == [running]


def test_conditions_without_anybody_to_ask_need_yes(mmfuse, make_run, asked):
    make_run("running", tags=["x"])

    refused, done = mmfuse("runs", "stop", "tag:x"), mmfuse("runs", "stop", "tag:x", "--yes")

    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert (done.exit_code, len(asked)) == (0, 1)


def test_a_dry_run_lists_and_asks_nothing_of_any_run(mmfuse, make_run, asked):
    run_id = make_run("running")

    result = mmfuse("runs", "kill", "state:running", "--dry-run")

    assert f"would kill {run_id}" in result.stderr
    assert asked == []


def test_one_refusal_does_not_keep_the_others_from_being_asked(mmfuse, make_run, monkeypatch):
    first, second, third = (make_run("running") for _ in range(3))
    stopped = []

    def stop(store, run_id, **options):
        if run_id != second:
            raise RunBusy(f"run {run_id} is stopping already")
        stopped.append(run_id)

    monkeypatch.setattr(control, "stop", stop)

    result = mmfuse("runs", "stop", first, second, third)

    assert result.exit_code == 2
    assert stopped == [second]
    assert result.stderr.count("error: ") == 2


def test_conditions_that_no_run_meets_are_an_error(mmfuse, make_run):
    make_run("finished")

    assert mmfuse("runs", "kill", "tag:nothing").exit_code == 2


def test_waiting_ends_when_the_run_has_ended(mmfuse, make_run, asked, end_run, monkeypatch):
    run_id = make_run("running")
    monkeypatch.setattr(control, "wait", lambda store, run_id: end_run(run_id, "stopped"))

    assert f"{run_id} stopped" in mmfuse("runs", "stop", run_id, "--wait").stderr


def test_tags_are_added_and_taken_away(mmfuse, make_run, store):
    run_id = make_run("finished", tags=["draft", "old"])

    result = mmfuse("runs", "tag", run_id, "--add", "paper", "--remove", "old")

    assert result.stdout == f"{run_id}  draft paper\n"
    assert store.record(run_id).tags == ("draft", "paper")


def test_a_note_names_stars_and_annotates(mmfuse, make_run, store):
    run_id = make_run("finished")

    mmfuse("runs", "note", run_id, "learning rate too high", "--name", "baseline", "--star")

    record = store.record(run_id)
    assert (record.notes, record.name, record.starred) == ("learning rate too high", "baseline", True)
    assert mmfuse("runs", "note", "baseline").stdout == "learning rate too high\n"


def test_rm_asks_removes_and_prints_what_is_gone(mmfuse, make_run, store, at_terminal):
    gone, stays = make_run("finished"), make_run("finished")

    result = mmfuse("runs", "rm", gone, answer="y\n")

    assert result.stdout.endswith(f"{gone}\n")
    assert [record.id for record in store.records()] == [stays]


def test_rm_without_anybody_to_ask_removes_nothing(mmfuse, make_run, store):
    run_id = make_run("finished")

    assert mmfuse("runs", "rm", run_id).exit_code == 2
    assert [record.id for record in store.records()] == [run_id]


def test_rm_refuses_live_runs(mmfuse, make_run, store):
    run_id = make_run("running")

    result = mmfuse("runs", "rm", run_id, "--yes")

    assert result.exit_code == 2
    assert "still going on" in result.stderr
    assert len(store.records()) == 1


def test_starred_runs_are_not_removed(mmfuse, make_run, store):
    run_id, other = make_run("finished", tags=["x"]), make_run("finished", tags=["x"])
    store.set_meta(run_id, starred=True)

    refused = mmfuse("runs", "rm", "tag:x", "--yes")
    done = mmfuse("runs", "rm", "tag:x -is:starred", "--yes")

    assert (refused.exit_code, "--unstar" in refused.stderr) == (2, True)
    assert done.stdout == f"{other}\n"
    assert store.ids() == [run_id]


def test_runs_are_killed_by_what_they_are_and_how_they_do(mmfuse, make_run, asked, end_run, store, monkeypatch):
    bad, good = make_run("running"), make_run("running")
    make_run("finished", result={"metric": "val/accuracy", "score": 0.1, "metrics": {}})
    for run_id, score in ((bad, 0.2), (good, 0.9)):
        rows = [
            {
                "ev": "note",
                "message": "dataset",
                "facts": {"metric": "val/accuracy", "maximize": True, "label": "avmnist"},
            },
            {"ev": "note", "message": "best", "facts": {"score": score, "step": 1}},
        ]
        (store.folder(run_id).path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = "status:running algo:mixmas val/accuracy<0.3"

    listed = mmfuse("runs", "kill", words, "--dry-run")
    before = list(asked)
    mmfuse("runs", "kill", words, "--yes")

    assert (before, listed.stderr.splitlines()) == ([], [f"would kill {bad} (running)"])
    assert [run for _, run, _ in asked] == [bad]


def test_a_removed_run_comes_back_exactly_as_it_was(mmfuse, make_run, store):
    run_id, other = make_run("finished", name="mistake", tags=["x"], log="a log\n"), make_run("crashed")
    folder = store.folder(run_id).path
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    record = store.record(run_id)

    mmfuse("runs", "rm", "mistake", "--yes")
    gone = [run.id for run in store.records()]
    listed = mmfuse("runs", "restore").stdout
    back = mmfuse("runs", "restore", "mistake").stdout

    assert gone == [other]
    assert "mistake" in listed
    assert back == f"{run_id}\n"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert store.record(run_id) == record
    assert {run["id"] for run in json.loads(mmfuse("runs", "ls", "--json").stdout)["runs"]} == {run_id, other}
    assert "empty" in mmfuse("runs", "restore").stderr


def test_what_is_removed_forever_or_from_the_trash_does_not_come_back(mmfuse, make_run, store):
    forever, trashed, kept = make_run("finished"), make_run("finished"), make_run("finished")
    mmfuse("runs", "rm", forever, "--forever", "--yes")
    mmfuse("runs", "rm", trashed, kept, "--yes")
    os.utime(store.home / "trash" / trashed, (0, 0))

    assert mmfuse("runs", "gc", "--trash", "--older", "1d").exit_code == 2
    told = json.loads(mmfuse("runs", "gc", "--trash", "--older", "1d", "--yes", "--json").stdout)

    assert told["removed"] == [trashed]
    assert mmfuse("runs", "restore", forever).exit_code == 2
    assert mmfuse("runs", "restore", trashed).exit_code == 2
    assert mmfuse("runs", "restore", kept).exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--trash", "state:crashed"], "by age alone"),
        (["--trash", "--older", "long"], "no length of time"),
    ],
)
def test_a_rule_that_the_trash_does_not_know_is_refused(mmfuse, words, told):
    result = mmfuse("runs", "gc", *words, "--yes")

    assert (result.exit_code, told in result.stderr) == (2, True)


def test_a_run_in_the_trash_is_named_by_an_end_that_only_it_has(mmfuse, make_run, store):
    first, second = make_run("finished"), make_run("finished")
    mmfuse("runs", "rm", first, second, "--yes")

    assert "is 2 runs in the trash" in mmfuse("runs", "restore", first[:2]).stderr
    assert mmfuse("runs", "restore", second.rpartition("-")[2]).stdout == f"{second}\n"


def test_gc_removes_by_rule_and_spares_live_and_starred_runs(mmfuse, make_run, store):
    old, starred = make_run("crashed", age=90_000), make_run("crashed", age=90_000)
    young, live = make_run("crashed", age=10), make_run("running", age=90_000)
    store.set_meta(starred, starred=True)

    result = mmfuse("runs", "gc", "--older", "1d", "--yes")

    assert result.stdout == f"{old}\n"
    assert {record.id for record in store.records()} == {starred, young, live}


def test_gc_removes_kept_code_with_the_last_run_that_has_it(mmfuse, make_run, store):
    needed, needless = store.home / "code" / "0123456789abcdef", store.home / "code" / "fedcba9876543210"
    for number, snapshot in enumerate((needed, needless)):
        snapshot.mkdir(parents=True)
        os.utime(snapshot, (0, 0))
        run_id = make_run("finished", age=number * 86400.0 * 3)
        (store.folder(run_id).path / "launch.json").write_text(f'{{"attempts": [{{"code": "{snapshot.name}"}}]}}')

    planned = mmfuse("runs", "gc", "--older", "1d", "--dry-run")
    assert needless.exists()
    result = mmfuse("runs", "gc", "--older", "1d", "--yes")

    assert "snapshot" not in planned.stderr
    assert "removed 1 snapshot of code" in result.stderr
    assert (needed.exists(), needless.exists()) == (True, False)


def test_gc_counts_runs_that_never_worked_as_short(mmfuse, make_run, store):
    crashed = make_run("crashed")
    make_run("finished")

    result = mmfuse("runs", "gc", "--shorter", "60s", "--dry-run")

    assert crashed in result.stderr
    assert "would remove 1 run " in result.stderr
    assert len(store.records()) == 2


def test_gc_holds_its_rules_against_every_alternative(mmfuse, make_run, store):
    old = make_run("crashed", age=90_000)
    make_run("killed", age=10)

    mmfuse("runs", "gc", "state:crashed", "or", "state:killed", "--older", "1d", "--yes")

    assert old not in [record.id for record in store.records()]
    assert len(store.records()) == 1


def test_gc_without_a_rule_removes_nothing(mmfuse, make_run, store):
    make_run("crashed")

    assert mmfuse("runs", "gc", "--yes").exit_code == 2
    assert len(store.records()) == 1


def test_logs_print_the_last_lines_without_control_characters(mmfuse, make_run):
    make_run("finished", log="one\ntwo\n\x1b[31mthree\x1b[2J\n")

    assert mmfuse("runs", "logs", "latest", "-n", "2").stdout == "two\nthree\n"


def test_logs_of_another_attempt_and_of_none(mmfuse, make_run, store):
    run_id = make_run("finished", log="first\n")
    (store.folder(run_id).path / "log.2.txt").write_text("second\n")

    assert mmfuse("runs", "logs", run_id).stdout == "second\n"
    assert mmfuse("runs", "logs", run_id, "--attempt", "1").stdout == "first\n"
    assert "attempts with a log: 1, 2" in mmfuse("runs", "logs", run_id, "--attempt", "3").stderr


def test_following_a_log_ends_with_the_run_and_prints_an_unended_line(mmfuse, make_run):
    make_run("finished", log="one\ntwo")

    assert mmfuse("runs", "logs", "latest", "--follow").stdout == "one\ntwo\n"


def test_a_run_without_a_log_says_so(mmfuse, make_run):
    make_run("queued")

    assert "no log yet" in mmfuse("runs", "logs", "latest").stderr
