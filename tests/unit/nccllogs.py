"""NCCL logs for the tests: the real ones, and others in the line forms of NCCL 2.8 to 2.30.7."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog.reader import Reader

if TYPE_CHECKING:
    from sparkctl.fabric.nccllog.model import LogVerdict

REAL = Path(__file__).parents[1] / "fixtures/nccl"
Files = dict[str, str]

USING = (
    "NET/IB : Using [0]rocep1s0f0:1/RoCE [1]roceP2p1s0f0:1/RoCE [RO]; OOB enp1s0f0np0:1.2.3.4<0>"
)
USING_NONE = "NET/IB : Using [RO]; OOB eth0:192.0.2.2<0>"
NO_DEVICE = "NET/IB : No device found."
ON_IB = ("Assigned NET plugin IB to comm", "Using network IB")
ON_SOCKET = ("NET/Socket : Using [0]eth0:192.0.2.2<0>", "Using network Socket")
VIA_IB = (
    "Channel 00/0 : 1[0] -> 0[0] [receive] via NET/IB/0",
    "Channel 01/0 : 1[0] -> 0[0] [receive] via NET/IB/1",
    "Channel 00/0 : 0[0] -> 1[0] [send] via NET/IB/0/GDRDMA(PCI)",
    "Channel 01/0 : 0[0] -> 1[0] [send] via NET/IB/1/Shared",
)
VIA_SOCKET = ("Channel 00/0 : 1[0] -> 0[0] [receive] via NET/Socket/0",)
IB = (USING, *ON_IB, *VIA_IB)
SOCKET = (NO_DEVICE, USING_NONE, *ON_SOCKET, *VIA_SOCKET)
CONNECTED = "Connected all rings, use ring PXN 0 GDR 0"
MODIFY = (
    "Call to ibv_modify_qp failed with {}, on dev rocep1s0f0:1, curr state INIT, next state RTR,"
    " local GID index {}, local GID {}, remote GID {}"
)
V4, LINK_LOCAL = "::ffff:192.168.100.11", "fe80::5054:ff:fe12:3456"


@dataclass(frozen=True)
class Warn:
    """A message of level WARN."""

    text: str
    where: str = "transport/net_ib.cc:1234"


def process(*messages: str | Warn, rank: int = 0, version: str = "2.28.9", size: int = 2) -> str:
    """The log of one rank, from the version to these messages and its communicator."""
    head = f"spark-{rank + 1}:{100 + rank}:{100 + rank} [0] "
    communicator = (
        f"ncclCommInitRank comm 0xabc{rank} rank {rank} nranks {size} cudaDev 0 nvmlDev 0 busId"
        " f000 commId 0x1a2b3c - Init START"
    )
    nodes = f"comm 0xabc{rank} rank {rank} nRanks {size} nNodes {size} localRanks 1 localRank 0"
    lines = []
    begin = (f"NCCL version {version}+cuda13.0", "Bootstrap: Using eth0:192.0.2.2<0>")
    for message in (*begin, communicator, nodes, *messages):
        if isinstance(message, Warn):
            lines += ["", f"[2026-11-21 00:06:24] {head}{message.where} NCCL WARN {message.text}"]
        else:
            lines.append(f"{head}NCCL INFO {message}")
    return "\n".join(lines) + "\n"


def pair(*messages: str | Warn, version: str = "2.28.9") -> Files:
    """Two ranks that say the same, one a file."""
    return {f"rank{n}.log": process(*messages, rank=n, version=version) for n in (0, 1)}


def read(files: Files) -> LogVerdict:
    """The reader's verdict on files by name."""
    reader = Reader()
    for name, text in files.items():
        reader.feed(name, text.encode("utf-8", "surrogateescape").splitlines(keepends=True))
    return reader.verdict()


def real(name: str) -> Files:
    """A real run's two files."""
    paths = sorted(REAL.glob(f"{name}.rank*.log"))
    assert len(paths) == 2
    return {path.name: path.read_text() for path in paths}


HEALTHY = pair("NET/Plugin: Could not find: libnccl-net.so", USING, *ON_IB, *VIA_IB, CONNECTED)
# The files, then the transport and the cause of the whole log.
Case = tuple[Files, str, str | None]


def rdma(*messages: str | Warn, version: str = "2.28.9") -> Case:
    """Ranks that run over RDMA."""
    return pair(*messages, version=version), "rdma", None


def socket(cause: str, *before: str | Warn, version: str = "2.28.9") -> Case:
    """Ranks that run over TCP, for what they print before."""
    return pair(*before, *ON_SOCKET, *VIA_SOCKET, version=version), "socket", cause


def failed(cause: str, *after: str | Warn, version: str = "2.28.9") -> Case:
    """Ranks that open RDMA, and fail by what they print after."""
    return pair(USING, *ON_IB, *after, version=version), "failed", cause


def modified(error: str, index: int, *gids: str) -> Warn:
    """The warning on a queue pair that could not be modified."""
    return Warn(MODIFY.format(error, index, *gids))


