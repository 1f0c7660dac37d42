"""What a process needs to use RDMA: uverbs devices, rdma-core, locked memory, GIDs, no loss."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import Missing, known, required
from sparkctl.node.verbs import LOSS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.doctor.snapshot import View

CAP_IPC_LOCK = 14  # linux/capability.h: RLIMIT_MEMLOCK does not bind its holder
UNLIMITED = -1
MIB = 2**20
# NCCL registers its own buffers (NCCL_BUFFSIZE, 4 MiB a channel and peer), some hundred MiB: more
# than this may do, unless the application's are registered as well.
ENOUGH = 2**30


def uverbs(view: View, name: str) -> Iterator[Finding]:
    """Each HCA's uverbs device exists and the SSH user may open it."""
    found = known(view.facts(name).verbs).uverbs
    user = view.facts(name).user
    for hca in view.choice(name).hcas:
        device = found.get(hca)
        where = device.path if device else "/sys/class/infiniband_verbs/*/ibdev"
        if device is None or device.error == "ENOENT":
            yield fail(
                f"{hca} has no uverbs device: sysfs looks perfect and NCCL finds no device",
                Evidence("a character device", "none", where),
                Remedy(
                    "load ib_uverbs; in a container pass --device /dev/infiniband"
                    " --cap-add IPC_LOCK --ulimit memlock=-1",
                    ("sudo modprobe ib_uverbs", "ls -l /dev/infiniband"),
                ),
            )
        elif device.error:
            yield fail(
                f"{user} may not open {hca}'s uverbs device: {device.error}",
                Evidence("open for reading and writing", device.error, where),
                Remedy(
                    "rdma-core's udev rules make it 0666; without them, or in a container, let"
                    f" {user} open it",
                    (f"ls -l {where}", "sudo udevadm trigger --subsystem-match=infiniband_verbs"),
                ),
            )
        else:
            yield ok(f"{hca}: {where} opens")


def memlock(view: View, name: str) -> Iterator[Finding]:
    """Registering memory for RDMA locks it; the limit is the login's, CAP_IPC_LOCK lifts it."""
    user, limit = view.facts(name).user, known(view.facts(name).system).limits.memlock
    if limit == UNLIMITED:
        yield ok("memlock is unlimited")
    elif (
        required(known(view.facts(name).system).capabilities, "system.capabilities") >> CAP_IPC_LOCK
        & 1
    ):
        yield ok(f"memlock is {_size(limit)}, which CAP_IPC_LOCK lifts for {user}")
    else:
        enough = limit >= ENOUGH
        effect = "may fail" if enough else "fails"
        yield (warn if enough else fail)(
            f"memlock is {_size(limit)} for {user} over SSH: registering memory for RDMA {effect}"
            " with `Cannot allocate memory`",
            Evidence("unlimited", _size(limit), "ulimit -l of a login over SSH"),
            Remedy(
                "lift it for logins, then log in anew; in a container pass --cap-add IPC_LOCK"
                " --ulimit memlock=-1",
                ("echo '* - memlock unlimited' | sudo tee /etc/security/limits.d/90-rdma.conf",),
            ),
        )


def _size(limit: int) -> str:
    return f"{limit // MIB} MiB" if limit >= MIB else f"{limit // 1024} KiB"


def libraries(view: View, name: str) -> Iterator[Finding]:
    """rdma-core's libibverbs loads, and the provider for the HCAs is there."""
    found = known(view.facts(name).verbs)
    remedy = Remedy(
        "install rdma-core's libraries",
        ("sudo apt-get install libibverbs1 ibverbs-providers",),
    )
    if found.library:
        yield fail(
            "libibverbs.so.1 does not load: NCCL would use TCP",
            Evidence("libibverbs.so.1 loads", found.library, "dlopen"),
            remedy,
        )
    elif (wanted := _provider(view, name)) and wanted not in found.providers:
        listed = ", ".join(found.providers) or "none"
        yield fail(
            f"rdma-core's provider for these HCAs, {wanted}, is missing: NCCL finds no device",
            Evidence(f"lib{wanted}", listed, "/usr/lib/*/libibverbs"),
            remedy,
        )
    else:
        yield ok(f"libibverbs loads, with the provider {wanted or 'that is needed'}")


def _provider(view: View, name: str) -> str | None:
    """mlx5 for a PCI device (all of a Spark's are ConnectX-7), rxe for soft-RoCE."""
    hcas = view.choice(name).hcas
    if not hcas:
        return None
    return "mlx5" if known(view.facts(name).ib)[hcas[0]].pci else "rxe"


def loss(view: View, name: str) -> Iterator[Finding]:
    """Error counters that grow between two looks: RoCE loses packets."""
    looks = [("doctor looked", known(view.facts(name).counters), _after_pings(view, name))]
    # RDMA's own counters move by RDMA traffic, not by pings; without a vLLM there is none.
    with suppress(Missing):
        found = view.seen(view.looks.generation, view.inventory.head.name)
        before, after = (found[when].get(name, {}) for when in ("before", "after"))
        looks.append(("tokens were generated", before, after))
    for hca in view.choice(name).hcas:
        for when, before, after in looks:
            yield _grown(hca, when, before.get(hca, {}), after.get(hca, {}))


def _after_pings(view: View, name: str) -> Mapping[str, Any]:
    after: Mapping[str, Any] = view.seen(view.looks.peers, name).counters
    return after


def _grown(hca: str, when: str, before: dict[str, int], after: dict[str, int]) -> Finding:
    silent = [k for k in LOSS if k not in before or k not in after]
    grown = {k: after[k] - before[k] for k in LOSS if k not in silent and after[k] > before[k]}
    listed = ", ".join(f"{k} +{v}" for k, v in grown.items())
    if grown:
        return warn(
            f"{hca} loses packets: {listed} while {when}",
            Evidence("no growth", listed, f"/sys/class/infiniband/{hca}/ports/1/hw_counters"),
            Remedy("check MTU and cable on the whole way, and PFC/ECN on the switch"),
        )
    if silent:
        return unknown(f"{', '.join(silent)} of {hca} could not be read while {when}")
    total = sum(after[k] for k in LOSS)
    return ok(f"{hca}: no loss while {when}{f' ({total} events since boot)' if total else ''}")


CHECKS = (
    Check("fabric.uverbs", "node", uverbs, preflight=True),
    Check("fabric.memlock", "node", memlock, preflight=True),
    Check("fabric.libraries", "node", libraries, preflight=True),
    Check("fabric.loss", "node", loss, needs=(Source.PEERS, Source.GENERATION)),
)
