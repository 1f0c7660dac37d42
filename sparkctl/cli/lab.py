"""sparkctl lab."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sparkctl.cli.fault import fault, faults, heal
from sparkctl.cli.options import form_option, json_option, lab_option

if TYPE_CHECKING:
    from sparkctl.output.stdio import Form


def cache_folder() -> Path:
    """Where the lab keeps what is slow to make: its runtime, model, compiled code."""
    return Path(os.environ.get("SPARKCTL_CACHE", "~/.cache/sparkctl")).expanduser()


@click.group()
def lab() -> None:
    """Run imitated Sparks on this Linux machine: real sshd, Ray and vLLM in network namespaces."""


@lab.command()
@click.option("--nodes", type=int, default=2, show_default=True, help="Make 1 to 16 nodes.")
@lab_option
@click.option(
    "--runtime",
    type=click.Path(path_type=Path),
    envvar="SPARKCTL_LAB_RUNTIME",
    help="Take ray and vLLM from this virtual environment (or SPARKCTL_LAB_RUNTIME);"
    " env/setup makes one.",
)
@click.option("--no-model", is_flag=True, help="Make no model, which needs no runtime.")
@click.option(
    "--hardware",
    metavar="NAME",
    help="Imitate these RDMA devices: connectx-7 (a Spark's, the default), or soft-roce, which has"
    " no PCI function and other counters.",
)
@click.option(
    "--containers",
    metavar="ENGINE",
    help="Run a real container engine on each node, with an image that has ray and vLLM: docker,"
    " podman or both.",
)
@json_option
def up(
    nodes: int,
    folder: Path,
    runtime: Path | None,
    *,
    no_model: bool,
    hardware: str | None,
    containers: str | None,
    as_json: bool,
) -> None:
    """Make the lab and write its inventory."""
    from sparkctl.lab import lab as labs
    from sparkctl.output.lab import print_lab, print_made

    cache = cache_folder()
    runtime, model = runtime or cache / "runtime", not no_model
    made = labs.up(
        nodes,
        folder,
        runtime,
        cache / "lab",
        model=model,
        hardware=hardware,
        containers=containers,
    )
    if as_json:
        print_lab(labs.status(made.base), "json")
    else:
        print_made(made)


@lab.command()
@lab_option
@form_option
def status(folder: Path, form: Form) -> None:
    """Show the lab's nodes and what of them is imitated."""
    from sparkctl.lab import lab as labs
    from sparkctl.output.lab import print_lab

    print_lab(labs.status(folder), form)


@lab.command()
@lab_option
def down(folder: Path) -> None:
    """Remove the lab, also what a crash left of one."""
    from sparkctl.lab import lab as labs
    from sparkctl.output.lab import print_removed

    print_removed(labs.down(folder))


@lab.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@lab_option
@click.argument("node")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(folder: Path, node: str, command: tuple[str, ...]) -> None:
    """Open a shell on NODE, or run COMMAND there, as ssh(1) does."""
    from sparkctl.errors import UsageError
    from sparkctl.lab import lab as labs

    found = labs.find(folder)
    address = {n.name: n.address for n in found.nodes}.get(node) if found else None
    if found is None or address is None:
        known = ", ".join(n.name for n in found.nodes) if found else "none: `sparkctl lab up`"
        raise UsageError(
            f"the lab has no node {node}", hint=f"the lab has {known}; --dir names another lab"
        )
    settings = {
        "IdentityFile": found.base / "client_key",
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": found.base / "known_hosts",
        "StrictHostKeyChecking": "yes",
        "LogLevel": "ERROR",
    }
    options = [word for k, v in settings.items() for word in ("-o", f"{k}={v}")]
    words = command[1:] if command[:1] == ("--",) else command
    # Without the user's own configuration, which may mean other machines.
    os.execvp("ssh", ["ssh", "-F", "none", *options, "-l", "root", "--", address, *words])


for command in (fault, heal, faults):
    lab.add_command(command)
