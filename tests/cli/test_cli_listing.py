"""`mmfuse runs ls, show, compare, diff, export`: what people read about runs."""

from __future__ import annotations

import csv
import io
import json
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE

import pytest

from mmfuse.spec import resolve_search
from mmfuse_runs.specs import command_of


def test_an_empty_store_says_so_on_stderr_and_lists_nothing(mmfuse):
    result = mmfuse("runs", "ls")

    assert result.exit_code == 0
    assert result.stdout == ""
    assert "no runs" in result.stderr


def test_a_listing_fits_80_columns_and_keeps_what_counts(mmfuse, make_run):
    run_id = make_run("finished", name="a rather long name for a run", tags=["paper", "draft"])

    lines = mmfuse("runs", "ls").stdout.splitlines()

    assert all(len(line) <= 80 for line in lines)
    assert all(word in lines[1] for word in (run_id, "finished", "avmnist (stand-in)", "0.7500"))


def test_columns_leave_in_the_stated_order(mmfuse, make_run, monkeypatch):
    make_run("finished", tags=["paper"], name="baseline")

    titles = {}
    for columns in (200, 130, 100, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        titles[columns] = mmfuse("runs", "ls").stdout.splitlines()[0].split()

    assert {"device", "MACs", "tags"} <= set(titles[200])
    assert "device" not in titles[130]
    assert "kind" not in titles[100]
    assert set(titles[80]) < set(titles[100]) < set(titles[130]) < set(titles[200])


def test_asked_for_columns_stay_however_wide_they_are_and_may_be_metrics(mmfuse, make_run):
    make_run("finished", tags=["a" * 60, "b" * 60])

    title, row = mmfuse("runs", "ls", "--cols", "id,tags,test/accuracy").stdout.splitlines()

    assert title.split() == ["run", "tags", "test/accuracy"]
    assert "b" * 60 in row
    assert row.endswith("0.7250")


def test_an_unknown_column_names_the_nearest(mmfuse, make_run):
    make_run("finished")

    result = mmfuse("runs", "ls", "--cols", "sccore")

    assert result.exit_code == 2
    assert "did you mean 'score'" in result.stderr


def test_conditions_must_all_hold(mmfuse, make_run):
    good = make_run("finished", tags=["paper"])
    make_run("finished", tags=["paper"], result={"metric": "val/accuracy", "score": 0.5, "metrics": {}})
    make_run("crashed", tags=["paper"])

    listed = mmfuse("runs", "ls", "tag:paper", "state:finished", "val/accuracy>0.7", "--json").stdout

    assert [run["id"] for run in json.loads(listed)["runs"]] == [good]


def test_conditions_may_be_alternatives_and_ask_for_settings(mmfuse, make_run):
    paper = make_run("finished", tags=["paper"], settings=["fit.epochs=7"])
    crashed = make_run("crashed")
    make_run("finished", tags=["draft"])

    def ids(*conditions):
        return [run["id"] for run in json.loads(mmfuse("runs", "ls", *conditions, "--json").stdout)["runs"]]

    assert ids("tag:paper", "or", "state:crashed") == [crashed, paper]
    assert ids("tag:paper or state:crashed", "not state:finished") == [crashed]
    assert ids("fit.epochs=7") == [paper]


def test_columns_and_order_may_be_settings_and_ends_of_curves(mmfuse, make_run, store):
    low, high = make_run("finished", settings=["fit.epochs=7"]), make_run("finished")
    for run_id, values in ((low, [0.9, 0.1]), (high, [0.2, 0.3])):
        rows = [{"s": step, "e": 0, "t": 0.0, "n": None, "m": {"val/f1": value}} for step, value in enumerate(values)]
        head = {"v": 1, "run": run_id, "attempt": 1, "t0": 0.0, "resume_step": None}
        text = "".join(json.dumps(row) + "\n" for row in (head, *rows))
        (store.folder(run_id).path / "metrics.jsonl").write_text(text)

    shown = mmfuse("runs", "ls", "--cols", "id,best(val/f1),fit.epochs", "--sort", "-last(val/f1)").stdout
    asked = json.loads(mmfuse("runs", "ls", "--cols", "last(val/f1)", "--sort", "+last(val/f1)", "--json").stdout)

    assert [line.split() for line in shown.splitlines()] == [
        ["run", "best(val/f1)", "fit.epochs"],
        [high, "0.3000", "30"],
        [low, "0.9000", "7"],
    ]
    assert [run["cols"] for run in asked["runs"]] == [{"last(val/f1)": 0.1}, {"last(val/f1)": 0.3}]


def test_columns_are_kept_under_a_name(mmfuse, make_run, store):
    run_id = make_run("finished", settings=["fit.epochs=7"])

    mmfuse("runs", "ls", "--cols", "id,fit.epochs", "--keep", "paper")
    mmfuse("runs", "ls", "--cols", "id", "--keep", "short")

    assert mmfuse("runs", "ls", "--cols", "paper").stdout.splitlines()[1].split() == [run_id, "7"]
    assert mmfuse("runs", "ls", "--cols", "short").stdout.splitlines() == ["run", run_id]


@pytest.mark.parametrize(
    "words", [["--keep", "paper"], ["--cols", "id", "--keep", "score"], ["--cols", "id", "--keep", "a b"]]
)
def test_what_cannot_be_kept_is_refused(mmfuse, make_run, store, words):
    make_run("finished")

    assert mmfuse("runs", "ls", *words).exit_code == 2
    assert not (store.home / "columns.json").exists()


def test_damaged_column_sets_are_a_sentence(mmfuse, make_run, store):
    make_run("finished")
    (store.home / "columns.json").write_text("{")

    assert "columns.json cannot be read" in mmfuse("runs", "ls", "--cols", "paper").stderr
    assert mmfuse("runs", "ls").exit_code == 0


def test_sorting_by_a_setting_that_no_run_has_is_a_slip(mmfuse, make_run):
    make_run("finished")

    assert "did you mean 'fit.epochs'" in mmfuse("runs", "ls", "--sort", "fit.epohcs").stderr


def test_a_condition_on_an_unknown_field_is_a_usage_error(mmfuse, make_run):
    make_run("finished")

    result = mmfuse("runs", "ls", "colour:red")

    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "known:" in result.stderr


def test_sorting_puts_the_best_first_and_runs_without_a_score_last(mmfuse, make_run):
    low = make_run("finished", result={"metric": "val/accuracy", "score": 0.2})
    none = make_run("crashed")
    high = make_run("finished", result={"metric": "val/accuracy", "score": 0.9})

    def order(sort):
        return [run["id"] for run in json.loads(mmfuse("runs", "ls", "--sort", sort, "--json").stdout)["runs"]]

    assert order("score") == [high, low, none]
    assert order("+score") == [low, high, none]


def test_sorting_by_a_metric_that_no_run_has_names_the_nearest(mmfuse, make_run):
    make_run("finished", result={"metric": "val/accuracy", "score": 0.2, "metrics": {"val/accuracy": 0.2}})

    result = mmfuse("runs", "ls", "--sort", "val/acuracy")

    assert result.exit_code == 2
    assert "val/accuracy" in result.stderr


def test_an_index_that_cannot_be_read_says_how_to_go_on(mmfuse, tmp_path):
    (tmp_path / "home" / "store.json").mkdir(parents=True)

    result = mmfuse("runs", "ls")

    assert (result.exit_code, "Is a directory" in result.stderr, "mv " in result.stderr) == (1, True, True)


def test_newest_runs_come_first_and_the_limit_cuts_the_rest(mmfuse, make_run):
    make_run("finished", age=7200)
    newest = make_run("finished", age=60)

    listed = json.loads(mmfuse("runs", "ls", "--limit", "1", "--json").stdout)["runs"]

    assert [run["id"] for run in listed] == [newest]


def test_json_carries_a_schema_version_and_spells_numbers_that_json_lacks(mmfuse, make_run):
    make_run("finished", result={"metric": "val/loss", "score": "NaN", "metrics": {"val/loss": float("inf")}})

    answer = json.loads(mmfuse("runs", "ls", "--json").stdout, parse_constant=pytest.fail)

    assert answer["schema"] == 1
    assert answer["runs"][0]["metrics"] == {"val/loss": "Infinity"}


def test_a_running_run_shows_how_far_it_is(mmfuse, make_run, store):
    run_id = make_run("running")
    progress = {"done": 3, "total": 4, "what": "trial 3", "at": 0, "started": 0}
    (store.folder(run_id).path / "progress.json").write_text(json.dumps(progress))

    assert "running 75%" in mmfuse("runs", "ls").stdout


def test_a_damaged_run_is_listed_as_damaged_and_hides_no_other(mmfuse, make_run, store):
    broken, whole = make_run("finished"), make_run("finished")
    (store.folder(broken).path / "state.json").write_text("{ torn")

    rows = {line.split()[0]: line for line in mmfuse("runs", "ls").stdout.splitlines()[1:]}

    assert "damaged" in rows[broken]
    assert "finished" in rows[whole]


def test_names_cannot_move_the_cursor_or_pass_for_markup(mmfuse, make_run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    make_run("finished", name="\x1b[2J\x1b]0;owned\x07evil[red]\nfinished", tags=["\u202egat"])

    result = mmfuse("runs", "ls")

    assert len(result.stdout.splitlines()) == 2
    assert not {"\x1b", "\x07", "\u202e"} & set(result.stdout)
    assert "evil[red]" in result.stdout


def test_show_tells_the_result_the_label_and_how_to_do_it_again(mmfuse, make_run):
    run_id = make_run("finished", seed=3, preset="small", settings=["repeats=2", "fit.epochs=7"])

    shown = mmfuse("runs", "show", "latest").stdout

    assert run_id in shown
    assert "avmnist (stand-in)" in shown
    assert "test/accuracy" in shown
    assert "0.7250" in shown
    assert "$ mmfuse search mixmas --dataset avmnist --seed 3 --preset small --set repeats=2 --set fit.epochs=7\n" in (
        shown
    )


def test_show_ranks_trials_within_each_stage(mmfuse, make_run, make_trial):
    trials = [make_trial(0, 0.4), make_trial(1, 0.6, block="wave"), make_trial(2), make_trial(3, 0.1, stage="fusion")]
    make_run("finished", trials=trials)

    lines = mmfuse("runs", "show", "latest").stdout.splitlines()
    table = lines[next(number for number, line in enumerate(lines) if line.split()[:1] == ["trial"]) + 1 :]

    assert [line.split()[0] for line in table[:4]] == ["1", "0", "2", "3"]
    assert "wave" in table[0]
    assert "failed" in table[2]


def test_show_ranks_pruned_trials_behind_those_that_were_trained_as_long_as_planned(mmfuse, make_run, make_trial):
    trials = [make_trial(0, 0.4), replace(make_trial(1, 0.9), status="pruned"), make_trial(2), make_trial(3, 0.6)]
    run = make_run("finished", trials=trials)

    rows = [line.split()[0] for line in mmfuse("runs", "show", run).stdout.splitlines() if "encoder/image" in line]

    assert rows == ["3", "0", "1", "2"]


def test_show_of_many_trials_keeps_to_the_best_of_each_stage_unless_asked(mmfuse, make_run, make_trial):
    trials = [make_trial(number, number / 100, stage=f"level {number % 2}") for number in range(50)]
    run_id = make_run("finished", trials=trials)

    brief = mmfuse("runs", "show", run_id).stdout
    whole = mmfuse("runs", "show", run_id, "--trials", "50").stdout

    assert len([line for line in brief.splitlines() if "level" in line]) == 6
    assert f"the best 3 of each stage; all 50: mmfuse runs show {run_id} --trials 50" in brief
    assert len([line for line in whole.splitlines() if "level" in line]) == 50


def test_show_lists_what_the_search_had_to_beat(mmfuse, make_run, store):
    run_id = make_run("finished")
    row = {"name": "search", "chain": "2+4 relu", "trainings": 7, "score": 0.94, "held_out": 0.93, "held_out_std": 0.01}
    late = row | {"name": "late fusion", "trainings": 1, "score": None, "held_out": None, "held_out_std": None}
    facts = {"rows": [row, late], "not_trained": [{"preset": "exhaustive-2", "trainings": 930}]}
    note = {"v": 1, "ev": "note", "t": 0.0, "attempt": 1, "message": "standings", "facts": facts}
    (store.folder(run_id).path / "events.jsonl").write_text(json.dumps(note) + "\n")

    shown = mmfuse("runs", "show", run_id).stdout

    assert "search       0.9300 ± 0.0100       0.9400        7  2+4 relu" in shown
    assert "late fusion                -            -        1  2+4 relu" in shown
    assert "not trained: --preset exhaustive-2 (930 trainings)" in shown
    assert json.loads(mmfuse("runs", "show", run_id, "--json").stdout)["standings"] == facts


def test_show_lists_nothing_beside_a_search_that_told_of_nothing(mmfuse, make_run):
    run_id = make_run("finished")

    assert "beside it" not in mmfuse("runs", "show", run_id).stdout
    assert json.loads(mmfuse("runs", "show", run_id, "--json").stdout)["standings"] is None


def test_a_search_without_usual_preset_is_repeated_without_naming_one():
    spec = resolve_search("mfas", "avmnist")

    assert command_of(spec) == "mmfuse search mfas --dataset avmnist"


def test_show_of_a_stopped_run_names_the_resume_command(mmfuse, make_run):
    run_id = make_run("stopped")

    assert f"$ mmfuse runs resume {run_id}" in mmfuse("runs", "show", run_id).stdout


def test_show_json_holds_spec_launch_exit_and_trials(mmfuse, make_run, make_trial):
    run_id = make_run("finished", trials=[make_trial(0, 0.5)])

    answer = json.loads(mmfuse("runs", "show", run_id, "--json").stdout)

    assert answer["run"]["id"] == run_id
    assert answer["spec"]["search"] == "mixmas"
    assert answer["exit"]["result"]["score"] == 0.75
    assert [trial["number"] for trial in answer["trials"]] == [0]


def test_show_survives_damaged_files(mmfuse, make_run, store):
    run_id = make_run("finished")
    for name in ("exit.json", "launch.json", "config.json"):
        (store.folder(run_id).path / name).write_text("{")

    result = mmfuse("runs", "show", run_id)

    assert result.exit_code == 0
    assert run_id in result.stdout


def test_an_unknown_run_is_one_sentence_and_a_usage_error(mmfuse, make_run):
    make_run("finished")

    result = mmfuse("runs", "show", "nonesuch")

    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output


def test_an_ambiguous_selector_lists_what_it_fits(mmfuse, make_run):
    ids = [make_run("finished"), make_run("finished")]

    result = mmfuse("runs", "show", "2")

    assert result.exit_code == 2
    assert all(run_id in result.stderr for run_id in ids)


def test_compare_ranks_runs_on_the_same_data(mmfuse, make_run):
    worse = make_run("finished", name="m2", result={"metric": "val/accuracy", "score": 0.6, "fingerprint": "a"})
    better = make_run("finished", name="mix", result={"metric": "val/accuracy", "score": 0.7, "fingerprint": "a"})

    result = mmfuse("runs", "compare", worse, better)

    assert [line.split()[0] for line in result.stdout.splitlines()[2:]] == ["mix", "m2"]
    assert "not ranked" not in result.stderr


def test_compare_puts_the_lowest_first_where_less_is_better(mmfuse, make_run):
    low = make_run("finished", result={"metric": "val/mae", "maximize": False, "score": 0.6, "fingerprint": "a"})
    high = make_run("finished", result={"metric": "val/mae", "maximize": False, "score": 0.7, "fingerprint": "a"})

    answer = json.loads(mmfuse("runs", "compare", high, low, "--json").stdout)

    assert [run["id"] for run in answer["runs"]] == [low, high]


def test_compare_does_not_rank_across_different_data_and_says_so(mmfuse, make_run):
    first = make_run("finished", age=60, result={"metric": "val/accuracy", "score": 0.9, "fingerprint": "a"})
    second = make_run("finished", result={"metric": "val/accuracy", "score": 0.1, "fingerprint": "b"})

    result = mmfuse("runs", "compare", first, second, "--json")

    assert "different data" in result.stderr
    assert json.loads(result.stdout)["ranked"] is False
    assert [run["id"] for run in json.loads(result.stdout)["runs"]] == [second, first]


def test_compare_shows_validation_and_test_scores_and_cost_in_80_columns(mmfuse, make_run):
    make_run("finished", name="found")

    caption, title, row = mmfuse("runs", "compare", "found").stdout.splitlines()

    assert caption == "accuracy on avmnist (stand-in)"
    assert max(len(title), len(row)) <= 80
    assert title.split()[:6] == ["what", "val", "test", "params", "MACs", "time"]
    assert row.split()[:6] == ["found", "0.7500", "0.7250", "123k", "2.5M", "1m23s"]


def test_compare_sums_up_what_several_seeds_say(mmfuse, make_run):
    scores = {0: 0.5, 1: 0.75, 2: 1.0}
    ids = [
        make_run(seed=seed, result={"metric": "val/accuracy", "score": score, "fingerprint": "a"})
        for seed, score in scores.items()
    ]
    make_run(kind="train", result={"metric": "val/accuracy", "score": 0.5, "fingerprint": "a"})

    [group] = json.loads(mmfuse("runs", "compare", "state:finished", "--json").stdout)["over_seeds"]

    assert (sorted(group["runs"]), group["seeds"]) == (sorted(ids), [0, 1, 2])
    spread = group["scores"]["val/accuracy"]
    assert (spread["n"], spread["mean"], spread["sd"]) == (3, 0.75, 0.25)
    assert 0.5 <= spread["low"] < 0.75 < spread["high"] <= 1.0
    lines = mmfuse("runs", "compare", "state:finished").stdout.splitlines()
    assert lines[-1].split()[:4] == ["mixmas", "0.7500", "±", "0.25"]
    assert lines[-1].endswith("0,1,2")
    assert max(map(len, lines)) <= 80


def test_compare_sums_up_what_a_search_found_with_its_trainings_under_other_seeds(mmfuse, make_run, launcher):
    search, other = make_run(), make_run()
    for origin, words in ((search, ["1"]), (search, ["2"]), (search, ["3", "--set", "fit.epochs=1"]), (other, ["4"])):
        mmfuse("train", "--from", origin, "--seed", *words)
    ours = [run for run, _, _ in launcher.started[:2]]

    [group] = json.loads(mmfuse("runs", "compare", search, "--json").stdout)["over_seeds"]

    assert (group["runs"], group["seeds"]) == ([search, *ours], [0, 1, 2])
    assert group["scores"]["test/accuracy"]["n"] == 3


def test_compare_shows_latency_and_what_the_search_cost_where_there_is_room(mmfuse, make_run):
    cost = {"parameters": 123_456, "macs": 2_500_000, "latency_ms": 1.234, "search_seconds": 61.0, "seconds": 83.0}
    make_run(name="found", result={"metric": "val/accuracy", "score": 0.75, "fingerprint": "a", **cost})

    title, row = mmfuse("runs", "compare", "found", env={"COLUMNS": "140"}).stdout.splitlines()[1:]

    assert title.split()[:7] == ["what", "val", "params", "MACs", "latency", "search", "time"]
    assert row.split()[:8] == ["found", "0.7500", "123k", "2.5M", "1.23", "ms", "1m01s", "1m23s"]


def test_diff_shows_only_what_differs(mmfuse, make_run):
    first, second = make_run("finished", seed=1), make_run("finished", seed=2)

    rows = json.loads(mmfuse("runs", "diff", first, second, "--json").stdout)["differences"]

    assert rows == {"seed": [1, 2]}


def test_diff_all_shows_nested_options_with_dots(mmfuse, make_run):
    first, second = make_run("finished"), make_run("finished", settings=["fit.epochs=3"])

    rows = json.loads(mmfuse("runs", "diff", first, second, "--all", "--json").stdout)["differences"]

    assert rows["fit.epochs"] == [30, 3]
    assert rows["seed"] == [0, 0]


def test_diff_titles_its_columns_with_names_or_with_the_ends_of_ids(mmfuse, make_run):
    first, second = make_run("finished", name="first"), make_run("finished", name="second", seed=1)
    unnamed = make_run("finished", seed=2)

    named = mmfuse("runs", "diff", first, second).stdout.splitlines()[0]
    by_id = mmfuse("runs", "diff", first, unnamed).stdout.splitlines()[0]

    assert named.split() == ["settings", "first", "second"]
    assert by_id.split() == ["settings", first[-4:], unnamed[-4:]]


def test_diff_needs_two_runs(mmfuse, make_run):
    assert mmfuse("runs", "diff", make_run("finished")).exit_code == 2


def test_diff_of_equal_runs_says_so(mmfuse, make_run):
    result = mmfuse("runs", "diff", make_run("finished"), make_run("finished"))

    assert (result.stdout, result.stderr) == ("", "no difference\n")


def test_export_csv_has_a_row_a_run_and_a_column_a_metric(mmfuse, make_run):
    run_id = make_run("finished")

    rows = list(csv.DictReader(io.StringIO(mmfuse("runs", "export").stdout)))

    assert [row["id"] for row in rows] == [run_id]
    assert rows[0]["test/accuracy"] == "0.725"
    assert rows[0]["dataset_label"] == "avmnist (stand-in)"


def test_export_csv_defuses_names_that_a_spreadsheet_would_run(mmfuse, make_run):
    make_run("finished", name="=HYPERLINK(1)")

    rows = list(csv.DictReader(io.StringIO(mmfuse("runs", "export").stdout)))

    assert rows[0]["name"] == "'=HYPERLINK(1)"


def test_export_markdown_escapes_bars(mmfuse, make_run):
    make_run("finished", name="a|b")

    assert "| a\\|b |" in mmfuse("runs", "export", "-f", "md").stdout


def test_export_latex_escapes_special_characters_and_has_rules(mmfuse, make_run):
    make_run("finished", name="50%_of_$ <|>")

    text = mmfuse("runs", "export", "-f", "latex").stdout

    assert r"50\%\_of\_\$ \textless{}\textbar{}\textgreater{}" in text
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    assert text.count("&") == 2 * text.splitlines()[2].count("&")


def test_export_writes_a_file(mmfuse, make_run, tmp_path: Path):
    make_run("finished")

    result = mmfuse("runs", "export", "-f", "json", "-o", str(tmp_path / "runs.json"))

    assert result.stdout == ""
    assert len(json.loads((tmp_path / "runs.json").read_text())["runs"]) == 1


@pytest.fixture
def seeds_of_two(make_run):
    """Two searches with three seeds each, on one dataset."""
    scores = {"mixmas": [0.7, 0.8, 0.9], "unimodal": [0.5, 0.5, 0.8]}
    for subject, values in scores.items():
        for seed, score in enumerate(values):
            result = {"metric": "val/accuracy", "score": score, "fingerprint": "aaaa", "dataset_label": "avmnist"}
            kind = "search" if subject == "mixmas" else "train"
            make_run("finished", kind=kind, seed=seed, result={**result, "metrics": {"val/loss": 1 - score}})
    return {subject: (statistics.fmean(values), statistics.stdev(values)) for subject, values in scores.items()}


def test_a_pivot_sums_runs_up_by_two_fields_with_the_best_bold(mmfuse, seeds_of_two):
    shown = mmfuse("runs", "export", "--rows", "subject", "--cols", "dataset", "-f", "md").stdout
    told = json.loads(mmfuse("runs", "export", "--rows", "subject", "-f", "json").stdout)

    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown.splitlines()]
    assert rows[0] == ["subject", "avmnist"]
    assert rows[2] == ["mixmas", "**0.8000 ± 0.1000**"]
    assert rows[3] == ["unimodal", "0.6000 ± 0.1732"]
    cells = {cell["row"]: (cell["mean"], cell["std"]) for cell in told["cells"]}
    assert cells == {name: pytest.approx(pair) for name, pair in seeds_of_two.items()}
    assert [cell["n"] for cell in told["cells"]] == [3, 3]


@pytest.mark.parametrize(
    ("agg", "value", "words"),
    [
        ("mean", "score", ["0.8000", "0.6000"]),
        ("median", "score", ["0.8000", "0.5000"]),
        ("best", "score", ["0.9000", "0.8000"]),
        ("best", "val/loss", ["0.1000", "0.2000"]),
        ("count", "score", ["3", "3"]),
        ("mean", "fit.epochs", ["30.00", "30.00"]),
    ],
)
def test_a_pivot_sums_up_as_asked(mmfuse, seeds_of_two, agg, value, words):
    shown = mmfuse("runs", "export", "--rows", "subject", "--agg", agg, "--value", value).stdout

    assert [line.split(",")[1] for line in shown.splitlines()[1:]] == words


def test_a_pivot_in_latex_is_a_booktabs_table(mmfuse, seeds_of_two):
    lines = mmfuse("runs", "export", "--rows", "subject", "-f", "latex").stdout.splitlines()

    assert lines[0] == r"\begin{tabular}{ll}"
    assert lines[4] == r"mixmas & \textbf{0.8000 $\pm$ 0.1000} \\"
    assert (lines[1], lines[3], lines[-2], lines[-1]) == (r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}")


def test_a_pivot_of_different_data_names_no_best(mmfuse, seeds_of_two, make_run):
    other = {"metric": "val/accuracy", "score": 0.99, "fingerprint": "bbbb", "dataset_label": "avmnist"}
    make_run("finished", result=other)

    result = mmfuse("runs", "export", "--rows", "subject", "-f", "md")

    assert "**" not in result.stdout
    assert "fingerprints differ" in result.stderr


def test_a_pivot_of_words_is_refused(mmfuse, seeds_of_two):
    result = mmfuse("runs", "export", "--rows", "subject", "--value", "notes")

    assert (result.exit_code, "no number to sum up" in result.stderr) == (2, True)


def test_a_reader_that_has_seen_enough_causes_no_complaint(make_run):
    make_run("finished", notes="x" * 1_000_000)

    with subprocess.Popen(
        [sys.executable, "-m", "mmfuse_cli", "runs", "show", "latest"], stdout=PIPE, stderr=PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
