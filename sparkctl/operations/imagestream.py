"""One image from a node to others, over the fabric; only the key of the transfer goes by SSH."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sparkctl.errors import CommandError, SparkctlError
from sparkctl.events import Doing
from sparkctl.facts.calls import RECEIVE_IMAGE, SEND_IMAGE
from sparkctl.facts.decode import decode
from sparkctl.node import containertools
from sparkctl.remote import node_rpc
from sparkctl.remote.fanout import GroupResult, each
from sparkctl.runtimes import container

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.events import Reporter
    from sparkctl.facts.calls import Call
    from sparkctl.facts.imageanswers import Room, Streamed
    from sparkctl.operations.session import Session
    from sparkctl.plan.images import Holding

LOOK = 0.5  # seconds between two looks at the progress
GB = 10**9
SETTLED = 1.0  # seconds until a rate means something
AGAIN = "run this command again"


@dataclass(frozen=True)
class Copied:
    """An image that a node has received: its bytes, and the seconds from the first to its load."""

    bytes: int
    seconds: float


@dataclass
class Arrival:
    """How far a receiver is."""

    bytes: int = 0
    loading: bool = False
    began: float = 0.0
    ended: bool = False
    copied: bool = False


@dataclass
class Transfer:
    """An image `name` from `source` to the engines of several nodes, whose `rooms` are known.

    `addresses`: for each target's node the source's address in their common subnet.
    """

    session: Session
    name: str
    source: Holding
    targets: Mapping[str, Holding]
    addresses: Mapping[str, str]
    rooms: Mapping[str, Room]
    sends: Room
    _key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    _over: threading.Event = field(default_factory=threading.Event)
    _open: threading.Event = field(default_factory=threading.Event)
    _done: threading.Event = field(default_factory=threading.Event)
    _ports: dict[str, int] = field(default_factory=dict)
    _arrivals: dict[str, Arrival] = field(default_factory=dict)
    _unsent: SparkctlError | None = None

    def run(self, reporter: Reporter) -> GroupResult[Copied]:
        """Copy it; each node's result or error is kept. Raises LeaseLostError."""
        self._arrivals = {node: Arrival() for node in self.targets}
        ends = [*self.targets, ""]
        try:
            found = each(ends, self._end, key=str, meanwhile=lambda: self._watch(reporter))
        except BaseException:
            self._over.set()  # each end sees its stdin closed, and ends
            raise
        if self.session.lease is not None:
            self.session.lease.check()
        failed = {n: self._cause(e) for n, e in found.failed.items() if n}
        return GroupResult({n: c for n, c in found.ok.items() if c}, failed)

    def _cause(self, error: SparkctlError) -> SparkctlError:
        """A stream breaks where the source fails."""
        return self._unsent or error

    def _end(self, node: str) -> Copied | None:
        """One end of the transfer: a target's, or the source's for ""."""
        try:
            if node:
                copied = self._receive(node)
                self._arrivals[node].copied = True
                return copied
            self._send()
        except SparkctlError as error:
            if not node:
                self._unsent = error
            raise
        finally:
            if node:
                self._arrivals[node].ended = True
            else:
                self._open.set()
            if all(arrival.ended for arrival in self._arrivals.values()):
                self._done.set()
        return None

    def _send(self) -> None:
        addresses = list(dict.fromkeys(self.addresses.values()))
        request = {
            "key": self._key,
            "addresses": addresses,
            "argv": container.save(self.source.tool, self.name),
            "scratch": _scratch(self.sends),
            "receivers": list(self.targets),
        }
        for event in self._events(self.source.node, SEND_IMAGE, request, f"send {self.name}"):
            if event is None:
                if self._done.is_set():  # nobody is left to receive it
                    return
            elif event.ports is not None:
                self._ports.update(zip(addresses, event.ports, strict=False))
                self._open.set()
            elif event.error is not None:
                raise self._failed(self.source.node, self.source, event)

    def _receive(self, node: str) -> Copied:
        target, address = self.targets[node], self.addresses[node]
        image = self.source.image.id if self.source.image else self.name
        tool = self.source.tool
        self._open.wait()
        if address not in self._ports:
            raise self._unsent or self._ended_early(node)
        request = {
            "key": self._key,
            "address": address,
            "port": self._ports[address],
            "name": node,
            "argv": container.load(target.tool),
            "scratch": _scratch(self.rooms[node]),
            "named": [
                *(container.named(target.tool, image, self.name) if tool != target.tool else ())
            ],
            "inspect": containertools.inspect_image(target.tool.name, self.name),
        }
        arrival = self._arrivals[node]
        for event in self._events(node, RECEIVE_IMAGE, request, f"receive {self.name}"):
            if event is None:
                continue
            if event.bytes is not None:
                arrival.began = arrival.began or time.monotonic()
                arrival.bytes, arrival.loading = event.bytes, event.loading
            if event.error is not None:
                raise self._failed(node, target, event)
            if event.image is not None:
                self._check(node, event.image)
                return Copied(arrival.bytes, round(time.monotonic() - arrival.began, 1))
        raise self._ended_early(node)

    def _events(
        self, name: str, call: Call[Streamed], request: dict[str, Any], title: str
    ) -> Iterator[Streamed | None]:
        """What one end prints; None at each silent moment. It ends with the transfer."""
        node, lease = self.session.node(name), self.session.lease
        asked = {"cluster": self.session.inventory.cluster, **request}
        guard = lease.guard(node) if lease else None
        command = node_rpc.call(call.target, asked, title=title, lease=guard)
        try:
            with self.session.connection(node).stream(command, timeout=LOOK) as lines:
                for line in lines:
                    if lease:
                        lease.check()
                    if self._over.is_set():
                        return
                    yield decode(call, line.encode(), name, title) if line else None
        except CommandError as error:
            if lease and error.data.get("status") == node_rpc.STALE:
                raise lease.refused(name, None) from error
            raise

    def _check(self, node: str, loaded: str) -> None:
        image = self.source.image
        if image is None or containertools.image_id(loaded) == containertools.image_id(image.id):
            return
        raise SparkctlError(
            f"{self.name} is another image there after it was loaded: {loaded}, not {image.id}",
            node=node,
            hint=f"{node} and {self.source.node} keep images in different stores (`docker info`,"
            " Storage Driver): use the same, or pull the image there",
            code="image-differs",
            data={"image": self.name, "id": loaded, "source": self.source.node},
        )

    def _failed(self, node: str, holding: Holding, event: Streamed) -> SparkctlError:
        source, tool = self.source.node, holding.tool.name
        address = self.addresses.get(node, "")
        at = f"{source} at {address}:{self._ports.get(address, 0)}"
        message, hint, code = {
            "unconnected": (
                f"cannot connect to {at}: {event.reason}",
                "a firewall may block it: allow TCP between the nodes' fabric addresses;"
                " `sparkctl doctor --check host.firewall` shows what blocks Ray",
                "image-unconnected",
            ),
            "refused": (
                f"what answered as {at} is not this transfer: {event.reason}",
                AGAIN,
                "image-refused",
            ),
            "broken": (f"the transfer from {source} broke: {event.reason}", AGAIN, "image-broken"),
            "unsaved": (
                f"{tool} cannot save {self.name}: {event.reason}",
                f"try `{tool} save {self.name} >/dev/null` on {node}",
                "image-unsaved",
            ),
            "unloaded": (
                f"{tool} cannot load {self.name}: {event.reason}",
                f"check `{tool} info` and the free room of its folder on {node}",
                "image-unloaded",
            ),
        }[event.error or "broken"]
        data = {"image": self.name, "source": source, "reason": event.reason}
        return SparkctlError(message, node=node, hint=hint, code=code, data=data)

    def _ended_early(self, node: str) -> SparkctlError:
        return SparkctlError(
            f"the transfer of {self.name} ended early",
            node=node,
            hint=AGAIN,
            code="image-broken",
            data={"image": self.name, "source": self.source.node},
        )

    def _watch(self, reporter: Reporter) -> None:
        """Report how far each node is, until all have ended."""
        total = max(1, self.source.image.size if self.source.image else 1)
        going = [*self._arrivals]
        while going:
            self._done.wait(LOOK)
            for node in [*going]:
                arrival = self._arrivals[node]
                if arrival.ended:
                    going.remove(node)
                    text = f"copied {gigabytes(arrival.bytes)}" if arrival.copied else "copy"
                    reporter.ended(node, text, "done" if arrival.copied else "failed")
                else:
                    title, percent, detail = how_far(arrival, total, time.monotonic())
                    reporter.part(node, Doing(title, percent, detail))


