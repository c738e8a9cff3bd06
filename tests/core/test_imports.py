"""What may be imported where, seen in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "lightning", "torchmetrics", "sklearn", "scipy"}


@pytest.mark.parametrize(
    "module", ["mmfuse", "mmfuse.spec", "mmfuse_runs.store", "mmfuse_cli.main", "mmfuse_tui.app", "mmfuse_runs.control"]
)
def test_it_imports_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}\nprint(' '.join(sorted({HEAVY!r} & set(sys.modules))))"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert shown.strip() == ""
