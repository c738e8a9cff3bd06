"""`mmfuse arch`: the names of its commands and where they live."""

from __future__ import annotations

from mmfuse_cli.lazy import Entry, LazyGroup, plain_app


class ArchGroup(LazyGroup):
    """Everything that can be asked about architectures."""

    ENTRIES = {
        "show": Entry("mmfuse_cli.arch.show:show", "Draw an architecture that a run found or tried."),
        "diff": Entry("mmfuse_cli.arch.diff:diff", "Show where two architectures differ."),
        "why": Entry("mmfuse_cli.arch.why:why", "Show what every single change to an architecture scored."),
        "choices": Entry("mmfuse_cli.arch.choices:choices", "Show how each choice of a search scored."),
        "lineage": Entry("mmfuse_cli.arch.lineage:lineage", "Draw which candidate of a search came from which."),
        "front": Entry("mmfuse_cli.arch.front:front", "List what no other run or trial beats in score and cost."),
        "trust": Entry("mmfuse_cli.arch.trust:trust", "Measure whether a search's short trials rank as full training."),
    }


app = plain_app(cls=ArchGroup, no_args_is_help=False)


@app.callback()
def arch() -> None:
    """Draw, compare and question architectures."""
