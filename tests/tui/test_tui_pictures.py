"""The main screens as pictures, one of them the README's: drawn again, they are what is kept.

``MMFUSE_DRAW=1 pytest tests/tui/test_tui_pictures.py`` draws those anew that have changed; look at them first.
The README's shows real runs (tests/fixtures/make_pictured_home.py); the others show invented ones, and stay in here.
"""

from __future__ import annotations

import html
import os
import re
import tarfile
import time
from pathlib import Path

import pytest

from mmfuse_runs.identity import host_name
from mmfuse_runs.machine import Gpu, Machine, SlotUse, Waiting
from mmfuse_runs.replay.chosen import recordings_of
from mmfuse_runs.replay.player import Player
from mmfuse_runs.replay.stage import Stage
from mmfuse_tui import machine_screen, picture
from mmfuse_tui.picture import draw_picture, photograph
from mmfuse_tui.replay import ReplayDashboard, source_of

TESTS = Path(__file__).parents[1]
README_PICTURE = TESTS.parent / "docs" / "dashboard.svg"
PICTURES = TESTS / "tui" / "pictures"
DRAWN_AT = 1_795_256_400.0
"""A quarter of an hour after the last of the pictured runs had ended."""
GIGA = 1024**3


def drawn(svg: str) -> list[str]:
    """What a picture shows, line by line: texts and boxes with place and look, free of ids and of fonts' addresses."""
    looks = dict(re.findall(r"\.terminal-[\w-]*?-(r\d+) \{([^}]*)\}", svg))
    shown = []
    for look, x, y, text in re.findall(
        r'<text class="[\w-]*?-(r\d+)" x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', svg
    ):
        shown.append(f"{float(y):7.1f} {float(x):7.1f} {looks[look].strip()} | {html.unescape(text)}")
    boxes = re.findall(r'<rect fill="([^"]+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', svg)
    return sorted(shown + [f"{float(y):7.1f} {float(x):7.1f} {fill} {width} wide" for fill, x, y, width in boxes])


def compare(svg: str, kept: Path) -> None:
    """Fail where the picture shows something else than the kept one; keep it instead where that was asked for."""
    if "MMFUSE_DRAW" in os.environ and (not kept.exists() or drawn(kept.read_text(encoding="utf-8")) != drawn(svg)):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(svg, encoding="utf-8")
    assert drawn(svg) == drawn(kept.read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The same folder of the user, zone and colours wherever the pictures are drawn."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NO_COLOR", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def real_home(tmp_path: Path) -> Path:
    """Real runs, unpacked."""
    home = tmp_path / "labs" / ".mmfuse"
    with tarfile.open(TESTS / "fixtures" / "pictured_home.tar.xz") as archive:
        archive.extractall(home, filter="data")
    return home


def test_the_picture_of_the_readme_is_what_the_program_draws(real_home, tmp_path, monkeypatch):
    target = tmp_path / "dashboard.svg"
    words = ["picture", str(real_home), str(target), "--size", "150x42", "--press", "o g 5", "--now", str(DRAWN_AT)]
    monkeypatch.setattr("sys.argv", words)

    picture.main()

    compare(target.read_text(encoding="utf-8"), README_PICTURE)


def test_the_compare_screen_looks_as_kept(real_home, tmp_path):
    target = tmp_path / "compare.svg"
    keys = ("o", "slash", *"s2", "enter", "ctrl+a", "c")

    draw_picture(real_home, target, columns=150, rows=50, keys=keys, now=DRAWN_AT)

    compare(target.read_text(encoding="utf-8"), PICTURES / "compare.svg")


def test_the_search_view_looks_as_kept(real_home, tmp_path):
    target = tmp_path / "search.svg"

    draw_picture(real_home, target, columns=110, rows=84, keys=("o", "g", "5", "z"), now=DRAWN_AT)

    compare(target.read_text(encoding="utf-8"), PICTURES / "search.svg")


async def test_a_replay_looks_as_kept(real_home):
    [found] = [run for run in (real_home / "runs").iterdir() if run.name.endswith("mixmas-avmnist-0cb1")]
    recordings = recordings_of(str(found), home=real_home)
    with Stage(recordings) as stage:
        player = Player(stage, speed=20, clock=lambda: 0.0)  # it plays, but no time passes
        player.seek(0.75)
        app = ReplayDashboard(player, source=source_of(recordings))
        async with app.run_test(size=(120, 36)) as pilot:
            svg = await photograph(app, pilot)

    compare(svg, PICTURES / "replay.svg")


async def test_live_runs_look_as_kept(furnished, dashboard):
    app = dashboard()

    async with app.run_test(size=(120, 36)) as pilot:
        svg = await photograph(app, pilot)

    compare(svg, PICTURES / "runs.svg")


async def test_the_machine_screen_looks_as_kept(home, furnished, dashboard, monkeypatch):
    slots = (SlotUse("cpu.0", furnished["m2 now"].name), SlotUse("cuda.0", furnished["guided"].name))
    line = (Waiting(furnished["waiter"].name, ("cpu.0",), 1.0, host_name()),)
    gpus = (Gpu("GPU-1", "NVIDIA H100", 0.37, 2 * GIGA, 80 * GIGA, 310.0, 61.0),)
    seen = Machine(
        "tern", 16, 0.25, 3.5, 8 * GIGA, 64 * GIGA, 100 * GIGA, 500 * GIGA, gpus=gpus, slots=slots, line=line
    )
    monkeypatch.setattr(machine_screen.MachineProbe, "look", lambda self, workers: seen)
    monkeypatch.setattr(machine_screen.MachineScreen, "_worker", lambda self, run_id: 4242)
    app = dashboard()

    async with app.run_test(size=(120, 36)) as pilot:
        svg = await photograph(app, pilot, keys=("m",))

    compare(svg, PICTURES / "machine.svg")
