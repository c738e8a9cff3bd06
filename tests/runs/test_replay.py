"""Ended runs played again: every moment of theirs comes back, byte for byte, and the folders played are only read."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Sequence
from os import utime as os_utime
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfuse.errors import BadSpec, StoreError, UnknownName
from mmfuse_runs import fold, states
from mmfuse_runs.folder import RunFolder
from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.replay import stage as staging
from mmfuse_runs.replay.chosen import recordings_of
from mmfuse_runs.replay.player import GAP_S, Player, Timeline
from mmfuse_runs.replay.recording import Recording
from mmfuse_runs.replay.stage import Stage, StageStore
from mmfuse_runs.seal import seal
from mmfuse_runs.store import RunStore

BEGAN = 1_795_000_000.0
RUN = "20261118-1146-mixmas-toy-52bc"
PLAYED = ("config.json", "meta.json", "launch.json", "state.json", "exit.json", "progress.json", "events.jsonl")


def trial_row(at: float, number: int, score: float | None = None, *, attempt: int = 1) -> dict:
    architecture = {"family": "unimodal", "params": {"modality": "image"}, "stage": "encoder/image"}
    status = "running" if score is None else "done"
    trial = {"number": number, "seed": number, "status": status, "score": score, "architecture": architecture}
    return {"v": 1, "ev": "trial", "t": BEGAN + at, "attempt": attempt, "trial": trial}


def step_row(at: float, step: int, **metrics: float) -> dict:
    return {"s": step, "e": 1 + step // 10, "t": BEGAN + at, "n": None, "m": metrics}


def make_run(
    folder: Path,
    *,
    history: Sequence[tuple[float, str, int]] = ((0, "queued", 1), (1, "running", 1), (100, "finished", 1)),
    events: Iterable[dict] = (),
    metrics: Iterable[dict] = (),
    logs: dict[int, str] | None = None,
    **state: object,
) -> Path:
    """A run's folder as worker and supervisor left it."""
    folder.mkdir(parents=True)
    steps = [{"state": name, "at": BEGAN + at, "attempt": attempt, "reason": ""} for at, name, attempt in history]
    attempts = sorted({attempt for _, _, attempt in history})
    last = {"state": steps[-1]["state"], "attempt": attempts[-1], "since": steps[-1]["at"], "history": steps}
    started = {n: next(s["at"] for s in steps if s["attempt"] == n) for n in attempts}
    files = {
        "config.json": {"format": 1, "kind": "search", "search": "mixmas", "dataset": "toy", "fit": {"epochs": 4}},
        "meta.json": {"format": 1, "name": "first", "tags": ["paper"], "starred": False, "notes": ""},
        "launch.json": {"format": 1, "attempts": [{"attempt": n, "at": started[n], "device": "cpu"} for n in attempts]},
        "state.json": {"format": 1, "run": RUN, "exit_code": 0, "supervisor": None, "worker": None} | last | state,
        "exit.json": {"format": 1, "status": "finished", "attempt": attempts[-1], "result": {"score": 0.9}},
        "progress.json": {"done": 4, "total": 4, "what": "encoder/image", "at": BEGAN + 90, "started": BEGAN + 5},
    }
    for name, record in files.items():
        (folder / name).write_text(json.dumps(record))
    for name, rows in (("events.jsonl", events), ("metrics.jsonl", metrics)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    for number, text in (logs or {}).items():
        (folder / f"log.{number}.txt").write_text(text)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def everything_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


seconds = st.integers(0, 8 * 130).map(lambda eighths: eighths / 8)  # added to the time of day without rounding
times = st.lists(seconds, max_size=12)


@settings(max_examples=40)
@given(times, times, st.lists(seconds, min_size=1, max_size=6))
def test_at_any_moment_the_files_hold_exactly_what_had_been_written_whichever_way_it_was_reached(
    tmp_path_factory, of_events, of_metrics, moments
):
    home = tmp_path_factory.mktemp("home")
    source = make_run(
        home / "runs" / RUN,
        events=[trial_row(at, nth, 0.5) for nth, at in enumerate(of_events)],
        metrics=[step_row(at, nth, **{"train/loss": 1.0}) for nth, at in enumerate(of_metrics)],
    )
    before = everything_of(home)

    with Stage([Recording(RunFolder(source))]) as wandering, Stage([Recording(RunFolder(source))]) as straight:
        for moment in moments:
            wandering.show(BEGAN + moment)
        straight.show(BEGAN + moments[-1])
        there, also = contents(wandering.home / "runs" / RUN), contents(straight.home / "runs" / RUN)

    for name, written in (("events.jsonl", of_events), ("metrics.jsonl", of_metrics)):
        whole, so_far = (source / name).read_bytes(), there.get(name, b"")
        assert whole.startswith(so_far)
        if moments[-1] < 100:
            # Clocks go back now and then: a row stands behind the one before it, so it cannot be there earlier.
            shown = sum(max(written[: nth + 1]) <= moments[-1] for nth in range(len(written)))
            assert so_far.count(b"\n") == shown
    assert {name: data for name, data in there.items() if name != "progress.json"} == {
        name: data for name, data in also.items() if name != "progress.json"
    }
    assert everything_of(home) == before


def test_in_the_end_everything_is_as_in_the_folder_that_was_played(tmp_path):
    source = make_run(
        tmp_path / "a copy",
        events=[trial_row(5, 0), trial_row(20, 0, 0.5)],
        metrics=[step_row(30, 10, loss=1.0)],
        logs={1: "no time in this line\n"},
    )
    with (source / "metrics.jsonl").open("a") as file:
        file.write('{"torn')  # as a killed worker leaves it

    with Stage(recordings_of(str(source), home=tmp_path)) as stage:
        stage.show(BEGAN + 40)
        stage.show(BEGAN + 100)
        played = contents(stage.home / "runs" / RUN)
        changed = (stage.home / "runs" / RUN / "state.json").stat().st_mtime_ns

    assert played == contents(source)
    assert changed == (source / "state.json").stat().st_mtime_ns
    assert not stage.home.exists()


def test_a_run_goes_through_its_states_and_attempts_again(tmp_path):
    history = [
        (0, "queued", 1),
        (2, "running", 1),
        (50, "crashed", 1),
        (5000, "queued", 2),
        (5001, "running", 2),
        (5040, "finished", 2),
    ]
    source = make_run(tmp_path / RUN, history=history, logs={1: "one\n", 2: "two\n"})

    with Stage([Recording(RunFolder(source))]) as stage:
        seen = []
        for at in (1, 10, 60, 5000.5, 5010, 5041):
            stage.show(BEGAN + at)
            record = RunStore(stage.home, read_only=True).record(RUN)
            attempts = len(RunFolder(stage.home / "runs" / RUN).launch()["attempts"])
            seen.append((record.state, record.attempt, attempts, record.score))
        stage.show(BEGAN - 1)
        gone = RunStore(stage.home, read_only=True).ids()

    assert seen == [
        ("queued", 1, 1, None),
        ("running", 1, 1, None),
        ("crashed", 1, 1, None),
        ("queued", 2, 2, None),
        ("running", 2, 2, None),
        ("finished", 2, 2, 0.9),
    ]
    assert gone == []


def test_progress_and_the_time_left_are_counted_from_the_journals(tmp_path):
    rows = [trial_row(10 * nth, nth, 0.5) for nth in range(1, 5)]
    trained = [step_row(60 + nth, 5 * nth, **{"train/loss": 1.0}) for nth in range(1, 5)]
    source = make_run(tmp_path / RUN, events=rows, metrics=trained)

    with Stage([Recording(RunFolder(source))]) as stage:
        told = []
        for at in (5, 30, 63):
            stage.show(BEGAN + at)
            record = RunStore(stage.home, read_only=True).record(RUN)
            told.append((record.progress, record.eta_seconds))

    assert told[0] == (None, None)
    assert told[1][0] == (3, 4, "encoder/image")
    assert told[1][1] == pytest.approx(10.0, abs=0.5)
    assert told[2][0] == (15, 27, "train/epoch 2 of 4")  # 20 steps in three epochs: four of them are 27


def test_lines_of_a_log_come_at_their_time_whatever_the_zone_and_a_traceback_at_the_end(tmp_path):
    def stamp(at: float, zone: float) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(BEGAN + at + zone)) + ",250"

    zone = 5.75 * 3600  # Kathmandu's; the test runs in some other
    log = f"{stamp(10, zone)} INFO a: one\n{stamp(40, zone)} INFO a: two\nTraceback\nBoom\n"
    source = make_run(tmp_path / RUN, logs={1: log})

    with Stage([Recording(RunFolder(source))]) as stage:
        shown = []
        for at in (5, 20, 60, 100):
            stage.show(BEGAN + at)
            log = stage.home / "runs" / RUN / "log.1.txt"
            shown.append(log.read_text().count("\n") if log.exists() else None)

    assert shown == [None, 1, 2, 4]


