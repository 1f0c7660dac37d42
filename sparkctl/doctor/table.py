"""All checks, in the order in which they are printed; ids are part of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.checks import (
    devices,
    gid,
    host,
    interfaces,
    links,
    nccl,
    pairs,
    persistence,
    processes,
    ranks,
    reach,
    recipe,
    running,
    runtime,
    selection,
    settings,
    verbs,
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
    *settings.CHECKS,
    *runtime.CHECKS,
    *recipe.CHECKS,
    *host.CHECKS,
    *processes.CHECKS,
    *running.CHECKS,
    *ranks.CHECKS,
    *nccl.CHECKS,
)
