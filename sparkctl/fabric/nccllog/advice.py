"""For each cause: what it is, what else it could be, and the remedy; pure.

Sources: NCCL 2.8 to 2.30.7, read in source, reports of DGX Spark users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog.model import Candidate, Cause, Evidence, Finding, Fix, Other, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.errors import Data

LIST_DEVICES = "ls /sys/class/infiniband"
LIST_STATES = "grep . /sys/class/infiniband/*/ports/1/state"
LIST_GIDS = "grep -H . /sys/class/infiniband/*/ports/1/gids/* | grep -v 0000:0000:0000:0000$"
SETTINGS_FILES = "grep -s NCCL /etc/nccl.conf ~/.nccl.conf ~/.bashrc ~/.profile /etc/environment"
SHOW_MORE = "set NCCL_DEBUG=INFO and NCCL_DEBUG_SUBSYS=INIT,ENV,NET, restart, and read the new log"
ALL_LOGS = "pass the log of every rank, each with --log"
OWN_ENVIRONMENT = "NCCL_* in /proc/PID/environ, NCCL_CONF_FILE, ~/.nccl.conf and /etc/nccl.conf"
PLUGIN_LINES = "NET/Plugin lines at the beginning of the log"

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
    Candidate("port-down", f"`{LIST_STATES}`: NCCL uses ACTIVE ports only"),
    Candidate("no-hardware", f"`{LIST_DEVICES}` is empty: no cable, or the NIC is off the bus"),
)
PEER_DIED = Candidate("peer-died", "the peer's log ends or shows an error before this one")


@dataclass(frozen=True)
class Advice:
    """The code, text and remedy of a finding."""

    code: str
    summary: str
    fix: Fix
    candidates: tuple[Candidate, ...] = ()

    def finding(
        self,
        cause: Cause | Other,
        severity: Severity,
        evidence: Iterable[Evidence] = (),
        *,
        detail: str = "",
        ranks: Iterable[str] = (),
        candidates: Iterable[Candidate] | None = None,
        data: Data | None = None,
    ) -> Finding:
        """The finding, with what the log adds in brackets; `candidates` replace the advice's."""
        return Finding(
            cause=cause,
            code=self.code,
            severity=severity,
            summary=self.summary + (f" ({detail})" if detail else ""),
            ranks=tuple(ranks),
            evidence=tuple(evidence),
            candidates=self.candidates if candidates is None else tuple(candidates),
            fix=self.fix,
            data=data or {},
        )


