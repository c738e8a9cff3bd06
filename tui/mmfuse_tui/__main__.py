"""``python -m mmfuse_tui HOME``: the dashboard without the command line around it."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmfuse_tui.app import run


def main() -> None:
    """Parse and show."""
    parser = argparse.ArgumentParser(prog="mmfuse_tui", description="Dashboard of an mmfuse home.")
    parser.add_argument("home", type=Path)
    parser.add_argument("--read-only", action="store_true", help="change nothing on disk")
    arguments = parser.parse_args()
    run(arguments.home, read_only=arguments.read_only)


if __name__ == "__main__":
    main()
