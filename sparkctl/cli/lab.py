"""sparkctl lab."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sparkctl.cli.fault import fault, faults, heal
from sparkctl.cli.groups import Group
from sparkctl.cli.options import form_option, json_option, lab_option

if TYPE_CHECKING:
    from sparkctl.output.stdio import Form


def cache_folder() -> Path:
    """Where the lab keeps what is slow to make: its runtime, model, compiled code."""
    return Path(os.environ.get("SPARKCTL_CACHE", "~/.cache/sparkctl")).expanduser()


@click.group(cls=Group)
def lab() -> None:
    """Run imitated Sparks on this Linux machine.

    Real: sshd, Ray, vLLM, network namespaces. Imitated: the GPU, the RDMA devices and a small
    model. Requires root.

    \b
    Examples:
      # Two imitated Sparks, which serve a model
      sparkctl lab up
      cd /var/lib/sparkctl-lab && sparkctl up
      # Break something, and let doctor find it
      sparkctl lab fault mtu-1500
      sparkctl doctor
      # Remove them
      sparkctl lab down
    """


class LeadingOptions(click.Command):
    """A command whose options end at the second argument: what follows is another program's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse its own options and its first argument; the rest stays as it is."""
        own, words = [], list(args)
        node: list[str] = []
        while words:
            word = words.pop(0)
            if word == "--":
                if not node:
                    node, words = words[:1], words[1:]
                    words = words[1:] if words[:1] == ["--"] else words
                break
            if word.startswith("-") and word != "-":
                own.append(word)
                if self._takes_value(word):
                    if not words:
                        raise click.BadOptionUsage(
                            word, f"Option {word} requires an argument.", ctx
                        )
                    own.append(words.pop(0))
            elif node:
                words.insert(0, word)
                break
            else:
                node.append(word)
        return super().parse_args(ctx, [*own, "--", *node, *words])

    def _takes_value(self, word: str) -> bool:
        return any(
            word in param.opts
            for param in self.params
            if isinstance(param, click.Option) and not param.is_flag
        )


@lab.command()
@click.option(
    "--nodes", type=int, metavar="NUMBER", default=2, show_default=True, help="Make 1 to 16 nodes."
)
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
    """Make the lab and write its inventory.

    A lab that runs already is kept. The inventory is inventory.yaml in its folder.

    \b
    Examples:
      # Two nodes
      sparkctl lab up
      # Four nodes with docker
      sparkctl lab up --nodes 4 --containers docker
      # In another folder
      sparkctl lab up --dir /lab
    """
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
    """Show the lab's nodes and what of them is imitated.

    \b
    Examples:
      # Nodes, addresses, active faults
      sparkctl lab status
      # For another program
      sparkctl lab status -o json
    """
    from sparkctl.lab import lab as labs
    from sparkctl.output.lab import print_lab

    print_lab(labs.status(folder), form)


@lab.command()
@lab_option
def down(folder: Path) -> None:
    """Remove the lab, also what a crash left of one.

    \b
    Examples:
      # The default lab
      sparkctl lab down
      # The lab of another folder
      sparkctl lab down --dir /lab
    """
    from sparkctl.lab import lab as labs
    from sparkctl.output.lab import print_removed

    print_removed(labs.down(folder))


@lab.command(cls=LeadingOptions)
@lab_option
@click.argument("node")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(folder: Path, node: str, command: tuple[str, ...]) -> None:
    """Open a shell on NODE, or run COMMAND there, as ssh(1) does.

    Options before COMMAND, also after NODE, are sparkctl's; all after its first word, or after --,
    is the command.

    \b
    Examples:
      # A shell
      sparkctl lab ssh spark-1
      # A command
      sparkctl lab ssh spark-1 nvidia-smi -L
      # A node of another lab
      sparkctl lab ssh spark-1 --dir /lab -- ip -br addr
    """
    from sparkctl.errors import UsageError
    from sparkctl.lab import lab as labs
    from sparkctl.text import nearest

    found = labs.find(folder)
    address = {n.name: n.address for n in found.nodes}.get(node) if found else None
    if found is None:
        hint = f"run `sparkctl lab up --dir {folder}`; SPARKCTL_LAB_DIR or --dir names another lab"
        raise UsageError(f"no lab is up in {folder}", hint=hint, code="lab-not-up")
    if address is None:
        known = [n.name for n in found.nodes]
        raise UsageError(
            f'unknown node "{node}"{nearest(node, known)}',
            hint=f"the lab's nodes are {', '.join(known)}; --dir names another lab",
            code="lab-node-unknown",
            data={"node": node, "nodes": known},
        )
    settings = {
        "IdentityFile": found.base / "client_key",
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": found.base / "known_hosts",
        "StrictHostKeyChecking": "yes",
        "LogLevel": "ERROR",
    }
    options = [word for k, v in settings.items() for word in ("-o", f"{k}={v}")]
    # Without the user's own configuration, which may mean other machines.
    os.execvp("ssh", ["ssh", "-F", "none", *options, "-l", "root", "--", address, *command])


for command in (fault, heal, faults):
    lab.add_command(command)
