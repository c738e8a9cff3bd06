"""The FuseMix panel: what rings and what is over, recalls with their intervals, the common space; and the diagram."""

from __future__ import annotations

import json

import pytest

from mmfuse.architecture import Architecture
from mmfuse.task import Modality, Task
from mmfuse_tui.curves import ChartData, make_curve
from mmfuse_tui.deck import Deck
from mmfuse_tui.families import choices_of, draw_architecture
from mmfuse_tui.panels.fusemix import (
    alarm_lines,
    alarms_of,
    applies,
    blocks_of,
    recalls_of,
    retrieval_lines,
    temperature_lines,
)
from mmfuse_tui.sketch import plain, width_of
from mmfuse_tui.snapshot import RunSnapshot

PARAMS = {
    "embed": 64,
    "depth": 2,
    "expansion": 4,
    "dropout": 0.6,
    "temperature": 0.07,
    "temperature_range": [0.001, 0.5],
    "learn_temperature": True,
    "blend": "halves",
    "share_per": "batch",
    "alpha": 1.0,
    "noise": 0.0,
    "positives": "auto",
}
PAIRS = Task("pairs", "retrieval", (Modality("image", "vector", (8,)), Modality("text", "vector", (6,))), 0, "r_mean")


def fusemix(**changes) -> Architecture:
    return Architecture("fusemix", PARAMS | changes)


def note(message: str, **facts):
    return {"ev": "note", "message": message, "facts": facts}


def run(*notes, metrics=None, result=None, **changes) -> RunSnapshot:
    charts = tuple(
        ChartData(name, (make_curve(name, range(len(values)), values),)) for name, values in (metrics or {}).items()
    )
    return RunSnapshot("run", charts=charts, notes=notes, architecture=fusemix(**changes), result=result or {})


def drawn(snapshot: RunSnapshot, width: int = 70) -> str:
    return "\n".join(f"{block.title}\n{plain(block.draw(width))}" for block in blocks_of(snapshot))


def test_the_panel_is_for_fusemix_alone():
    assert applies(run())
    assert not applies(RunSnapshot("run", architecture=Architecture("mixmas", {})))
    assert not applies(RunSnapshot("run"))


def test_alarms_ring_until_they_are_over_or_another_attempt_begins():
    begun = note("contrastive training", pairs=500)
    chance = note("collapse alarm", alarm="chance", sentence="the loss is that of guessing", epoch=4)
    clamp = note("collapse alarm", alarm="temperature", sentence="at its limit", epoch=5)
    over = note("collapse alarm over", alarm="chance", epoch=9)

    assert alarms_of(run(begun, chance, clamp, over)) == ({"temperature": (5, "at its limit")}, {"chance": (4, 9)})
    assert alarms_of(run(begun, chance, begun)) == ({}, {"chance": (4, 4)})
    assert alarms_of(run(begun, chance, over, chance))[0] == {"chance": (4, "the loss is that of guessing")}


def test_alarms_are_told_in_words():
    snapshot = run(note("collapse alarm", alarm="chance", sentence="the loss 5.5 is that of guessing", epoch=4))

    assert "▲ since epoch 4: the loss 5.5 is that of guessing" in plain(alarm_lines(snapshot, 80))
    assert "none rings" in plain(alarm_lines(run(), 80))


def test_every_direction_has_its_latest_recalls_and_their_intervals():
    metrics = {
        "val/image_to_text_r1": [0.1, 0.25],
        "test/image_to_text_r1": [0.2],
        "test/image_to_text_median_rank": [3.0],
        "test/text_to_image_r1": [0.125],
        "test/r_mean": [0.5],
    }
    snapshot = run(metrics=metrics, result={"intervals": {"test/image_to_text_r1": [0.15, 0.25]}})

    words = plain(retrieval_lines(snapshot, "test", 70)).split("\n")

    assert [line.split() for line in words] == [
        ["R@1", "median"],
        ["image", "→", "text", "20.0", "%", "3.000"],
        ["95", "%", "15.0", "to", "25.0"],
        ["text", "→", "image", "12.5", "%"],
    ]
    assert "25.0 %" in plain(retrieval_lines(snapshot, "val", 70))


def test_pairs_that_share_a_class_have_its_precision_instead():
    words = drawn(run(metrics={"val/image_to_audio_p1": [0.5], "val/image_to_audio_map_r": [0.25]}))

    assert "class P@1" in words and "50.0 %" in words and "25.0 %" in words and "R@1" not in words


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.07, 0.2], "0.2000 between its limits"),
        ([0.07, 0.5], "0.5000 at its limit"),
        ([0.002, 0.001], "at its limit"),
    ],
)
def test_the_temperature_is_told_beside_its_limits(values, said):
    words = plain(temperature_lines(run(metrics={"train/temperature": values}), 70))

    assert said in words and "0.001 and 0.5" in words


