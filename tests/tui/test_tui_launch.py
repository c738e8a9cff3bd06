"""The launch form: made from registries and option models, checked as it is typed, started as the command line does."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.widgets import Input

from mmfuse.errors import BadSpec, StoreError, UnknownName
from mmfuse.registry import MODELS, SEARCHES
from mmfuse.spec import resolve_search, resolve_train
from mmfuse_runs.specs import command_of
from mmfuse_runs.store import RunStore
from mmfuse_tui.control import StoreControl
from mmfuse_tui.launch_form import MORE, NONE, Form, fitting_datasets, form_of
from mmfuse_tui.launch_screen import LaunchScreen
from mmfuse_tui.mark_table import MarkTable
from mmfuse_tui.runs_screen import RunsScreen
from mmfuse_tui.table import Table


def test_every_search_and_model_has_a_form_with_a_line_per_option():
    forms = [Form("search", name, "toy", NONE) for name in SEARCHES.names()]
    forms += [Form("train", name, "toy", NONE) for name in MODELS.names()]

    for form in forms:
        names = [field.name for field in form.fields()]
        assert len(set(names)) == len(names)
        assert {"what", "dataset", "seed", "fit.epochs", MORE} <= set(names)


@pytest.mark.parametrize("kind", ["search", "train"])
def test_whatever_the_form_offers_can_be_started_as_it_is(kind):
    form = Form().with_value("kind", kind)
    offered = {field.name: field for field in form.fields()}["what"].choices

    assert len(offered) > 2
    for what in offered:
        chosen = form.with_value("what", what)
        for dataset in fitting_datasets(kind, what):
            chosen.with_value("dataset", dataset).spec(None)
        chosen.spec(None)


def test_a_dataset_may_be_typed_and_a_mistake_names_the_nearest():
    form = Form("train", "m2_mixer", "mm_imdb", NONE)

    assert "mm_imdb" in {field.name: field for field in form.fields()}["dataset"].choices
    with pytest.raises(UnknownName, match="avmnis") as caught:
        form.with_value("dataset", "avmnis").spec(None)
    assert "avmnist" in caught.value.hint
    assert form.with_value("dataset", "avmnis").fields()


def test_several_seeds_and_values_make_a_sweep_that_the_command_line_spells_alike(tmp_path):
    form = Form("train", "m2_mixer", "avmnist", NONE, test="no").with_value("seed", "0, 1")
    form = form.with_value("over", "learning_rate=1e-3,3e-3 weight_decay=0,0.1").with_value("fit.epochs", "3")

    found = form.specs(None)

    assert len(found) == 8 and form.is_sweep
    assert [(spec.seed, spec.fit.learning_rate, spec.fit.weight_decay) for _, spec in found[:3]] == [
        (0, 1e-3, 0.0),
        (1, 1e-3, 0.0),
        (0, 1e-3, 0.1),
    ]
    assert all(spec.fit.epochs == 3 and not spec.test for _, spec in found)
    assert form.command(None) == (
        "mmfuse sweep m2_mixer --dataset avmnist --over learning_rate=1e-3,3e-3 --over weight_decay=0,0.1"
        " --seeds 0,1 --set fit.epochs=3 --no-test"
    )
    with pytest.raises(BadSpec, match="no key with values"):
        form.with_value("over", "weight_decay").specs(None)


def test_a_sweep_is_queued_under_one_tag(tmp_path, monkeypatch):
    asked = []

    def begin(store, spec, **how):
        asked.append((spec.seed, how["name"], tuple(how["tags"])))
        return f"run {len(asked)}"

    monkeypatch.setattr("mmfuse_runs.begin.begin", begin)

    started = StoreControl(tmp_path).start(
        Form("train", "m2_mixer", seed="0,1,2", preset=NONE, name="try", tags="paper")
    )

    assert started == "run 1" and [(seed, name) for seed, name, _ in asked] == [(0, "try"), (1, "try"), (2, "try")]
    [(sweep, tag)] = {tags for _, _, tags in asked}
    assert sweep.startswith("sweep-") and tag == "paper"


def test_choices_are_those_of_the_registries_and_option_models():
    fields = {field.name: field for field in Form("search", "mfas", "avmnist", NONE).fields()}

    assert fields["what"].choices == SEARCHES.names()
    assert fields["dataset"].choices == ("avmnist", "mm_imdb", "ntu", "toy")
    assert "coco_latents, latent_world" in fields["dataset"].meaning
    assert fields["surrogate"].choices == ("ensemble", "forest", "boosting", "gaussian", "lstm")
    assert fields["dedupe"].choices == ("true", "false") and fields["levels"].choices == ()
    assert fields["levels"].meaning.startswith("Most fusion layers")


def test_the_form_makes_the_spec_of_the_command_line(home):
    form = Form("search", "mixmas", "toy", "small").with_value("repeats", "2").with_value("fit.epochs", "3")
    form = form.with_value("seed", "7").with_value(MORE, "space.networks='[\"mlp\"]'").with_value("full", "no")

    expected = resolve_search(
        "mixmas",
        "toy",
        preset="small",
        settings=["repeats=2", "fit.epochs=3", 'space.networks=["mlp"]'],
        seed=7,
        train=False,
    )

    assert form.spec(RunStore(home.path)) == expected


def test_a_preset_shows_in_the_values_and_a_value_set_back_is_no_change():
    form = Form("search", "mixmas", "toy", "small")
    rate = next(field for field in form.fields() if field.name == "fit.learning_rate")

    changed = form.with_value("fit.learning_rate", "0.5")

    assert float(rate.value) == 0.003 and not rate.changed
    assert changed.assignments() == ["fit.learning_rate=0.5"]
    assert changed.with_value("fit.learning_rate", rate.value).assignments() == []


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (Form("search", "mixmas", "toy", NONE, more="space.netwoks=3"), "did you mean"),
        (Form("search", "mixmas", "toy", NONE, settings={"repeats": "0"}), "greater than or equal to 1"),
        (Form("search", "mfas", "mimic_iii", NONE), "no backbone is known"),
        (Form("search", "mixmas", "toy", NONE, seed="x"), "not a whole number"),
        (Form("search", "mixmas", "toy", NONE, more="a='"), "No closing quotation"),
        (Form("eval", "", "toy", source="nobody"), "nobody"),
    ],
    ids=["nearest key", "bounds", "impossible", "seed", "quote", "no such run"],
)
def test_mistakes_are_told_as_the_command_line_tells_them(home, form, words):
    with pytest.raises((BadSpec, UnknownName)) as caught:
        form.spec(RunStore(home.path))

    assert words in f"{caught.value.message} {caught.value.hint}"


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 9),
    st.integers(1, 40),
    st.sampled_from([None, "small", "paper"]),
    st.booleans(),
    st.sampled_from([0.1, 0.2]),
)
def test_a_clone_asks_for_exactly_what_its_run_asked_for(seed, epochs, preset, train, dropout):
    words = [f"fit.epochs={epochs}", f"space.dropout={dropout}", 'space.network_params={"mlp":{"depth":2}}']
    spec = resolve_search("mixmas", "avmnist", preset=preset, settings=words, seed=seed, train=train)

    form = form_of(spec)

    assert form.spec(None) == spec
    assert shlex.split(command_of(form.spec(None))) == shlex.split(command_of(spec))


def test_a_clone_of_a_training_keeps_its_architecture_and_its_source():
    spec = resolve_train("m2_mixer", "avmnist", preset="avmnist_s", settings=["fit.epochs=2"], source="run:3")

    assert form_of(spec).spec(None) == spec


def row_of(app, name: str):
    table = app.screen.query_one("#launch-table", Table)
    table.select(name)
    return table.selected


async def open_form(app, pilot, settle, key="n"):
    await settle(pilot, lambda: app.feed.store.loaded)
    await pilot.press(key)
    await settle(
        pilot, lambda: isinstance(app.screen, LaunchScreen) and app.screen.query_one("#launch-table", Table).rows
    )


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=["80x24", "200x50"])
async def test_the_form_is_checked_as_it_is_typed_and_shows_the_command(
    home, dashboard, control, settle, screen_text, size
):
    app = dashboard()

    async with app.run_test(size=size) as pilot:
        await open_form(app, pilot, settle)
        row_of(app, "dataset")
        names = fitting_datasets("search", "mixmas")
        await pilot.press(*["right"] * (names.index("toy") - names.index("avmnist")))
        await settle(pilot, lambda: app.screen.form.dataset == "toy")
        await settle(pilot, lambda: "✓ ready" in screen_text(app) and "--dataset toy" in screen_text(app))
        row_of(app, "repeats")
        await pilot.press("enter", "backspace", "0")
        await settle(pilot, lambda: "greater than or equal to 1" in screen_text(app) and not app.screen.is_right)
        await pilot.press("backspace", "3", "enter")
        await settle(pilot, lambda: "repeats=3" in screen_text(app) and app.screen.is_right)
        row_of(app, "name")
        await pilot.press("enter", *"trial", "enter", "ctrl+s")
        await settle(pilot, lambda: isinstance(app.screen, RunsScreen))

    assert [(form.subject, form.dataset, form.name, form.settings) for form in control.started] == [
        ("mixmas", "toy", "trial", {"repeats": "3"})
    ]


async def test_a_mistyped_key_names_the_nearest_one(home, dashboard, settle, screen_text):
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await open_form(app, pilot, settle)
        row_of(app, MORE)
        await pilot.press("enter")
        app.screen.query_one("#launch-value", Input).value = "fit.epohcs=3"
        await settle(pilot, lambda: "did you mean 'epochs'" in screen_text(app))


async def test_what_cannot_be_started_says_why_and_stays_open(home, dashboard, control, settle, screen_text):
    control.error = StoreError("the disk is full", "make room")
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await open_form(app, pilot, settle)
        await pilot.press("ctrl+s")
        await settle(pilot, lambda: "the disk is full · make room" in screen_text(app))
        assert isinstance(app.screen, LaunchScreen)
        await pilot.press("escape")
        await settle(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_a_clone_begins_with_the_options_of_the_run_under_the_cursor(home, dashboard, settle, screen_text):
    run = home.add("finished", name="origin", tags=["paper"])
    spec = resolve_search("mixmas", "toy", preset="small", settings=["repeats=4"], seed=3)
    home.write(run / "config.json", spec.model_dump(mode="json"))
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: app.screen.query_one("#runs", MarkTable).rows)
        await pilot.press("C")
        await settle(pilot, lambda: isinstance(app.screen, LaunchScreen) and "Clone of origin" in screen_text(app))
        form = app.screen.form
        assert (form.subject, form.seed, form.settings, form.tags) == ("mixmas", "3", {"repeats": "4"}, "paper")
        row_of(app, "repeats")
        await pilot.press("backspace")
        await settle(pilot, lambda: app.screen.form.settings == {})


async def test_a_read_only_dashboard_starts_nothing(home, dashboard, settle):
    app = dashboard(read_only=True)

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, lambda: app.feed.store.loaded)
        await pilot.press("n")
        await pilot.pause()
        assert isinstance(app.screen, RunsScreen)


def test_a_started_form_is_a_run_of_its_spec_begun_by_the_dashboard(home, monkeypatch):
    from mmfuse_runs import launch
    from mmfuse_tui.control import StoreControl

    begun = []
    monkeypatch.setattr(
        launch, "start", lambda store, run_id, **how: begun.append((run_id, how["started_by"], how["device"]))
    )
    form = Form("search", "mixmas", "toy", "small", device="cpu", name="mine", tags="a b", settings={"repeats": "2"})

    run_id = StoreControl(home.path).start(form)

    store = RunStore(home.path)
    assert begun == [(run_id, "tui", "cpu")]
    assert store.folder(run_id).spec() == form.spec(store).model_dump(mode="json")
    assert (store.record(run_id).name, store.record(run_id).tags) == ("mine", ("a", "b"))
