"""What a home without runs says: how to come to the first one."""

from __future__ import annotations

from rich.text import Text

FORM = "n"
WAYS = (
    (FORM, "a form; ctrl+s starts the run"),
    ("mmfuse search mixmas --dataset avmnist", "in a shell; it shows up here"),
    ("mmfuse runs import tb DIR", "what TensorBoard kept"),
)
"""What to type, and what comes of it. Short: all of it stands on a screen of 80 columns."""


NO_DATA = """
Neither data nor network are needed: each dataset has a small stand-in,
which is built when it is first used. The key ? lists all keys."""


def welcome(*, read_only: bool) -> Text:
    """The ways to a first run; a dashboard that only reads has no form."""
    ways = [way for way in WAYS if way[0] != FORM or not read_only]
    width = max(len(typed) for typed, _ in ways)
    lines = [(f"{'Three' if len(ways) == 3 else 'Two'} ways to a first run:\n\n", "bold")]
    for typed, words in ways:
        lines += [(f"{typed:<{width}}", "bold"), (f"  {words}\n", "")]
    return Text.assemble(*lines, NO_DATA)
