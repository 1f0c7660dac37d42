"""Whether each half of the chosen cage has an IPv4 address that somebody configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.checks.cabling import wiring
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.fabric.cabling import link_local

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import Data
    from sparkctl.fabric.cabling import Wiring
    from sparkctl.fabric.topology import Half


def addresses(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Each half has an IPv4 address, from which its RoCE v2 GID is made, and not only one that the
    node gave itself.
    """
    for half in snapshot.cage(name):
        data: Data = {"hca": half.hca, "interface": half.interface}
        if not half.ipv4:
            yield _missing(half, data)
        elif link_local(half.ipv4):
            yield _link_local(snapshot, name, half, {**data, "addresses": half.ipv4})
        else:
            yield ok(f"{half.interface} has {', '.join(half.ipv4)}", data=data)


def _missing(half: Half, data: Data) -> Finding:
    return fail(
        f"{half.interface} has no IPv4 address, so {half.hca} has no usable GID",
        Evidence("an IPv4 address", "none", f"ip address show {half.interface}"),
        Remedy(
            "give it an address in a subnet of its own, in netplan as well: an address set"
            " with ip(8) alone is lost on reboot",
            (f"sudo ip address add ADDRESS/24 dev {half.interface}",),
        ),
        code="address-missing",
        data=data,
    )


def _link_local(snapshot: Snapshot, name: str, half: Half, data: Data) -> Finding:
    """A failure if its peer has another address; else it works until the addresses change, which
    any start of the interface may do (RFC 3927, section 2.1).
    """
    peers = _elsewhere(wiring(snapshot), name, half)
    address, listed = ", ".join(half.ipv4), ", ".join(f"{a} on {n}" for n, a in peers.items())
    text = f"{half.interface} has only the link-local address {address}"
    if peers:
        text += f" (not configured, or DHCP failed), and its peer another subnet's: {listed}"
    else:
        text += ", which may change whenever the interface starts"
    return (fail if peers else warn)(
        text,
        Evidence(
            f"an address in the subnet of {listed}" if peers else "a configured address",
            address,
            f"ip address show {half.interface}",
        ),
        Remedy(
            "configure an address in a subnet of its own, the same subnet at both ends, in a"
            " network file of each node",
            ("sudoedit /etc/netplan/60-fabric.yaml", "sudo netplan apply"),
        ),
        code="link-local",
        data={**data, "peers": list(peers), "peer_addresses": list(peers.values())},
    )


def _elsewhere(found: Wiring, name: str, half: Half) -> dict[str, str]:
    """The addresses by node of the halves that may be its peer; empty if that is link-local too.

    A node with more configured halves that face nobody than this one has one that faces this half.
    A half that faces nobody itself has a configured peer, if all nodes are known.
    """
    others = [n for n, _ in found.used if n != name]
    lonely = {n: _lonely(found, n) for n in others}
    more = {n: halves for n, halves in lonely.items() if len(halves) > len(_lonely(found, name))}
    if not more and found.complete and not found.faced(name, half):
        more = {n: [h for h in found.halves(n) if name not in found.faced(n, h)] for n in others}
    return {n: ", ".join(a for h in halves for a in h.ipv4) for n, halves in more.items() if halves}


def _lonely(found: Wiring, name: str) -> list[Half]:
    """A node's configured halves that face nobody."""
    return [h for h in found.halves(name) if not link_local(h.ipv4) and not found.faced(name, h)]
