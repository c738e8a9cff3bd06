"""A web server on this machine that behaves as well or as badly as a test wants."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """Files by path, and how they are served.

    ``ranges``: whether parts of files are served. ``breaks``: bytes after which each of the next answers ends early.
    ``requests`` lists (path, Range header, bytes sent).
    """

    files: dict[str, bytes]
    ranges: bool = True
    etag: str = '"one"'
    breaks: list[int] = field(default_factory=list)
    requests: list[tuple[str, str | None, int]] = field(default_factory=list)
    address: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Serve one GET."""
        content = self.files.get(handler.path)
        if content is None:
            handler.send_error(404)
            return
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        partial = bool(asked) and self.ranges and handler.headers.get("If-Range") == self.etag
        start = start if partial else 0
        if partial and start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206 if partial else 200)
        if partial:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.send_header("ETag", self.etag)
        handler.end_headers()
        body = content[start:]
        if self.breaks:
            body = body[: self.breaks.pop(0)]
        self.requests.append((handler.path, asked, len(body)))
        handler.wfile.write(body)
        handler.close_connection = True


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """The site at ``site.address`` while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
