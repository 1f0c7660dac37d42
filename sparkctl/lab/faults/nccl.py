"""Faults of the runtime's NCCL, which is imitated: the lab's vLLM is a build for the CPU."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sparkctl.lab.faults.fault import INVENTORY, Fault
from sparkctl.lab.faults.inventory import edit
from sparkctl.lab.faults.runtime import packages

if TYPE_CHECKING:
    from sparkctl.lab.faults.inventory import Inventory
    from sparkctl.lab.faults.target import Target

METADATA = "nvidia_nccl_cu13-2.28.9.dist-info"  # as pip names it; the version alone is read
LIBRARY = "nvidia/nccl/lib/libnccl.so.2"
BUILD_ID = bytes.fromhex("a7f420a1") + bytes(16)  # the beginning is pip's on a Spark
WRITE = """\
import pathlib, sys
path = pathlib.Path(sys.argv[1])
path.parent.mkdir(parents=True)
path.write_bytes(bytes.fromhex(sys.argv[2]))
"""


def _library() -> bytes:
    """An ELF file with a Build ID and NCCL's version, and nothing to run (elf(5))."""
    note = struct.pack("<III4s", 4, len(BUILD_ID), 3, b"GNU") + BUILD_ID
    begin = 64 + 56
    magic = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = magic + struct.pack("<HHIQQQIHHHHHH", 3, 183, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 4, 4, begin, 0, 0, len(note), len(note), 4)
    return header + segment + note + b"NCCL version 2.28.9+cuda13.0\0"


def _build(target: Target) -> None:
    site, _ = packages(target)
    target.run("python3", "-c", WRITE, f"{site}/{LIBRARY}", _library().hex())


def _graphs(target: Target) -> None:
    def change(inventory: Inventory) -> None:
        graphs = {"cudagraph_mode": "full_and_piecewise"}
        inventory["vllm"]["arguments"]["compilation-config"] = graphs

    site, _ = packages(target)
    target.run("mkdir", f"{site}/{METADATA}")
    edit(target, change)


FAULTS = (
    Fault(
        "nccl-build",
        "the runtime has the build of NCCL 2.28.9 that hangs between Sparks (imitated)",
        _build,
        touches=("site-packages",),
        needs="runtime",
    ),
    Fault(
        "nccl-graphs",
        "NCCL 2.28.9 is installed on one node (imitated), and vLLM captures CUDA graphs",
        _graphs,
        touches=("site-packages", INVENTORY),
        needs="runtime",
    ),
)
