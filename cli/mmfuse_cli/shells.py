"""What the three shells are told after Tab, so that every name reaches the line as the word it is.

Typer's scripts stay as they are; they ask us with ``_MMFUSE_COMPLETE`` set. Here are other answers than Typer's own,
which lose blanks and colons in bash, quotes in zsh, and load Rich for descriptions that have no markup.
"""

from __future__ import annotations

import os
import re
import shlex

from typer._click.shell_completion import CompletionItem, add_completion_class
from typer._completion_classes import BashComplete, FishComplete, ZshComplete

_BREAKS = re.compile("[:=]+")
"""What bash takes apart before it asks: ``state:running`` comes as three words."""
_SAFE = re.compile(r"[\w@%+=:,./~-]", re.ASCII)


def register() -> None:
    """Answer in the place of Typer."""
    for shell in (Bash, Zsh, Fish):
        add_completion_class(shell, shell.name)


class Bash(BashComplete):
    """Bash puts an answer into the line as it is, in the place of what follows the last colon or equals sign."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor, and the one at it, both as the command will see them."""
        words = _typed_words()
        before = [_unquoted(word) for word in words[1:-1]]
        return before, _unquoted(words[-1])

    def complete(self) -> str:
        """A line for each answer, quoted as the word was begun."""
        word = _typed_words()[-1]
        last = _raw_words()[-1]
        kept = len(word) if _BREAKS.fullmatch(last) else len(word) - len(last)
        kept = len(_unquoted(word[:kept]))
        quote = last[:1] if last[:1] in ("'", '"') else ""
        values = [item.value for item in self.get_completions(*self.get_completion_args()) if item.value.isprintable()]
        return "\n".join(_quoted(value[kept:], quote) for value in values)


class Zsh(ZshComplete):
    """Zsh evaluates the answer, after it has taken it apart at blanks: so there are none within a word."""

    def complete(self) -> str:
        """A call of zsh's own function for words with descriptions."""
        offers = [item for item in self.get_completions(*self.get_completion_args()) if item.value.isprintable()]
        if not offers:
            return "_files"
        words = " ".join(map(_described, offers))
        return f"local -a offers; offers=({words}); _describe -V mmfuse offers"


class Fish(FishComplete):
    """Fish takes a line for each answer, and quotes by itself."""

    def format_completion(self, item: CompletionItem) -> str:
        """The word, and what it means."""
        return f"{item.value}\t{_printable(item.help)}" if item.help else str(item.value)

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """As Typer's, without what would end a line."""
        return [item for item in super().get_completions(args, incomplete) if item.value.isprintable()]


def _raw_words() -> list[str]:
    """The words that bash tells, up to the cursor: one a line, as they were typed."""
    told = os.environ["COMP_WORDS"]
    words = told.split("\n") if "\n" in told else told.split(" ")
    words = words[: int(os.environ["COMP_CWORD"]) + 1]
    return words if len(words) > int(os.environ["COMP_CWORD"]) else [*words, ""]


def _typed_words() -> list[str]:
    """The same with words put together again that bash took apart at colons and equals signs."""
    words: list[str] = []
    glue = False
    for word in _raw_words():
        breaks = _BREAKS.fullmatch(word) is not None
        if words and (glue or breaks):
            words[-1] += word
        else:
            words.append(word)
        glue = breaks
    return words


def _unquoted(word: str) -> str:
    """What the command will see of a word that may still be open at its end."""
    for ending in ("", "'", '"', "\\"):
        try:
            return "".join(shlex.split(word + ending)[:1])
        except ValueError:
            continue
    return word


def _quoted(value: str, quote: str) -> str:
    """``value`` for a line of bash, inside of the ``quote`` that was begun, if any."""
    if quote == "'":
        return value.replace("'", "'\\''")
    if quote == '"':
        return re.sub(r'([\\"$`])', r"\\\1", value)
    return "".join(letter if _SAFE.match(letter) or not letter.isascii() else f"\\{letter}" for letter in value)


def _described(item: CompletionItem) -> str:
    """``word:meaning`` for zsh's ``_describe``, spelled without a blank or a quote."""
    value = item.value.replace("\\", "\\\\").replace(":", "\\:")
    text = f"{value}:{_printable(item.help)}" if item.help else value
    spelled = (letter if _SAFE.match(letter) or not letter.isascii() else f"\\x{ord(letter):02x}" for letter in text)
    return f"$'{''.join(spelled)}'"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
