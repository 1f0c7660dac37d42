"""Starting programs on a node: marked, in a session of their own, with their output in a log."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sparkctl.node import entries, files, logs, marks, processes, shim, state
from sparkctl.node.subprocesses import reason
from sparkctl.node.unitid import kind_of

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer, Run, Start

SPAWN = 5.0  # seconds for a shim to start its program
LOOK = 0.02  # seconds between looks whether a program has ended


class Spawned(NamedTuple):
    """A program, its log, and the offset in it where its output begins."""

    pid: int
    started: int
    log: Path
    offset: int

    @property
    def status(self) -> int | None:
        """Its exit status, -N for signal N; None while it runs, and if its end was not seen."""
        return shim.status(logs.exit_path(self.log))

    def ended(self, seconds: float) -> bool:
        """Whether its exit status is known, waiting for that at most so many seconds."""
        deadline = time.monotonic() + seconds
        while self.status is None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK)
        return True

    def answer(self) -> Answer:
        """What `start` answers."""
        return {**self._asdict(), "log": str(self.log), "status": self.status}


def run(request: Run) -> Answer:
    """Run `argv` to its end, `timeout` seconds at most; its output is the log of `unit` in `run`.

    Returns `status` (null after a time-out, when the whole process group was killed) and the
    output's last lines. Daemons that it leaves behind carry the mark.
    """
    state.check(request)
    program = _spawn(request, *_log(request))
    status = program.status if program.ended(request["timeout"]) else None
    if status is None and processes.alive(program.pid, program.started):
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
    return {"status": status, "tail": logs.tail(program.log, program.offset)}


def start(request: Start) -> Answer:
    """Start `argv` and leave it running, once in a `run`: a repeated call gets the same answer.

    Returns its pid, start ticks, log, the log's offset, and its exit status, null while it runs;
    `wait`: seconds to wait for that. With `record`, the state has the start (state.py).
    """
    program = _recorded(request) if "record" in request else _spawn(request, *_log(request))
    program.ended(request.get("wait", 0.0))
    return program.answer()


def _recorded(request: Start) -> Spawned:
    unit = request["unit"]
    with state.changing(request["cluster"]) as document:
        known = document["units"].get(unit, {})
        if known.get("run") == request["run"] and (same := _living(request, known)):
            return same
        log, offset = _log(request)
        entry: dict[str, Any] = {
            **request["record"],
            "run": request["run"],
            "since": time.time(),
            "phase": "starting",
            "boot_id": state.boot_id(),
            "log": str(log),
            "offset": offset,
        }
        # Written before the start, so that nothing runs without a record.
        state.record(document, unit, entry)
        state.write(request["cluster"], document)
        journal = entries.of(request["cluster"], root=False)
        owner, undo = f"up/{request['run']}", {"run": request["run"], "role": kind_of(unit)}
        journal.enter(entries.new(owner, "unit", undo, f"start {unit}"))
        try:
            program = _spawn(request, log, offset)
        except BaseException:
            entry["phase"] = "failed"
            journal.close(owner, "unit", undo)
            raise
        entry.update({"pid": program.pid, "started": program.started})
    return program


def _living(request: Start, entry: dict[str, Any]) -> Spawned | None:
    """The recorded program if it runs, or has ended unasked, which leaves its status."""
    if "pid" not in entry and isinstance(entry.get("log"), str):
        entry.update(_cut_off(request, logs.exit_path(Path(entry["log"]))))
    begun = state.begun(entry)
    if begun is None or begun.boot_id != state.boot_id():
        return None
    found = Spawned(begun.pid, begun.started, begun.log, begun.offset)
    runs = processes.alive(found.pid, found.started)
    return found if runs or found.status is not None else None


def _cut_off(request: Start, path: Path) -> dict[str, int]:
    """The program of a call that ended before it could record it, if it has started one."""
    inside = bool(request.get("inside"))
    deadline = time.monotonic() + SPAWN
    while (begun := shim.begun(path)) is None:
        shims = processes.ours(request["cluster"], [marks.LOG], request["run"])
        waits = any(p.unit == request["unit"] for p in shims)
        if not waits or time.monotonic() > deadline:
            return {}
        time.sleep(LOOK)
    return {**begun._asdict(), "pid": processes.outer(*begun) if inside else begun.pid}


def _log(request: Start) -> tuple[Path, int]:
    """The log of a start, and the offset where its output will begin.

    Its header has `shown`, which has secrets masked, or without it the program alone.
    """
    cluster = request["cluster"]
    living = {p.run for p in processes.ours(cluster)}
    log = logs.new(cluster, request["run"], request["unit"], living)
    logs.exit_path(log).unlink(missing_ok=True)
    stamp, shown = time.strftime("%Y-%m-%d %H:%M:%S"), request.get("shown", request["argv"][0])
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(fd, "ab") as stream:
        stream.write(f"{logs.HEADER}{stamp}: {shown}\n".encode())
        stream.flush()
        return log, stream.tell()


def _spawn(request: Start, log: Path, offset: int) -> Spawned:
    """Start the program by a shim."""
    cluster, unit = request["cluster"], request["unit"]
    argv = [str(Path(request["argv"][0]).expanduser()), *request["argv"][1:]]
    mark = {
        processes.MARK: f"{cluster}/{request['run']}",
        processes.ROLE: kind_of(unit),
        processes.UNIT: unit,
    }
    # The login's environment, overridden by the cluster's and then by the request's `env`.
    # In a container only the cluster's counts.
    inside = request.get("inside", ())
    under = files.environment(cluster) if inside else files.over_login(cluster)
    environment = {**under, **request["env"], **mark}
    folder, ends = str(files.state_dir(cluster)), str(logs.exit_path(log))
    job = shim.Job(
        argv, environment, folder, str(log), ends, shim.BYTES, shim.EVERY, inside, shim.MARKS
    )
    try:
        with log.open("ab") as stream:
            begun = shim.begin(job, stream, {**os.environ, **mark, processes.ROLE: marks.LOG})
    except ChildProcessError as error:
        said = reason(logs.tail(log, offset)) if inside else ""  # by the container engine
        sys.exit(f"cannot start {argv[0]}: {said or error}")
    pid = processes.outer(*begun) if inside else begun.pid
    return Spawned(pid, begun.started, log, offset)
