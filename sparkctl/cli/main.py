"""The command line's root: lazy commands, and how errors end."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

import click

from sparkctl import __version__
from sparkctl.errors import Interrupted, SparkctlError, UsageError
from sparkctl.output.clean import cleaned

if TYPE_CHECKING:
    from collections.abc import Sequence

# Name, where it is, and its line in --help: a command's module is imported when it is called.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("sparkctl.cli.init:init", "Write a commented starter inventory and env layers."),
    "validate": ("sparkctl.cli.validate:validate", "Check the inventory; contact no node."),
    "env": ("sparkctl.cli.env:env", "Print each node's effective environment and its origins."),
    "plan": ("sparkctl.cli.plan:plan", "Print the exact commands that up would use."),
    "up": ("sparkctl.cli.up:up", "Start Ray and vLLM, until a real completion comes back."),
    "status": ("sparkctl.cli.status:status", "Show what runs where, and whether it serves."),
    "logs": ("sparkctl.cli.logs:logs", "Show Ray's or vLLM's log on a node."),
    "doctor": (
        "sparkctl.cli.doctor:doctor",
        "Find why the fabric is slow or the start fails: cause, evidence, cure.",
    ),
    "fabric": ("sparkctl.cli.fabric:fabric", "Show the fabric, and what NCCL takes of it."),
    "down": ("sparkctl.cli.down:down", "Stop what is ours, remove what we wrote."),
    "lab": ("sparkctl.cli.lab:lab", "Imitated Sparks on this Linux machine."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use, so that --help costs nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
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
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sparkctl")
@click.option("--debug", is_flag=True, help="Show tracebacks and every remote command.")
def cli(debug: bool) -> None:
    """Run large models across NVIDIA DGX Spark (GB10) nodes with Ray and vLLM.

    Exit codes: 0 done; 1 the operation failed; 2 usage or inventory; 3 a check found a failure;
    130 interrupted.
    """
    if debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)


def run(argv: Sequence[str]) -> int:
    """Run one command; gives the exit code (see the contract in --help)."""
    _open_closed()
    try:
        with cleaned():
            code = _run(argv)
            print(end="", flush=True)  # else what is buffered would be at the interpreter's end
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
    _end_as_by_ctrl_c()
    try:
        code = cli.main(args=list(argv), prog_name="sparkctl", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return interrupted(as_json=as_json)
    except click.ClickException as error:
        error.show()
        if as_json:
            _emit(UsageError(error.format_message(), hint="--help lists what there is"))
        return error.exit_code
    except BrokenPipeError:
        raise
    except SparkctlError as error:
        from sparkctl.output.failure import show

        if debug:
            traceback.print_exc()
        show(error, as_json=as_json)
        return error.exit_code
    except Exception as error:
        from sparkctl.output.failure import show_internal

        if debug:
            traceback.print_exc()
        show_internal(error, as_json=as_json)
        return 1


def interrupted(*, as_json: bool) -> int:
    """What Ctrl-C ends with."""
    error = Interrupted("interrupted")
    click.echo(error.message, err=True)
    if as_json:
        _emit(error)
    return error.exit_code


def _emit(error: SparkctlError) -> None:
    from sparkctl.output.failure import emit

    emit(error)


def _discard(*streams: int) -> None:
    """Have what is written there from now on go nowhere."""
    for stream in streams:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def _end_as_by_ctrl_c() -> None:
    """`kill` and a terminal that is closed undo what Ctrl-C undoes; nohup's HUP stays ignored."""

    def interrupt(number: int, _frame: object) -> None:
        if number == signal.SIGHUP:  # from now on each word to the terminal would be an error
            _discard(*terminals)
        raise KeyboardInterrupt

    terminals = [stream for stream in (1, 2) if os.isatty(stream)]

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, interrupt)
