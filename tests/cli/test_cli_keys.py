"""Keys of the dashboard, listed by the command line."""

from __future__ import annotations

import json

import pytest

from mmfuse_tui.places import places


@pytest.fixture
def own_keys(tmp_path, monkeypatch):
    """A file with a key that holds and one that does not."""
    path = tmp_path / "keys.toml"
    path.write_text('run.stop = "f8"\nrun.stp = "f9"\n')
    monkeypatch.setenv("MMFUSE_KEYS", str(path))
    return path


def test_every_action_is_listed_with_its_keys_and_what_is_wrong_is_told(mmfuse, own_keys):
    answer = json.loads(mmfuse("tui", "--keys", "--json").stdout)
    listing = mmfuse("tui", "--keys")

    every = {binding.id for place in places() for part in place.everything for binding in part.bindings}
    assert {action["id"] for action in answer["actions"]} == every and answer["file"] == str(own_keys)
    assert [action["id"] for action in answer["actions"] if action["yours"]] == ["run.stop"]
    assert answer["problems"] == ["no action is called 'run.stp'; did you mean 'run.stop'?"]
    assert "run.stop" in listing.stdout and "no action is called 'run.stp'" in listing.stderr


def test_the_doctor_names_the_mistake_and_the_file(mmfuse, own_keys):
    findings = json.loads(mmfuse("doctor", "--json").stdout)["findings"]

    told = {finding["verdict"]: finding for finding in findings if finding["subject"] == "keys"}
    assert told["look"]["finding"].startswith("no action is called 'run.stp'") and str(own_keys) in told["look"]["hint"]
    assert told["ok"]["finding"].startswith("1 action has")


def test_json_without_keys_is_refused(mmfuse):
    result = mmfuse("tui", "--json")

    assert result.exit_code == 2 and "--json is for --keys" in result.stderr
