"""The RDMA devices that the lab can imitate; pure, and the standard library alone.

What soft-RoCE shows was seen on a 6.1 kernel; the names of its counters are those of Linux's
drivers/infiniband/sw/rxe/rxe_hw_counters.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparkctl.lab.spec import HalfSpec

VIRTUAL = "devices/virtual"  # where Linux has devices without a parent, relative to /sys


@dataclass(frozen=True)
class Hardware:
    """A kind of RDMA device as sysfs shows it.

    `imitated` is what the lab says of it; `gid_types` are the types of each address's GIDs in their
    order; `counters` are paths in a port's folder, `lost` the names of those that count losses.
    """

    name: str
    imitated: str
    pci: bool
    gid_slots: int
    gid_types: tuple[str, ...]
    rate: str  # of a port with a cable
    rate_uncabled: str
    rate_slow: str  # at 100 Gb/s
    counters: tuple[str, ...]
    lost: tuple[str, ...]

    def device_folder(self, half: HalfSpec) -> str:
        """The RDMA device's folder, relative to /sys."""
        return f"{self._parent(half)}/infiniband/{half.hca}"

    def verbs_folder(self, half: HalfSpec) -> str:
        """Its uverbs device's folder, relative to /sys."""
        return f"{self._parent(half)}/infiniband_verbs/uverbs{half.index}"

    def _parent(self, half: HalfSpec) -> str:
        return half.pci_folder if self.pci else VIRTUAL


def _in(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names)


_LOST = ("packet_seq_err", "out_of_sequence", "roce_adp_retrans", "req_transport_retries_exceeded")
CONNECTX_7 = Hardware(
    name="connectx-7",
    imitated="ConnectX-7: its sysfs (infiniband, PCI links, speed) and uverbs devices; its"
    " cable is a veth pair",
    pci=True,
    gid_slots=256,
    gid_types=("IB/RoCE v1", "RoCE v2"),
    rate="200 Gb/sec (2X NDR)",
    rate_uncabled="40 Gb/sec (4X QDR)",
    rate_slow="100 Gb/sec (2X HDR)",
    counters=(
        *_in("counters", "port_xmit_data", "port_rcv_data"),
        *_in("counters", "port_xmit_packets", "port_rcv_packets"),
        *_in("hw_counters", *_LOST),
    ),
    lost=_LOST,
)
SOFT_ROCE = Hardware(
    name="soft-roce",
    imitated="soft-RoCE: its sysfs (infiniband, speed) and uverbs devices, without PCI; its cable"
    " is a veth pair",
    pci=False,
    gid_slots=1024,
    gid_types=("RoCE v2",),
    rate="100 Gb/sec (4X EDR)",
    rate_uncabled="2.5 Gb/sec (1X SDR)",
    rate_slow="100 Gb/sec (4X EDR)",
    # Without process_mad in the driver there is no folder `counters`.
    counters=_in(
        "hw_counters",
        *("sent_pkts", "rcvd_pkts", "duplicate_request", "out_of_seq_request", "rcvd_rnr_err"),
        *("send_rnr_err", "rcvd_seq_err", "ack_deferred", "retry_exceeded_err"),
        *("retry_rnr_exceeded_err", "completer_retry_err", "send_err", "link_downed"),
        *("rdma_sends", "rdma_recvs"),
    ),
    lost=("out_of_seq_request", "rcvd_seq_err", "completer_retry_err", "retry_exceeded_err"),
)
HARDWARE = {each.name: each for each in (CONNECTX_7, SOFT_ROCE)}
