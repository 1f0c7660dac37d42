"""What a node's owner left behind: NCCL's own files, shell profiles, forced transports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.cluster.known import Missing
from sparkctl.cluster.wish import head_recipe
from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy, command
from sparkctl.fabric.ncclparam import number
from sparkctl.secret.value import masked, protected_text
from sparkctl.serving.recipe import Choice, choose_recipe
from sparkctl.serving.rules import warnings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import View

MONITOR = "RAY_memory_monitor_refresh_ms"
# Of the values that NCCL_NET may have, those that mean RDMA: IB, and HPC-X's plugin, IBext_v10.
RDMA_NETS = ("ib", "nccl rdma plugin")
# What settings.forced, fabric.gid-index and fabric.interfaces judge by what it does on the node.
JUDGED = ("NCCL_IB_DISABLE", "NCCL_IB_GID_INDEX", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")


def nccl_conf(view: View, name: str) -> Iterator[Finding]:
    """NCCL's own files: the environment wins over them, what it does not set comes from them."""
    planned, found = view.environment(name), view.group(name, "settings")
    own = planned.get("NCCL_CONF_FILE")
    if own and own != found["conf_file"]:
        yield unknown(f"NCCL_CONF_FILE={own} was not read, {found['conf_file']} was")
    told = 0
    for file in found["conf"]:
        for variable, value in file["values"].items():
            if variable in planned.names:
                continue
            told += 1
            shown = masked(variable, value)
            yield warn(
                f"{file['path']} sets {variable}={shown}, which nothing of ours overrides",
                Evidence(f"{variable} unset", shown, file["path"]),
                Remedy(
                    "remove the line, or set the variable in an env layer if it is wanted",
                    (command("sudoedit", file["path"]),),
                ),
            )
    if not told and own in (None, "", found["conf_file"]):
        yield ok("no nccl.conf adds to our settings")


def profiles(view: View, name: str) -> Iterator[Finding]:
    """Assignments in shell profiles: a program started by hand gets another fabric than ours."""
    planned = view.environment(name)
    told = 0
    for entry in view.group(name, "settings")["profiles"]:
        variable, value = entry["name"], protected_text(entry["value"], entry["name"])
        if variable in planned.why:
            told += 1
            yield unknown(
                f"{entry['path']}:{entry['line']} sets {variable}={value}; what `up` sets:"
                f" {planned.why[variable]}"
            )
            continue
        if planned.get(variable) == value and view.origin(name, variable).startswith("layer"):
            continue
        told += 1
        where = f"{entry['path']}:{entry['line']}"
        wins = planned.get(variable)
        effect = (
            f"`up` overrides it with {wins}, programs started by hand take it"
            if wins is not None and wins != value
            else "nothing of ours overrides it"
        )
        yield warn(
            f"{where} sets {variable}={value}: {effect}",
            Evidence(f"{variable} unset" if wins in (None, value) else wins, value, where),
            Remedy("remove the line, log in anew", (command("sudoedit", entry["path"]),)),
        )
    if not told:
        yield ok("no shell profile changes NCCL")


def forced(view: View, name: str) -> Iterator[Finding]:
    """Nothing turns RDMA off: NCCL_IB_DISABLE, NCCL_NET, NCCL_NET_PLUGIN."""
    found = view.effective(name)
    disabled, net = found.get("NCCL_IB_DISABLE", "0"), found.get("NCCL_NET", "")
    plugin = found.get("NCCL_NET_PLUGIN", "")
    wrong = []
    if number(disabled):
        wrong.append(("NCCL_IB_DISABLE", disabled, "turns RDMA off"))
    if net and not net.lower().startswith(RDMA_NETS):
        wrong.append(("NCCL_NET", net, "forces another transport than RDMA"))
    for variable, value, effect in wrong:
        where = view.origin(name, variable)
        yield fail(
            f"{variable}={value} {effect}",
            Evidence(f"{variable} unset", value, where),
            Remedy(f"remove {variable} from {where}"),
        )
    if plugin not in ("", "none"):
        yield warn(
            f"NCCL_NET_PLUGIN={plugin} has NCCL load a network plugin",
            Evidence("unset", plugin, view.origin(name, "NCCL_NET_PLUGIN")),
            Remedy("unset it: on Sparks NCCL's own IB transport is the one that was measured"),
        )
    elif not wrong:
        yield ok("nothing forces NCCL away from RDMA")


def memory_monitor(view: View, name: str) -> Iterator[Finding]:
    """Ray's monitor would kill workers for what the GPU holds in the memory that both share."""
    value = view.environment(name).get(MONITOR, "unset")
    if value == "0":
        yield ok("Ray's memory monitor is off")
        return
    yield warn(
        f"{MONITOR} is {value}: Ray kills workers when 95 % of the memory is in use, on GB10"
        " the GPU's too",
        Evidence("0", value, view.origin(name, MONITOR)),
        Remedy(f"set {MONITOR}=0, or leave it out of layers and inventory: 0 is built in"),
    )


def recipe(view: View, name: str) -> Iterator[Finding]:
    """What is allowed in layers and inventory, and most likely a mistake on GB10."""
    planned = view.planned(name)
    known = {k: v for k, v in planned.known.items() if k not in JUDGED}
    doubts = warnings(view.inventory, known, _recipe(view))
    for doubt in doubts:
        yield warn(
            doubt.text,
            Evidence("the recipe's value", str(doubt.data["setting"]), "inventory and env layers"),
            Remedy("change it there; `sparkctl env` shows where each variable comes from",
                   ("sparkctl env",)),
        )  # fmt: skip
    if planned.why:
        yield unknown(f"{len(planned.why)} variables: {next(iter(planned.why.values()))}")
    elif not doubts:
        yield ok("nothing that is known to go wrong on GB10")


def _recipe(view: View) -> Choice:
    """By the head's facts; where they lack, model.recipe is UNKNOWN, the other rules still hold."""
    try:
        return head_recipe(view.inventory, view.facts(view.inventory.head.name))
    except Missing:
        return choose_recipe(view.inventory.vllm, None)


CHECKS = (
    Check("settings.forced", "node", forced, preflight=True),
    Check("settings.memory-monitor", "node", memory_monitor),
    Check("settings.nccl-conf", "node", nccl_conf),
    Check("settings.profiles", "node", profiles),
    Check("settings.recipe", "node", recipe),
)
