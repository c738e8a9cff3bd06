"""Keep Typer from importing pydantic to find that text is text.

Typer validates every parameter through a pydantic adapter that it makes on first use and keeps; importing pydantic for
it takes as long as Typer itself. Most values need no adapter: they are absent, or text, or the default, or a count.
Their parameters get a coercion that returns those at once and makes Typer's own only for the others. A Typer that keeps
its adapters elsewhere simply ignores this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args, get_origin

if TYPE_CHECKING:
    from typer._click import Parameter


class QuickCoercion:
    """Stands where Typer keeps a parameter's adapter."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """``value`` as the parameter's type."""
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        if _is_right_already(value, param.type_descriptor.annotation, several=several):
            return value
        if _is_count(value, param.type_descriptor):
            return int(value)
        param._runtime_param = None
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def quickened(parameters: list[Parameter]) -> list[Parameter]:
    """``parameters`` of a command, each doing without pydantic where it can."""
    for parameter in parameters:
        if getattr(parameter, "_runtime_param", ...) is None:
            parameter._runtime_param = QuickCoercion()  # type: ignore[attr-defined]
    return parameters


def _is_right_already(value: Any, annotation: Any, *, several: bool) -> bool:
    if several:
        takes_texts = get_origin(annotation) is list and get_args(annotation) == (str,)
        return takes_texts and isinstance(value, list | tuple) and all(type(item) is str for item in value)
    # Numbers of the right type are defaults, whose range nobody needs to check; what is typed arrives as text.
    return annotation in (str, int, float, bool) and type(value) is annotation


def _is_count(value: Any, descriptor: Any) -> bool:
    """Whether ``value`` is the text of a whole number from 0 on, for a parameter that takes any of those."""
    limits = descriptor.parameter_info
    takes_counts = descriptor.annotation is int and limits.max is None and (limits.min is None or limits.min <= 0)
    return takes_counts and isinstance(value, str) and value.isascii() and value.isdigit()
