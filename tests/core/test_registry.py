"""The folder is the registry, and reading a declaration never imports torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mmfuse.errors import UnknownName
from mmfuse.registry import BLOCKS, DATASETS, MODELS, SEARCHES, Registry

REGISTRIES = {"datasets": DATASETS, "blocks": BLOCKS, "models": MODELS, "searches": SEARCHES}


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
def test_every_member_is_declared_with_a_summary_and_documented_options(registry: Registry) -> None:
    assert registry.names()
    for name in registry.names():
        declaration = registry.declaration(name)
        options = getattr(declaration, "Params", None) or declaration.Options
        assert registry.summary(name).endswith((".", "!"))
        for field, info in options.model_fields.items():
            assert info.description, f"{registry.kind} {name}: the option {field} has no docstring line"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        DATASETS.get("avmist")

    assert caught.value.message == "no dataset named 'avmist'"
    assert "did you mean 'avmnist'?" in caught.value.hint


def test_declarations_leave_numeric_libraries_unimported() -> None:
    code = (
        "import sys\n"
        "from mmfuse.registry import BLOCKS, DATASETS, MODELS, NUMERIC, SEARCHES\n"
        "for registry in (BLOCKS, DATASETS, MODELS, SEARCHES):\n"
        "    for name in registry.names():\n"
        "        registry.declaration(name)\n"
        "print(sorted(NUMERIC & set(sys.modules)))\n"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert shown.strip() == "[]"


def test_presets_are_valid_options() -> None:
    for registry in REGISTRIES.values():
        for name in registry.names():
            declaration = registry.declaration(name)
            model = getattr(declaration, "Params", None) or declaration.Options
            for preset in getattr(declaration, "PRESETS", {}).values():
                own = {key: value for key, value in preset.items() if key not in ("fit", "data")}
                model.model_validate(own)
