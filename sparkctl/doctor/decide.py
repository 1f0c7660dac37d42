"""Where a log alone cannot tell causes apart, the checks on the nodes that can."""

from __future__ import annotations

from sparkctl.fabric.nccllog.model import LogVerdict

NO_DEVICE = ("fabric.devices", "fabric.halves", "fabric.uverbs", "fabric.libraries", "fabric.hca")
ADDRESSES = ("fabric.addresses", "fabric.gid", "fabric.gid-index", "fabric.pairing")
PATH = ("fabric.mtu", "fabric.ping", "fabric.loss", "fabric.subnets")
DECIDING: dict[str, tuple[str, ...]] = {
    "ib-disabled": ("settings",),
    "net-forced-socket": ("settings", *NO_DEVICE),
    "hca-filter-no-match": NO_DEVICE,
    "no-device": NO_DEVICE,
    "libibverbs-missing": ("fabric.libraries",),
    "device-open-denied": ("fabric.uverbs",),
    "net-ib-unavailable": NO_DEVICE,
    "ifname-no-match": ("fabric.interfaces",),
    "gid-family-mismatch": ADDRESSES,
    "gid-empty-slot": ADDRESSES,
    "peer-timeout": (*ADDRESSES, *PATH),
    "no-route": (*ADDRESSES, *PATH),
    "retry-exceeded": PATH,
    "memory-registration": ("fabric.memlock", "host.kernel"),
    "mixed-transports": (*NO_DEVICE, "settings"),
    "one-half-only": NO_DEVICE,
}


def deciding(verdict: LogVerdict) -> list[str]:
    """The checks, by id, that decide between what the log leaves open; none when nothing is."""
    return list(
        dict.fromkeys(
            check for finding in verdict.findings for check in DECIDING.get(finding.cause, ())
        )
    )