def test_a_run_whose_journal_is_left_as_its_sealed_copy_only_is_played_from_that(tmp_path):
    source = make_run(tmp_path / RUN, metrics=[step_row(10 + nth, nth, loss=1.0 / (nth + 1)) for nth in range(20)])
    seal(RunFolder(source))
    (source / "metrics.jsonl").unlink()

    with Stage([Recording(RunFolder(source))]) as stage:
        stage.show(BEGAN + 19.5)
        steps, values = RunFolder(stage.home / "runs" / RUN).metrics().series("loss")

    assert list(steps) == list(range(10)) and values[9] == pytest.approx(0.1)
    assert list(RunFolder(source).metrics().series("loss")[0]) == list(range(20))


def test_what_cannot_be_played_says_why(tmp_path):
    own = ProcessIdentity.own().to_json()
    live = [(0, "queued", 1), (1, "running", 1)]
    running = make_run(tmp_path / "home" / "runs" / "going", history=live, supervisor=own, worker=own)
    (tmp_path / "empty").mkdir()

    with pytest.raises(BadSpec, match="still goes on"):
        recordings_of(str(running), home=tmp_path)
    with pytest.raises(BadSpec, match=r"no run of .* has ended"):
        recordings_of(str(tmp_path / "home"), home=tmp_path)
    with pytest.raises(BadSpec, match="neither the folder of a run nor a home"):
        recordings_of(str(tmp_path / "empty"), home=tmp_path)
    with pytest.raises(UnknownName):
        recordings_of("nothing", home=tmp_path / "home")
    (running / "state.json").write_text('{"format": 1, "state": "finished"}')
    with pytest.raises(StoreError, match="damaged"):
        recordings_of(str(running), home=tmp_path)


