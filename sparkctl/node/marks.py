"""Whose a process is: its own mark, its ancestors', or the record of a start; pure.

A mark counts on a process of the caller's account. Its descendants have it too, even with a wiped
environment or as another account; elsewhere another account's mark is only what it claims.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.node.unitid import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sparkctl.node.processes import Process

LOG = "log"  # the role of what keeps a unit's log, see shim.py; it is none of the unit's processes


class Program(NamedTuple):
    """A program as its start was recorded; (pid, started) is unique since boot."""

    cluster: str
    run: str
    unit: str
    pid: int
    started: int


def assigned(
    found: Mapping[int, Process], uid: int, programs: Iterable[Program], but: int
) -> dict[int, Process]:
    """The processes by pid, each with the mark that counts; `but` inherits none.

    `found` has the marks that they carry themselves, `uid` is the caller's account.
    """
    recorded = {program.pid: program for program in programs}
    done: dict[int, Process] = {}
    # A parent starts before its child, also one that adopts it.
    for pid in sorted(found, key=lambda p: (found[p].started, p)):
        process = found[pid]
        parent, program = done.get(process.ppid), _program(process, found, recorded)
        if process.cluster and process.uid == uid:
            done[pid] = process
        elif program is not None:
            done[pid] = _marked(process, program, kind_of(program.unit))
        elif parent is not None and parent.cluster and pid != but:
            shim = parent.role == LOG and parent.unit
            role = kind_of(parent.unit) if shim else process.role or parent.role
            done[pid] = _marked(process, parent, role)
        else:
            claims = f"{process.cluster}/{process.run}" if process.cluster else ""
            done[pid] = process._replace(cluster="", run="", role="", unit="", claims=claims)
    return done


def _marked(process: Process, by: Process | Program, role: str) -> Process:
    return process._replace(cluster=by.cluster, run=by.run, unit=by.unit, role=role)


def _program(
    process: Process, found: Mapping[int, Process], recorded: Mapping[int, Program]
) -> Program | None:
    """The recorded program that a process is, or whose session it is in.

    The kernel gives no pid to another process as long as a session has its number (setsid(2)).
    """
    program = recorded.get(process.session)
    if program is None or process.started < program.started:
        return None
    leader = found.get(program.pid)
    return program if leader is None or leader.started == program.started else None