AS_RECORDED: dict[str, Case] = {
    "real p2p": (real("p2p"), "local", None),
    "real socket-fallback": (real("socket-fallback"), "socket", "no-device"),
    "real ib-hca-missing": (real("ib-hca-missing"), "socket", "hca-filter-no-match"),
    "real ib-disabled": (real("ib-disabled"), "socket", "ib-disabled"),
    "real net-ib-forced": (real("net-ib-forced"), "failed", "net-ib-unavailable"),
    "real ifname-missing": (real("ifname-missing"), "failed", "ifname-no-match"),
}
TIMED_OUT = MODIFY.format("110 Connection timed out", 3, V4, V4)
OVER_RDMA: dict[str, Case] = {
    "healthy": (HEALTHY, "rdma", None),
    "healthy 2.8": rdma(
        USING.replace(" [RO]", ""),
        "Using network IB",
        "Channel 00 : 1[f000] -> 0[f000] [receive] via NET/IB/0",
        "Channel 01 : 0[f000] -> 1[f000] [send] via NET/IB/1",
        version="2.8.4",
    ),
    "IBext_v8": rdma(
        "P2P plugin IBext_v8",
        USING,
        "Using network IBext_v8",
        "Channel 00/0 : 1[0] -> 2[0] [send] via NET/IBext_v8/0/GDRDMA",
        "Channel 01/0 : 1[0] -> 2[0] [send] via NET/IBext_v8/1/GDRDMA",
        version="2.19.4",
    ),
    "NCCL RDMA Plugin v10": rdma(
        USING,
        "Assigned NET plugin NCCL RDMA Plugin v10 to comm",
        "Using network NCCL RDMA Plugin v10",
        "Channel 00/0 : 1[0] -> 0[0] [receive] via NET/NCCL RDMA Plugin v10/0",
        "Channel 01/0 : 1[0] -> 0[0] [receive] via NET/NCCL RDMA Plugin v10/1(2)/GDRDMA",
    ),
    "benign GDR and PXN": rdma(
        "NET/Plugin: Could not find: libnccl-net.so. Using internal network plugin.",
        USING,
        "NET/IB : GPU Direct RDMA Disabled for HCA 0 'rocep1s0f0'",
        *ON_IB,
        *VIA_IB,
        CONNECTED,
    ),
    "a retry that went well": rdma(
        USING, *ON_IB, *VIA_IB, f"{TIMED_OUT}, retrying 1/35 after 100 msec", CONNECTED
    ),
}
OPEN_FAILED = Warn("Call to ibv_open_device failed", "misc/ibvwrap.cc:112")
UNABLE = Warn("NET/IB : Unable to open device rocep1s0f0")
INITIALIZED = "Initialized NET plugin Socket"
OVER_SOCKET: dict[str, Case] = {
    "ib-disabled 2.20": socket(
        "ib-disabled", "NCCL_IB_DISABLE set by environment to 1.", version="2.20.5"
    ),
    "net-forced-socket 2.28.3": socket("net-forced-socket", USING, INITIALIZED, version="2.28.3"),
    "net-forced-socket 2.28.9": socket("net-forced-socket", INITIALIZED),
    "hca-filter-no-match": socket(
        "hca-filter-no-match", "NCCL_IB_HCA set to enp1s0f0np0", NO_DEVICE, USING_NONE
    ),
    "no-device before 2.24": socket("no-device", NO_DEVICE, version="2.21.5"),
    "libibverbs-missing": socket("libibverbs-missing", "Failed to open libibverbs.so[.1]"),
    "libibverbs-missing 2.30": socket(
        "libibverbs-missing",
        "Count not open libibverbs.so",
        NO_DEVICE,
        USING_NONE,
        version="2.30.3",
    ),
    "device-open-denied": socket("device-open-denied", OPEN_FAILED, UNABLE, NO_DEVICE, USING_NONE),
    "socket and no reason": socket("unknown", version="2.18.3"),
}
COMPLETION = "NET/IB: Got completion from peer 192.168.100.12<40554> with"
NO_MEMORY = "Call to ibv_reg_mr_iova2 failed with error Cannot allocate memory"
FAILURES: dict[str, Case] = {
    "net-ib-unavailable 2.26": (
        pair(NO_DEVICE, Warn("Error: network IB not found.", "net.cc:500"), version="2.26.2"),
        "failed",
        "net-ib-unavailable",
    ),
    "ifname-no-match 2.30.7": (
        pair(
            "NCCL_SOCKET_IFNAME set by environment to eth9",
            Warn("Bootstrap : no socket interface found", "bootstrap.cc:114 (bootstrapNetInit)"),
            version="2.30.7",
        ),
        "failed",
        "ifname-no-match",
    ),
    "gid-family-mismatch": failed(
        "gid-family-mismatch", *VIA_IB, modified("22 Invalid argument", 1, LINK_LOCAL, V4)
    ),
    "gid-family-mismatch 2.19": failed(
        "gid-family-mismatch",
        Warn("Call to ibv_modify_qp failed with error Invalid argument"),
        version="2.19.3",
    ),
    "gid-empty-slot": (
        pair(
            "NCCL_IB_GID_INDEX set by environment to 7.",
            USING,
            *ON_IB,
            modified("61 No data available", 7, "::", V4),
        ),
        "failed",
        "gid-empty-slot",
    ),
    "no-route": failed("no-route", modified("101 Network is unreachable", 3, V4, V4)),
    "peer-timeout": failed("peer-timeout", Warn(TIMED_OUT)),
    "peer-timeout, still retrying": failed(
        "peer-timeout", f"{TIMED_OUT}, retrying 7/35 after 700 msec"
    ),
    "retry-exceeded": failed(
        "retry-exceeded",
        *VIA_IB,
        CONNECTED,
        Warn(
            f"{COMPLETION} status=12 opcode=129 len=524288 vendor err 129 (Recv) localGid"
            " ::ffff:192.168.100.11 hca rocep1s0f0"
        ),
    ),
    "retry-exceeded 2.30": failed(
        "retry-exceeded",
        Warn(
            f"{COMPLETION} status=IBV_WC_RETRY_EXC_ERR(12) opcode=IBV_WC_RDMA_WRITE(1)"
            " vendor_err=129"
        ),
        version="2.30.7",
    ),
    "retry-exceeded 2.18": failed(
        "retry-exceeded",
        Warn("NET/IB : Got completion from peer 1.2.3.4<5> with error 12, opcode 0, len 0"),
        version="2.18.3",
    ),
    "memory-registration": failed("memory-registration", Warn(NO_MEMORY, "misc/ibvwrap.cc:189")),
    "memory-registration, ibv_create_qp": failed(
        "memory-registration", Warn("Call to ibv_create_qp failed"), version="2.20.5"
    ),
    "mixed-transports, as a warning": failed(
        "mixed-transports", Warn("socketFinalizeAccept: wrong type 3 != 4", "misc/socket.cc:446")
    ),
    "mixed-transports, as INFO": failed(
        "mixed-transports",
        "socketFinalizeAccept from 192.168.100.12<40000>: wrong type 3 != 4",
        version="2.30.7",
    ),
    "mixed-transports, by the ranks": (
        {"a.log": process(*IB, rank=0), "b.log": process(*SOCKET, rank=1)},
        "socket",
        "mixed-transports",
    ),
    "ring-without-diagonal": (
        {f"{n}": process(*IB, CONNECTED, Warn(TIMED_OUT), rank=n, size=4) for n in range(4)},
        "failed",
        "ring-without-diagonal",
    ),
    "failed and no known cause": failed(
        "unknown", Warn("Cuda failure 'out of memory'", "include/alloc.h:222"), "init.cc:421 -> 1"
    ),
}
TWO_OPENED = "NET/IB : Using [0]mlx5_0:1/RoCE [1]mlx5_2:1/RoCE [RO]; OOB e:1.2.3.4<0>"
ONE_OPENED = "NET/IB : Using [0]mlx5_0:1/RoCE [RO]; OOB e:1.2.3.4<0>"
ONE_NAMED = "NET/IB : Using [0]rocep1s0f1:1/RoCE [RO]; OOB enp1s0f1np1:1.2.3.4<0>"
DEGRADED: dict[str, Case] = {
    "one-half-only, by the channels": (
        pair(USING, *ON_IB, VIA_IB[0], VIA_IB[2], CONNECTED),
        "rdma",
        "one-half-only",
    ),
    "one-half-only, by the name": (pair(ONE_NAMED, *ON_IB, VIA_IB[0]), "rdma", "one-half-only"),
    "one-half-only, by the peer": (
        {
            "a.log": process(TWO_OPENED, *ON_IB, *VIA_IB, rank=0),
            "b.log": process(ONE_OPENED, *ON_IB, VIA_IB[0], rank=1),
        },
        "rdma",
        "one-half-only",
    ),
    "plugin-only, another network": (
        pair(
            "NET/Plugin: Loaded net plugin Mesh (v8)",
            "Using network Mesh",
            "Channel 00/0 : 1[0] -> 0[0] [receive] via NET/Mesh/0",
        ),
        "unknown",
        "plugin-only",
    ),
    "plugin-only, required and missing": (
        pair(
            "NCCL_NET_PLUGIN set by environment to libmesh.so",
            "NET/Plugin: Could not find: libmesh.so",
            Warn("Failed to initialize any NET plugin", "plugin/net.cc:379"),
        ),
        "failed",
        "plugin-only",
    ),
    "no line of a network": (pair("cudaDriverVersion 13000"), "unknown", "unknown"),
}
CASES = {**AS_RECORDED, **OVER_RDMA, **OVER_SOCKET, **FAILURES, **DEGRADED}