def test_a_run_that_died_without_a_word_is_played_up_to_what_it_wrote_last(tmp_path):
    live = [(0, "queued", 1), (1, "running", 1)]
    nobody = {"host": os.uname().nodename, "boot_id": "another", "pid": 1, "start_ticks": 1}
    source = make_run(
        tmp_path / RUN, history=live, metrics=[step_row(70, 1, loss=1.0)], supervisor=nobody, worker=nobody
    )
    (source / "exit.json").unlink()

    recording = Recording(RunFolder(source))
    with Stage([recording]) as stage:
        stage.show(BEGAN + 60)
        before = RunStore(stage.home, read_only=True).record(RUN).state
        stage.show(BEGAN + 70)
        after = RunStore(stage.home, read_only=True).record(RUN).state

    assert recording.end == BEGAN + 70
    assert (before, after) == ("running", "lost")


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0.001, 1e4)), min_size=1, max_size=8), st.data())
def test_a_timeline_runs_on_at_the_pace_of_the_clock_and_leaps_over_idle_stretches(drawn, data):
    spans = [(begin, begin + length) for begin, length in drawn]
    timeline = Timeline(spans)

    first, last = sorted(data.draw(st.tuples(*[st.floats(0, timeline.length)] * 2)))
    assert timeline.moment(0) == min(begin for begin, _ in spans)
    assert timeline.moment(timeline.length) == max(end for _, end in spans)
    assert timeline.moment(last) >= timeline.moment(first)
    # As much time passes in runs as in the timeline; what is more was idle.
    went_on = sum(end - begin for begin, end in merged(spans))
    gaps = len(merged(spans)) - 1
    assert went_on - 1e-6 <= timeline.length <= went_on + gaps * GAP_S + 1e-6
    if not gaps:
        assert math.isclose(timeline.moment(last) - timeline.moment(first), last - first, abs_tol=1e-6)


def merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def test_a_player_keeps_the_rhythm_stands_still_seeks_and_begins_anew(tmp_path):
    source = make_run(tmp_path / RUN)
    now = [0.0]
    with Stage([Recording(RunFolder(source))]) as stage:
        player = Player(stage, speed=20, clock=lambda: now[0])

        def after(seconds: float) -> float:
            now[0] += seconds
            player.tick()
            return player.standing.position

        assert after(1.5) == 30
        player.change_speed(+1)
        assert after(0.5) == 55
        player.change_speed(-1)
        player.change_speed(-1)
        assert (player.standing.speed, after(1)) == (10, 65)
        player.toggle()
        assert after(100) == 65
        player.seek(-0.25)
        assert (after(1), player.now()) == (40, BEGAN + 40)
        player.toggle()
        assert after(1000) == 100 and not player.standing.playing
        player.toggle()
        assert player.standing.position == 0 and player.standing.playing


