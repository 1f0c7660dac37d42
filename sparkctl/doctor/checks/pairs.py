"""What two nodes' halves must have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.cabling import facing, known_halves, wiring
from sparkctl.doctor.finding import Evidence, Finding, fail, ok
from sparkctl.doctor.remedy import Remedy
from sparkctl.fabric.selection import check_pairing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot


SUBNETS = (
    "give each half of the cable a subnet of its own, the same on every node, or set that node's"
    " fabric.interfaces; in a ring of three no half reaches both others: set a management"
    " interface, and all four HCAs in fabric.hcas"
)
# By the codes of fabric/selection.py; of the others it is SUBNETS.
REMEDIES = {
    "duplicate-address": "give one of the two another address of the same subnet, in its network"
    " file as well",
    "hca-count": "bring up as many halves on every node, each with an address in the subnet of its"
    " peers, or set fabric.hcas of the nodes to as many",
    "no-rdma-device": "name that node's RDMA devices in fabric.hcas, or interfaces of theirs in"
    " fabric.interfaces",
}


def pairing(snapshot: Snapshot, one: str, two: str) -> Iterator[Finding]:
    """The chosen halves of two nodes fit: as many HCAs, facing each other, the sockets' interfaces
    in one subnet.
    """
    choices = {name: snapshot.choice(name) for name in (one, two)}
    others = [n for n in snapshot.reached if known_halves(snapshot, n)]
    among = {n: snapshot.choice(n) for n in others if snapshot.choice_error(n) is None}
    mismatches = check_pairing(choices, among)
    for mismatch in mismatches:
        yield fail(
            mismatch.text,
            Evidence(mismatch.expected, mismatch.got, f"{one} and {two}"),
            Remedy(REMEDIES.get(mismatch.code, SUBNETS)),
            node=mismatch.node,
            code=mismatch.code,
            data=mismatch.data,
        )
    fit = not mismatches
    if len(choices[one].hcas) == len(choices[two].hcas) > 0:
        for finding in facing(snapshot, wiring(snapshot), one, two, quiet=not fit):
            fit = False
            yield finding
    if fit:
        yield ok(f"the halves of {one} and {two} fit", node=two)


CHECKS = (Check("fabric.pairing", "pair", pairing, preflight=True),)
