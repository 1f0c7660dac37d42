"""All faults by name, in the order in which `lab faults` lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.lab.faults import (
    devices,
    gpu,
    host,
    inventory,
    memlock,
    nccl,
    network,
    processes,
    runtime,
    serving,
    settings,
    ssh,
    verbs,
)

if TYPE_CHECKING:
    from sparkctl.lab.faults.fault import Fault

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for faults in (
        network.FAULTS,
        devices.FAULTS,
        verbs.FAULTS,
        memlock.FAULTS,
        inventory.FAULTS,
        settings.FAULTS,
        runtime.FAULTS,
        host.FAULTS,
        gpu.FAULTS,
        processes.FAULTS,
        ssh.FAULTS,
        serving.FAULTS,
        nccl.FAULTS,
    )
    for fault in faults
}
