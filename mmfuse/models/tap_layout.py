"""Where each tap of each backbone stands in one row of features. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Row = Sequence[int]
"""One fusion layer: a tap per modality, then the activation."""


@dataclass(frozen=True)
class TapLayout:
    """Taps side by side: modality by modality in the order they are fused, each with its taps in theirs.

    ``widths`` holds, per modality, the number of features of each tap.
    """

    widths: tuple[tuple[int, ...], ...]

    @property
    def total(self) -> int:
        """T, the length of a row."""
        return sum(sum(widths) for widths in self.widths)

    def columns(self, modality: int, tap: int) -> slice:
        """Where the row holds tap ``tap`` of the modality at position ``modality``."""
        start = sum(sum(widths) for widths in self.widths[:modality]) + sum(self.widths[modality][:tap])
        return slice(start, start + self.widths[modality][tap])

    def selected(self, row: Row) -> list[slice]:
        """The columns that a fusion layer reads, one slice per modality."""
        return [self.columns(modality, row[modality]) for modality in range(len(self.widths))]

    def trimmed(self, rows: Sequence[Row]) -> TapLayout:
        """The layout without the taps behind the last one that any of ``rows`` reads, per modality."""
        last = [max(row[modality] for row in rows) for modality in range(len(self.widths))]
        return TapLayout(tuple(widths[: tap + 1] for widths, tap in zip(self.widths, last, strict=True)))
