"""All faults, in the order in which they are listed."""

from __future__ import annotations

from sparkctl.lab.faults import (
    devices,
    host,
    inventory,
    network,
    processes,
    runtime,
    serving,
    settings,
    ssh,
    verbs,
)

FAULTS = {
    fault.name: fault
    for subject in (
        network,
        devices,
        verbs,
        inventory,
        settings,
        runtime,
        host,
        processes,
        ssh,
        serving,
    )
    for fault in subject.FAULTS
}
