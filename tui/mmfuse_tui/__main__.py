"""``python -m mmfuse_tui HOME``: the dashboard without the command line around it."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmfuse_runs.replay import SPEED
from mmfuse_tui.app import run


def main() -> None:
    """Parse and show."""
    parser = argparse.ArgumentParser(prog="mmfuse_tui", description="Dashboard of an mmfuse home.")
    parser.add_argument("home", type=Path)
    parser.add_argument("--read-only", action="store_true", help="change nothing on disk")
    parser.add_argument("--replay", metavar="RUN|DIR", help="play what has ended again")
    parser.add_argument("--speed", type=float, default=SPEED, help="so many times as fast as it was")
    arguments = parser.parse_args()
    if arguments.replay is not None:
        from mmfuse_tui.replay import replay

        replay(arguments.replay, home=arguments.home, speed=arguments.speed)
        return
    run(arguments.home, read_only=arguments.read_only)


if __name__ == "__main__":
    main()
