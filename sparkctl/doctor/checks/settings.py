"""What a node's owner left behind: NCCL's own files, shell profiles, forced transports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies
from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy, command
from sparkctl.fabric.ncclparam import number
from sparkctl.facts.unread import Missing, known
from sparkctl.secret.value import masked, protected_text
from sparkctl.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.engines.choice import Choice
    from sparkctl.errors import Data
    from sparkctl.facts.groups import Assignment

MONITOR = "RAY_memory_monitor_refresh_ms"
# Of the values that NCCL_NET may have, those that mean RDMA: IB, and HPC-X's plugin, IBext_v10.
RDMA_NETS = ("ib", "nccl rdma plugin")
NO_PLUGIN = ("", "none")
# What settings.forced, fabric.gid-index and fabric.interfaces judge by its effect on the node.
JUDGED = ("NCCL_IB_DISABLE", "NCCL_IB_GID_INDEX", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")


def nccl_conf(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """NCCL's own files set nothing that the environment, which overrides them, leaves unset."""
    planned, found = snapshot.environment(name), known(snapshot.facts(name).settings)
    own = planned.get("NCCL_CONF_FILE")
    unread = own not in (None, "", found.conf_file)
    if own and unread:
        text = f"NCCL_CONF_FILE={quoted(own)} was not read, {found.conf_file} was"
        yield unknown(text, code="conf-not-read", data={"path": own, "read": found.conf_file})
    added = [
        (file.path, variable, masked(variable, value))
        for file in found.conf
        for variable, value in file.values.items()
        if variable not in planned.names
    ]
    for path, variable, shown in added:
        yield warn(
            f"{path} sets {variable}={quoted(shown)}, which sparkctl does not override",
            Evidence(f"{variable} unset", quoted(shown), path),
            Remedy(
                "remove the line, or set the variable in an env layer",
                (command("sudoedit", path),),
            ),
            code="set-by-conf",
            data={"path": path, "variable": variable, "got": shown},
        )
    if not added and not unread:
        yield ok("no nccl.conf adds to sparkctl's settings")


