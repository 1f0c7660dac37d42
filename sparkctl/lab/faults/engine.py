"""Applying faults in a node's namespaces, and healing them in reverse."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from sparkctl.errors import SparkctlError, UsageError
from sparkctl.lab.faults import host, links, login, processes, settings, sysfs
from sparkctl.lab.faults.fault import CLEANUP, PRELUDE, SETTLED, Fault
from sparkctl.lab.lab import Lab
from sparkctl.lab.node import PATH
from sparkctl.lab.processes import inits

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for module in (links, sysfs, settings, host, login, processes)
    for fault in module.FAULTS
}
STATE = "faults.json"
HEALTHY = "inventory.healthy.yaml"
SECONDS = 60  # for a fault to be in effect; starting another Ray takes ten


@dataclass(frozen=True)
class Active:
    """A fault that is in effect, and where."""

    name: str
    node: str


def active(lab: Lab) -> list[Active]:
    """The faults in effect, in the order in which they were applied."""
    path = lab.base / STATE
    return [Active(**a) for a in json.loads(path.read_text())] if path.exists() else []


def find(name: str) -> Fault:
    """The fault of that name. Raises UsageError."""
    if name not in FAULTS:
        raise UsageError(f"no fault is called {name}", hint="`sparkctl lab faults` lists them")
    return FAULTS[name]


def apply(lab: Lab, name: str, node: str | None = None) -> Active:
    """Bring a fault into effect; undone when a part of it fails. Raises SparkctlError."""
    fault = find(name)
    before = active(lab)
    wanted = Active(name, node or fault.node)
    if any(a.name == name for a in before):
        raise UsageError(f"{name} is in effect already", hint=f"`sparkctl lab heal {name}` first")
    try:
        _run(lab, wanted, fault.apply)
        _settle(lab)
        _remember(lab, [*before, wanted])
    except BaseException:
        _run(lab, wanted, fault.heal, check=False)
        raise
    return wanted


def heal(lab: Lab, name: str | None = None) -> list[Active]:
    """Undo one fault or all, the last first; gives those that were in effect."""
    if name is not None:
        find(name)
    before = active(lab)
    healed = [a for a in reversed(before) if name in (None, a.name)]
    left = list(before)
    for each in healed:
        _run(lab, each, FAULTS[each.name].heal + CLEANUP)
        _settle(lab)
        left.remove(each)
        _remember(lab, left)
    return healed


def _remember(lab: Lab, faults: list[Active]) -> None:
    """Write down what is in effect, and make the inventory as these faults have it."""
    text = json.dumps([vars(a) for a in faults])
    (lab.base / STATE).write_text(text)
    healthy = lab.base / HEALTHY
    if not healthy.exists():
        healthy.write_text(lab.inventory.read_text())
    changes = [(FAULTS[a.name].inventory, a.node) for a in faults]
    if not any(change for change, _ in changes):
        lab.inventory.write_text(healthy.read_text())
        return
    value = yaml.safe_load(healthy.read_text())
    for change, node in changes:
        if change:
            change(value, node)
    lab.inventory.write_text(yaml.safe_dump(value, sort_keys=False))


def _settle(lab: Lab) -> None:
    """Until what every node's sysfs says is what its links are."""
    for node in lab.nodes:
        _run(lab, Active("settled", node.name), SETTLED)


def _run(lab: Lab, where: Active, script: str, *, check: bool = True) -> None:
    """Run a script in the node's namespaces; raises SparkctlError with what it said."""
    if not script:
        return
    spec = next((n for n in lab.nodes if n.name == where.node), None)
    if spec is None:
        known = ", ".join(n.name for n in lab.nodes)
        raise UsageError(f"the lab has no node {where.node}", hint=f"its nodes are {known}")
    pid = inits(lab.nodes).get(spec.name)
    if pid is None:
        raise SparkctlError(f"the lab's {spec.name} does not run", hint="`sparkctl lab down`, up")
    value = yaml.safe_load(lab.inventory.read_text())
    environment = {
        "PATH": PATH,
        "HOME": str(Path("/root")),
        "NAME": where.name,
        "NODE": spec.name,
        "NUMBER": str(spec.number),
        "ADDRESS": spec.address,
        "VENV": value["runtime"]["venv"],
        "MODEL": value["vllm"]["model"],
    }
    argv = ["nsenter", "--target", str(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
    argv += ["timeout", "--kill-after=5", str(SECONDS), "bash", "-c", PRELUDE + script]
    done = subprocess.run(
        argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        said = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise SparkctlError(f"{where.name} on {where.node}: {said}", hint="`sparkctl lab heal`")
