"""How every command takes its words: all that is wrong with them is said at once, and one value is not given twice."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from legan.platform.wording import sentence


class StrictCommand(TyperCommand):
    """A command that names every option that is missing, wrong or given again, where Typer names the first and takes the last."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words that are left; a usage error with all that is wrong with the others."""
        return _strictly(self, super().parse_args, ctx, args)


class StrictGroup(TyperGroup):
    """The same for a group that has options of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As those of a command."""
        return _strictly(self, super().parse_args, ctx, args)


def make_strict(app: typer.Typer) -> None:
    """Let all commands of an application be of this kind."""
    for command in app.registered_commands:
        command.cls = StrictCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            make_strict(group.typer_instance)


def _strictly(
    command: TyperCommand | TyperGroup, parse: Callable[[Any, list[str]], list[str]], ctx: Any, args: list[str]
) -> list[str]:
    words, left = list(args), list[str]()
    first: typer.BadParameter | None = None
    try:
        left = parse(ctx, args)
    except typer.BadParameter as error:
        first = error

    given, _, order = command.make_parser(ctx).parse_args(words)
    wrong = [] if ctx.resilient_parsing else list(_given_again(order))
    wrong += [] if first is None else _wrong_values(command, ctx, given)
    if wrong:
        ctx.fail("\n".join(wrong))
    if first is not None:
        raise first
    return left


def _wrong_values(command: TyperCommand | TyperGroup, ctx: Any, given: Mapping[str, Any]) -> Iterator[str]:
    for parameter in command.get_params(ctx):
        try:
            parameter.handle_parse_result(ctx, given, [])
        except typer.BadParameter as error:
            error.message = _own_words(error.__cause__, error.message)
            yield error.format_message()


def _given_again(order: list[Any]) -> Iterator[str]:
    """A sentence for each option of one value, or of two opposites, that is there more than once."""
    for option, count in Counter(order).items():
        harmless = option.multiple or (getattr(option, "is_flag", False) and not option.secondary_opts)
        if count > 1 and not harmless:
            names = " / ".join(f"'{name}'" for name in (*option.opts, *option.secondary_opts))
            yield f"Option {names} is given {'twice' if count == 2 else f'{count} times'}; give it once."


def _own_words(cause: BaseException | None, said: str) -> str:
    from pydantic import ValidationError

    return sentence(dict(cause.errors()[0])) if isinstance(cause, ValidationError) else said
