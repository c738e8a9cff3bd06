"""What a person did not expect, in one sentence with the values in it, and a hint with the next thing to type.

Only the command line and the worker catch these; they print ``message`` and ``hint`` and exit with ``exit_code``.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class MmfuseError(Exception):
    """Base of every error that is meant for people."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UnknownName(MmfuseError):
    """A name that no registry, store or option model knows."""

    exit_code = 2


class BadSpec(MmfuseError):
    """Options that are malformed or cannot work together, such as a patch that does not divide the image."""

    exit_code = 2


class DataMissing(MmfuseError):
    """Files that are needed and absent; the hint names the command that prepares them."""

    exit_code = 2


class DataInvalid(MmfuseError):
    """Files that are there but truncated, of another shape or mixed up."""

    exit_code = 2


class CheckpointMismatch(MmfuseError):
    """A checkpoint of another format, dataset or architecture than the one asked for."""

    exit_code = 2


class StoreError(MmfuseError):
    """The run store cannot be read or written."""


class RunBusy(MmfuseError):
    """The run is in a state in which the request makes no sense."""

    exit_code = 2


class Diverged(MmfuseError):
    """Training produced a loss that is not a number."""


class ReplayMismatch(MmfuseError):
    """A replayed search asked for another architecture than its journal holds."""


class Stopped(BaseException):
    """Raised at a safe point once a stop was asked for and everything needed to resume is on disk.

    A ``BaseException`` so that no recovery path mistakes it for a failure.
    """


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for a name that is not among ``known``, with the nearest one that is."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    listing = ", ".join(names) if names else "none"
    hint = f"did you mean '{close[0]}'? known: {listing}" if close else f"known: {listing}"
    return UnknownName(f"no {kind} named '{name}'", hint)
