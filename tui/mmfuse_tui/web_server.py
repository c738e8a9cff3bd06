"""Textual's web server with a lock on its door (imported only where textual-serve is installed).

Where we differ from textual-serve's `Server`:

- The first page is opened by a link with a key, which then stays in a cookie; nothing is answered without it. A
  websocket must also have been opened by our own page: browsers let every page open one, to any port.
- The page finds its websocket at the address the browser used, so that a forwarded port works.
- The page loads nothing from other hosts.
- Ending does not wait for open pages: their dashboards are ended, as by ``q``.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CLOSING_SECONDS = 5.0
"""How long the dashboards of open pages may take to end."""
OWN_ONLY = "default-src 'self' 'unsafe-inline' data: blob:; connect-src 'self' ws: wss:; frame-ancestors 'none'"
"""Content security policy: the template of textual-serve asks Google for a font."""


class DashboardServer(Server):
    """A dashboard process for every open page."""

    def __init__(self, command: str, *, key: str, port: int, ready: Callable[[], None]) -> None:
        super().__init__(command, title="mmfuse")
        self._ready = ready
        self._key = key
        self._cookie = f"mmfuse-{port}"  # cookies do not tell ports apart, and there may be two homes to look at
        self._pages: set[asyncio.Task[Any]] = set()

    async def application(self) -> web.Application:
        """Pages, files and the websocket, behind the lock."""
        app = await self._make_app()
        app.middlewares.append(self._guard)
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Say so, in our own words."""
        self._ready()

    async def on_shutdown(self, app: web.Application) -> None:
        """End the dashboards of all open pages."""
        for page in self._pages:
            page.cancel()
        if self._pages:
            await asyncio.wait(self._pages, timeout=CLOSING_SECONDS)

    async def handle_index(self, request: web.Request) -> Any:
        """The page, made for the address that the browser used."""
        self.public_url = f"{request.scheme}://{request.host}"
        return await super().handle_index(request)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """The terminal of one page."""
        page = asyncio.create_task(super().handle_websocket(request))
        self._pages.add(page)
        page.add_done_callback(self._pages.discard)
        return await page

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer only those who have the key."""
        given = request.query.get("key") or request.cookies.get(self._cookie, "")
        origin = request.headers.get("Origin")
        if not secrets.compare_digest(given.encode(), self._key.encode()):
            raise web.HTTPForbidden(text="Open the link that mmfuse tui --serve printed: it holds the key.")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text="Only the dashboard's own page may use it.")
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = OWN_ONLY
            response.headers["Referrer-Policy"] = "no-referrer"
            response.set_cookie(self._cookie, self._key, httponly=True, samesite="Strict")
        return response


def run(command: str, listening: socket.socket, *, key: str, ready: Callable[[], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; ``ready`` is called when either would end it cleanly."""
    server = DashboardServer(command, key=key, port=listening.getsockname()[1], ready=ready)
    loop = asyncio.new_event_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.request_exit)
    web.run_app(server.application(), sock=listening, loop=loop, handle_signals=False, print=None, access_log=None)
