"""Which device does the work, and with how many threads."""

from __future__ import annotations

import torch

from mmfuse.errors import BadSpec


def choose_device(name: str = "auto") -> torch.device:
    """The device called ``name``: ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` for the GPU where there is one.

    Raises:
        BadSpec: for a name that is no device, and for a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    kind, colon, number = name.partition(":")
    if name == "cpu":
        return torch.device("cpu")
    if kind != "cuda" or (colon and not number.isdecimal()):
        raise BadSpec(f"'{name}' is not a device", "known: auto, cpu, cuda, cuda:N")
    index, present = int(number or 0), torch.cuda.device_count()
    if index >= present:
        there = f"{present} are there" if present else "there is none"
        raise BadSpec(f"no GPU number {index}: {there}", "--device auto takes the best there is")
    return torch.device("cuda", index)


def use_threads(count: int | None) -> int:
    """Compute with ``count`` CPU threads (None keeps torch's choice); returns how many it is now.

    Sums of floats depend on it: attempts of one run must use the same number to be bit-identical.
    """
    if count is not None:
        torch.set_num_threads(count)
    return torch.get_num_threads()
