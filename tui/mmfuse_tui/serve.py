"""The dashboard in a browser: where it listens, what the user is told, and how it ends.

It listens on this machine alone unless told otherwise. The page is opened by a link with a key in it, since loopback
keeps out other machines but not other users of this one; what `web_server` does with the key stands there.
"""

from __future__ import annotations

import secrets
import shlex
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from mmfuse.errors import BadSpec, MmfuseError

HOST, PORT = "127.0.0.1", 8000


class ServeError(MmfuseError):
    """There is no listening where the dashboard was to be served."""


@dataclass(frozen=True)
class Served:
    """The link to open, and a sentence about what is dangerous; empty where only this machine can reach the port."""

    link: str
    danger: str


def serve(
    home: Path,
    *,
    host: str = HOST,
    port: int = PORT,
    read_only: bool = False,
    options: Sequence[str] = (),
    announce: Callable[[Served], None],
) -> None:
    """Serve the dashboard of ``home`` until Ctrl-C; ``announce`` is called once it listens.

    ``options`` are more words for the command line of a page's dashboard (see `mmfuse_tui.__main__`).
    Port 0 takes a free one. Every open page has a dashboard process of its own; runs do not notice any of them.

    Raises:
        BadSpec: textual-serve is not installed.
        ServeError: the address is unknown, not ours, or taken.
    """
    try:
        from mmfuse_tui.web_server import run
    except ModuleNotFoundError as error:
        missing = f"the dashboard in a browser needs textual-serve, and there is no module named {error.name!r}"
        raise BadSpec(missing, "pip install 'mmfuse[serve]'") from error
    with listen(host, port) as listening:
        address, port = listening.getsockname()[:2]
        name = socket.gethostname() if ip_address(address).is_unspecified else address
        shown = f"[{name}]" if ":" in name else name
        key = secrets.token_urlsafe(16)
        danger = "" if ip_address(address).is_loopback else danger_of(shown, port, read_only=read_only)
        told = Served(f"http://{shown}:{port}/?key={key}", danger)
        run(
            dashboard_command(home, read_only=read_only, options=options),
            listening,
            key=key,
            ready=partial(announce, told),
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        ServeError: it cannot.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServeError(f"cannot listen on {host}:{port}: {reason}", "mmfuse tui --serve --port 0") from error


def danger_of(host: str, port: int, *, read_only: bool) -> str:
    """What it means that other machines can reach the port, and what to do instead."""
    may = "see" if read_only else "see, stop, delete and start"
    return (
        f"{host}:{port} can be reached from other machines, without login or encryption: whoever gets hold of the"
        f" link can {may} runs. Safer: leave out --host and forward the port with ssh -L {port}:127.0.0.1:{port}"
    )


def dashboard_command(home: Path, *, read_only: bool, options: Sequence[str] = ()) -> str:
    """The shell command of one page's dashboard; ``exec``, so that it is a child of the server and no shell stays."""
    words = [sys.executable, "-m", "mmfuse_tui", str(home), *(["--read-only"] if read_only else []), *options]
    return f"exec {shlex.join(words)}"
