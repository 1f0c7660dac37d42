"""Settings that somebody left on a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.lab.faults.fault import Fault

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target

OWN = "/root/.nccl.conf"


def _nccl_conf(target: Target) -> None:
    target.cover("/etc/nccl.conf", "# from an old benchmark\nNCCL_NET=Socket\n")


def _profile(target: Target) -> None:
    target.cover("/root/.bashrc", "export NCCL_IB_DISABLE=1\n")


def _hangs(target: Target) -> None:
    target.change(f"mkfifo {OWN}", f"rm --force {OWN}")


FAULTS = (
    Fault("nccl-conf", "/etc/nccl.conf has NCCL_NET=Socket", _nccl_conf, touches=("nccl.conf",)),
    Fault(
        "ib-disabled-profile", "~/.bashrc exports NCCL_IB_DISABLE=1", _profile, touches=("bashrc",)
    ),
    Fault(
        "file-hangs",
        "reading ~/.nccl.conf never ends, as on a mount whose server is gone",
        _hangs,
        touches=("own nccl.conf",),
    ),
)
