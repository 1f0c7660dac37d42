"""sparkctl image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.groups import Group
from sparkctl.cli.options import break_lock_option, form_option, inventory_option, json_option

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.output.stdio import Form


@click.group(cls=Group)
def image() -> None:
    """Copy container images between nodes, and show which each node has.

    \b
    Examples:
      # Which node has which image
      sparkctl image list
      # Give all nodes of each service the same image
      sparkctl image sync
    """


@image.command()
@inventory_option
@json_option
@click.option("--from", "source", metavar="NODE", help="Copy the image that NODE has.")
@click.option(
    "--node", "nodes", multiple=True, metavar="NODE", help="Copy to this node alone; repeatable."
)
@break_lock_option
@click.option("--accept-new", is_flag=True, help="Record the keys of unknown hosts.")
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
def sync(
    inventory: Path,
    *,
    as_json: bool,
    source: str | None,
    nodes: tuple[str, ...],
    break_lock: bool,
    accept_new: bool,
    services: tuple[str, ...],
) -> None:
    """Copy each SERVICE's image to the nodes that lack it, from node to node over the fabric.

    The image is that of most nodes, unless --from names one. Nothing passes through this computer,
    and no registry is asked. Images that a node has already stay, also those that lose their name.
    Exits 1 when a node did not get the image.

    \b
    Examples:
      # Copy to every node that lacks it
      sparkctl image sync
      # One service, from the node that has the new image
      sparkctl image sync chat --from spark-1
    """
    from sparkctl.cli.context import check_services, named, open_session
    from sparkctl.engines.inventory import load
    from sparkctl.operations.imagesync import sync as copy
    from sparkctl.output.image import print_synced
    from sparkctl.output.progress.reporter import reporting
    from sparkctl.plan.images import views

    loaded = load(inventory)
    check_services(loaded, services)
    for name in (source, *nodes):
        named(loaded, name)
    views(loaded, services)
    with (
        reporting() as progress,
        open_session(
            inventory, partial=True, accept_new=accept_new, facts=False, reporter=progress
        ) as session,
    ):
        found = copy(session, progress, services, source=source, only=nodes, break_lock=break_lock)
    if not print_synced(found, as_json=as_json):
        raise click.exceptions.Exit(1)


@image.command(name="list")
@inventory_option
@form_option
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
def list_(inventory: Path, *, form: Form, services: tuple[str, ...]) -> None:
    """Show which image each node of each SERVICE has; change nothing.

    -o name prints the images' names. Exits 1 when that is not known of a node.

    \b
    Examples:
      # Every service
      sparkctl image list
      # One service, for another program
      sparkctl image list chat -o json
    """
    from sparkctl.cli.context import check_services, open_session
    from sparkctl.engines.inventory import load
    from sparkctl.output.image import print_listed
    from sparkctl.plan.images import views, wanted

    loaded = load(inventory)
    check_services(loaded, services)
    views(loaded, services)
    with open_session(inventory, partial=True, read_only=True) as session:
        errors = {**session.pool.errors, **session.unread}
        found = wanted(session.inventory, services, session.facts, errors)
    if not print_listed(found, form):
        raise click.exceptions.Exit(1)
