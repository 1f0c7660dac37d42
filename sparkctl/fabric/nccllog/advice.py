"""For each cause: what it is, what else it could be, and the remedy; pure.

Sources: NCCL 2.8 to 2.30.7, read in source, reports of DGX Spark users.
"""

from __future__ import annotations

from dataclasses import dataclass

from sparkctl.fabric.nccllog.model import Candidate, Cause, Fix

LIST_DEVICES = "ls /sys/class/infiniband"
LIST_STATES = "grep . /sys/class/infiniband/*/ports/1/state"
LIST_GIDS = "grep -H . /sys/class/infiniband/*/ports/1/gids/* | grep -v 0000:0000:0000:0000$"
SETTINGS_FILES = "grep -s NCCL /etc/nccl.conf ~/.nccl.conf ~/.bashrc ~/.profile /etc/environment"
SHOW_MORE = "set NCCL_DEBUG=INFO and NCCL_DEBUG_SUBSYS=INIT,ENV,NET, start again and read that log"
OWN_ENVIRONMENT = "NCCL_* in /proc/PID/environ, NCCL_CONF_FILE, ~/.nccl.conf and /etc/nccl.conf"

NO_DEVICE = (
    Candidate(
        "uverbs-missing",
        "`ls /dev/infiniband` as the process sees it; a container needs --device /dev/infiniband",
    ),
    Candidate(
        "provider-missing",
        "`ibv_devices` is empty although /sys/class/infiniband and uverbs are not: rdma-core's"
        " libmlx5 is missing",
    ),
    Candidate("port-down", f"`{LIST_STATES}`: only a port that is ACTIVE is taken"),
    Candidate("no-hardware", f"`{LIST_DEVICES}` is empty: no cable, or the NIC is off the bus"),
)
PEER_DIED = Candidate("peer-died", "the peer's log ends, or shows an error, before this one")


@dataclass(frozen=True)
class Advice:
    """A cause in words; a finding adds in brackets what the log says of it."""

    summary: str
    fix: Fix
    candidates: tuple[Candidate, ...] = ()


ADVICE: dict[Cause, Advice] = {
    "ib-disabled": Advice(
        "NCCL_IB_DISABLE turned RDMA off",
        Fix(
            "take NCCL_IB_DISABLE out of the env layers, the image, the shell profiles and"
            " nccl.conf of that node",
            (SETTINGS_FILES,),
        ),
    ),
    "net-forced-socket": Advice(
        "NCCL took Socket without RDMA having failed: NCCL_NET=Socket, which NCCL never prints",
        Fix(f"take NCCL_NET out; look in {OWN_ENVIRONMENT}", (SETTINGS_FILES,)),
    ),
    "hca-filter-no-match": Advice(
        "NCCL_IB_HCA selected no RDMA device, and NCCL fell back without an error",
        Fix(
            "list the RDMA device names of this node (not the interfaces), comma-separated,"
            " without spaces or quotes; the names may differ on each node",
            (LIST_DEVICES, LIST_STATES),
        ),
        NO_DEVICE,
    ),
    "no-device": Advice(
        "NCCL found no RDMA device with an ACTIVE port, and fell back without an error",
        Fix(
            "give the process the devices: in a container --device /dev/infiniband --cap-add"
            " IPC_LOCK --ulimit memlock=-1 --network host; on the host rdma-core and the cable",
            ("ls /dev/infiniband", LIST_STATES, "ibv_devices"),
        ),
        NO_DEVICE,
    ),
    "libibverbs-missing": Advice(
        "libibverbs could not be opened: no RDMA without it",
        Fix(
            "install rdma-core's libraries where the process runs, in the image too",
            ("sudo apt-get install libibverbs1 ibverbs-providers",),
        ),
    ),
    "device-open-denied": Advice(
        "an RDMA device is there and could not be opened",
        Fix(
            "let the user of the process open /dev/infiniband/uverbs*, in a container as well",
            ("ls -l /dev/infiniband", "id"),
        ),
    ),
    "net-ib-unavailable": Advice(
        "NCCL_NET demands RDMA, and NCCL could use none",
        Fix(
            "leave NCCL_NET unset and cure what keeps RDMA away",
            (LIST_STATES, "ls /dev/infiniband"),
        ),
    ),
    "ifname-no-match": Advice(
        "NCCL_SOCKET_IFNAME names no interface that is up and has an address",
        Fix(
            "name the interface that carries the fabric address on this node; names may differ on"
            " each node",
            ("ip -br address",),
        ),
    ),
    "gid-family-mismatch": Advice(
        "the two ends use GIDs of different families, or a pinned GID index is wrong",
        Fix(
            "give each half of the cable an IPv4 address on both nodes, and leave"
            " NCCL_IB_GID_INDEX unset",
            ("ip -br address", LIST_GIDS),
        ),
    ),
    "gid-empty-slot": Advice(
        "a pinned NCCL_IB_GID_INDEX points at an empty slot",
        Fix(
            "leave NCCL_IB_GID_INDEX unset: NCCL finds the IPv4 RoCE v2 entry of each HCA",
            (LIST_GIDS,),
        ),
    ),
    "peer-timeout": Advice(
        "the peer's HCA did not answer: the two are on different links or subnets",
        Fix(
            "name on each node the HCAs of the same cable, each half in the peer's subnet",
            ("ip -br address", LIST_STATES),
        ),
    ),
    "no-route": Advice(
        "no route from one HCA to the peer's",
        Fix(
            "give both ends of each half addresses in one subnet, a subnet of its own for each"
            " half",
            ("ip -br address", "ip route"),
        ),
    ),
    "retry-exceeded": Advice(
        "sends to the peer were never acknowledged (IBV_WC_RETRY_EXC_ERR)",
        Fix(
            "make the MTU equal at both ends of each half, and look for loss",
            (
                "ping -M do -s 8972 -c 3 PEER_ADDRESS",
                "grep . /sys/class/infiniband/*/ports/1/hw_counters/out_of_sequence",
            ),
        ),
        (
            Candidate("mtu-mismatch", "a don't-fragment ping on each half, in both directions"),
            Candidate("loss", "hw_counters that grow: packet_seq_err, out_of_sequence"),
            PEER_DIED,
        ),
    ),
    "memory-registration": Advice(
        "memory could not be registered with the RDMA device",
        Fix(
            "lift the memlock limit (container: --ulimit memlock=-1 --cap-add IPC_LOCK); on a"
            " kernel with KHO boot with kho=off or another kernel",
            ("ulimit -l", "grep CmaTotal /proc/meminfo", "uname -r"),
        ),
        (
            Candidate("memlock-limit", "`Max locked memory` in /proc/PID/limits is not unlimited"),
            Candidate("kho-kernel", "CmaTotal is 0 in /proc/meminfo (kernel 7.0.0-1019-nvidia)"),
        ),
    ),
    "mixed-transports": Advice(
        "one rank runs on RDMA and its peer on Socket: they cannot talk",
        Fix(
            "cure what keeps RDMA from the rank on Socket: devices, libraries and NCCL settings"
            " alike on all nodes",
            (LIST_STATES, SETTINGS_FILES),
        ),
    ),
    "one-half-only": Advice(
        "one half of the port carries everything, 100 instead of 200 Gb/s",
        Fix(
            "name both halves' RDMA devices in NCCL_IB_HCA, bring both up and give both an IPv4"
            " address",
            (LIST_STATES, "ip -br address"),
        ),
    ),
    "plugin-only": Advice(
        "the network is left to an external plugin",
        Fix(
            "leave NCCL_NET and NCCL_NET_PLUGIN unset, so that NCCL takes its own IB",
            (SETTINGS_FILES,),
        ),
    ),
    "unknown": Advice("the log does not tell the cause", Fix(SHOW_MORE)),
}

