"""All checks, in the order in which they are printed; ids are part of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.checks import (
    capacity,
    container_inside,
    container_list,
    containers,
    devices,
    environment,
    firewall,
    gid,
    host,
    interfaces,
    libnccl,
    links,
    model,
    nccl,
    ncclversion,
    pairs,
    persistence,
    ping,
    ports,
    processes,
    ranks,
    raytable,
    reach,
    recipe,
    running,
    runtime,
    selection,
    settings,
    verbs,
    wedge,
)

if TYPE_CHECKING:
    from sparkctl.doctor.check import Check

CHECKS: tuple[Check, ...] = (
    *reach.CHECKS,
    *devices.CHECKS,
    *links.CHECKS,
    *selection.CHECKS,
    *interfaces.CHECKS,
    *gid.CHECKS,
    *verbs.CHECKS,
    *persistence.CHECKS,
    *pairs.CHECKS,
    *ping.CHECKS,
    *firewall.CHECKS,
    *settings.CHECKS,
    *containers.CHECKS,
    *container_inside.CHECKS,
    *container_list.CHECKS,
    *runtime.CHECKS,
    *ncclversion.CHECKS,
    *model.CHECKS,
    *recipe.CHECKS,
    *host.CHECKS,
    *capacity.CHECKS,
    *ports.CHECKS,
    *processes.CHECKS,
    *raytable.CHECKS,
    *running.CHECKS,
    *wedge.CHECKS,
    *environment.CHECKS,
    *ranks.CHECKS,
    *libnccl.CHECKS,
    *nccl.CHECKS,
)
