"""The counters that a node reads of its RDMA devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.node import verbs

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_every_drivers_counters_are_read_as_far_as_the_device_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "mlx5_0/ports/1/counters/port_xmit_data": "12",
        "mlx5_0/ports/1/hw_counters/packet_seq_err": "3",
        "rxe0/ports/1/hw_counters/rcvd_seq_err": "4",
        "rxe0/ports/1/hw_counters/sent_pkts": "5",
        "rxe0/ports/1/hw_counters/lifespan": "10",
        "bnxt_re0/ports/1/hw_counters/to_retransmits": "not a number",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    monkeypatch.setattr(verbs, "IB", tmp_path)
    assert verbs.counters({}) == {
        "bnxt_re0": {},
        "mlx5_0": {"port_xmit_data": 12, "packet_seq_err": 3},
        "rxe0": {"rcvd_seq_err": 4, "sent_pkts": 5},
    }


def test_a_counter_of_loss_belongs_to_one_driver() -> None:
    names = [name for names in verbs.LOSS.values() for name in names]
    assert len(names) == len(set(names))
