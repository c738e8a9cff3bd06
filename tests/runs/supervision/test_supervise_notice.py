"""Somebody is told when a run has ended, and nobody has to wait for it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from mmfuse_runs.notice import LAST_LINES, VARIABLE, message
from mmfuse_runs.states import State


@pytest.mark.parametrize(("scenario", "state"), [("finish", State.FINISHED), ("refuse", State.CRASHED)])
def test_the_command_learns_how_the_run_ended(house, tmp_path, monkeypatch, scenario, state):
    told = tmp_path / "told"
    command = f'{{ echo "$MMFUSE_RUN $MMFUSE_STATE $MMFUSE_LOG"; cat; }} > {told}.new && mv {told}.new {told}'
    monkeypatch.setenv(VARIABLE, command)

    run = house.start(scenario, until=state)
    house.eventually(told.exists)

    first, sentence, *rest = told.read_text().splitlines()
    good = state is State.FINISHED
    assert first == f"{run} {state} {house.path(run) / 'log.1.txt'}"
    assert sentence.startswith(f"run {run} finished, val/accuracy 0.5" if good else f"run {run} crashed: no such patch")
    assert (rest == []) is good


def test_an_address_is_sent_the_message(house, monkeypatch):
    received = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Taker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:{server.server_port}/my-runs")
        run = house.start("finish", until=State.FINISHED)
        house.eventually(lambda: bool(received))
        server.shutdown()

    assert received == [("/my-runs", f"run {run} finished, val/accuracy 0.5\n")]


def test_a_command_that_fails_changes_nothing_of_the_run(house, monkeypatch):
    monkeypatch.setenv(VARIABLE, "exit 3; this is no command")

    run = house.start("finish", until=State.FINISHED)

    assert house.record(run)["reason"] == ""


def test_a_run_that_cannot_be_started_is_told_too(house, tmp_path, monkeypatch):
    told = tmp_path / "told"
    monkeypatch.setenv(VARIABLE, f"cat > {told}.new && mv {told}.new {told}")
    run = house.create()
    (house.path(run) / "config.json").unlink()

    house.launch(run, "finish")
    house.eventually(told.exists)

    assert told.read_text().startswith(f"run {run} crashed: config.json is missing")


def test_a_failure_comes_with_the_last_lines_of_its_log(tmp_path):
    log = tmp_path / "log.2.txt"
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    facts = {"MMFUSE_LOG": str(log), "MMFUSE_SCORE": "", "MMFUSE_METRIC": ""}

    text = message(tmp_path, {"state": "crashed", "reason": "out of memory", "attempt": 2}, facts)

    lines = text.splitlines()
    assert lines[0] == f"run {tmp_path.name} crashed: out of memory"
    assert lines[2:] == [f"line {number}" for number in range(1000 - LAST_LINES, 1000)]
