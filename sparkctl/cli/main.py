"""The command line's root: lazy commands, and how errors end."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import TYPE_CHECKING

import click

from sparkctl import __version__
from sparkctl.cli.groups import WIDEST, Group, usage_error
from sparkctl.cli.options import asks_json
from sparkctl.cli.signals import discard, raising
from sparkctl.errors import OutputError, SparkctlError
from sparkctl.output import runlog
from sparkctl.output.clean import cleaned

if TYPE_CHECKING:
    from collections.abc import Sequence

# Each command's place and its line in --help.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("sparkctl.cli.init:init", "Write a commented starter inventory and env layers."),
    "validate": ("sparkctl.cli.validate:validate", "Check the inventory; contact no node."),
    "env": ("sparkctl.cli.env:env", "Print each node's effective environment and its origins."),
    "node": ("sparkctl.cli.node:node", "Install vLLM and Ray, or SGLang, on the nodes."),
    "plan": ("sparkctl.cli.plan:plan", "Print the exact commands that up would use."),
    "up": ("sparkctl.cli.up:up", "Start what is missing, and wait for a real completion."),
    "restart": ("sparkctl.cli.restart:restart", "Restart a service; touch no other."),
    "status": ("sparkctl.cli.status:status", "Show what runs where, and whether it serves."),
    "logs": ("sparkctl.cli.logs:logs", "Show the log of a unit, such as an engine."),
    "doctor": (
        "sparkctl.cli.doctor:doctor",
        "Find why the fabric is slow or a start fails: cause, evidence, fix.",
    ),
    "support-bundle": (
        "sparkctl.cli.supportbundle:support_bundle",
        "Collect logs, facts and findings, masked, in one file to send.",
    ),
    "fabric": ("sparkctl.cli.fabric:fabric", "Show the fabric, and which devices NCCL selects."),
    "image": (
        "sparkctl.cli.image:image",
        "Copy container images between nodes; show which each has.",
    ),
    "down": ("sparkctl.cli.down:down", "Stop the cluster and remove its files."),
    "lab": ("sparkctl.cli.lab:lab", "Run imitated Sparks on this Linux machine."),
    "completion": (
        "sparkctl.cli.completion:completion",
        "Print the script that completes names in bash, zsh or fish.",
    ),
}
# How --help groups them; a command without a group is in the last.
GROUPS: dict[str, tuple[str, ...]] = {
    "Start here": ("init", "validate", "lab"),
    "Cluster": ("plan", "up", "status", "logs", "restart", "down"),
    "Diagnose": ("doctor", "fabric", "env", "support-bundle"),
    "Nodes and images": ("node", "image"),
}
REST = "Other"
# Shows --help; older releases of click have none, and exit 0.
NO_ARGUMENTS: tuple[type[click.ClickException], ...] = (
    *filter(None, [getattr(click.exceptions, "NoArgsIsHelpError", None)]),
)
COMPLETING = "_SPARKCTL_COMPLETE"  # set where a shell asks what completes a line


class Root(Group):
    """The group whose commands are imported when they run: --help stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of this name; None when there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        if COMPLETING in os.environ:
            from sparkctl.cli.names import complete_names

            complete_names(command)
        return command

    def lines(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Each command with its line, by group; imports none of them."""
        grouped = {name for names in GROUPS.values() for name in names}
        groups = {**GROUPS, REST: tuple(name for name in COMMANDS if name not in grouped)}
        width = max(map(len, COMMANDS))
        return {
            title: [(n.ljust(width), COMMANDS[n][1]) for n in names if n in COMMANDS]
            for title, names in groups.items()
        }


SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": WIDEST}
EPILOG = """\
\b
Exit codes:
  0    done
  1    the operation failed
  2    the usage or the inventory is wrong
  3    a check found a failure
  130  interrupted

The debug logs of the last ten runs that may have changed a node, and of the
last ten others that contacted one, or failed, are in ~/.local/state/sparkctl.
"""


@click.group(cls=Root, context_settings=SETTINGS, epilog=EPILOG)
@click.version_option(__version__, prog_name="sparkctl", help="Print the version.")
@click.option("--debug", is_flag=True, help="Print every remote command and tracebacks on stderr.")
def cli(debug: bool) -> None:
    """Run large models across NVIDIA DGX Spark (GB10) nodes with vLLM or SGLang.

    \b
    From nothing to a served model:
      sparkctl init sparks && cd sparks
      # edit inventory.yaml: hosts, user, model
      sparkctl validate --connect
      sparkctl node install
      sparkctl up

    \b
    Without a Spark, on Linux as root:
      sparkctl lab up
      cd /var/lib/sparkctl-lab && sparkctl up

    A Spark has two QSFP cages. A cage shows as two halves: two PCIe functions, each with a network
    interface, an RDMA device (HCA) and half of the cable's 200 Gb/s.
    """
    if debug:
        runlog.show()


def run(argv: Sequence[str]) -> int:
    """Run one command; gives its exit code, one of those in --help."""
    _open_closed()
    try:
        if COMPLETING in os.environ:
            return _complete()
        with cleaned(), runlog.recorded(argv):
            code = _run(argv)
            runlog.ended(code)
            return code
    except BrokenPipeError:
        # The reader of our stdout (head, less) has had enough.
        discard(1, 2)
        return 1


def _complete() -> int:
    from sparkctl.cli.completion import answer

    with cleaned():
        return answer(cli)


def _open_closed() -> None:
    """Put os.devnull in place of each standard stream that was closed (`<&-`), which is None.

    In their order, so that each takes its own number and no socket does.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _run(argv: Sequence[str]) -> int:
    debug = "--debug" in argv
    logging.getLogger("paramiko").setLevel(logging.DEBUG if debug else logging.CRITICAL)
    try:
        with raising():
            return _called(argv)
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        as_json = asks_json(cli, argv)
        try:
            return _fail(error, as_json=as_json, debug=debug)
        except OutputError as unwritable:
            return _fail(unwritable, as_json=as_json, debug=debug)


def _called(argv: Sequence[str]) -> int:
    """The exit code of the command, whose output has all been written."""
    try:
        code = cli.main(args=list(argv), prog_name="sparkctl", standalone_mode=False)
    except click.exceptions.Exit as error:
        code = error.exit_code
    sys.stdout.flush()  # else what is buffered would be at the interpreter's end
    return code if isinstance(code, int) else 0


def _fail(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Show why the command failed; gives its exit code."""
    from sparkctl.output import failure

    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return failure.show_interrupted(as_json=as_json)
    if isinstance(error, NO_ARGUMENTS):
        error.show()
        return error.exit_code
    if isinstance(error, click.ClickException):
        error = usage_error(error)
    if isinstance(error, OutputError):
        discard(1)  # what is buffered would fail again
    if isinstance(error, SparkctlError):
        failure.show(error, as_json=as_json, debug=debug)
        return error.exit_code
    failure.show_internal(error, as_json=as_json)
    return 1
