"""What a process needs besides sysfs to use RDMA: uverbs devices, rdma-core, and its counters."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer

VERBS = Path("/sys/class/infiniband_verbs")
DEVICES = Path("/dev/infiniband")
IB = Path("/sys/class/infiniband")
LIBRARY = "libibverbs.so.1"
# The counters of lost or repeated packets by rdma-core's provider, none of them in two; a device
# may lack some (in drivers/infiniband hw/*/counters.c, hw_counters.c, sw/rxe/rxe_hw_counters.c).
LOSS = {
    "mlx5": (
        "packet_seq_err",
        "out_of_sequence",
        "roce_adp_retrans",
        "req_transport_retries_exceeded",
    ),
    "rxe": ("out_of_seq_request", "rcvd_seq_err", "completer_retry_err", "retry_exceeded_err"),
    "bnxt_re": ("to_retransmits", "seq_err_naks_rcvd", "max_retry_exceeded", "oos_drop_count"),
    "irdma": ("tcpRetransSegs", "ip4InDiscards"),
}
# The counters of traffic in units of 4 bytes, and soft-RoCE's, which has packets alone.
DATA = ("port_xmit_data", "port_rcv_data")
PACKETS = ("sent_pkts", "rcvd_pkts")
# Where rdma-core's providers are: its cmake default and what Debian, Ubuntu and Fedora install.
PROVIDERS = ("/usr/lib/*/libibverbs", "/usr/lib64/libibverbs", "/usr/lib/libibverbs")


def verbs() -> Answer:
    """`uverbs` (RDMA device to its file and the errno's name from opening it, null if it opens),
    `library` (null if libibverbs loads, else why not), `providers` (names such as mlx5).
    """
    return {"uverbs": _uverbs(), "library": _library(), "providers": _providers()}


def _uverbs() -> dict[str, dict[str, str | None]]:
    found = {}
    for folder in sorted(VERBS.glob("uverbs*")):
        device = (folder / "ibdev").read_text().strip()
        path = DEVICES / folder.name
        found[device] = {"path": str(path), "error": _open_error(path)}
    return found


def _open_error(path: Path) -> str | None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return None


def _library() -> str | None:
    import ctypes  # takes longer to import than all else here

    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        return str(error)
    return None


def _providers() -> list[str]:
    files = (p.name for pattern in PROVIDERS for p in Path("/").glob(f"{pattern[1:]}/lib*.so*"))
    return sorted({name[3:].partition("-rdmav")[0].partition(".so")[0] for name in files})


def counters(_: Answer) -> dict[str, dict[str, int]]:
    """Each RDMA device's port counters of traffic and of loss, as far as it has them.

    Paths and meaning: Documentation/ABI/stable/sysfs-class-infiniband.
    """
    hardware = (*PACKETS, *(name for names in LOSS.values() for name in names))
    paths = [*(f"counters/{name}" for name in DATA), *(f"hw_counters/{name}" for name in hardware)]
    found = {}
    for device in sorted(IB.iterdir()) if IB.is_dir() else []:
        values: dict[str, int] = {}
        for path in paths:
            values |= _number(device / "ports/1" / path)
        found[device.name] = values
    return found


def _number(path: Path) -> dict[str, int]:
    try:
        return {path.name: int(path.read_text())}
    except (OSError, ValueError):
        return {}
