"""Which checks, and which of their findings, show each cause that the log reader names."""

from __future__ import annotations

IB_DISABLE = "NCCL_IB_DISABLE"
# Of a service in containers the second decides: the host's libraries and limits are not its own.
LIBRARIES = ("fabric.libraries", "container.rdma")
MEMLOCK = ("fabric.memlock", "container.memlock", "running.verbs")
NO_DEVICE = ("fabric.devices", "fabric.halves", "fabric.uverbs", *LIBRARIES, "fabric.hca")
ADDRESSES = ("fabric.addresses", "fabric.gid", "fabric.gid-index", "fabric.pairing")
PATH = ("fabric.mtu", "fabric.ping", "fabric.loss", "fabric.subnets")
SETTINGS = ("settings", "running.environment")
# The checks that decide each cause of a log, and each candidate for one (fabric/nccllog/advice.py).
DECIDING: dict[str, tuple[str, ...]] = {
    "ib-disabled": SETTINGS,
    "net-forced-socket": SETTINGS,
    "plugin-only": SETTINGS,
    "hca-filter-no-match": ("fabric.devices", "fabric.hca"),
    "hca-filter": ("fabric.devices", "fabric.hca"),
    "no-device": NO_DEVICE,
    "net-ib-unavailable": NO_DEVICE,
    "no-hardware": ("fabric.devices",),
    "port-down": ("fabric.halves",),
    "uverbs-missing": ("fabric.uverbs", "container.rdma", "running.verbs"),
    "device-open-denied": ("fabric.uverbs",),
    "provider-missing": LIBRARIES,
    "libibverbs-missing": LIBRARIES,
    "ifname-no-match": ("fabric.interfaces",),
    "gid-family-mismatch": ADDRESSES,
    "gid-empty-slot": ADDRESSES,
    "peer-timeout": (*ADDRESSES, *PATH),
    "no-route": (*ADDRESSES, *PATH),
    "retry-exceeded": PATH,
    "ring-without-diagonal": ("fabric.pairing",),
    "mtu-mismatch": ("fabric.mtu", "fabric.ping"),
    "loss": ("fabric.loss", "fabric.ping"),
    "peer-died": ("running.ranks",),
    "memory-registration": (*MEMLOCK, "host.kernel"),
    "memlock-limit": MEMLOCK,
    "kho-kernel": ("host.kernel",),
    "settings-differ": SETTINGS,
    "mixed-transports": (*NO_DEVICE, *SETTINGS),
    "one-half-only": ("fabric.halves", "fabric.addresses", "fabric.hca"),
    "unknown": (*NO_DEVICE, *SETTINGS),
}
# The codes by which these checks show the cause; without an entry, every FAIL and WARN does.
CODES: dict[str, frozenset[str]] = {
    "uverbs-missing": frozenset({"uverbs-missing", "uverbs-hidden"}),
    "device-open-denied": frozenset({"uverbs-denied"}),
    "provider-missing": frozenset({"provider-missing"}),
    "libibverbs-missing": frozenset({"libibverbs-missing"}),
    "memlock-limit": frozenset({"memlock-limit", "memlock-low"}),
}
# The variables by which SETTINGS show the cause.
VARIABLES: dict[str, tuple[str, ...]] = {
    "ib-disabled": (IB_DISABLE,),
    "net-forced-socket": ("NCCL_NET",),
    "plugin-only": ("NCCL_NET", "NCCL_NET_PLUGIN"),
}

# These are decided by what NCCL_IB_HCA, as the log has it or unset, selects of a node's devices:
# `up` may set another value.
BY_SELECTION = ("hca-filter-no-match", "hca-filter", "port-down")
# The log of one end names these, and either end may be the cause.
OF_BOTH_ENDS = (
    "gid-family-mismatch",
    "gid-empty-slot",
    "peer-timeout",
    "no-route",
    "retry-exceeded",
    "ring-without-diagonal",
)
# The check that names the right node, where several show the cause: a ping fails on both nodes.
EXACT = {"mtu-mismatch": "fabric.mtu"}
# The check without which nothing is ruled out: a process in a container has a /dev of its own.
REQUIRED = {"uverbs-missing": "running.verbs"}
