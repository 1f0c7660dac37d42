"""The command line's root: lazy commands, and how errors end."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from sparkctl import __version__
from sparkctl.errors import SparkctlError, Terminated, UsageError
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
    "up": ("sparkctl.cli.up:up", "Start the engines, and wait for a real completion."),
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
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they run: --help stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of --help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of this name; None when there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown name gets the nearest known one in its error."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            if not near:
                raise
            text = f"{error.message} Did you mean {near[0]}?"
            raise click.UsageError(text, ctx=error.ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sparkctl")
@click.option("--debug", is_flag=True, help="Print every remote command and tracebacks on stderr.")
def cli(debug: bool) -> None:
    """Run large models across NVIDIA DGX Spark (GB10) nodes with vLLM or SGLang.

    Exit codes: 0 done; 1 the operation failed; 2 usage or inventory; 3 a check found a failure;
    130 interrupted. The debug logs of the last ten runs that contacted a node, or failed, are in
    ~/.local/state/sparkctl.
    """
    if debug:
        runlog.show()


def run(argv: Sequence[str]) -> int:
    """Run one command; gives its exit code, one of those in --help."""
    _open_closed()
    try:
        with cleaned(), runlog.recorded(argv):
            code = _run(argv)
            runlog.ended(code)
            sys.stdout.flush()  # else what is buffered would be at the interpreter's end
            return code
    except BrokenPipeError:
        # The reader of our stdout (head, less) has had enough.
        _discard(1, 2)
        return 1


def _open_closed() -> None:
    """Put os.devnull in place of each standard stream that was closed (`<&-`), which is None.

    In their order, so that each takes its own number and no socket does.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _run(argv: Sequence[str]) -> int:
    debug = "--debug" in argv
    as_json = "--json" in argv
    logging.getLogger("paramiko").setLevel(logging.DEBUG if debug else logging.CRITICAL)
    _handle_signals()
    try:
        code = cli.main(args=list(argv), prog_name="sparkctl", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        return _fail(error, as_json=as_json, debug=debug)


def _fail(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Show why the command failed; gives its exit code."""
    from sparkctl.output import failure

    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return failure.show_interrupted(as_json=as_json)
    if isinstance(error, click.ClickException):
        error.show()
        if as_json:
            hint = "--help lists the commands and options"
            failure.emit(UsageError(error.format_message(), hint=hint))
        return error.exit_code
    if isinstance(error, SparkctlError):
        failure.show(error, as_json=as_json, debug=debug)
        return error.exit_code
    failure.show_internal(error, as_json=as_json)
    return 1


def _discard(*streams: int) -> None:
    """Send what is written to these file descriptors from now on to os.devnull."""
    for stream in streams:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def _handle_signals() -> None:
    """Handle SIGTERM and a closed terminal (SIGHUP) as Ctrl-C; nohup's ignored HUP stays so."""

    def interrupt(number: int, _frame: object) -> None:
        if number == signal.SIGHUP:  # from now on each write to the terminal fails
            _discard(*terminals)
        raise Terminated

    terminals = [stream for stream in (1, 2) if os.isatty(stream)]

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, interrupt)