def test_a_disk_without_room_stops_the_replay_with_a_sentence(tmp_path, monkeypatch):
    source = make_run(tmp_path / RUN)
    with Stage([Recording(RunFolder(source))]) as stage:
        player = Player(stage, speed=1)
        monkeypatch.setattr(stage, "show", lambda moment: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        player.seek(0.5)

        assert player.standing.problem == "the replay cannot be written: No space left on device"
        assert not player.standing.playing


def test_of_a_home_all_that_has_ended_is_played_and_nothing_is_waited_for_in_between(tmp_path):
    day = 86_400
    later = [(day, "queued", 1), (day + 900, "running", 1), (day + 950, "finished", 1)]
    own = ProcessIdentity.own().to_json()
    runs = tmp_path / "home" / "runs"
    make_run(runs / "b", history=later, run="b")
    make_run(runs / "a", run="a")
    make_run(runs / "live", history=[(0, "queued", 1), (1, "running", 1)], run="live", supervisor=own, worker=own)
    make_run(runs / "damaged").joinpath("state.json").write_text("{")

    recordings = recordings_of(str(tmp_path / "home"), home=tmp_path)
    now = [0.0]
    with Stage(recordings) as stage:
        player = Player(stage, speed=1, clock=lambda: now[0])
        seen = []
        for _ in range(4):
            seen.append({record.id: str(record.state) for record in StageStore(stage).records()})
            now[0] += 52
            player.tick()

    assert [recording.id for recording in recordings] == ["a", "b"]
    assert player.standing.length == 100 + GAP_S + GAP_S + 50  # the wait until the second began, then its wait in line
    assert seen == [
        {"a": "queued"},
        {"a": "running"},
        {"a": "finished"},
        {"a": "finished", "b": "running"},
    ]


def test_a_resumed_run_is_listed_without_looking_at_every_folder_each_time(tmp_path):
    history = [(0, "queued", 1), (1, "running", 1), (9, "stopped", 1), (15, "queued", 2), (16, "running", 2)]
    source = make_run(tmp_path / RUN, history=[*history, (30, "finished", 2)])
    with Stage([Recording(RunFolder(source))]) as stage:
        store = StageStore(stage)
        seen = []
        for at in (5, 10, 12, 20):
            stage.show(BEGAN + at)
            seen.append(str(store.records(recheck=False)[0].state))

    assert seen == ["running", "stopped", "stopped", "running"]


def test_what_stands_still_neither_dies_nor_runs_out_of_time(tmp_path, monkeypatch):
    source = make_run(tmp_path / RUN, events=[trial_row(10 * nth, nth, 0.5) for nth in range(1, 9)])
    later = [0.0]
    moved = SimpleNamespace(time=lambda: time.time() + later[0], monotonic=lambda: time.monotonic() + later[0])
    with Stage([Recording(RunFolder(source))]) as stage:
        player = Player(stage, speed=1)
        player.toggle()
        player.seek(0.5)
        before = RunStore(stage.home, read_only=True).record(RUN)
        later[0] = 3600.0
        for module in (staging, states, fold):
            monkeypatch.setattr(module, "time", moved)
        monkeypatch.setattr(staging.os, "utime", lambda path, **_: os_utime(path, (moved.time(), moved.time())))
        player.tick()
        after = RunStore(stage.home, read_only=True).record(RUN)

    assert before.state == after.state == "running"
    assert after.eta_seconds == pytest.approx(before.eta_seconds, abs=1.0)


@pytest.mark.parametrize(
    "content", ["{", "[]", "null", '{"format": 1, "attempts": [{"at": "x"}], "attempt": "x", "done": null}']
)
def test_damaged_files_are_played_as_they_are(tmp_path, content):
    source = make_run(tmp_path / RUN, events=[trial_row(5, 0, 0.5)], metrics=[step_row(6, 1, loss=1.0)])
    for name in ("launch.json", "exit.json", "progress.json", "config.json", "meta.json"):
        (source / name).write_text(content)
    for name in ("events.jsonl", "metrics.jsonl", "log.1.txt"):
        with (source / name).open("a") as file:
            file.write(
                f'{content}\n{{"t": "x", "ev": "trial", "trial": {{}}}}\n9999-99-99 99:99:99,999 WHO a: what\n\x00'
            )

    with Stage([Recording(RunFolder(source))]) as stage:
        for at in (0, 5, 50, 100):
            stage.show(BEGAN + at)
            RunStore(stage.home, read_only=True).records()
        played = contents(stage.home / "runs" / RUN)

    assert played == contents(source)
