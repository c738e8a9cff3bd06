"""An architecture is data: the decisions that make a model, as JSON, with a stable key and no weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmfuse.errors import BadSpec


def canonical_json(value: Any) -> str:
    """The one spelling of a JSON value: sorted keys, no spaces, no NaN. Equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


@dataclass(frozen=True)
class Architecture:
    """Model family (a file of ``mmfuse.models``) and its parameters.

    Two architectures are equal when family and params are; ``stage`` only says which question of a search the
    candidate answers (``encoder/image``, ``fusion``, ``network``) and takes no part in identity.
    """

    family: str
    params: Mapping[str, Any]
    stage: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """Short content hash such as ``mixmas-3fa9c2b107``; the same in every process and version."""
        content = canonical_json({"family": self.family, "params": self.params})
        return f"{self.family}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"

    def __hash__(self) -> int:
        return hash(self.key)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; `from_json` gives an equal architecture back."""
        record: dict[str, Any] = {"family": self.family, "params": dict(self.params)}
        if self.stage:
            record["stage"] = self.stage
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Architecture:
        """The architecture that `to_json` wrote.

        Raises:
            BadSpec: when the record has no family or params.
        """
        try:
            return cls(str(record["family"]), dict(record["params"]), str(record.get("stage", "")))
        except (KeyError, TypeError, ValueError) as error:
            raise BadSpec(f"not an architecture: {record!r:.200}", "it needs 'family' and 'params'") from error