CAUSES = (
    Advice(
        "ib-disabled",
        "NCCL_IB_DISABLE turns RDMA off",
        Fix(
            "remove NCCL_IB_DISABLE from the env layers, the image, the shell profiles and"
            " nccl.conf of that node",
            (SETTINGS_FILES,),
        ),
    ),
    Advice(
        "net-forced-socket",
        "NCCL uses TCP although RDMA did not fail: NCCL_NET is Socket, which NCCL never prints",
        Fix(f"remove NCCL_NET; look in {OWN_ENVIRONMENT}", (SETTINGS_FILES,)),
    ),
    Advice(
        "hca-filter-no-match",
        "NCCL_IB_HCA selects no RDMA device; NCCL silently falls back to TCP",
        Fix(
            "set NCCL_IB_HCA to the RDMA devices of this node (not the interfaces), separated by"
            " commas, without spaces or quotes; names may differ between nodes",
            (LIST_DEVICES, LIST_STATES),
        ),
        NO_DEVICE,
    ),
    Advice(
        "no-device",
        "NCCL found no RDMA device with an ACTIVE port; it silently falls back to TCP",
        Fix(
            "make the devices available to the process; in a container: --device /dev/infiniband"
            " --cap-add IPC_LOCK --ulimit memlock=-1 --network host; on the host: install rdma-core"
            " and check the cable",
            ("ls /dev/infiniband", LIST_STATES, "ibv_devices"),
        ),
        NO_DEVICE,
    ),
    Advice(
        "libibverbs-missing",
        "NCCL could not open libibverbs, which RDMA requires",
        Fix(
            "install rdma-core's libraries where the process runs, also in the image",
            ("sudo apt-get install libibverbs1 ibverbs-providers",),
        ),
    ),
    Advice(
        "device-open-denied",
        "NCCL could not open an RDMA device that exists",
        Fix(
            "allow the user of the process to open /dev/infiniband/uverbs*, also in a container",
            ("ls -l /dev/infiniband", "id"),
        ),
    ),
    Advice(
        "net-ib-unavailable",
        "NCCL_NET requires RDMA, but NCCL could not use it",
        Fix("unset NCCL_NET, and fix what prevents RDMA", (LIST_STATES, "ls /dev/infiniband")),
    ),
    Advice(
        "ifname-no-match",
        "NCCL_SOCKET_IFNAME selects no interface that is up and has an address",
        Fix(
            "set NCCL_SOCKET_IFNAME to the interface that carries the fabric address on this node;"
            " names may differ between nodes",
            ("ip -br address",),
        ),
    ),
    Advice(
        "gid-family-mismatch",
        "the two ends use GIDs of different families, or a pinned GID index is wrong",
        Fix(
            "assign an IPv4 address to each half of the cable on both nodes, and unset"
            " NCCL_IB_GID_INDEX",
            ("ip -br address", LIST_GIDS),
        ),
    ),
    Advice(
        "gid-empty-slot",
        "the pinned NCCL_IB_GID_INDEX points at an empty GID slot",
        Fix(
            "unset NCCL_IB_GID_INDEX; NCCL then finds the IPv4 RoCE v2 entry of each HCA",
            (LIST_GIDS,),
        ),
    ),
    Advice(
        "peer-timeout",
        "the peer's HCA did not answer; the two HCAs are on different links or subnets",
        Fix(
            "select the HCAs of the same cable on each node, each half in its peer's subnet",
            ("ip -br address", LIST_STATES),
        ),
    ),
    Advice(
        "no-route",
        "no route from one HCA to the peer's",
        Fix(
            "put both ends of each half in one subnet, and each half in a different one",
            ("ip -br address", "ip route"),
        ),
    ),
    Advice(
        "retry-exceeded",
        "the peer never acknowledged what was sent (IBV_WC_RETRY_EXC_ERR)",
        Fix(
            "set the same MTU at both ends of each half, and check for packet loss",
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
    Advice(
        "ring-without-diagonal",
        "NCCL connected its ring and not its tree, in which nodes without a common cable"
        " communicate; a ring of four has no cable for its diagonals",
        Fix(
            "connect the nodes by a switch; in a ring set NCCL_IB_SUBNET_AWARE_ROUTING=1 (NCCL"
            " 2.30.7 and newer) and leave NCCL_IB_MERGE_NICS on, or use an NCCL that is patched to"
            " skip the tree, which NCCL_ALGO=Ring does not",
            ("sparkctl fabric show",),
        ),
        (
            Candidate(
                "peer-timeout",
                "`sparkctl fabric show`: those nodes have a common cable or switch",
            ),
        ),
    ),
    Advice(
        "memory-registration",
        "NCCL could not register memory with the RDMA device",
        Fix(
            "raise the memlock limit (container: --ulimit memlock=-1 --cap-add IPC_LOCK); on a"
            " kernel with KHO, boot with kho=off or use another kernel",
            ("ulimit -l", "grep CmaTotal /proc/meminfo", "uname -r"),
        ),
        (
            Candidate("memlock-limit", "`Max locked memory` in /proc/PID/limits is not unlimited"),
            Candidate("kho-kernel", "CmaTotal is 0 in /proc/meminfo (kernel 7.0.0-1019-nvidia)"),
        ),
    ),
    Advice(
        "mixed-transports",
        "one rank uses RDMA and its peer TCP, so they cannot communicate",
        Fix(
            "fix what prevents RDMA on the rank that uses TCP; devices, libraries and NCCL settings"
            " must be the same on all nodes",
            (LIST_STATES, SETTINGS_FILES),
        ),
    ),
    Advice(
        "one-half-only",
        "one half of the port carries all traffic, at 100 instead of 200 Gb/s",
        Fix(
            "set NCCL_IB_HCA to the RDMA devices of both halves, bring both up, and assign an IPv4"
            " address to each",
            (LIST_STATES, "ip -br address"),
        ),
    ),
    Advice(
        "plugin-only",
        "an external plugin handles the network",
        Fix(
            "unset NCCL_NET and NCCL_NET_PLUGIN so that NCCL uses its own IB transport",
            (SETTINGS_FILES,),
        ),
    ),
    Advice("unknown", "the log does not show the cause", Fix(SHOW_MORE)),
)
ADVICE = {advice.code: advice for advice in CAUSES}

BEGINNING_MISSING = Advice(
    "beginning-missing",
    "the beginning of the log is missing, where NCCL prints which network it uses and why",
    Fix("pass the whole log", ("sparkctl logs vllm --all",)),
)
# NCCL uses TCP, and the log shows no reason.
NO_REASON = (
    Candidate("no-device", SHOW_MORE),
    Candidate("net-forced-socket", OWN_ENVIRONMENT),
    Candidate("plugin-only", PLUGIN_LINES),
)
# A required network is missing, and the log lacks the lines before that.
UNSEEN = (Candidate("no-device", SHOW_MORE), Candidate("plugin-only", PLUGIN_LINES))
# NCCL from 2.28.9 does not try IB, and does not print that.
SKIPPED_IB = (
    Candidate("net-forced-socket", OWN_ENVIRONMENT),
    Candidate("net-forced-by-program", "a program may set netName in its ncclConfig_t"),
    Candidate("plugin-only", f"NCCL_NET_PLUGIN, and {PLUGIN_LINES}"),
)
SILENT_DISABLE = (
    Candidate("ib-disabled", OWN_ENVIRONMENT),
    Candidate("libibverbs-missing", "`ldconfig -p | grep libibverbs` where the process runs"),
)
FOLDED = Candidate(
    "folded-by-ray", "Ray folded repeated lines: set RAY_DEDUP_LOGS=0 and read the new log"
)
SILENT_HALF = (
    Candidate("hca-filter", "NCCL_IB_HCA selects one half alone"),
    Candidate("port-down", f"`{LIST_STATES}`: the other half is not ACTIVE"),
)
# Every rank opened one device, and its name does not show which half it is.
ONE_DEVICE = Advice(
    "one-device",
    "NCCL opened one device, but a Spark's cable has two halves; see `sparkctl fabric show`",
    ADVICE["one-half-only"].fix,
    SILENT_HALF,
)
# EFAULT: the device cannot reach that memory.
BAD_ADDRESS = Advice(
    "bad-address",
    "NCCL could not register memory that the RDMA device cannot reach, in most cases the GPU's",
    Fix(
        "unset NCCL_NET_GDR_LEVEL, NCCL_NET_GDR_READ and NCCL_NET_GDR_C2C; a GB10 has no GPUDirect"
        " RDMA, and NCCL then uses host memory",
        (SETTINGS_FILES,),
    ),
)
