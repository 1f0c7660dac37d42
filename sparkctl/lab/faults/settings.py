"""Settings left in files of a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.lab.faults.fault import Fault
from sparkctl.lab.faults.undos import USER_CONF

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target


def _nccl_conf(target: Target) -> None:
    target.cover("/etc/nccl.conf", "# from an old benchmark\nNCCL_NET=Socket\n")


def _profile(target: Target) -> None:
    target.cover("/root/.bashrc", "export NCCL_IB_DISABLE=1\n")


def _hang(target: Target) -> None:
    target.change(f"mkfifo {USER_CONF}", "remove", path=USER_CONF)


FAULTS = (
    Fault("nccl-conf", "/etc/nccl.conf has NCCL_NET=Socket", _nccl_conf, touches=("nccl.conf",)),
    Fault(
        "ib-disabled-profile", "~/.bashrc exports NCCL_IB_DISABLE=1", _profile, touches=("bashrc",)
    ),
    Fault(
        "file-hangs",
        "reading ~/.nccl.conf hangs, as on a mount whose server is gone",
        _hang,
        touches=("own nccl.conf",),
    ),
)
