"""Stopping a cluster or its units on a node: their processes, then the cluster's files.

No process is chosen by its name alone, and each is signalled by pidfd (signals.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import (
    containerend,
    entries,
    files,
    lease,
    logs,
    marks,
    sharedmemory,
    signals,
    state,
    venvs,
)
from sparkctl.node.processes import Process, ours
from sparkctl.node.subprocesses import start
from sparkctl.node.unitid import kind_of, replica_of
from sparkctl.node.units import CONTAINER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.node.wire import Answer, Clear, Remove, Stop

GRACE = 10.0  # seconds to end on TERM
KILLED = 5.0  # seconds to end on KILL
SHIM = 1.0  # seconds for a shim to end after its last child
RANKS = 5.0  # seconds for Ray to end the ranks after vLLM; it takes one (2.60, run)
COMMAND = 10.0  # seconds that `argv` may take over the grace


def stop(request: Stop) -> Answer:
    """End the processes of `units` (ids), or of `roles` (all when empty), and only of `run`.

    SIGTERM to all of them, to the programs named in `last` (Ray's GCS) when the others have ended,
    and SIGKILL after `grace` seconds, twice, as a supervisor may have started another process
    meanwhile. `leader`: SIGTERM to the recorded programs alone, while they live. `argv` is run
    instead of SIGTERM. Shared memory that they alone used is removed. Returns the processes
    `stopped` and `remaining`, and as `error` why `argv` failed.
    """
    state.check(request)
    cluster, grace = request["cluster"], request.get("grace", GRACE)
    memory: set[str] = set()
    stopped: dict[tuple[int, int], Process] = {}

    def look() -> None:
        # Of all the cluster's processes: Ray ends the ranks with vLLM, and they share memory too.
        memory.update(sharedmemory.mapped(ours(cluster)))

    def end(
        found: list[Process], number: int, seconds: float, also: Sequence[Process] = ()
    ) -> None:
        stopped.update({(p.pid, p.started): p for p in (*found, *also)})
        signals.end(found, number, seconds, look, also=also)

    look()
    if ranks := _young_ranks(request):
        # They may still create shared memory, and Ray KILLs them between two looks.
        end(ranks, signal.SIGSTOP, 0.0)
        end(ranks, signal.SIGKILL, KILLED)
    error = _ask(request, grace, end)
    for _ in range(2):
        end(_found(request), signal.SIGKILL, KILLED)
    if _leaves_ranks(request):
        _ranks_end(cluster, look)
    _remove_containers(request)
    remaining = _found(request)
    if not remaining:
        _end_shims(request, look)
    sharedmemory.release_or_note(cluster, memory)
    answer: Answer = {
        "stopped": [p.document() for p in stopped.values()],
        "remaining": [p.document() for p in remaining],
        "error": error,
    }
    return answer


def _ask(request: Stop, grace: float, end: Callable[..., None]) -> str | None:
    """Ask the processes to end; returns why `argv` failed, if it did."""
    found = _found(request)
    if request.get("argv"):
        error = _command(request, grace + COMMAND)
        end([], signal.SIGTERM, grace if error is None else 0.0, found)
        return error
    # By unit, the recorded program that alone gets SIGTERM.
    programs = {(p.pid, p.started) for p in state.programs(request["cluster"])}
    leaders = [p for p in found if request.get("leader") and (p.pid, p.started) in programs]
    led = {p.unit for p in leaders}
    # A raylet signs off at the GCS, and waits ten seconds for one that is already gone.
    last = request.get("last", [signals.GCS])
    free = [p for p in found if p.unit not in led and p.role != CONTAINER]
    asked = [p for p in free if signals.program(p) not in last]
    also = [p for p in found if p.unit in led and p.role != CONTAINER]
    end([*leaders, *asked], signal.SIGTERM, grace, also)
    late = [p for p in _found(request) if p.unit not in led and signals.program(p) in last]
    end(late, signal.SIGTERM, grace)
    # With a container's first process the kernel KILLs all that is left in it.
    end([p for p in _found(request) if p.role == CONTAINER], signal.SIGTERM, grace)
    return None


def _remove_containers(request: Stop) -> None:
    """Remove the containers of the units that have ended: what is left in them ends too."""
    units, roles, run = request.get("units"), request.get("roles"), request.get("run")
    if units is None and not roles and run is None:
        containerend.remove(request["cluster"])
        return
    ended = [
        unit
        for unit, entry in state.read(request["cluster"])["units"].items()
        if kind_of(unit) == CONTAINER and run in (None, entry.get("run"))
        if (unit in units if units is not None else not roles or CONTAINER in roles)
    ]
    if ended:
        containerend.remove(request["cluster"], ended)


def _command(request: Stop, seconds: float) -> str | None:
    """Run `argv` in the cluster's environment; returns why it failed, None if it did not."""
    try:
        start(request["argv"], **files.over_login(request["cluster"])).finish(seconds)
    except OSError as error:
        return str(error)
    return None


def _found(request: Stop) -> list[Process]:
    """The processes to stop that live, without shims: those end by themselves."""
    found = ours(request["cluster"], request.get("roles"), request.get("run"), request.get("units"))
    return [p for p in found if p.role != marks.LOG]


def _end_shims(request: Stop, look: Callable[[], None]) -> None:
    """Wait until the shims of what has ended are gone, remove the exit statuses, as a start that is
    repeated now is another one, and note what was stopped before it was ready.
    """
    units, roles = request.get("units"), request.get("roles")

    def chosen(unit: str) -> bool:
        if units is not None:
            return unit in units
        return not roles or kind_of(unit) in roles

    def shims() -> list[Process]:
        found = ours(request["cluster"], [marks.LOG], request.get("run"))
        return [p for p in found if chosen(p.unit)]

    signals.end([], 0, SHIM, look, also=shims())
    signals.end(shims(), signal.SIGKILL, KILLED, look)
    ended = {
        unit: entry
        for unit, entry in state.read(request["cluster"])["units"].items()
        if chosen(unit) and request.get("run") in (None, entry.get("run"))
    }
    for entry in ended.values():
        if begun := state.begun(entry):
            logs.exit_path(begun.log).unlink(missing_ok=True)
    # Else its end would look like that of a start that failed.
    for unit in [u for u, entry in ended.items() if entry.get("phase") == "starting"]:
        run = str(ended[unit].get("run"))
        state.phase({"cluster": request["cluster"], "unit": unit, "run": run, "phase": "stopped"})


def _young_ranks(request: Stop) -> list[Process]:
    """The ranks of units that are stopped before they were ready; Ray would end them."""
    units, roles = request.get("units"), request.get("roles")
    recorded = state.read(request["cluster"])["units"]
    young = {
        replica_of(unit)
        for unit, entry in recorded.items()
        if entry.get("phase") == "starting" and request.get("run") in (None, entry.get("run"))
        if (unit in units if units is not None else kind_of(unit) in (roles or ()))
    }
    return [p for p in ours(request["cluster"]) if p.rank and replica_of(p.unit) in young]


def _leaves_ranks(request: Stop) -> bool:
    """Whether ranks that are none of the processes to stop end with them, as Ray's do."""
    units, roles = request.get("units"), request.get("roles") or ()
    if units is None:
        return bool(roles) and any(p.rank and p.role not in roles for p in ours(request["cluster"]))
    replicas = {replica_of(unit) for unit in units}
    return any(
        p.rank and p.unit not in units and replica_of(p.unit) in replicas
        for p in ours(request["cluster"])
    )


def _ranks_end(cluster: str, look: Callable[[], None]) -> None:
    """Wait until Ray has ended the ranks of a vLLM that is gone.

    After a failed start a rank may still create shared memory until Ray KILLs it.
    """
    deadline = time.monotonic() + RANKS
    while any(p.rank for p in ours(cluster)) and time.monotonic() < deadline:
        look()
        time.sleep(signals.LOOK)


def clear(request: Clear) -> Answer:
    """`stop` all marked processes, then `remove` the cluster's files, unless a process remains;
    returns the answers of both.
    """
    grace = request.get("grace", GRACE)
    ended = stop({"cluster": request["cluster"], "grace": grace})
    if ended["remaining"]:
        return {**ended, "removed": []}
    _forget_installs(request["cluster"])
    where: Remove = {"cluster": request["cluster"], "temp_dir": request["temp_dir"], "owner": "up"}
    return {**ended, **remove(where)}


def _forget_installs(cluster: str) -> None:
    """Remove what installations have left that nobody completed; their programs have ended."""
    journal = entries.of(cluster, root=False)
    try:
        for entry in journal.read():
            venv, run = entry.data.get("venv"), entry.data.get("run")
            if entry.is_of(venvs.ROLE) and isinstance(venv, str) and isinstance(run, str):
                venvs.place(venv).restore(run, log=False)
        journal.close(venvs.ROLE)
    except ValueError as error:
        sys.exit(entries.damaged(journal, error))


def remove(request: Remove) -> Answer:
    """Remove what is in the state directory, and Ray's `temp_dir`; `removed`: those that existed.

    The lease stays until it is released, the journal until all is taken back, but for the entries
    of `owner`, whose processes have ended. A `temp_dir` that is a link or another user's stays. The
    noted shared memory goes too: processes that were KILLed by hand leave theirs.
    """
    state.check(request)
    cluster = request["cluster"]
    if any(kind_of(unit) == CONTAINER for unit in state.read(cluster)["units"]):
        containerend.remove(cluster)  # without their record nobody would look for them
    sharedmemory.release(sharedmemory.noted(cluster))
    removed = [*remove_folder(Path(request["temp_dir"])), *empty(cluster)]
    if "owner" in request:
        journal = entries.of(cluster, root=False)
        try:
            journal.close(request["owner"])
        except ValueError as error:
            sys.exit(entries.damaged(journal, error))
    return {"removed": removed}


def remove_folder(path: Path) -> list[str]:
    """Remove a directory of this user with its content; its path, or nothing for another's."""
    if not _is_ours(path):
        return []
    shutil.rmtree(path, onerror=_failed)
    return [str(path)]


def empty(cluster: str) -> list[str]:
    """Remove what is in the state directory, but for lease and journal; its path, or nothing."""
    base = files.home(cluster)
    entries = [p for p in base.iterdir() if p.name not in lease.OWN] if _is_ours(base) else []
    for path in entries:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, onerror=_failed)
        else:
            path.unlink(missing_ok=True)
    files.remove_empty(base)
    held = any(path.name != state.GUARD for path in entries)
    return [str(base)] if held else []


def _is_ours(path: Path) -> bool:
    return not path.is_symlink() and path.is_dir() and path.stat().st_uid == os.getuid()


def _failed(_function: object, path: str, raised: tuple[object, BaseException, object]) -> None:
    """End the call for what rmtree could not remove, unless it is already gone."""
    error = raised[1]
    reason = error.strerror if isinstance(error, OSError) else None
    if not isinstance(error, FileNotFoundError):
        sys.exit(f"cannot remove {path}: {reason or error}")