# What a socket without a reason leaves open.
NO_REASON = (
    Candidate("no-device", SHOW_MORE),
    Candidate("net-forced-socket", OWN_ENVIRONMENT),
    Candidate("plugin-only", "NET/Plugin lines at the log's beginning"),
)
# A network that was demanded in vain, in a log without what came before.
UNSEEN = (
    Candidate("no-device", SHOW_MORE),
    Candidate("plugin-only", "NET/Plugin lines at the log's beginning"),
)
# NCCL from 2.28.9 does not try IB, and says nothing of it.
SKIPPED_IB = (
    Candidate("net-forced-socket", OWN_ENVIRONMENT),
    Candidate("net-forced-by-program", "a program may set netName in its ncclConfig_t"),
    Candidate("plugin-only", "NCCL_NET_PLUGIN, and NET/Plugin lines at the log's beginning"),
)
SILENT_DISABLE = (
    Candidate("ib-disabled", OWN_ENVIRONMENT),
    Candidate("libibverbs-missing", "`ldconfig -p | grep libibverbs` where the process runs"),
)
FOLDED = Candidate(
    "folded-by-ray", "Ray folded repeated lines: set RAY_DEDUP_LOGS=0 and read that log"
)
SILENT_HALF = (
    Candidate("hca-filter", "NCCL_IB_HCA names one half alone"),
    Candidate("port-down", f"`{LIST_STATES}`: the other half is not ACTIVE"),
)
# Opened alone by every rank, under a name that tells no half.
ONE_DEVICE = Advice(
    "NCCL opened one device; a Spark's cable has two halves, `sparkctl fabric show` tells",
    ADVICE["one-half-only"].fix,
    SILENT_HALF,
)
# EFAULT: what was offered is no memory that the device can reach.
BAD_ADDRESS = Advice(
    "memory could not be registered with the RDMA device: it cannot reach it, the GPU's as a rule",
    Fix(
        "leave NCCL_NET_GDR_LEVEL, NCCL_NET_GDR_READ and NCCL_NET_GDR_C2C unset: a GB10 has no"
        " GPUDirect RDMA, NCCL goes through host memory by itself",
        (SETTINGS_FILES,),
    ),
)
