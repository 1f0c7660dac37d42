"""The process between a node and a unit's program: it stays when the login that started it goes.

As containerd's shims do, it adopts the program's daemons, so that all that the program starts
descends from a marked process; it bounds the log's size, marks when it had which size (for
logtimes.py), and writes into a file what it started and how that ended: {"pid", "started",
"status", "signal"}, the last two null while it runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

BYTES = 32 * 2**20  # of a log until it is rotated; its first and its last part are kept
EVERY = 10.0  # seconds between looks at its size
MARKS = 2**16  # bytes of the marks of its size, until every second one of the older half goes
# Gets a Job as a line on stdin and prints {"pid", "started"} or {"error"}; ends with its last
# child. Programs have a log open for appending, so they go on at the beginning of the emptied file;
# what they write between copy and truncate is lost, as with logrotate(8)'s copytruncate.
# A mark is a line SECONDS SIZE: the size is read first and the seconds (epoch) are rounded up, so
# that what is written after them is after the size. It begins with its line feed: one that a full
# disk has cut has a smaller size, which loses no line, or none. The marks are moved to their part
# before the log is emptied: marks of another text would lose lines.
SHIM = """\
import json, os, shutil, signal, subprocess, sys, time

job = json.loads(sys.stdin.readline())
stem = job["log"][: -len(".log")]
last = (0, -1)  # of the marks


def bound_log():
    try:
        if os.stat(job["log"]).st_size > job["bytes"]:
            part = stem + (".before" if os.path.exists(stem + ".begin.log") else ".begin")
            remove(part + ".times")
            try:
                shutil.copy(job["log"], part + ".log")
            except OSError:  # a full disk: a part of it would come twice
                remove(part + ".log")
                raise
            if os.path.exists(stem + ".times"):
                os.replace(stem + ".times", part + ".times")
            os.truncate(job["log"], 0)
    except OSError:
        pass


def mark(ended=False):
    global last
    try:
        size, now = os.stat(job["log"]).st_size, int(time.time()) + 1
        if not job["marks"] or size == last[1] or (now == last[0] and not ended):
            return
        fd = os.open(stem + ".times", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with open(fd, "ab", 0) as stream:
            stream.write(b"\\n%d %d" % (now, size))
            full = stream.tell() > job["marks"]
        last = now, size
        if full:
            thin()
    except OSError:
        pass


def thin():
    with open(stem + ".times", "rb") as stream:
        lines = stream.read().split(b"\\n")[1:]
    half = len(lines) // 2
    fd = os.open(stem + ".times.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(fd, "wb") as stream:
        stream.writelines(b"\\n" + line for line in lines[:half:2] + lines[half:])
    os.replace(stem + ".times.new", stem + ".times")


def remove(path):
    if os.path.exists(path):
        os.remove(path)


def note(status, number):
    ended = {"pid": program.pid, "started": started, "status": status, "signal": number}
    try:
        fd = os.open(job["exit"] + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(fd, "w") as stream:
            json.dump(ended, stream)
        os.replace(job["exit"] + ".new", job["exit"])
    except OSError:  # a full disk, or `down` has removed the folder
        pass


try:  # adopt the program's orphans: PR_SET_CHILD_SUBREAPER of prctl(2)
    import ctypes

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
except (ImportError, OSError, AttributeError):
    pass
mark()
env = {**os.environ, **job["env"]} if job["inside"] else job["env"]
try:
    with open(job["log"], "ab", 0) as log:
        program = subprocess.Popen(
            job["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
            cwd=job["cwd"], start_new_session=True,
        )
except OSError as error:
    print(json.dumps({"error": error.strerror}), flush=True)
    sys.exit(1)
# Blocked only now, as the program would inherit it; a child that has ended already is still there.
awaited = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
with open("/proc/%d/stat" % program.pid) as stream:
    started = int(stream.read().rpartition(")")[2].split()[19])
note(None, None)
try:
    print(json.dumps({"pid": program.pid, "started": started}), flush=True)
except OSError:  # the call that asked for it has ended
    pass
null = os.open(os.devnull, os.O_RDWR)
os.dup2(null, 0)
os.dup2(null, 1)
while True:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        break
    if pid == program.pid and os.WIFSIGNALED(status):
        note(None, os.WTERMSIG(status))
    elif pid == program.pid:
        note(os.WEXITSTATUS(status), None)
    elif pid == 0:
        bound_log()
        mark()
        signal.sigtimedwait(awaited, job["every"])
mark(ended=True)
"""


class Job(NamedTuple):
    """What a shim runs: `log` is where the output goes, `exit` the file that says how it ended.

    `inside`: the shim too runs in a container, by that command line, and `env` is over the
    container's own. `marks`: the bytes of marks to keep of the log's size; 0 for none.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    log: str
    exit: str
    bytes: int
    every: float
    inside: Sequence[str] = ()
    marks: int = 0


class Begun(NamedTuple):
    """The program's pid, as it is where the shim runs, and start ticks."""

    pid: int
    started: int


def begin(job: Job, output: IO[bytes], environment: Mapping[str, str]) -> Begun:
    """Start a shim with this environment, and by it the program; its own errors go to `output`.

    Raises ChildProcessError with the reason if the program cannot be started, OSError if `inside`
    cannot.
    """
    python = [*job.inside, "python3"] if job.inside else [sys.executable]
    shim = subprocess.Popen(
        [*python, "-I", "-S", "-c", SHIM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=output,
        env=environment,
        cwd="/",
        start_new_session=True,
    )
    assert shim.stdin is not None
    assert shim.stdout is not None
    with shim.stdout:
        with suppress(BrokenPipeError), shim.stdin:  # `inside` has ended, and says why on `output`
            shim.stdin.write(json.dumps(job._asdict()).encode() + b"\n")
        line = shim.stdout.readline()
    if not line:
        raise ChildProcessError("the process that keeps its log ended")
    answer = json.loads(line)
    if "error" in answer:
        shim.wait()
        raise ChildProcessError(answer["error"])
    return Begun(answer["pid"], answer["started"])


def status(path: Path) -> int | None:
    """The exit status in a file that a shim wrote, -N for signal N; None while the program runs."""
    try:
        ended: Any = json.loads(path.read_text())
        number = ended["signal"]
        return int(ended["status"]) if number is None else -int(number)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def begun(path: Path) -> Begun | None:
    """The program that the file is of; None while there is none."""
    try:
        found: Any = json.loads(path.read_text())
        return Begun(int(found["pid"]), int(found["started"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
