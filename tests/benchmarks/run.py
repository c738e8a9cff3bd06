"""Run every benchmark of this folder at full size: ``python tests/benchmarks/run.py [NAME...]``.

Exits with 1 when a goal was missed on this machine.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path


def main(names: list[str]) -> int:
    """Print every ratio of the benchmarks called ``names`` (all where none is named)."""
    found = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    met = True
    for name in found:
        if names and name.removeprefix("bench_") not in names:
            continue
        for ratio in importlib.import_module(name).measure():
            met &= ratio.met
            print(ratio, flush=True)
    return 0 if met else 1


if __name__ == "__main__":
    # Compiling our own files anew at each start would be charged to the command line.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.exit(main(sys.argv[1:]))
