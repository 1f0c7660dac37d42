"""The versions of NCCL that changed what it selects."""

from __future__ import annotations

from sparkctl.errors import UsageError

Version = tuple[int, ...]
NEWEST: Version = (2, 30, 7)  # the newest whose source was read
RAIL_GRAMMAR: Version = (2, 30, 7)  # name:port:rail:plane, an empty field means any
SUBNET_ROUTING: Version = (2, 30, 7)  # NCCL_IB_SUBNET_AWARE_ROUTING
RUNNING_ONLY: Version = (2, 28, 3)  # an interface without carrier no longer counts
VIRBR_LAST: Version = (2, 28, 3)  # libvirt's bridges are tried after all others


def parse_version(text: str) -> Version:
    """2.28.9 as (2, 28, 9). Raises UsageError for anything else."""
    parts = text.split(".")
    if len(parts) not in (2, 3) or not all(p.isascii() and p.isdigit() for p in parts):
        raise UsageError(
            f"expected an NCCL version such as 2.28.9, got {text!r}",
            hint="see NCCL's log (`NCCL version 2.28.9+cuda13.0`: without the + and what follows)"
            " or `pip list` (nvidia-nccl-cu13)",
            code="nccl-version",
            data={"value": text},
        )
    return tuple(int(p) for p in parts)
