"""`image sync`: the same image on all nodes of a service, copied from node to node."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError, UsageError, combined
from sparkctl.facts.calls import IMAGE_ROOM
from sparkctl.operations.imagestream import Copied, Transfer, gigabytes
from sparkctl.operations.lease import hold
from sparkctl.plan import images
from sparkctl.plan.fabric import pair_address
from sparkctl.remote.fanout import each
from sparkctl.runtimes import container

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sparkctl.events import Reporter
    from sparkctl.facts.imageanswers import Place, Room
    from sparkctl.operations.session import Session
    from sparkctl.plan.images import Holding, Wanted

LOOPBACK = "127.0.0.1"  # between two engines of one node


@dataclass(frozen=True)
class Synced:
    """What became of an image: its `source`, the nodes that had it, those that got it, and those
    that did not. `source` is None where no copy could be made.
    """

    image: Wanted
    source: Holding | None = None
    same: tuple[str, ...] = ()
    copied: Mapping[str, Copied] = field(default_factory=dict)
    failed: Mapping[str, SparkctlError] = field(default_factory=dict)


def sync(
    session: Session,
    reporter: Reporter,
    services: Sequence[str] = (),
    *,
    source: str | None = None,
    only: Collection[str] = (),
    break_lock: bool = False,
) -> list[Synced]:
    """Copy each image of these services (of all without one) to the nodes that lack it, or to
    `only` these; from `source`, or from where most nodes agree.

    Raises UsageError for names that do not fit, LockedError where another command holds the lease,
    LeaseLostError when one takes it over, RemoteError where no node can be reached. An error of one
    image or node is in the result.
    """
    names = involved(session, services, source, only)
    reached = [n for n in session.inventory.nodes if n.name in session.pool.connections]
    nodes = [n for n in reached if n.name in names]
    if not nodes:
        raise combined({n: e for n, e in session.pool.errors.items() if n in names})
    reporter.step("read the nodes' images")
    with hold(
        session, reporter.note, "image sync", nodes, force=break_lock, partial=True, read=True
    ) as failed:
        errors = {**session.pool.errors, **session.unread, **failed}
        facts = {n: f for n, f in session.facts.items() if n not in errors}
        found = images.wanted(session.inventory, services, facts, errors)
        return [_synced(session, reporter, image, source, only) for image in found]


def involved(
    session: Session, services: Sequence[str], source: str | None, only: Collection[str]
) -> set[str]:
    """The nodes of these services' images. Raises UsageError where a named node is none of them."""
    views = images.views(session.inventory, services)
    names = [n.name for view in views for n in view.nodes]
    for node in [*([source] if source else []), *only]:
        if node not in names:
            raise UsageError(
                f"{node} is no node of a service with an image",
                hint=f"these are {', '.join(names)}",
                code="node-without-image",
                data={"node": node, "nodes": names},
            )
    return {*names}


def _synced(
    session: Session,
    reporter: Reporter,
    image: Wanted,
    source: str | None,
    only: Collection[str],
) -> Synced:
    """One image; its errors are in the result, and so no image keeps the next from being copied."""
    failed = {n: e for n, e in image.errors.items() if not only or n in only}
    nodes = [n for n in image.nodes if not only or n in only]
    try:
        origin = images.source(image, source)
    except SparkctlError as error:
        return Synced(image, failed={**failed, **dict.fromkeys(_unsure(image, nodes), error)})
    used = {n: h for n in nodes if n not in failed and (h := image.used(n))}
    same = tuple(n for n, h in used.items() if images.same(h, origin))
    targets = {n: h for n, h in used.items() if n not in same}
    copied: Mapping[str, Copied] = {}
    if targets:
        title = f"copy {image.name} from {origin.node} to {', '.join(targets)}"
        reporter.step(f"{title} ({gigabytes(origin.image.size if origin.image else 0)})")
        copied, more = _copy(session, reporter, image, origin, targets)
        failed |= more
        if more:
            reporter.end("failed")
        for node in copied:
            _note_old(reporter, image, targets[node])
    return Synced(image, origin, same, copied, failed)


def _unsure(image: Wanted, nodes: Sequence[str]) -> list[str]:
    """The nodes that an error of the whole image is about."""
    return [n for n in nodes if n not in image.errors]


def _copy(
    session: Session,
    reporter: Reporter,
    image: Wanted,
    origin: Holding,
    targets: Mapping[str, Holding],
) -> tuple[Mapping[str, Copied], dict[str, SparkctlError]]:
    """Copy it to these nodes; what was copied, and why the others have failed."""
    failed: dict[str, SparkctlError] = {}
    addresses: dict[str, str] = {}
    for node in targets:
        try:
            addresses[node] = _address(session, origin.node, node)
        except SparkctlError as error:
            error.node = error.node or node
            failed[node] = error
    try:
        sends = _room(session, origin)
        _require(image.name, origin, (() if sends.scratch else (sends.archive,)), origin)
    except SparkctlError as error:
        return {}, {**failed, **dict.fromkeys(addresses, error)}
    rooms = each(
        [targets[n] for n in addresses],
        lambda target: _roomy(session, image.name, origin, target),
        key=lambda target: target.node,
    )
    failed |= rooms.failed
    ready = {n: targets[n] for n in rooms.ok}
    if not ready:
        return {}, failed
    at = {n: addresses[n] for n in ready}
    done = Transfer(session, image.name, origin, ready, at, rooms.ok, sends).run(reporter)
    return done.ok, {**failed, **done.failed}


def _address(session: Session, source: str, target: str) -> str:
    if source == target:
        return LOOPBACK
    nodes = [session.inventory.node(name) for name in (source, target)]
    return pair_address(session.inventory, nodes[0], nodes[1], session.facts)


def _room(session: Session, holding: Holding) -> Room:
    request = {"argv": container.store(holding.tool)}
    node = session.inventory.node(holding.node)
    return session.ask(node, IMAGE_ROOM, request, title="read the room for images")


def _roomy(session: Session, name: str, origin: Holding, target: Holding) -> Room:
    """Where the target keeps the image. Raises SparkctlError where it does not fit in."""
    room = _room(session, target)
    _require(name, origin, (room.images, room.archive), target)
    return room


def _require(name: str, origin: Holding, places: Sequence[Place], holding: Holding) -> None:
    """Raise SparkctlError where these places do not have the room for the image each."""
    size = origin.image.size if origin.image else 0
    for place in places:
        need = size * sum(other.device == place.device for other in places)
        if place.free < need:
            raise SparkctlError(
                f"not enough room for {name}: {place.path} has {gigabytes(place.free)} free,"
                f" {gigabytes(need)} are needed",
                node=holding.node,
                hint=f"`{holding.tool.name} system df` shows what its images and containers take",
                code="image-no-room",
                data={"image": name, "path": place.path, "free": place.free, "needed": need},
            )


def _note_old(reporter: Reporter, image: Wanted, before: Holding) -> None:
    if before.image is not None:
        old = images.short(before)
        reporter.note(
            f"{before.node}: image {old}, which was {image.name} before, stays without a name;"
            f" `{before.tool.name} image rm {old}` removes it"
        )
