"""`mmfuse runs diff`: what was changed in the code and in the packages between runs."""

from __future__ import annotations

import json

import pytest

from mmfuse_cli.runs.code_diff import SHOWN_LINES
from mmfuse_runs import sourcecode


@pytest.fixture
def run_with(make_run, store, tmp_path, monkeypatch):
    """Make a run with this code and these packages: ``run_with("name", {"a.py": "text"})``."""
    package = tmp_path / "tree" / "edited"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(sourcecode, "PACKAGES", ("edited",))

    def make(name, files=None, packages=None):
        run_id, code = make_run("finished", name=name), None
        if files is not None:
            for path in package.iterdir():
                path.unlink()
            for path, content in files.items():
                (package / path).write_bytes(content.encode() if isinstance(content, str) else content)
            code = sourcecode.keep(store.home)
        attempts = [{"attempt": 1, "code": code, "packages": packages or {}}]
        (store.folder(run_id).path / "launch.json").write_text(json.dumps({"format": 1, "attempts": attempts}))
        return run_id

    return make


def test_changed_new_and_removed_files_are_shown_in_unified_form(mmfuse, run_with):
    first = run_with("first", {"a.py": "one\ntwo\n", "gone.py": "x\n", "same.py": "s\n"})
    second = run_with("second", {"a.py": "one\nthree\n", "new.py": "y\n", "same.py": "s\n"})

    lines = mmfuse("runs", "diff", "first", "second").stdout.splitlines()

    assert lines == [
        f"code from {first} to {second}",
        "edited/a.py  +1 -1",
        "edited/gone.py  +0 -1",
        "edited/new.py  +1 -0",
        "",
        *("--- a/edited/a.py", "+++ b/edited/a.py", "@@ -1,2 +1,2 @@", " one", "-two", "+three"),
        *("--- a/edited/gone.py", "+++ /dev/null", "@@ -1 +0,0 @@", "-x"),
        *("--- /dev/null", "+++ b/edited/new.py", "@@ -0,0 +1 @@", "+y"),
    ]


def test_sections_come_in_the_order_settings_results_code_packages(mmfuse, make_run, run_with, store):
    run_with("first", {"a.py": "1\n"}, {"torch": "2.6.0", "numpy": "2.1"})
    other = run_with("second", {"a.py": "2\n"}, {"torch": "2.13.0", "numpy": "2.1", "extra": "1"})
    for name, value in (("config.json", 7), ("exit.json", 8)):
        path = store.folder(other).path / name
        record = json.loads(path.read_text())
        (record if name == "config.json" else record["result"]["metrics"])["seed"] = value
        path.write_text(json.dumps(record))

    shown = mmfuse("runs", "diff", "first", "second").stdout

    titles = ("settings ", "results ", "code from ", "packages ")
    places = [f"\n{shown}".index(f"\n{title}") for title in titles]
    assert places == sorted(places)
    assert [line.split() for line in shown.splitlines()[-2:]] == [["torch", "2.6.0", "2.13.0"], ["extra", "1"]]


def test_a_long_difference_is_cut_unless_all_of_it_is_wanted(mmfuse, run_with):
    run_with("first", {"a.py": "".join(f"{number}\n" for number in range(100))})
    run_with("second", {"a.py": "".join(f"{number}!\n" for number in range(100))})

    short, whole = (mmfuse("runs", "diff", "first", "second", *more).stdout.splitlines() for more in ([], ["--code"]))

    assert short[-1] == f"[{203 - SHOWN_LINES} more lines: --code]"
    assert short[:-1] == whole[: len(short) - 1]
    assert whole[-1] == "+99!"


def test_every_other_run_is_compared_with_the_first_and_json_tells_all(mmfuse, run_with):
    first, same, third = (run_with(name, {"a.py": text}) for name, text in (("a", "1\n"), ("b", "1\n"), ("c", "2\n")))

    told = json.loads(mmfuse("runs", "diff", "a", "b", "c", "--json").stdout)
    whole = json.loads(mmfuse("runs", "diff", "a", "b", "c", "--json", "--code").stdout)

    change = {"from": first, "to": third, "unknown": "", "files": {"edited/a.py": {"added": 1, "removed": 1}}}
    assert (told["runs"], told["differences"], told["code"]) == ([first, same, third], {}, [change])
    lines = ["--- a/edited/a.py", "+++ b/edited/a.py", "@@ -1 +1 @@", "-1", "+2"]
    assert whole["code"] == [change | {"diff": lines}]


def test_code_that_was_not_kept_is_told(mmfuse, run_with, store):
    run_with("first", {"a.py": "1\n"})
    second = run_with("second")

    assert f"the code of {second} was not kept" in mmfuse("runs", "diff", "first", "second").stdout


def test_binary_files_and_terminal_controls_do_not_reach_the_screen(mmfuse, run_with):
    run_with("first", {"a.bin": b"\0\1", "a.py": "1\n"})
    run_with("second", {"a.bin": b"\0\2", "a.py": "\x1b]0;owned\x07\x1b[2J\n"})

    shown = mmfuse("runs", "diff", "first", "second").stdout

    assert "binary files differ" in shown
    assert "\x1b" not in shown and "\x07" not in shown
