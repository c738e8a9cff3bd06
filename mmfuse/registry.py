"""The folder is the registry: a dataset, mixer block, model or search is one file, found by its name.

A registered file has two parts. The *declaration* comes first: docstring, options, task, presets, checks - plain
Python and pydantic. The *implementation* follows below the first import of torch or another numeric library. The
command line, its completion and the dashboard execute only the declaration, so they never pay for torch; workers
import the whole file.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from mmfuse.errors import MmfuseError, unknown_name

NUMERIC = frozenset({"torch", "lightning", "torchmetrics", "numpy", "scipy", "sklearn", "h5py"})
"""Libraries whose import ends a file's declaration."""


class Registry:
    """The registered files of one package.

    ``requires`` are the top-level names that make a file a member; other files of the folder are its helpers.
    """

    def __init__(self, kind: str, package: str, requires: tuple[str, ...]) -> None:
        self.kind = kind
        self.package = package
        self.requires = requires

    def names(self) -> tuple[str, ...]:
        """Every member's name, sorted; nothing is imported."""
        return tuple(sorted(self._files()))

    def get(self, name: str) -> ModuleType:
        """The member, imported whole (this may import torch).

        Raises:
            UnknownName: when no file of that name is a member.
        """
        self._file(name)
        return importlib.import_module(f"{self.package}.{name}")

    def declaration(self, name: str) -> ModuleType:
        """The member's declaration only: everything above its first numeric import.

        Raises:
            UnknownName: when no file of that name is a member.
        """
        return _declaration(f"{self.package}.{name}", self._file(name))

    def summary(self, name: str) -> str:
        """The first line of the member's docstring."""
        return (self.declaration(name).__doc__ or "").strip().partition("\n")[0]

    def _file(self, name: str) -> Path:
        files = self._files()
        if name not in files:
            raise unknown_name(self.kind, name, files)
        return files[name]

    def _files(self) -> dict[str, Path]:
        return _members(self.package, self.requires)


@cache
def _members(package: str, requires: tuple[str, ...]) -> dict[str, Path]:
    found = {}
    for path in _folder(package).glob("*.py"):
        source = path.read_text(encoding="utf-8")
        if not path.stem.startswith("_") and all(_defines(source, name) for name in requires):
            found[path.stem] = path
    return found


def _folder(package: str) -> Path:
    """The package's folder, found without executing the package."""
    root, *below = package.split(".")
    spec = importlib.util.find_spec(root)
    if spec is None or not spec.submodule_search_locations:
        raise MmfuseError(f"the package {root} is not installed", "pip install -e .")
    return Path(next(iter(spec.submodule_search_locations))).joinpath(*below)


def _defines(source: str, name: str) -> bool:
    return re.search(rf"^(?:def|class) {name}\b|^{name}\s*(?::[^=\n]+)?=", source, re.MULTILINE) is not None


@cache
def _declaration(qualified_name: str, path: Path) -> ModuleType:
    if qualified_name in sys.modules:  # imported whole: what it declares is at hand, field docstrings included
        return sys.modules[qualified_name]
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    head = []
    for statement in tree.body:
        if _imports_numeric(statement):
            break
        head.append(statement)
    module = ModuleType(f"{qualified_name}:declaration", ast.get_docstring(tree))
    module.__file__ = str(path)
    # pydantic resolves annotations through sys.modules and reads field docstrings through the module's file.
    sys.modules[module.__name__] = module
    exec(compile(ast.Module(head, type_ignores=[]), str(path), "exec"), module.__dict__)
    return module


def _imports_numeric(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Import):
        return any(alias.name.partition(".")[0] in NUMERIC for alias in statement.names)
    return isinstance(statement, ast.ImportFrom) and (statement.module or "").partition(".")[0] in NUMERIC


DATASETS = Registry("dataset", "mmfuse.data", ("TASK", "Options", "load", "prepare"))
BLOCKS = Registry("mixer block", "mmfuse.models.blocks", ("Params", "ACCEPTS", "check", "build"))
MODELS = Registry("model", "mmfuse.models", ("Params", "build"))
ENCODERS = Registry("encoder", "mmfuse.extraction.encoders", ("READS", "MODALITY", "SIZES", "Options", "open_encoder"))
COLLECTIONS = Registry("collection", "mmfuse.extraction.collections", ("MODALITIES", "Options", "read"))
SEARCHES = Registry("search", "mmfuse.search", ("Options", "search", "expected_trials"))
