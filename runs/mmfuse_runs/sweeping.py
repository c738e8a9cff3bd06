"""What a sweep goes through: every combination of the values of some settings, each with every seed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from mmfuse.errors import BadSpec


def with_prefix(word: str, subject: str, dataset: str, *, search: bool) -> str:
    """``KEY=V1,V2`` with ``data.`` or ``fit.`` before a key that only the dataset or training knows.

    Raises:
        UnknownName: for a model, search or dataset that does not exist.
    """
    from mmfuse.registry import DATASETS, MODELS, SEARCHES
    from mmfuse.spec import FitOptions

    key = word.partition("=")[0].strip()
    own = SEARCHES.declaration(subject).Options if search else MODELS.declaration(subject).Params
    if key not in own.model_fields:
        for prefix, model in (("data", DATASETS.declaration(dataset).Options), ("fit", FitOptions)):
            if key in model.model_fields:
                return f"{prefix}.{word.strip()}"
    return word


def combinations(over: Sequence[str]) -> list[tuple[str, ...]]:
    """Every combination of the values in ``KEY=V1,V2`` words, as ``--set`` words, the last key changing first.

    Commas inside brackets, braces and double quotes belong to a value.

    Raises:
        BadSpec: for a word without a key or a value, and for a key given twice.
    """
    axes = []
    for word in over:
        key, _, values = word.partition("=")
        listed = _split(values)
        if not key or not all(listed):
            raise BadSpec(f"--over {word} names no key with values", "--over fit.learning_rate=1e-3,3e-3")
        axes.append([f"{key}={value}" for value in listed])
    keys = [word.partition("=")[0] for word in over]
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise BadSpec(f"--over {twice[0]} is given twice", "put all its values into one")
    return list(itertools.product(*axes))


def seeds_of(text: str) -> list[int]:
    """The seeds in ``0,1,2``, each once.

    Raises:
        BadSpec: for anything else.
    """
    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise BadSpec(f"--seeds {text} is no list of whole numbers from 0 on", "--seeds 0,1,2")
    return list(dict.fromkeys(int(word) for word in words))


def _split(text: str) -> list[str]:
    parts, depth, quoted = [""], 0, False
    for character in re.sub(r"\s*,\s*", ",", text.strip()):
        quoted ^= character == '"'
        depth += 0 if quoted else (character in "[{") - (character in "]}")
        if character == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts
