"""Commands that are imported only when they are used.

A group knows its commands by name, place and one line of help; `mmfuse --help` therefore imports no command, and
`mmfuse runs ls` imports one. (A test compares those lines with the commands' own help.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from mmfuse_cli.coercion import quickened

if TYPE_CHECKING:
    # Typer carries its own click; these names stand in annotations only.
    from typer._click import Command, Context, HelpFormatter, Parameter
    from typer._click.shell_completion import CompletionItem

CommandFunction = TypeVar("CommandFunction", bound=Callable[..., None])

_EXAMPLES: dict[Callable[..., None], str] = {}


@dataclass(frozen=True)
class Entry:
    """Where a command lives (``module:name`` of a function or of a Typer app) and what it does, in one line.

    A command that ``takes_any`` option gets those it does not declare in ``context.args``.
    """

    place: str
    summary: str
    takes_any: bool = False


def examples(*lines: str) -> Callable[[CommandFunction], CommandFunction]:
    """Show ``lines`` below the decorated command's help."""

    def keep(function: CommandFunction) -> CommandFunction:
        # \b is click's mark for a paragraph whose line breaks stay.
        _EXAMPLES[function] = "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
        return function

    return keep


def plain_app(*, add_completion: bool = False, **options: Any) -> typer.Typer:
    """A Typer app without the Rich help and tracebacks, which would cost every start 60 ms."""
    return typer.Typer(add_completion=add_completion, rich_markup_mode=None, pretty_exceptions_enable=False, **options)


class QuickCommand(TyperCommand):
    """A command whose parameters do without pydantic where they can."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """As Typer's, with quicker coercion."""
        return quickened(super().get_params(ctx))


class LazyGroup(TyperGroup):
    """A group that imports a command when it is named, not before."""

    ENTRIES: ClassVar[Mapping[str, Entry]] = {}

    def get_params(self, ctx: Context) -> list[Parameter]:
        """As Typer's, without pydantic where they can do without."""
        return quickened(super().get_params(ctx))

    def list_commands(self, ctx: Context) -> list[str]:
        """The names in the order of `ENTRIES`."""
        return list(self.ENTRIES)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """The command, imported now; None where the name is unknown."""
        if cmd_name not in self.commands and cmd_name in self.ENTRIES:
            self.commands[cmd_name] = load(cmd_name, self.ENTRIES[cmd_name])
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write names and summaries without importing what they name."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.ENTRIES.items()])

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """As Typer's, with an error that knows all names, imported or not."""
        name = args[0]
        if name not in self.ENTRIES and not name.startswith("-") and not ctx.resilient_parsing:
            from mmfuse.errors import unknown_name

            raise unknown_name("command", name, self.ENTRIES)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: Context, incomplete: str) -> list[CompletionItem]:
        """Names and summaries, again without importing."""
        from typer._click.shell_completion import CompletionItem

        return [
            CompletionItem(name, help=entry.summary)
            for name, entry in self.ENTRIES.items()
            if name.startswith(incomplete)
        ]


def load(name: str, entry: Entry) -> Command:
    """Import what ``entry`` names and make it the command called ``name``."""
    module, _, attribute = entry.place.partition(":")
    target = getattr(import_module(module), attribute)
    if isinstance(target, typer.Typer):
        command = get_command(target)
    else:
        app = plain_app()
        open_ended = {"allow_extra_args": True, "ignore_unknown_options": True} if entry.takes_any else {}
        app.command(name, cls=QuickCommand, epilog=_EXAMPLES.get(target), context_settings=open_ended)(target)
        command = get_command(app)
    command.name = name
    return command
