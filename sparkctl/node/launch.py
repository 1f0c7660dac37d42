"""Starting programs on a node: marked, in a session of their own, with their output in a log."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import files, logs, processes

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer, Run, Start


def run(request: Run) -> Answer:
    """Run `argv` to its end, `timeout` seconds at most; its output is the log of `unit` in `run`.

    Returns `status` (null after a time-out, when the whole process group was killed) and the
    output's last lines. Daemons that it leaves behind carry the mark.
    """
    process, log, start = _spawn(request)
    try:
        status: int | None = process.wait(timeout=request["timeout"])
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        status = None
    with log.open("rb") as stream:
        stream.seek(start)
        tail = stream.read().decode(errors="replace").splitlines()[-60:]
    return {"status": status, "tail": tail}


def start(request: Start) -> Answer:
    """Start `argv` and leave it running; returns its pid, start ticks, log and the log's offset."""
    process, log, offset = _spawn(request)
    stat = processes.identity(process.pid)
    logs.keep_small(process.pid, log, _environment(request))
    return {"pid": process.pid, "started": stat, "log": str(log), "offset": offset}


def _spawn(request: Start) -> tuple[subprocess.Popen[bytes], Path, int]:
    """The process in a new session, its log, and the offset where its output begins.

    The log's header has `shown`, which has secrets masked, or without it the program alone.
    """
    base = files.state_dir(request["cluster"])
    living = {p.run for p in processes.ours(request["cluster"])}
    log = logs.new(request["cluster"], request["run"], request["unit"], living)
    argv = [str(Path(request["argv"][0]).expanduser()), *request["argv"][1:]]
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(fd, "ab") as stream:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        stream.write(f"{logs.HEADER}{stamp}: {request.get('shown', argv[0])}\n".encode())
        stream.flush()
        offset = stream.tell()
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=_environment(request),
                cwd=str(base),
                start_new_session=True,
            )
        except OSError as error:
            sys.exit(f"cannot start {argv[0]}: {error.strerror}")
    return process, log, offset


def _environment(request: Start) -> dict[str, str]:
    """The login's environment, overridden by the cluster's and then by the request's `env`."""
    return {**files.over_login(request["cluster"]), **request["env"]}
