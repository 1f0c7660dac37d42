"""sparkctl lab."""

from __future__ import annotations

import os
from pathlib import Path

import click

from sparkctl.cli.fault import fault, faults, heal
from sparkctl.cli.options import json_option, lab_option


def cache_folder() -> Path:
    """Where the lab keeps what is slow to make: its runtime, model, compiled code."""
    return Path(os.environ.get("SPARKCTL_CACHE", "~/.cache/sparkctl")).expanduser()


@click.group()
def lab() -> None:
    """Imitated Sparks on this Linux machine: real sshd, Ray and vLLM in network namespaces."""


@lab.command()
@click.option("--nodes", type=int, default=2, show_default=True, help="1 to 16.")
@lab_option
@click.option(
    "--runtime",
    type=click.Path(path_type=Path),
    envvar="SPARKCTL_LAB_RUNTIME",
    help="Virtual environment with ray and vLLM (or SPARKCTL_LAB_RUNTIME); env/setup makes one.",
)
@click.option("--no-model", is_flag=True, help="Make no model (no runtime is needed then).")
@json_option
def up(nodes: int, folder: Path, runtime: Path | None, no_model: bool, as_json: bool) -> None:
    """Make the lab and write its inventory."""
    from sparkctl.cli.context import emit_json
    from sparkctl.lab import lab as labs

    cache = cache_folder()
    made = labs.up(nodes, folder, runtime or cache / "runtime", cache / "lab", model=not no_model)
    if as_json:
        emit_json(labs.status(made.base))
        return
    if made.existing:
        click.echo(f"the lab in {made.base} is up already")
    for node in made.nodes:
        click.echo(f"{node.name}: {node.address}")
    click.echo(f"next: sparkctl up -i {made.inventory}")


@lab.command()
@lab_option
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Show the lab's nodes and what of them is imitated."""
    from sparkctl.cli.context import emit_json
    from sparkctl.lab import lab as labs

    found = labs.status(folder)
    if as_json:
        emit_json(found or {"nodes": []})
    elif found is None:
        click.echo("no lab is up")
    else:
        for node in found["nodes"]:
            pid = f"pid {node['pid']}" if node["pid"] else "not running"
            ssh = "ssh answers" if node["ssh"] else "ssh does not answer"
            fabric = " ".join(node["fabric"].values()) or "none"
            click.echo(
                f"{node['name']}: {node['address']}, fabric {fabric}, {pid}, {ssh},"
                f" netns {node['netns']}"
            )
        for active in found["faults"]:
            click.echo(f"fault: {active['name']} on {active['node']}")
        for what in found["imitated"]:
            click.echo(f"imitated: {what}")


@lab.command()
@lab_option
def down(folder: Path) -> None:
    """Remove everything of the lab, also what a crash left."""
    from sparkctl.lab import lab as labs

    removed = labs.down(folder)
    click.echo(f"removed {', '.join(removed)}" if removed else "nothing to do")


@lab.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@lab_option
@click.argument("node")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(folder: Path, node: str, command: tuple[str, ...]) -> None:
    """Open a shell on NODE, or have it run COMMAND, as ssh(1) does."""
    from sparkctl.errors import UsageError
    from sparkctl.lab import lab as labs

    found = labs.find(folder)
    address = {n.name: n.address for n in found.nodes}.get(node) if found else None
    if found is None or address is None:
        known = ", ".join(n.name for n in found.nodes) if found else "none: `sparkctl lab up`"
        raise UsageError(f"the lab has no node {node}", hint=f"its nodes are {known}")
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
