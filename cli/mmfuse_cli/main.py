"""The entry point: the tree of commands, and the one place where errors become sentences and exit codes.

Exit codes: 0 done, 1 the run (or the request) failed, 2 usage, spec or data, 75 stopped and resumable, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from mmfuse import __version__
from mmfuse.errors import MmfuseError
from mmfuse_cli.lazy import Entry, LazyGroup, plain_app
from mmfuse_cli.render import error, out

INTERRUPTED = 130


class MainGroup(LazyGroup):
    """Every command of mmfuse, and the guard around them."""

    ENTRIES = {
        "search": Entry("mmfuse_cli.search:search", "Find an architecture, train it and measure it."),
        "train": Entry("mmfuse_cli.train:train", "Train one model, or an architecture that a run found."),
        "sweep": Entry("mmfuse_cli.sweep:sweep", "Queue a run for every combination of settings and seeds."),
        "eval": Entry("mmfuse_cli.evaluate:app", "Measure a trained model."),
        "extract": Entry("mmfuse_cli.extract:extract", "Encode a modality once and keep the latents."),
        "runs": Entry("mmfuse_cli.runs.group:app", "List, look at, control and compare runs."),
        "arch": Entry("mmfuse_cli.arch.group:app", "Draw, compare and question architectures."),
        "data": Entry("mmfuse_cli.data:app", "List, fetch, build and check datasets."),
        "zoo": Entry("mmfuse_cli.zoo:zoo", "Show what there is to use, with options and presets."),
        "tui": Entry("mmfuse_cli.dashboard:tui", "Open the dashboard."),
        "doctor": Entry("mmfuse_cli.doctor:doctor", "Check the installation, the devices and the store."),
    }

    def main(self, args: Sequence[str] | None = None, *positional: Any, **options: Any) -> Any:
        """Run the command line and leave with its exit code."""
        arguments = list(sys.argv[1:] if args is None else args)
        options["standalone_mode"] = False
        run = super().main
        if "_MMFUSE_COMPLETE" in os.environ:
            from mmfuse_cli import shells

            shells.register()
        sys.exit(_guarded(lambda: run(arguments, *positional, **options), arguments))


def _guarded(run: Callable[[], Any], arguments: list[str]) -> int:
    """What ``run`` returns, or the exit code of the error it raises, which is told in one sentence."""
    try:
        code = run() or 0
        sys.stdout.flush()
        return int(code)
    except BrokenPipeError:
        # The reader has seen enough (`mmfuse runs ls | head`); Python's own flush at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as problem:
        if arguments[:1] == ["--debug"]:
            import traceback

            traceback.print_exc()
        message, hint, code = _explain(problem, arguments)
        error(message, hint)
        return code


def _explain(problem: BaseException, arguments: list[str]) -> tuple[str, str, int]:
    """Sentence, hint and exit code for ``problem``."""
    if isinstance(problem, MmfuseError):
        return problem.message, problem.hint, problem.exit_code
    if isinstance(problem, typer.TyperException):
        # Words of pydantic's own that its messages about our values begin with.
        message = problem.format_message().replace("Value error, ", "")
        return _first_lower(message), _help_hint(problem), problem.exit_code
    if isinstance(problem, typer.Abort | KeyboardInterrupt):
        return "interrupted", "", INTERRUPTED
    if isinstance(problem, OSError):
        where = f"{problem.filename}: " if problem.filename else ""
        return f"{where}{problem.strerror or problem}", "mmfuse doctor", 1
    again = f"this is a mistake in mmfuse; to see where: mmfuse --debug {' '.join(arguments)}"
    return f"{type(problem).__name__}: {problem}", again, 1


def _help_hint(problem: typer.TyperException) -> str:
    context = getattr(problem, "ctx", None)
    return f"{context.command_path} --help" if context is not None else "mmfuse --help"


def _first_lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")


app = plain_app(cls=MainGroup, add_completion=True, context_settings={"help_option_names": ["-h", "--help"]})


def _show_version(wanted: bool) -> None:
    if wanted:
        out(f"mmfuse {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_show_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; must come first.")] = False,
) -> None:
    """A terminal experiment manager for multimodal-fusion research.

    Start with: mmfuse search mixmas --dataset avmnist
    """
    if context.invoked_subcommand is None:
        out(context.get_help())


def main() -> None:
    """Run mmfuse and leave with its exit code."""
    # Python has no stream where the caller closed it (`>&-`, some cron jobs); what would go there goes nowhere.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - open as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter must not end the command
    app(prog_name="mmfuse")
