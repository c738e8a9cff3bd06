"""`mmfuse tui`: open the dashboard."""

from __future__ import annotations

import sys

from mmfuse.errors import BadSpec
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import DataRoot, Home


@examples("mmfuse tui", "mmfuse tui --home /shared/lab/mmfuse")
def tui(home: Home = None, data_root: DataRoot = None) -> None:
    """Open the dashboard.

    Leaving it stops nothing. Press ? in it for its keys.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadSpec("the dashboard needs a terminal", "mmfuse runs ls")
    from mmfuse_runs.home import resolve_home
    from mmfuse_tui.app import run

    run(resolve_home(home))
