"""The counters of a node's RDMA devices: lost packets by driver, and the traffic carried.

Names: the kernel's drivers/infiniband, in hw/*/*counters.c, hw/irdma/verbs.c, hw/erdma/
erdma_verbs.c, hw/hns/hns_roce_main.c and sw/rxe/rxe_hw_counters.c. siw and cxgb4 have none here,
mlx4 none of loss.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

IB = Path("/sys/class/infiniband")
NET = Path("/sys/class/net")
LONGEST = 64  # bytes of a counter or a netdev's name, and more than either has
# Lost or repeated packets by rdma-core's provider, none of them in two; a device may lack some.
LOSS = {
    "mlx5": (
        "packet_seq_err",
        "out_of_sequence",
        "roce_adp_retrans",
        "req_transport_retries_exceeded",
    ),
    "rxe": ("out_of_seq_request", "rcvd_seq_err", "completer_retry_err", "retry_exceeded_err"),
    "bnxt_re": (
        "to_retransmits",
        "seq_err_naks_rcvd",
        "max_retry_exceeded",
        "oos_drop_count",
        "rx_roce_discards",
    ),
    "irdma": ("tcpRetransSegs", "ip4InDiscards", "ip6InDiscards"),
    "hns": ("rx_err_pkt", "tx_err_pkt"),
    "mana": (
        "requester_timeout",
        "requester_oos_nak",
        "responder_oos",
        "requester_retries_exceeded",
    ),
    "erdma": (
        "tx_disable_drop_cnt",
        "tx_bps_limit_drop_cnt",
        "tx_pps_limit_drop_cnt",
        "rx_disable_drop_cnt",
        "rx_bps_limit_drop_cnt",
        "rx_pps_limit_drop_cnt",
    ),
}


class Traffic(NamedTuple):
    """Counters of both directions, and how many of `unit` one count is."""

    names: tuple[str, ...]
    each: int
    unit: str


# In the folder `counters`, by a driver that answers the port's management datagrams.
PORT = Traffic(("port_xmit_data", "port_rcv_data"), 4, "bytes")
TRAFFIC = (
    PORT,
    Traffic(("tx_bytes", "rx_bytes"), 1, "bytes"),  # bnxt_re, mana
    Traffic(("tx_bytes_cnt", "rx_bytes_cnt"), 1, "bytes"),  # erdma
    Traffic(("ip4OutOctets", "ip4InOctets", "ip6OutOctets", "ip6InOctets"), 1, "bytes"),  # irdma
    Traffic(("sent_pkts", "rcvd_pkts"), 1, "packets"),  # rxe
    Traffic(("tx_pkt", "rx_pkt"), 1, "packets"),  # hns
)
# The statistics of the netdev that a software device sends through; TCP's bytes are in them too.
NETDEV = Traffic(("netdev_tx_bytes", "netdev_rx_bytes"), 1, "bytes")
HARDWARE = (
    *(name for names in LOSS.values() for name in names),
    *(name for traffic in TRAFFIC[1:] for name in traffic.names),
)
FILES = (
    *(f"counters/{name}" for name in PORT.names),
    *(f"hw_counters/{name}" for name in HARDWARE),
)


def devices() -> dict[str, dict[str, int]]:
    """The counters that each RDMA device has, of all its ports together.

    A device without a `device` link is a software one, whose netdev is read as well.
    """
    found = {}
    for device in sorted(IB.iterdir()) if IB.is_dir() else []:
        software = not (device / "device").exists()
        found[device.name] = _ports(device) | (_netdev(device) if software else {})
    return found


def _ports(device: Path) -> dict[str, int]:
    """Those that every port has, added up: of one alone, two looks could not be compared."""
    ports = [_port(port) for port in sorted((device / "ports").glob("*"))]
    names = ports[0] if ports else {}
    return {
        name: sum(port[name] for port in ports)
        for name in names
        if all(name in port for port in ports)
    }


def _port(port: Path) -> dict[str, int]:
    read = {Path(path).name: _number(port / path) for path in FILES}
    return {name: value for name, value in read.items() if value is not None}


def _netdev(device: Path) -> dict[str, int]:
    name = _text(device / "parent") or _text(device / "ports/1/gid_attrs/ndevs/0")
    if not name or Path(name).name != name:
        return {}
    statistics = NET / name / "statistics"
    read = {key: _number(statistics / key[len("netdev_") :]) for key in NETDEV.names}
    return {key: value for key, value in read.items() if value is not None}


def _number(path: Path) -> int | None:
    value = _text(path)
    return int(value) if value is not None and value.isdecimal() else None


def _text(path: Path) -> str | None:
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.read(file, LONGEST).decode(errors="replace").strip()
    except OSError:
        return None
    finally:
        os.close(file)
