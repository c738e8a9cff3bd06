"""Keys of one's own: what the file may say, what is refused and why, and that every place shows the key that works."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.widgets import Input

from mmfuse_tui.bindings import split_keys
from mmfuse_tui.dialogs import ConfirmScreen, HelpScreen
from mmfuse_tui.key_map import NOTHING, checked, key_file, load_key_map
from mmfuse_tui.places import places

PLACES = places()
ACTIONS = {binding.id: binding for place in PLACES for part in place.everything for binding in part.bindings}


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """Writes the user's file."""
    path = tmp_path / "keys.toml"
    monkeypatch.setenv("MMFUSE_KEYS", str(path))

    def write(text: str) -> None:
        path.write_text(text, encoding="utf-8")

    return write


def test_ids_stand_in_tables_or_with_dots_and_keys_alone_or_in_lists(keys):
    keys('run.stop = "f8"\n[table]\ndown = ["down", "N"]\n"page-down" = "f9,f10"\n')

    key_map = load_key_map(key_file())

    assert key_map.keys == {"run.stop": "f8", "table.down": "down,N", "table.page-down": "f9,f10"}
    assert key_map.own == {"run.stop", "table.down", "table.page-down"} and key_map.problems == ()


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"run.stp": "f8"}, "no action is called 'run.stp'; did you mean 'run.stop'?"),
        ({"run.stop": "ctl+x"}, "'ctl+x' for run.stop is no key; such as f8, ctrl+x, shift+up, space, ?"),
        ({"run.stop": 7}, "run.stop wants a key in quotes, or a list of them, not 7"),
        ({"run.stop": []}, "run.stop wants a key in quotes, or a list of them, not []"),
        ({"run.stop": "a,,b"}, "run.stop has an empty key; leave the line out for the usual key"),
        (
            {"run.stop": "x"},
            "run.stop cannot have x: on the runs screen that is run.kill (End the run's processes at once)",
        ),
        ({"table.down": "s"}, "table.down cannot have s: on the runs screen that is run.stop (Ask the run to stop"),
        ({"mark.toggle": "G"}, "mark.toggle cannot have G: on the runs screen that is table.last (Last)"),
        ({"run.stop": "tab"}, "run.stop cannot have tab: that always goes on"),
        ({"launch.start": "s"}, "launch.start cannot have s: it works while text is typed; such as f8 or ctrl+x"),
    ],
)
def test_an_entry_that_cannot_be_kept_is_left_out_with_one_sentence(entry, says):
    key_map = checked({"app.help": "f1", **entry}, PLACES)

    (problem,) = key_map.problems
    assert problem.startswith(says) and key_map.own == {"app.help"}


def test_two_actions_may_change_keys_with_each_other_but_not_when_one_of_them_cannot():
    assert checked({"run.stop": "x", "run.kill": "s"}, PLACES).problems == ()

    key_map = checked({"run.stop": "x", "run.kill": "j"}, PLACES)

    assert len(key_map.problems) == 2 and key_map.own == frozenset()


def test_parts_that_never_have_the_focus_together_may_share_a_key():
    assert checked({"log.error": "a"}, PLACES).own == {"log.error"}


@pytest.mark.parametrize("text", ["run.stop = f8", "[run", '"\\ud800"', "\x00"])
def test_a_file_that_is_no_toml_is_one_problem(keys, text):
    keys(text)

    key_map = load_key_map(key_file())

    assert key_map.keys == {} and len(key_map.problems) == 1 and "keys.toml cannot be used" in key_map.problems[0]


def test_only_a_file_that_was_named_must_be_there(monkeypatch, tmp_path):
    monkeypatch.setenv("MMFUSE_KEYS", str(tmp_path / "gone.toml"))
    assert "which is not there" in load_key_map(key_file()).problems[0]

    monkeypatch.delenv("MMFUSE_KEYS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert key_file() == tmp_path / "mmfuse" / "keys.toml" and load_key_map(key_file()) == NOTHING


@given(
    st.dictionaries(
        st.sampled_from(sorted(ACTIONS)),
        st.lists(st.sampled_from(["s", "x", "j", "f5", "f6", "enter", "escape", "?"]), min_size=1, max_size=3),
        max_size=8,
    )
)
def test_whatever_is_asked_no_key_gets_a_second_meaning(asked):
    key_map = checked(asked, PLACES)

    def now(binding):
        return set(split_keys(key_map.keys.get(binding.id, binding.key)))

    for place in PLACES:
        for one, two in place.pairs():
            both = set(split_keys(one.key)) & set(split_keys(two.key))
            assert one.id == two.id or now(one) & now(two) <= both
    assert len(key_map.problems) == len(asked) - len(key_map.own)


async def test_bar_help_palette_and_dialogs_show_the_users_key_and_it_works(
    home, keys, dashboard, control, settle, screen_text
):
    keys('run.stop = "f8"\ndialog.yes = "J"\nruns.open = "f9"\nrun.stp = "f7"\n')
    run = home.add("running", name="worker", age=10)
    app = dashboard()

    async with app.run_test(size=(160, 60), notifications=True) as pilot:
        await settle(pilot, lambda: "f8 Stop x Kill" in screen_text(app))
        await settle(pilot, lambda: "no action is called 'run.stp'" in screen_text(app))
        await pilot.press("question_mark")
        await settle(pilot, lambda: isinstance(app.screen, HelpScreen) and "f8" in screen_text(app))
        assert "Ask the run to stop" in next(line for line in screen_text(app).splitlines() if " f8 " in line)
        await pilot.press("escape", "ctrl+p")
        await settle(pilot, lambda: app.screen.query(Input))
        await pilot.press(*"stop")
        await settle(pilot, lambda: "Ask the run to stop at a safe point (f8)" in screen_text(app))
        await pilot.press("escape", "s")
        await settle(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("f8")
        await settle(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "Stop  J" in screen_text(app)
        await pilot.press("f8")
        await settle(pilot, lambda: control.asked == [("stop", run.name)])


async def test_the_filter_is_left_with_enter_though_another_action_of_that_key_moved(
    home, keys, dashboard, settle, screen_text
):
    keys('runs.open = "f9"\n')
    home.add(name="worker")
    app = dashboard()

    async with app.run_test(size=(100, 40)) as pilot:
        await settle(pilot, lambda: "worker" in screen_text(app))
        await pilot.press("slash", *"work", "enter")
        await settle(pilot, lambda: app.screen.focused.id == "runs")
        await pilot.press("f9")
        await settle(pilot, lambda: app.screen.focused.id != "runs")
