"""The dashboard in a real browser: headless Chromium opens the link, draws the screen, and sends what is typed."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

aiohttp = pytest.importorskip("aiohttp")
pytest.importorskip("textual_serve")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="neither Chromium nor Chrome is installed")

PATIENCE = 60
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0")
INK = """(() => {
    const colours = new Set();
    for (const layer of document.querySelectorAll('.xterm-screen canvas')) {
        const sheet = document.createElement('canvas');
        [sheet.width, sheet.height] = [layer.width, layer.height];
        const pen = sheet.getContext('2d');
        pen.drawImage(layer, 0, 0);
        const dots = new Uint32Array(pen.getImageData(0, 0, sheet.width, sheet.height).data.buffer);
        for (const dot of dots) colours.add(dot);
    }
    return colours.size;
})()"""
"""How many colours the terminal's canvases show."""


class Page:
    """A page of the browser, driven through its debugging protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.received = ""
        self.failed: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Say something to the browser; its answer."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive()).data)
            self._note(message)
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    async def value(self, script: str) -> Any:
        """What a piece of JavaScript comes to."""
        return (await self.call("Runtime.evaluate", expression=script, returnByValue=True))["result"].get("value")

    async def until(self, holds: Callable[[], Any]) -> None:
        """Listen until something holds."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                await self.value("0")
                await asyncio.sleep(0.05)

    async def type(self, text: str) -> None:
        """Keys, one after the other."""
        for key in text:
            await self.call("Input.dispatchKeyEvent", type="keyDown", text=key, key=key)
            await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def click(self, x: int, y: int) -> None:
        """With the left button."""
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def _note(self, message: dict[str, Any]) -> None:
        """What the page's terminal was sent, as text; errors of its scripts."""
        if message.get("method") == "Network.webSocketFrameReceived":
            frame = message["params"]["response"]
            if frame["opcode"] == 2:
                text = base64.b64decode(frame["payloadData"]).decode(errors="replace")
                self.received += re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text)
        elif message.get("method") == "Runtime.exceptionThrown":
            self.failed.append(str(message["params"]["exceptionDetails"]))


@asynccontextmanager
async def process(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that is gone afterwards."""
    quiet, pipe = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=quiet)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.terminate()
        try:
            await asyncio.wait_for(running.wait(), 10)
        except TimeoutError:
            running.kill()
            await running.wait()


@asynccontextmanager
async def opened(link: str, profile: Path) -> AsyncIterator[Page]:
    """The link in a browser of its own."""
    assert BROWSER is not None
    told = profile / "DevToolsActivePort"
    async with (
        process(BROWSER, *FLAGS, f"--user-data-dir={profile}", "about:blank"),
        aiohttp.ClientSession() as session,
    ):
        async with asyncio.timeout(PATIENCE):
            while not (told.exists() and told.read_text().strip()):
                await asyncio.sleep(0.05)
        tools = f"http://127.0.0.1:{told.read_text().split()[0]}/json/new?about:blank"
        async with session.put(tools) as answer:
            socket = await session.ws_connect((await answer.json())["webSocketDebuggerUrl"], max_msg_size=0)
        page = Page(socket)
        for area in ("Network", "Runtime", "Page"):
            await page.call(f"{area}.enable")
        await page.call("Page.navigate", url=link)
        yield page


async def test_chromium_draws_the_dashboard_and_keys_and_clicks_reach_it(home, tmp_path):
    home.add("finished", name="first-in-the-browser", score=0.8125)
    home.add("finished", name="second-in-the-browser", score=0.5)
    serving = [sys.executable, "-m", "mmfuse_cli", "tui", "--serve", "--port", "0", "--home", str(home.path)]

    async with process(*serving) as server:
        link = (await asyncio.wait_for(server.stdout.readline(), PATIENCE)).decode().strip()
        async with opened(link, tmp_path / "profile") as page:
            await page.until(lambda: "first-in-the-browser" in page.received and "0.8125" in page.received)
            drawn = 0
            async with asyncio.timeout(PATIENCE):
                while drawn < 8:  # text in several colours on several grounds, softened at its edges
                    drawn = await page.value(INK)
                    await asyncio.sleep(0.1)

            await page.click(300, 300)
            await page.type("?")
            await page.until(lambda: "Ask the run to stop at a safe point" in page.received)
            page.received = ""
            await page.type("q")
            await page.until(lambda: "newest first" in page.received)
            await page.type("q")
            async with asyncio.timeout(PATIENCE):
                while "-closed" not in await page.value("document.body.className"):
                    await asyncio.sleep(0.1)

            assert not page.failed
