"""Faults of settings: NCCL_IB_HCA in the inventory, files and profiles that were left behind."""

from __future__ import annotations

from collections.abc import Callable

from sparkctl.lab.faults.fault import Fault, Inventory


def _hca(value: str) -> Callable[[Inventory, str], None]:
    def change(inventory: Inventory, node: str) -> None:
        entry = next(n for n in inventory["nodes"] if n["name"] == node)
        entry.setdefault("env", {})["NCCL_IB_HCA"] = value

    return change


FAULTS = (
    Fault(
        "hca-netdev-name",
        "NCCL_IB_HCA names network interfaces",
        inventory=_hca("enp1s0f0np0,enP2p1s0f0np0"),
    ),
    Fault(
        "hca-space",
        "NCCL_IB_HCA has a space after the comma",
        inventory=_hca("rocep1s0f0, roceP2p1s0f0"),
    ),
    Fault(
        "hca-quotes",
        "NCCL_IB_HCA has quotes in it",
        inventory=_hca('"rocep1s0f0,roceP2p1s0f0"'),
    ),
    Fault(
        "nccl-conf",
        "an nccl.conf was left behind",
        "echo NCCL_NET=Socket >/etc/nccl.conf",
        "rm /etc/nccl.conf",
    ),
    Fault(
        "ib-disabled-profile",
        "a profile sets NCCL_IB_DISABLE=1",
        "echo 'export NCCL_IB_DISABLE=1' >/etc/profile.d/nccl.sh",
        "rm /etc/profile.d/nccl.sh",
    ),
)