def test_the_common_space_is_drawn_over_the_steps_or_told_where_it_was_measured_once():
    course = {
        "val/uniformity_image": [-2.0, -3.0],
        "val/modality_gap": [0.5, 0.25],
        "val/effective_rank_text": [3.0, 31.5],
    }
    once = {"test/uniformity_image": [-3.25], "test/effective_rank_image": [30.0]}

    assert "31.5" in drawn(run(metrics=course)) and "of 64: directions" in drawn(run(metrics=course))
    assert "● image -3.000" in drawn(run(metrics=course)) and "● text 31.50" in drawn(run(metrics=course))
    assert "image -3.250" in drawn(run(metrics=once)) and "Modality gap" not in drawn(run(metrics=once))


def test_what_a_journal_should_not_hold_does_not_break_the_panel():
    odd = run(
        note("collapse alarm", alarm="\x1b[2J", epoch="soon"),
        {"message": "collapse alarm", "facts": None},
        metrics={"train/temperature": [float("nan")], "val/image_to_text_r1": [float("nan")]},
        result={"intervals": {"val/image_to_text_r1": ["NaN", "NaN"]}},
        temperature_range="wide",
    )

    assert "\x1b" not in drawn(odd) and "NaN" in drawn(odd)


@pytest.mark.parametrize("width", [50, 76, 120])
@pytest.mark.parametrize("changes", [{}, {"blend": "none", "noise": 0.1}, {"depth": {"image": 4, "text": 5}}], ids=str)
def test_the_diagram_names_modalities_blending_and_adapters_at_every_width(width, changes):
    lines = draw_architecture(fusemix(**changes), width, task=PAIRS)
    words = plain(lines)

    assert "image" in words and "text" in words and "InfoNCE" in words and "x4" in words
    assert ("blend" in words) == ("blend" not in changes)
    assert ("5 deep" in words) == ("depth" in changes)
    assert width_of(lines) <= width


def test_choices_are_those_of_the_ablations():
    assert choices_of(fusemix())["share per"] == "batch"
    assert "share per" not in choices_of(fusemix(blend="none"))


async def test_the_panel_opens_by_its_digit_and_follows_the_run(home, dashboard, settle, screen_text):
    folder = home.add("running", kind="train", subject="fusemix", dataset="latent_world")
    spec = json.loads((folder / "config.json").read_text())
    home.write(folder / "config.json", spec | {"params": PARAMS, "data": {}})
    home.metrics(folder, [(1, {"val/image_to_text_r1": 0.25, "train/temperature": 0.07})])
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: app.screen.query_one(Deck).run_id == folder.name)
        await pilot.press("8", "z")
        await settle(pilot, lambda: "image → text" in screen_text(app) and "none rings" in screen_text(app))
        row = {"v": 1, "t": home.now, "attempt": 1, **note("collapse alarm", alarm="x", sentence="collapsed", epoch=2)}
        with (folder / "events.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        await settle(pilot, lambda: "▲ since epoch 2: collapsed" in screen_text(app))
        await pilot.press("7")
        await settle(pilot, lambda: "InfoNCE" in screen_text(app) and "adapter" in screen_text(app))


def test_recalls_are_drawn_over_the_pairs_that_were_seen():
    begun = note("contrastive training", pairs=500, batch_size=250, steps_per_epoch=1)
    metrics = {
        "val/image_to_text_r1": [0.0, 0.2, 0.5],
        "val/text_to_image_r1": [0.2, 0.4, 0.7],
        "val/image_to_text_r10": [0.5, 0.6, 0.9],
        "test/image_to_text_r1": [0.9],
    }

    means = recalls_of(run(begun, metrics=metrics))
    words, alone = drawn(run(begun, metrics=metrics)), drawn(run(begun, metrics=metrics, blend="permutation"))

    assert list(means) == ["R@1", "R@10"]
    assert means["R@1"].values.tolist() == pytest.approx([0.1, 0.3, 0.6])
    assert "Recall by pairs seen" in words and "R@1 0.6000" in words and "R@10 0.9000" in words
    assert "1k pairs seen: 500 pairs, 2 times" in words  # two steps, of two batches of 250 each
    assert "500 pairs seen: 500 pairs, 1 times" in alone


@pytest.mark.parametrize("values", [[0.5], []], ids=["one validation", "none"])
def test_recalls_are_not_drawn_before_there_is_a_course(values):
    begun = note("contrastive training", pairs=500, batch_size=250)

    assert "Recall by pairs seen" not in drawn(run(begun, metrics={"val/image_to_text_r1": values}))
    assert "Recall by pairs seen" not in drawn(run(metrics={"val/image_to_text_r1": [0.1, 0.2]}))
