"""sparkctl node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sparkctl.cli.groups import Command, Group
from sparkctl.cli.options import break_lock_option, inventory_option, json_option
from sparkctl.cli.terminal import confirm, interactive
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sparkctl.operations.install.plan import Asked, Step

PACKAGES = ("vllm", "ray", "sglang", "torch")


# How --help groups the options.
SECTIONS = {
    "Versions": (*PACKAGES, "python"),
    "Where packages come from": ("index_url", "extra_index_url", "find_links", "no_index"),
    "Consent": ("yes", "break_lock", "accept_new"),
}


@click.group(cls=Group)
def node() -> None:
    """Install vLLM and Ray, or SGLang, on the nodes.

    \b
    Examples:
      # The pinned versions, on all nodes
      sparkctl node install
    """


def _version_options(command: Callable[..., object]) -> Callable[..., object]:
    for name in reversed(PACKAGES):
        command = click.option(
            f"--{name}", metavar="VERSION", help=f"Install this version of {name}, not the pinned."
        )(command)
    return command


@node.command(cls=Command, sections=SECTIONS)
@inventory_option
@json_option
@click.option(
    "--node",
    "names",
    multiple=True,
    metavar="NODE",
    help="Install on this node alone; may be repeated.",
)
@_version_options
@click.option(
    "--python",
    default="",
    metavar="PYTHON",
    help="Use this Python of the nodes: a version such as 3.12, a name or a path (python3).",
)
@click.option(
    "--index-url",
    default="",
    metavar="URL",
    envvar="SPARKCTL_INDEX_URL",
    help="Take packages from this index (or SPARKCTL_INDEX_URL, for one with a password); else the"
    " nodes' own pip or uv configuration decides.",
)
@click.option(
    "--extra-index-url", multiple=True, metavar="URL", help="Take packages from this index too."
)
@click.option(
    "--find-links",
    multiple=True,
    metavar="FOLDER",
    help="Take wheels from this folder of the nodes.",
)
@click.option("--no-index", is_flag=True, help="Take packages from --find-links alone.")
@click.option("--yes", is_flag=True, help="Replace a virtual environment that differs, unasked.")
@break_lock_option
@click.option("--accept-new", is_flag=True, help="Record the keys of unknown hosts.")
def install(
    inventory: Path,
    *,
    as_json: bool,
    names: tuple[str, ...],
    yes: bool,
    break_lock: bool,
    accept_new: bool,
    **options: Any,
) -> None:
    """Make runtime.venv on all nodes at once: one Python, pinned vLLM, Ray and torch, or SGLang.

    A virtual environment that has these versions is kept, with any Python that the nodes of a
    service have in common. One that differs is replaced after asking; without a terminal --yes is
    required. It is built in a folder next to its path and moved there when all can be imported.
    Ctrl-C takes back what is not complete. What a lost connection or a killed command has left
    goes on; the next run continues it.

    \b
    Examples:
      # The pinned versions, on all nodes
      sparkctl node install
      # One node, after it was replaced
      sparkctl node install --node spark-2
      # Another vLLM, from wheels that the nodes have
      sparkctl node install --vllm 0.32.0 \\
        --no-index --find-links /srv/wheels
    """
    from sparkctl.cli.context import chosen, open_session
    from sparkctl.engines.inventory import load
    from sparkctl.operations.install.run import install as carry_out
    from sparkctl.output.install import print_report
    from sparkctl.output.progress.reporter import reporting

    asked = _asked(options)
    chosen(load(inventory), names)  # a typo fails before any node is reached
    with (
        reporting() as progress,
        open_session(
            inventory, partial=True, accept_new=accept_new, facts=False, reporter=progress
        ) as session,
    ):
        report = carry_out(
            session,
            chosen(session.inventory, names),
            asked,
            progress,
            consent=(lambda _: None) if yes else ask,
            force=break_lock,
        )
    print_report(report, as_json=as_json)


def _asked(options: dict[str, Any]) -> Asked:
    """What the options ask for. Raises UsageError."""
    from sparkctl.errors import UsageError
    from sparkctl.operations.install.plan import Asked

    if options["no_index"] and not options["find_links"]:
        raise UsageError(
            "--no-index requires --find-links",
            hint="name the folder of the nodes that has the wheels",
        )
    for folder in options["find_links"]:
        if not folder.startswith(("/", "~/")):
            raise UsageError(
                f"--find-links: expected a path that begins with / or ~/, got {folder!r}",
                hint="it is a folder of the nodes, not of this machine",
            )
    return Asked(
        versions={name: options[name] for name in PACKAGES if options[name]},
        python=options["python"],
        index_url=options["index_url"],
        extra_index_urls=options["extra_index_url"],
        find_links=options["find_links"],
        no_index=options["no_index"],
    )


def ask(replaced: Sequence[Step]) -> None:
    """Ask whether virtual environments may be replaced, with all that is in them.

    Raises UsageError without a terminal, Interrupted when the answer is no.
    """
    from sparkctl.errors import Interrupted, UsageError

    count = len(replaced)
    what = counted(count, "virtual environment")
    lines = "\n".join(f"  {step}" for step in replaced)
    if not interactive():
        raise UsageError(
            f"{what} would be replaced:\n{lines}",
            hint="--yes replaces without asking; set runtime.venv to another path to keep what is"
            " there",
            code="consent-required",
            data={
                "nodes": [step.goal.node.name for step in replaced],
                "differences": [str(step) for step in replaced],
            },
        )
    if not confirm(f"{what} differ{'s' * (count == 1)}:\n{lines}\nBuild new and remove the old?"):
        raise Interrupted("nothing was changed")
