"""The counters that a node reads of its RDMA devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.node import portcounters, verbs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    """Write files below the folder that stands for /sys/class."""
    monkeypatch.setattr(portcounters, "IB", tmp_path / "infiniband")
    monkeypatch.setattr(portcounters, "NET", tmp_path / "net")

    def files(contents: Mapping[str, str]) -> None:
        for name, content in contents.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")

    return files


def test_every_drivers_counters_are_read_as_far_as_the_device_has_them(
    write: Callable[[Mapping[str, str]], None],
) -> None:
    write(
        {
            "infiniband/mlx5_0/ports/1/counters/port_xmit_data": "12",
            "infiniband/mlx5_0/ports/1/hw_counters/packet_seq_err": "3",
            "infiniband/rxe0/ports/1/hw_counters/rcvd_seq_err": "4",
            "infiniband/rxe0/ports/1/hw_counters/sent_pkts": "5",
            "infiniband/rxe0/ports/1/hw_counters/lifespan": "10",
            "infiniband/bnxt_re0/ports/1/hw_counters/to_retransmits": "not a number",
            "infiniband/irdma0/ports/1/hw_counters/ip4OutOctets": "-1",
        }
    )
    assert verbs.counters({}) == {
        "bnxt_re0": {},
        "irdma0": {},
        "mlx5_0": {"port_xmit_data": 12, "packet_seq_err": 3},
        "rxe0": {"rcvd_seq_err": 4, "sent_pkts": 5},
    }


def test_a_file_that_does_not_end_is_read_to_its_bound(
    write: Callable[[Mapping[str, str]], None],
) -> None:
    write({"infiniband/rxe0/ports/1/hw_counters/sent_pkts": "7" * 10_000})
    assert len(str(verbs.counters({})["rxe0"]["sent_pkts"])) == portcounters.LONGEST


def test_the_ports_of_a_device_are_added_up(write: Callable[[Mapping[str, str]], None]) -> None:
    port = "infiniband/mlx4_0/ports/{}/counters/{}"
    write({port.format(1, "port_xmit_data"): "12", port.format(1, "port_rcv_data"): "5"})
    write({port.format(2, "port_xmit_data"): "30"})
    assert verbs.counters({}) == {"mlx4_0": {"port_xmit_data": 42}}


@pytest.mark.parametrize("link", ["parent", "ports/1/gid_attrs/ndevs/0"])
def test_of_a_software_device_the_netdev_is_read(
    write: Callable[[Mapping[str, str]], None], link: str
) -> None:
    write({"net/eth1/statistics/tx_bytes": "100", "net/eth1/statistics/rx_bytes": "90"})
    write({f"infiniband/siw0/{link}": "eth1"})
    assert verbs.counters({}) == {"siw0": {"netdev_tx_bytes": 100, "netdev_rx_bytes": 90}}
    write({f"infiniband/siw0/{link}": "../net/eth1"})
    assert verbs.counters({}) == {"siw0": {}}


def test_a_nics_rdma_traffic_does_not_pass_its_netdev(
    write: Callable[[Mapping[str, str]], None],
) -> None:
    write({"net/eth1/statistics/tx_bytes": "100"})
    write({"infiniband/qedr0/parent": "eth1", "infiniband/qedr0/device/vendor": "0x1077"})
    assert verbs.counters({}) == {"qedr0": {}}


def test_a_counter_of_loss_belongs_to_one_driver() -> None:
    names = [name for names in portcounters.LOSS.values() for name in names]
    assert len(names) == len(set(names))
    assert not {*names} & {name for traffic in portcounters.TRAFFIC for name in traffic.names}
