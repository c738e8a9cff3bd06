"""Arrays out of other people's pickles, without running what is in them.

A pickle is a program: loading one can call any function of any library. The unpickler here knows the few constructors
that numpy arrays and plain containers need and refuses every other name before anything is called.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from mmfuse.errors import DataInvalid

_ALLOWED = {
    ("_codecs", "encode"),
    ("builtins", "bytearray"),
    ("builtins", "complex"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("collections", "OrderedDict"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
}
"""Names of what may be called; numpy's core moved between major versions, so files carry either spelling."""


_DAMAGE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OSError,
    RecursionError,
    SystemError,
    TypeError,
    ValueError,
)
"""What reading a damaged pickle raises."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        canonical = {"__builtin__": "builtins"}.get(module, module)
        if (canonical, name) not in _ALLOWED:
            raise _Refused(f"{module}.{name}")
        return super().find_class(canonical.replace("numpy.core.", "numpy._core."), name)


class _Refused(pickle.UnpicklingError):
    """The global name that the file asked for."""


def load_arrays(path: Path) -> Any:
    """What the pickle holds: numpy arrays in lists, tuples, dictionaries and sets, numbers and strings.

    Raises:
        DataInvalid: when the file asks for anything else (nothing of it has been executed then), or is damaged.
    """
    with path.open("rb") as file:
        return _load(file, path)


def load_object(path: Path) -> Any:
    """The one object in a .npy file that NumPy wrote as a pickle, such as a dictionary.

    Raises:
        DataInvalid: as `load_arrays`, and for a file that holds an ordinary array or several objects.
    """
    with path.open("rb") as file:
        try:
            version = npy.read_magic(file)
            shape, _, dtype = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version](file)
        except (ValueError, KeyError) as error:
            raise DataInvalid(f"{path} is not a complete .npy file", "fetch it again") from error
        if not dtype.hasobject or shape != ():
            raise DataInvalid(f"{path} holds an array of {dtype}, not an object", "is it another dataset's file?")
        array = _load(file, path)
    return array.item() if isinstance(array, np.ndarray) and array.shape == () else array


def _load(file: BinaryIO, path: Path) -> Any:
    try:
        return _Unpickler(file, encoding="latin1").load()
    except _Refused as refused:
        raise DataInvalid(
            f"{path} is a pickle that asks for {refused}, which is not part of an array; nothing was executed",
            "do not open this file with other tools unless you trust where it came from",
        ) from refused
    except _DAMAGE as error:
        raise DataInvalid(f"{path} is not a complete pickle of arrays ({error})", "fetch it again") from error
