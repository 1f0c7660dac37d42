"""The environment of the cluster's running processes, compared with the plan."""

from __future__ import annotations

import re
from posixpath import normpath
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.processes import strays
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import Unread
from sparkctl.node.settings import watched
from sparkctl.node.units import CONTAINER
from sparkctl.secret.value import protected_text, public
from sparkctl.text import counted, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.doctor.snapshot import Snapshot

UNSET = "unset"
# What Ray 2.60, vLLM 0.14 to 0.33 and NVIDIA's images set by themselves.
OWN = {
    "RAY_ADDRESS",
    "NCCL_ASYNC_ERROR_HANDLING",
    "NCCL_CUMEM_ENABLE",
    "NCCL_LAUNCH_MODE",
    "NCCL_MAX_CTAS",
    "NCCL_NO_CACHE",
    "NCCL_VERSION",
    "UCX_MEMTYPE_CACHE",
    "UCX_RCACHE_MAX_UNRELEASED",
}
# What selects the devices of NCCL and Gloo (NCCL's src/misc/socket.cc and src/transport/net_ib).
SELECTING = {
    "NCCL_CONF_FILE",
    "NCCL_IB_DISABLE",
    "NCCL_IB_GID_INDEX",
    "NCCL_IB_HCA",
    "NCCL_NET",
    "NCCL_NET_PLUGIN",
    "NCCL_SOCKET_IFNAME",
    "GLOO_SOCKET_IFNAME",
    "TP_SOCKET_IFNAME",
    "UCX_NET_DEVICES",
    "LD_PRELOAD",
}
PIDS_SHOWN = 4
Environments = list[tuple[int, "Mapping[str, str]"]]  # by pid


def environment(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The cluster's processes have the planned environment; secrets are not compared."""
    older = strays(snapshot, name)
    running = [
        p
        for p in snapshot.running(name)
        # The former: see host.leftovers. The latter keeps a container, and runs nothing of a plan.
        if p not in older and p.role != CONTAINER
    ]
    if not running:
        yield info("no process of this cluster is running", code="not-running")
        return
    readable = [(p.pid, p.environment) for p in running if p.environment is not None]
    if not readable:
        yield unknown(
            f"the environment of {counted(len(running), 'process')} could not be read: no"
            " permission, or their titles overwrote it"
        )
        return
    planned = public(snapshot.environment(name))
    different = _different(readable, planned, _own_folders(snapshot, name))
    for (variable, value), pids in sorted(different.items(), key=_by_name):
        yield _finding(variable, planned.get(variable), value, pids)
    if not different:
        hidden = len(running) - len(readable)
        yield ok(
            f"{counted(len(readable), 'process')} with the planned environment"
            + (f", {hidden} without a readable one" if hidden else "")
        )


def _own_folders(snapshot: Snapshot, name: str) -> re.Pattern[str]:
    """Matches the folders of the runtime's packages and programs.

    Where the runtime is /usr, the system's libraries are not among them; pip's are below local.
    """
    found, prefixes = snapshot.facts(name).runtime, {snapshot.inventory.runtime.venv}
    if not isinstance(found, Unread):
        prefixes = {path for path in (found.venv, found.real) if path} or prefixes
    roots = "|".join(re.escape(prefix.rstrip("/")) for prefix in prefixes)
    return re.compile(rf"(?:{roots})/(?:local/)?(?:bin|lib(?:64)?/python3[^/]*/.+)")


def _extends(planned: str | None, got: str | None, own: re.Pattern[str]) -> bool:
    """Whether a process has the planned list of paths, and more that only the runtime brings.

    Packages set it for their children: cv2 prepends `…/site-packages/cv2/../../lib64:` to
    LD_LIBRARY_PATH when it is imported, also where that is unset (opencv-python 5.0,
    cv2/__init__.py).
    """
    if got is None:
        return False
    found = got.split(":")
    return any(_adds(expected, found, own) for expected in _lists(planned))


def _lists(planned: str | None) -> tuple[list[str], ...]:
    """What a list of paths may be extended from: an unset one also from nothing at all."""
    return (planned.split(":"),) if planned else ([""], [])


def _adds(expected: list[str], found: list[str], own: re.Pattern[str]) -> bool:
    """Whether a list has the expected one in it, and else only folders of the runtime."""
    for at in range(len(found) - len(expected) + 1):
        end = at + len(expected)
        added = [*found[:at], *found[end:]]
        if found[at:end] == expected and added and all(own.fullmatch(normpath(a)) for a in added):
            return True
    return False


def _different(
    environments: Environments, planned: Mapping[str, str], own: re.Pattern[str]
) -> dict[tuple[str, str | None], list[int]]:
    """The variables that differ from the plan, with their values, and the pids that have them."""
    different: dict[tuple[str, str | None], list[int]] = {}
    for pid, found in environments:
        added = {k for k, v in found.items() if k not in planned and not _own(k, v)}
        for variable in planned.keys() | added:
            expected, value = planned.get(variable), found.get(variable)
            extended = variable not in SELECTING and _extends(expected, value, own)
            if value != expected and not extended:
                different.setdefault((variable, value), []).append(pid)
    return different


def _by_name(item: tuple[tuple[str, str | None], list[int]]) -> tuple[str, str]:
    (variable, value), _ = item
    return variable, value or ""


def _own(variable: str, value: str) -> bool:
    """Whether Ray or vLLM sets this variable."""
    if variable == "LD_PRELOAD":  # Ray preloads jemalloc, vLLM's CPU build OpenMP
        return not re.search("nccl|ibverbs", value)
    return variable in OWN


def _finding(variable: str, expected: str | None, got: str | None, pids: list[int]) -> Finding:
    """FAIL for a variable that selects the fabric, else WARN."""
    more = " …" if len(pids) > PIDS_SHOWN else ""
    listed = ", ".join(map(str, pids[:PIDS_SHOWN])) + more
    got = None if got is None else protected_text(got, variable)
    planned, actual = _text(expected), _text(got)
    fabric = watched({variable: ""}) and (expected is not None or variable in SELECTING)
    return (fail if fabric else warn)(
        f"{variable} is {actual} in {counted(len(pids), 'process')} (pid {listed});"
        f" the plan has {planned}",
        Evidence(planned, actual, f"/proc/{pids[0]}/environ"),
        Remedy(
            "restart the service; if it stays, an image, a wrapper or a shell profile sets the"
            " variable",
            ("sparkctl up",),
        ),
        code="variable-differs",
        data={
            "variable": variable,
            "expected": expected,
            "got": got,
            "pids": [str(pid) for pid in pids],
        },
    )


def _text(value: str | None) -> str:
    return UNSET if value is None else quoted(value)


CHECKS = (Check("running.environment", "node", environment),)