def _scratch(room: Room) -> str:
    return room.archive.path if room.scratch else ""


def how_far(arrival: Arrival, total: int, now: float) -> tuple[str, int | None, str]:
    """What a node is doing, its percentage, and figures such as `0.9 GB/s, 3.2 of 18.4 GB, 17 s
    left`.
    """
    if arrival.loading:
        return "loading", None, ""
    if not arrival.bytes:
        return "waiting for the first bytes", None, ""
    done = f"{_part(arrival.bytes, total)} of {gigabytes(total)}"
    percent = min(99, arrival.bytes * 100 // total)
    rate, *left = _pace(arrival, total, now) or [done]
    return "copying", percent, ", ".join([rate, done, *left] if left else [done])


def _pace(arrival: Arrival, total: int, now: float) -> list[str]:
    """The rate and the time that is left; nothing while they mean nothing."""
    seconds = now - arrival.began
    if not arrival.bytes or seconds <= SETTLED:
        return []
    rate = arrival.bytes / seconds
    return [f"{gigabytes(rate)}/s", f"{max(0, total - arrival.bytes) / rate:.0f} s left"]


def gigabytes(count: float) -> str:
    """Such as `18.4 GB`; MB below one."""
    return f"{_part(count, count)} {'GB' if count >= GB else 'MB'}"


def _part(count: float, total: float) -> str:
    """A part of `total` in the unit of that, which `gigabytes` names."""
    return f"{count / GB:.1f}" if total >= GB else f"{count / 1e6:.0f}"
