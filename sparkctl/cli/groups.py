"""Groups of commands, and how --help is laid out: sections, whole words, whole sentences."""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

import click

from sparkctl.errors import UsageError
from sparkctl.text import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# In place of each hyphen while lines are broken: an option or a file's name stays whole.
UNBROKEN = "\N{NON-BREAKING HYPHEN}"
QUOTED = re.compile(r"\B'([^']*)'\B")  # a name in click's messages
WIDEST = 100  # columns of --help on a wider terminal


class Formatter(click.HelpFormatter):
    """Breaks lines at spaces only."""

    def write_text(self, text: str) -> None:
        """As HelpFormatter.write_text."""
        super().write_text(text.replace("-", UNBROKEN))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """As HelpFormatter.write_dl."""
        whole = [(term, text.replace("-", UNBROKEN)) for term, text in rows]
        super().write_dl(whole, col_max, col_spacing)

    def getvalue(self) -> str:
        """As HelpFormatter.getvalue."""
        return super().getvalue().replace(UNBROKEN, "-")


# Every command's context makes it, without a class for each command.
click.Context.formatter_class = Formatter


class Command(click.Command):
    """A command with its options in sections: title → names of parameters. Others are first."""

    def __init__(
        self, *args: Any, sections: Mapping[str, Sequence[str]] | None = None, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._sections = sections or {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        rows: dict[str, list[tuple[str, str]]] = {"Options": [], **{t: [] for t in self._sections}}
        titles = {name: title for title, names in self._sections.items() for name in names}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record:
                rows[titles.get(param.name or "", "Options")].append(record)
        for title, records in rows.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Group(click.Group):
    """A group whose --help cuts no sentence, and whose errors name the nearest command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which they were added."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown name gets the nearest known one in its error."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchOption:
            raise
        except click.UsageError as error:
            near = nearest(args[0], self.list_commands(ctx))
            raise click.UsageError(f'no such command "{args[0]}"{near}', ctx=error.ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its parser's errors say of no command whose they are."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            name = ctx.invoked_subcommand
            command = self.get_command(ctx, name) if name and error.ctx is None else None
            if command:
                error.ctx = click.Context(command, parent=ctx, info_name=name)
            raise

    def lines(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Each command with its sentence, by title."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        return {"Commands": [(name, sentence(command)) for name, command in commands.items()]}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, each with its whole sentence."""
        for title, rows in self.lines(ctx).items():
            with formatter.section(title):
                formatter.write_dl(rows)


def usage_error(error: click.ClickException) -> UsageError:
    """The error as sparkctl's own, in one line; for an unknown option it names the nearest."""
    text = QUOTED.sub(r'"\1"', " ".join(error.format_message().split()))
    if isinstance(error, click.NoSuchOption):
        name = error.option_name
        # The hyphens, which all options have in common, make none alike.
        near = nearest(name.lstrip("-"), [o.lstrip("-") for o in error.possibilities or ()])
        near = near.replace('"', f'"{"-" * (len(name) - len(name.lstrip("-")))}', 1)
        text = f'no such option "{name}"{near}'
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "sparkctl"
    text = text[:1].lower() + text[1:].removesuffix(".")
    return UsageError(text, hint=f"`{path} --help` shows its usage")


def sentence(command: click.Command | None) -> str:
    """The first sentence of a command's help."""
    if command is None:
        return ""
    first = " ".join(cleandoc(command.help or "").partition("\n\n")[0].split())
    return command.short_help or first.partition(". ")[0].removesuffix(".") + "."