def profiles(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """No shell profile gives a program started by hand other settings than `up` does."""
    found = [_profile(snapshot, name, e) for e in known(snapshot.facts(name).settings).profiles]
    findings = [finding for finding in found if finding]
    yield from findings
    if not findings:
        yield ok("no shell profile changes NCCL")


def _profile(snapshot: Snapshot, name: str, entry: Assignment) -> Finding | None:
    """The finding on one assignment; None if `up` sets the same value."""
    variable, value = entry.name, protected_text(entry.value, entry.name)
    where, planned = f"{entry.path}:{entry.line}", snapshot.environment(name)
    data: Data = {
        "path": entry.path,
        "line": entry.line,
        "variable": variable,
        "got": value,
    }
    if variable in planned.why:
        text = f"{where} sets {variable}={quoted(value)}; what `up` sets: {planned.why[variable]}"
        return unknown(text, data=data)
    up = planned.get(variable)
    if up == value and variable in snapshot.planned(name).known:
        return None
    expected, effect = f"{variable} unset", "nothing overrides it"
    if up not in (None, value):
        expected = quoted(up) if up else expected
        effect = f"`up` overrides it with {quoted(up)}, but programs started by hand use it"
    shown = quoted(value)
    return warn(
        f"{where} sets {variable}={shown}: {effect}",
        Evidence(expected, shown, where),
        Remedy("remove the line and log in again", (command("sudoedit", entry.path),)),
        code="set-by-profile",
        data=data,
    )


def forced(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Nothing disables RDMA: NCCL_IB_DISABLE, NCCL_NET, NCCL_NET_PLUGIN."""
    findings = [f for check in (_disabled, _net, _plugin) if (f := check(snapshot, name))]
    yield from findings
    if not findings:
        yield ok("nothing forces NCCL away from RDMA")


def _disabled(snapshot: Snapshot, name: str) -> Finding | None:
    variable = "NCCL_IB_DISABLE"
    value, origin = snapshot.effective(name).get(variable, "0"), snapshot.origin(name, variable)
    if not number(value):
        return None
    return fail(
        f"{variable}={quoted(value)} disables RDMA",
        Evidence(f"{variable} unset", quoted(value), origin),
        Remedy(f"remove {variable} from {origin}"),
        code="ib-disabled",
        data={"variable": variable, "got": value, "origin": origin},
    )


def _net(snapshot: Snapshot, name: str) -> Finding | None:
    variable = "NCCL_NET"
    value, origin = snapshot.effective(name).get(variable, ""), snapshot.origin(name, variable)
    if not value or value.lower().startswith(RDMA_NETS):
        return None
    return fail(
        f"{variable}={quoted(value)} forces another transport than RDMA",
        Evidence(f"{variable} unset", quoted(value), origin),
        Remedy(f"remove {variable} from {origin}"),
        code="net-forced",
        data={"variable": variable, "got": value, "origin": origin},
    )


def _plugin(snapshot: Snapshot, name: str) -> Finding | None:
    variable = "NCCL_NET_PLUGIN"
    value, origin = snapshot.effective(name).get(variable, ""), snapshot.origin(name, variable)
    if value in NO_PLUGIN:
        return None
    return warn(
        f"{variable}={quoted(value)} makes NCCL load a network plugin",
        Evidence("unset", quoted(value), origin),
        Remedy("unset it: NCCL's own IB transport is the one that was measured on Sparks"),
        code="net-plugin",
        data={"variable": variable, "got": value, "origin": origin},
    )


def memory_monitor(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Ray's monitor is off: it kills workers for the GPU's share of the unified memory."""
    value = snapshot.environment(name).get(MONITOR, "unset")
    if value == "0":
        yield ok("Ray's memory monitor is off")
        return
    origin = snapshot.origin(name, MONITOR)
    shown = quoted(value)
    yield warn(
        f"{MONITOR} is {shown}: Ray kills workers when 95 % of the memory is in use, which on GB10"
        " includes the GPU's",
        Evidence("0", shown, origin),
        Remedy(f"set {MONITOR}=0, or remove it from layers and inventory: the default is 0"),
        code="memory-monitor",
        data={"variable": MONITOR, "expected": "0", "got": value, "origin": origin},
    )


def recipe(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Layers and inventory have nothing that is allowed and most likely a mistake on GB10."""
    planned = snapshot.planned(name)
    judged = {k: v for k, v in planned.known.items() if k not in JUDGED}
    doubts = snapshot.engine.doubts(snapshot.inventory, judged, _recipe(snapshot))
    for doubt in doubts:
        setting = str(doubt.data["setting"])
        yield warn(
            doubt.text,
            Evidence("the recipe's value", setting, "inventory and env layers"),
            Remedy(
                "change it there; `sparkctl env` shows where each variable comes from",
                ("sparkctl env",),
            ),
            code=doubt.code,
            data=doubt.data,
        )
    if planned.why:
        reason = next(iter(planned.why.values()))
        yield unknown(f"{len(planned.why)} variables: {reason}", data={"variables": [*planned.why]})
    elif not doubts:
        yield ok("no setting is known to fail on GB10")


def _recipe(snapshot: Snapshot) -> Choice:
    """By the head's facts; if these are missing, the rules that need no architecture still hold."""
    try:
        return snapshot.engine.recipe(
            snapshot.inventory, snapshot.facts(snapshot.inventory.head.name)
        )
    except Missing:
        return snapshot.engine.unread(snapshot.inventory)


CHECKS = (
    Check("settings.forced", "node", forced, preflight=True),
    Check("settings.memory-monitor", "node", memory_monitor, lacks=applies.ray),
    Check("settings.nccl-conf", "node", nccl_conf, lacks=applies.host),
    Check("settings.profiles", "node", profiles, lacks=applies.host),
    Check("settings.recipe", "node", recipe),
)
