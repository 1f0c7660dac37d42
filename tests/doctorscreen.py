"""Prints what `doctor` prints of a fixed cluster: `python -m tests.doctorscreen NAME`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.doctor.finding import Evidence, fail
from sparkctl.doctor.logs import read_logs
from sparkctl.doctor.remedy import Remedy
from sparkctl.doctor.unreached import gathered
from sparkctl.lab.hardware import CONNECTX_7
from sparkctl.lab.spec import imitated
from sparkctl.output.doctor import print_findings, print_undecided
from sparkctl.output.nccllog import print_verdict
from tests.unit.doctorview import examined, healthy
from tests.unit.test_doctor_runner import faulty
from tests.unit.test_doctor_unknown import three
from tests.unit.test_doctor_unreached import unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

LOG = "fixtures/vllm/gpu-served-then-hung.log"
LONG = "spark-in-the-second-rack-node-3"  # as long as an inventory allows
COMMAND = (
    "sudo docker run --rm --gpus all --network host --device /dev/infiniband -v /models:/models:ro"
    " 'registry.example/vllm:0.22 of today' python3 -c 'import torch'"
)


def healthy_pair() -> None:
    """Nothing is wrong."""
    print_findings(examined(healthy()), [])


def failures() -> None:
    """What is wrong has evidence, remedies and commands, one wider than the terminal."""
    long = fail(
        "the image cannot use the GPU",
        Evidence("a CUDA device", "0 devices", "torch.cuda.device_count() in the image"),
        Remedy("run it by hand to see why", (COMMAND,)),
        node=LONG,
        code="no-gpu",
    )
    named = imitated(CONNECTX_7)
    print_findings([*examined(faulty()), long.of("container.gpu", "node", LONG)], named)


def one_unreachable() -> None:
    """One of three nodes does not answer."""
    print_findings(gathered(examined(unreachable(three(), "spark-2"))), [])
    print_undecided({"spark-2": "spark-2 is unreachable"})


def verbose() -> None:
    """All findings of a family, with -v."""
    found = [f for f in examined(faulty()) if f.check.startswith("fabric.")]
    print_findings(found, [], verbose=True)


def log() -> None:
    """A log of vLLM, with --log."""
    os.chdir(Path(__file__).parent)
    print_verdict(read_logs([LOG]))


SCREENS: dict[str, Callable[[], None]] = {
    "doctor-healthy": healthy_pair,
    "doctor-failures": failures,
    "doctor-unreachable": one_unreachable,
    "doctor-verbose": verbose,
    "doctor-log": log,
}

if __name__ == "__main__":
    SCREENS[sys.argv[1]]()
