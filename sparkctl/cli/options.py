"""The options that several commands share; part of the contract that scripts rely on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from sparkctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.output.stdio import Form

F = TypeVar("F", bound=Callable[..., Any])


def inventory_option(command: F) -> F:
    """-i/--inventory PATH, SPARKCTL_INVENTORY, ./inventory.yaml."""
    return click.option(
        "-i",
        "--inventory",
        type=click.Path(path_type=Path),
        envvar="SPARKCTL_INVENTORY",
        default=Path("inventory.yaml"),
        help="Read the cluster from this inventory (or SPARKCTL_INVENTORY; default:"
        " ./inventory.yaml).",
    )(command)


def lab_option(command: F) -> F:
    """--dir FOLDER, where the lab is; SPARKCTL_LAB_DIR."""
    return click.option(
        "--dir",
        "folder",
        type=click.Path(path_type=Path),
        envvar="SPARKCTL_LAB_DIR",
        default=Path("/var/lib/sparkctl-lab"),
        show_default=True,
        help="Use the lab in this folder (or SPARKCTL_LAB_DIR).",
    )(command)


def json_option(command: F) -> F:
    """--json: one document on stdout, and no other text there."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document on stdout, nothing else."
    )(command)


def form_option(command: F) -> F:
    """--json and -o/--output wide|json|name; the command gets `form`, "table" without either.

    Raises UsageError where they conflict.
    """

    @functools.wraps(command)
    def run(*words: Any, as_json: bool, output: Form | None, **values: Any) -> Any:
        if as_json and output not in (None, "json"):
            raise conflict("--json", f"-o {output}", hint="-o json and --json are the same")
        form = "json" if as_json else output or "table"
        return command(*words, form=form, **values)

    option = click.option(
        "-o",
        "--output",
        type=click.Choice(["wide", "json", "name"]),
        help="Print every column, one JSON document (as --json), or one name a line.",
    )
    return cast("F", json_option(option(run)))


def conflict(option: str, *others: str, hint: str) -> UsageError:
    """The error for an option that excludes others which are given."""
    return UsageError(
        f"{option} conflicts with {', '.join(others)}",
        hint=hint,
        code="options-conflict",
        data={"options": [*others]},
    )


def asks_json(root: click.Group, argv: Sequence[str]) -> bool:
    """Whether a command line asks for JSON by --json or -o json, also where it has errors.

    Only where it is an option: not after `--`, nor as the value of another one.
    """
    command: click.Command | None = root
    words = list(argv)
    while command is not None:
        settings = {**command.context_settings, "ignore_unknown_options": True}
        context = click.Context(command, resilient_parsing=True, **settings)
        found, words, _ = command.make_parser(context).parse_args(words)
        if found.get("as_json") or found.get("output") == "json":
            return True
        if not isinstance(command, click.Group) or not words:
            return False
        known = command.get_command(context, words[0])
        command, words = known or _unknown, words[1:]
    return False


def break_lock_option(command: F) -> F:
    """--break-lock: take the lease over."""
    return click.option(
        "--break-lock", is_flag=True, help="Take the lease over from the command that holds it."
    )(command)


@click.command()
@form_option
def _unknown(**_: Any) -> None:
    """In place of a command that does not exist: what asks for JSON."""
