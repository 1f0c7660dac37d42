"""What a process needs to use RDMA: uverbs devices, rdma-core, locked memory, no loss."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from sparkctl.doctor import applies
from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.checks.memlock import memlock
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import Missing, Unread, known
from sparkctl.node.portcounters import LOSS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import Data
    from sparkctl.facts.groups import Counters

# The drivers whose devices have rdma-core's name for the provider, unless udev renames them.
PROVIDERS = frozenset({*LOSS, "mlx4", "siw", "efa", "qedr", "cxgb4"})
KERNEL_NAME = re.compile(r"(\w+?)_?\d+")
LOSS_NAMES = tuple(name for names in LOSS.values() for name in names)


def uverbs(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Each HCA's uverbs device exists, and the SSH user may open it."""
    found, user = known(snapshot.facts(name).verbs).uverbs, snapshot.facts(name).user
    for hca in snapshot.choice(name).hcas:
        device = found.get(hca)
        where = device.path if device else "/sys/class/infiniband_verbs/*/ibdev"
        if device is None or device.error == "ENOENT":
            yield _no_uverbs(hca, where)
        elif device.error:
            yield fail(
                f"{user} may not open {hca}'s uverbs device: {device.error}",
                Evidence("open for reading and writing", device.error, where),
                Remedy(
                    "install rdma-core's udev rules, which make it 0666; without them, or in a"
                    f" container, let {user} open it",
                    (f"ls -l {where}", "sudo udevadm trigger --subsystem-match=infiniband_verbs"),
                ),
                code="uverbs-denied",
                data={"hca": hca, "path": where, "user": user, "error": device.error},
            )
        else:
            yield ok(f"{hca}: {where} opens", data={"hca": hca, "path": where})


def _no_uverbs(hca: str, where: str) -> Finding:
    return fail(
        f"{hca} has no uverbs device, so NCCL does not find it although sysfs lists it",
        Evidence("a character device", "none", where),
        Remedy(
            "load ib_uverbs; in a container pass --device /dev/infiniband --cap-add IPC_LOCK"
            " --ulimit memlock=-1",
            ("sudo modprobe ib_uverbs", "ls -l /dev/infiniband"),
        ),
        code="uverbs-missing",
        data={"hca": hca, "path": where},
    )


def libraries(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """rdma-core's libibverbs loads, and has the provider for the HCAs."""
    found, hcas = known(snapshot.facts(name).verbs), snapshot.choice(name).hcas
    remedy = Remedy(
        "install rdma-core's libraries", ("sudo apt-get install libibverbs1 ibverbs-providers",)
    )
    if found.library:
        yield fail(
            "libibverbs.so.1 does not load; NCCL would use TCP",
            Evidence("libibverbs.so.1 loads", found.library, "dlopen"),
            remedy,
            code="libibverbs-missing",
            data={"error": found.library},
        )
        return
    providers = {hca: provider(snapshot, name, hca) for hca in hcas}
    missing = sorted({p for p in providers.values() if p} - {*found.providers})
    unclear = [hca for hca, needed in providers.items() if needed is None]
    for needed in missing:
        listed = ", ".join(found.providers) or "none"
        yield fail(
            f"rdma-core's provider {needed} is missing, so NCCL finds no device",
            Evidence(f"lib{needed}", listed, "/usr/lib/*/libibverbs"),
            remedy,
            code="provider-missing",
            data={"provider": needed, "providers": found.providers},
        )
    if unclear:
        text = f"which of rdma-core's providers {', '.join(unclear)} needs is unknown"
        yield unknown(text, code="provider-unknown", data={"hcas": unclear})
    elif not missing:
        yield ok("libibverbs loads and has the provider for the HCAs")


def provider(snapshot: Snapshot, name: str, hca: str) -> str | None:
    """The provider that a device needs: by its counters, else by the kernel's name for it; mlx5 for
    any other PCI device, as a Spark's are ConnectX-7. None where that cannot be decided.
    """
    counters = snapshot.facts(name).counters
    found = _of(None if isinstance(counters, Unread) else counters, hca)
    for candidate, names in LOSS.items():
        if not found.keys().isdisjoint(names):
            return candidate
    if (match := KERNEL_NAME.fullmatch(hca)) and match[1] in PROVIDERS:
        return match[1]
    if isinstance(counters, Unread):
        return None
    return "mlx5" if known(snapshot.facts(name).ib)[hca].pci else None


def loss(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """No error counter grows between two looks: RoCE loses packets where one does."""
    hcas, peers = snapshot.choice(name).hcas, snapshot.seen(snapshot.looks.peers, name)
    looks: list[tuple[str, Counters | None, Counters | None]] = [
        ("doctor sent pings", known(snapshot.facts(name).counters), peers.counters)
    ]
    # RDMA's own counters move by RDMA traffic, not by pings; without a vLLM there is none.
    with suppress(Missing):
        found = snapshot.seen(snapshot.looks.generation, snapshot.inventory.head.name)
        looks.append(("tokens were generated", found.before.get(name), found.after.get(name)))
    for hca in hcas:
        for when, before, after in looks:
            yield _growth(hca, when, _of(before, hca), _of(after, hca))


def _of(counters: Counters | None, hca: str) -> Mapping[str, int]:
    """A device's counters; none if they could not be read."""
    return counters[hca] if counters is not None and hca in counters else {}


def _growth(hca: str, when: str, before: Mapping[str, int], after: Mapping[str, int]) -> Finding:
    growth, unread = _compared(before, after)
    if any(growth.values()):
        return _lost(hca, when, {name: events for name, events in growth.items() if events})
    data: Data = {"hca": hca, "counters": [*growth, *unread]}
    if unread or not growth:
        what = ", ".join(unread) or "the counters of lost packets"
        return unknown(f"{what} of {hca} could not be read while {when}", data=data)
    events = sum(after[name] for name in growth)
    since_boot = f" ({events} events since boot)" if events else ""
    return ok(f"{hca} lost no packets while {when}{since_boot}", data=data)


def _compared(
    before: Mapping[str, int], after: Mapping[str, int]
) -> tuple[dict[str, int], list[str]]:
    """How much each counter of loss grew, and those that only one of the looks has."""
    names = {name for name in LOSS_NAMES if name in before and name in after}
    growth = {name: max(after[name] - before[name], 0) for name in LOSS_NAMES if name in names}
    return growth, [name for name in LOSS_NAMES if (name in before) != (name in after)]


def _lost(hca: str, when: str, grown: Mapping[str, int]) -> Finding:
    listed = ", ".join(f"{name} +{events}" for name, events in grown.items())
    where = f"/sys/class/infiniband/{hca}/ports/1/hw_counters"
    return warn(
        f"{hca} lost packets while {when}: {listed}",
        Evidence("no growth", listed, where),
        Remedy("check MTU and cable on the whole path, and PFC and ECN on the switch"),
        code="packets-lost",
        data={"hca": hca, "counters": list(grown)},
    )


CHECKS = (
    Check("fabric.uverbs", "node", uverbs, preflight=True),
    Check("fabric.memlock", "node", memlock, preflight=True, lacks=applies.host),
    Check("fabric.libraries", "node", libraries, preflight=True, lacks=applies.host),
    Check("fabric.loss", "node", loss, needs=(Source.PEERS, Source.GENERATION)),
)
