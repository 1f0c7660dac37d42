"""The options that several commands share; part of the contract that scripts rely on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

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


def break_lock_option(command: F) -> F:
    """--break-lock: take the lease over."""
    return click.option(
        "--break-lock", is_flag=True, help="Take the lease over from the command that holds it."
    )(command)
