"""The examples of docs/extending.md, put in place in a copy of the package: found, declared, tested, searched."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = dict(
    re.findall(
        r"^```python (mmfuse/\S+\.py)\n(.*?)^```$",
        (ROOT / "docs" / "extending.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
)
NAMES = {"DATASETS": "rings", "BLOCKS": "shift", "MODELS": "late_average", "SEARCHES": "mutation"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a copy of the library with the examples in it."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "mmfuse", folder / "mmfuse", ignore=shutil.ignore_patterns("__pycache__"))
    for name, source in EXAMPLES.items():
        path = folder / name
        assert not path.exists(), f"{name} is there already: the example needs another name"
        path.write_text(source, encoding="utf-8")
    return folder


def python(copy: Path, *words: str) -> str:
    """What a fresh interpreter prints that imports the copy instead of the installed library."""
    environment = os.environ | {"PYTHONPATH": str(copy), "MMFUSE_HOME": str(copy / "home"), "COLUMNS": "200"}
    environment.pop("MMFUSE_DATA", None)
    answer = subprocess.run(
        [sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_the_page_has_one_example_of_each_kind() -> None:
    assert sorted(Path(name).stem for name in EXAMPLES) == sorted(NAMES.values())


def test_examples_are_found_and_declared_without_numeric_libraries(copy: Path) -> None:
    script = (
        "import json, sys\n"
        "import mmfuse.registry as registry\n"
        "found = {}\n"
        f"for kind, name in {NAMES!r}.items():\n"
        "    members = getattr(registry, kind)\n"
        "    options = getattr(members.declaration(name), 'Params', None) or members.declaration(name).Options\n"
        "    undescribed = [key for key, field in options.model_fields.items() if not field.description]\n"
        "    found[name] = [name in members.names(), members.summary(name)[-1], undescribed]\n"
        "found['numeric'] = sorted(registry.NUMERIC & set(sys.modules))\n"
        "found['place'] = registry.__file__\n"
        "print(json.dumps(found))\n"
    )

    found = json.loads(python(copy, "-c", script))

    assert found.pop("place").startswith(str(copy))
    assert found.pop("numeric") == []
    assert found == {name: [True, ".", []] for name in NAMES.values()}


def test_the_command_line_offers_the_examples(copy: Path) -> None:
    words = ["search", "mutation", "--dataset", "rings", "--set", 'space.blocks=["mlp","shift"]', "--dry-run"]

    spec = json.loads(python(copy, "-m", "mmfuse_cli", *words))

    spec = spec.get("spec", spec)
    assert (spec["search"], spec["dataset"], spec["options"]["rounds"]) == ("mutation", "rings", 3)
    assert spec["data"] == {"noise": 0.1}


def test_the_examples_pass_the_contract_tests_and_work_together(copy: Path) -> None:
    suites = ["contracts/test_datasets.py", "contracts/test_blocks.py", "contracts/test_models.py"]
    suites += ["search/test_mixmas.py", "docs/together.py"]

    shown = python(
        copy,
        *["-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", str(ROOT / "pyproject.toml")],
        *["-k", " or ".join([*NAMES.values(), "together"])],
        *[str(ROOT / "tests" / suite) for suite in suites],
    )

    passed = [line for line in shown.splitlines() if line.startswith("PASSED")]
    for name in NAMES.values():
        assert any(f"[{name}" in line for line in passed), f"no contract test ran on {name}"
    assert any("together.py" in line for line in passed)
