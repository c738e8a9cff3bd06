"""The dashboard in a browser: the real server and what a page says to it. (A client plays the page: no browser.)"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import pytest

from mmfuse.errors import BadSpec
from mmfuse_tui.serve import ServeError, danger_of, dashboard_command, listen, serve

aiohttp = pytest.importorskip("aiohttp")
pytest.importorskip("textual_serve")

PATIENCE = 30


@asynccontextmanager
async def served(home, *options: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """The link of a running server and its process, which is ended if the test did not."""
    command = [sys.executable, "-m", "mmfuse_cli", "tui", "--serve", "--port", "0", "--home", str(home.path), *options]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    try:
        link = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        assert link, (await process.stderr.read()).decode()
        yield link.decode().strip(), process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Page:
    """What the script of a page does: opens the websocket that the page names, and talks to it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.seen = ""

    async def wait_for(self, words: str) -> None:
        """Until the terminal was sent these words; fails when the socket closes before."""
        async with asyncio.timeout(PATIENCE):
            while words not in self.seen:
                message = await self._socket.receive()
                assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), f"{message} before {words!r}"
                if message.type is aiohttp.WSMsgType.BINARY:
                    self.seen += re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", message.data.decode())

    async def press(self, keys: str) -> None:
        """Type."""
        self.seen = ""
        await self.tell("stdin", keys)

    async def tell(self, *words: str) -> None:
        """Send a message as textual-serve's script spells them."""
        await self._socket.send_json(words)

    async def closed(self) -> None:
        """Until the server has closed the socket."""
        async with asyncio.timeout(PATIENCE):
            while not self._socket.closed:
                await self._socket.receive()


async def open_page(session: aiohttp.ClientSession, link: str) -> Page:
    """Fetch the page and open its terminal."""
    async with session.get(link) as answer:
        assert answer.status == 200
        text = await answer.text()
    url = re.search(r'data-session-websocket-url="([^"]+)"', text)[1]
    origin = link.partition("/?")[0]
    return Page(await session.ws_connect(f"{url}?width=100&height=30", headers={"Origin": origin}))


@pytest.fixture
def session() -> Callable[[], aiohttp.ClientSession]:
    """Makes clients that keep cookies of hosts without names, as browsers do."""
    return lambda: aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def test_a_page_shows_the_runs_takes_keys_and_ctrl_c_ends_everything(home, session):
    home.add("finished", name="first try", score=0.81)
    run = home.add("running", name="small search")
    before = (run / "state.json").read_bytes()

    async with served(home) as (link, process), session() as browser:
        page = await open_page(browser, link)
        await page.wait_for("small search")
        await page.wait_for("first try")
        await page.tell("focus")  # as when the user clicks into the page; keys are listed only then
        await page.wait_for("Quit")
        await page.press("?")
        await page.wait_for("Ask the run to stop at a safe point")

        process.send_signal(signal.SIGINT)
        await page.closed()
        code = await asyncio.wait_for(process.wait(), PATIENCE)
        rest = (await process.stderr.read()).decode()

    assert code == 0
    assert "until Ctrl-C" in rest and "reached from other machines" not in rest and "Traceback" not in rest
    assert (run / "state.json").read_bytes() == before
    assert _dashboards_of(home.path) == []


async def test_a_page_plays_a_replay_when_that_was_asked_for(home, session):
    home.add("finished", name="played", score=0.8)

    async with served(home, "--replay", "latest", "--speed", "1000") as (link, _), session() as client:
        page = await open_page(client, link)
        await page.wait_for("REPLAY ×1000")
        await page.wait_for("finished")


async def test_leaving_in_one_page_ends_that_page_and_no_other(home, session):
    home.add("finished", name="first try", score=0.81)

    async with served(home, "--read-only") as (link, _), session() as browser:
        one, other = await asyncio.gather(open_page(browser, link), open_page(browser, link))
        await asyncio.gather(one.wait_for("read-only"), other.wait_for("read-only"))
        await one.press("q")
        await one.closed()
        await other.press("?")
        await other.wait_for("Ask the run to stop at a safe point")

    assert not list(home.path.glob("store.json*"))


async def test_a_server_that_is_killed_leaves_no_dashboard_behind(home, session):
    async with served(home) as (link, process), session() as browser:
        page = await open_page(browser, link)
        await page.wait_for("mmfuse search mixmas")
        assert len(_dashboards_of(home.path)) == 1

        process.kill()
        async with asyncio.timeout(PATIENCE):
            while _dashboards_of(home.path):
                await asyncio.sleep(0.05)


async def test_without_the_key_or_from_another_page_nothing_is_answered(home, session):
    async with served(home) as (link, _):
        origin = link.partition("/?")[0]
        async with session() as stranger:
            async with stranger.get(origin) as answer:
                assert answer.status == 403 and "holds the key" in await answer.text()
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await stranger.ws_connect(f"{origin}/ws")
        async with session() as browser:
            async with browser.get(link) as answer:
                cookie = answer.headers["Set-Cookie"]
                assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
                assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
            async with browser.get(f"{origin}/static/js/textual.js") as answer:
                assert answer.status == 200
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await browser.ws_connect(f"{origin}/ws", headers={"Origin": "http://localhost:1"})


def test_without_the_extra_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    monkeypatch.delitem(sys.modules, "mmfuse_tui.web_server", raising=False)

    with pytest.raises(BadSpec, match="needs textual-serve") as failure:
        serve(tmp_path, announce=pytest.fail)

    assert failure.value.hint == "pip install 'mmfuse[serve]'"


def test_it_listens_on_this_machine_alone_and_says_where_it_cannot():
    with listen("127.0.0.1", 0) as listening:
        address, port = listening.getsockname()
        assert ip_address(address).is_loopback
        with pytest.raises(ServeError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            listen("127.0.0.1", port)
    with pytest.raises(ServeError, match="cannot listen on nowhere"):
        listen("nowhere.invalid", 80)


async def test_other_machines_are_let_in_only_with_a_warning(home):
    async with served(home, "--host", "0.0.0.0") as (_, process):
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
        told = (await process.stderr.read()).decode()

    assert "can be reached from other machines, without login or encryption" in told and "ssh -L" in told
    assert "can see runs" in danger_of("tern", 8000, read_only=True)


def test_a_home_with_blanks_and_quotes_is_one_word_of_the_command(tmp_path):
    command = dashboard_command(tmp_path / "it's a $(home)", read_only=True)

    assert command.endswith("""'"'"'s a $(home)' --read-only""")


def _dashboards_of(home: Path) -> list[list[str]]:
    """Command lines of dashboards of this home that still run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_text(errors="replace").split("\0")
            if "mmfuse_tui" in words and str(home) in words:
                found.append(words)
    return found
