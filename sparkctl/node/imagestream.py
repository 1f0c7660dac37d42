"""An image from one node to others over the fabric: `docker save` here, `docker load` there, and no
file between them. The controller gives both ends the key of the transfer; it reads their progress,
and when it closes stdin, or is gone, all of it ends.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING

from sparkctl.node import blocks
from sparkctl.node.subprocesses import reason, start

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.node.imagewire import ReceiveImage, SendImage
    from sparkctl.node.wire import Answer, Json

ARRIVE = 20.0  # seconds from the port's opening until all receivers have connected
CONNECT = 10.0
EVERY = 0.5  # seconds between two lines of progress
GRACE = 10.0  # seconds for a program to end by itself when its pipe is closed
INSPECT = 30.0
KEPT = 4096  # bytes of what a program prints, its end
PIPE = 1 << 20  # bytes; a pipe has 64 KiB unless asked, and pipe(7) allows this without a right
F_SETPIPE_SZ = 1031  # fcntl has it from Python 3.10


def send(request: SendImage) -> Answer:
    """Save an image by `argv`, and send it to all `receivers` at once when they have connected.

    Prints {"ports": …}, where they are waited for, one of each of the `addresses`. The answer has
    the `bytes` that were sent, and in `lost` why a receiver did not get them; or an `error`.
    """
    key, lost = bytes.fromhex(request["key"]), {}
    with ExitStack() as stack:
        addresses = request["addresses"]
        servers = [stack.enter_context(closing(blocks.listen(a))) for a in addresses]
        life = Life(*servers)
        _tell(ports=[server.getsockname()[1] for server in servers])
        peers = _arrived(servers, life, key, request["receivers"])
    lost = {name: "it did not connect" for name in request["receivers"] if name not in peers}
    try:
        with _started(request, life, feeds=False) as program:
            return _sent(program, key, peers, lost) if peers else _ended(0, lost)
    except OSError as error:
        return _failed("unsaved", error)
    finally:
        for peer in peers.values():
            peer.close()


def receive(request: ReceiveImage) -> Answer:
    """Receive an image as `name` from `address` and `port`, and load it by `argv`.

    Prints {"bytes": …} as they come, and {"loading": true} after the last. The answer has the Id by
    `inspect` as `image`; or an `error` with its `reason`.
    """
    key = bytes.fromhex(request["key"])
    try:
        peer = blocks.connect(request["address"], request["port"], key, request["name"], CONNECT)
    except OSError as error:
        return _failed("refused" if isinstance(error, blocks.Broken) else "unconnected", error)
    with closing(peer):
        try:
            with _started(request, Life(peer), feeds=True) as program:
                answer = _loaded(program, key, peer)
        except OSError as error:
            return _failed("unloaded", error)
    return answer or _inspected(request["named"], request["inspect"])


class Life:
    """Ends the programs and sockets of a transfer when the controller closes stdin."""

    def __init__(self, *sockets: socket.socket) -> None:
        self.over = False
        self._sockets = [*sockets]
        self._programs: list[Program] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def add(self, *, program: Program | None = None, peer: socket.socket | None = None) -> None:
        """Let this end with it, at once if it is over already."""
        with self._lock:
            self._programs += [program] if program else []
            self._sockets += [peer] if peer else []
            if self.over:
                self._end()

    def _watch(self) -> None:
        with suppress(OSError):
            while os.read(sys.stdin.fileno(), 4096):
                pass
        with self._lock:
            self.over = True
            self._end()

    def _end(self) -> None:
        for sock in self._sockets:
            with suppress(OSError):  # it is closed already
                sock.shutdown(2)
        for program in self._programs:
            program.terminate()


class Program:
    """A program with a pipe for its stdin (`feeds`) or stdout, and the end of what it prints."""

    def __init__(self, argv: Sequence[str], scratch: str, *, feeds: bool) -> None:
        self._process = subprocess.Popen(
            argv,
            env={**os.environ, "TMPDIR": scratch} if scratch else None,
            stdin=subprocess.PIPE if feeds else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if feeds else subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        pipe = self._process.stdin if feeds else self._process.stdout
        assert pipe is not None
        self.pipe = pipe
        with suppress(OSError):  # the user's pipes may be at their limit
            import fcntl

            fcntl.fcntl(pipe, F_SETPIPE_SZ, PIPE)
        self._printed = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        stream = self._process.stderr
        while stream and (data := stream.read(KEPT)):
            self._printed = (self._printed + data)[-KEPT:]

    def terminate(self) -> None:
        """Ask it to end."""
        with suppress(OSError):
            self._process.terminate()

    def wait(self) -> int:
        """Its exit status, when it has ended by itself."""
        return self._process.wait()

    def end(self) -> None:
        """Close its pipe, and see that it ends: engines remove their own temporary files then."""
        with suppress(OSError):
            self.pipe.close()
        for step in ("wait", "terminate", "kill"):
            if step != "wait":
                getattr(self._process, step)()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
                return

    @property
    def last(self) -> str:
        """The last line of what it printed, or how it ended."""
        self._reader.join(1.0)
        said = reason(self._printed.decode(errors="replace").splitlines())
        return said or f"exit status {self._process.poll()}"


def _arrived(
    servers: Sequence[socket.socket], life: Life, key: bytes, names: Sequence[str]
) -> dict[str, socket.socket]:
    """The connections of these receivers, as far as they come within ARRIVE seconds."""
    found: dict[str, socket.socket] = {}
    deadline = time.monotonic() + ARRIVE
    while len(found) < len(names) and not life.over:
        ready, _, _ = select.select(servers, [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            break
        with suppress(OSError):  # a stranger, one that has gone, or the controller has
            peer, _ = ready[0].accept()
            with ExitStack() as stack:
                stack.enter_context(closing(peer))
                name = blocks.welcome(peer, key)
                if name in names and name not in found:
                    found[name] = peer
                    life.add(peer=peer)
                    stack.pop_all()
    return found


@contextmanager
def _started(request: SendImage | ReceiveImage, life: Life, *, feeds: bool) -> Iterator[Program]:
    """The program of `argv`, which ends with the block and with `life`, and its temporary files."""
    scratch = request["scratch"]
    folder = tempfile.mkdtemp(prefix="sparkctl-image-", dir=scratch) if scratch else ""
    try:
        program = Program(request["argv"], folder, feeds=feeds)
        life.add(program=program)
        try:
            yield program
        finally:
            program.end()
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _sent(
    program: Program, key: bytes, peers: dict[str, socket.socket], lost: dict[str, str]
) -> Answer:
    sent = number = 0
    buffer = memoryview(bytearray(blocks.SIZE))
    while peers and (size := _filled(program, buffer)):
        _send_all(peers, lost, blocks.sealed(key, number, buffer[:size]))
        sent, number = sent + size, number + 1
    if peers and program.wait():
        return _failed("unsaved", program.last)
    # Only now do the receivers know that they have all of it.
    _send_all(peers, lost, blocks.sealed(key, number, buffer[:0]))
    return _ended(sent, lost)


def _filled(program: Program, view: memoryview) -> int:
    """How many bytes were read: as many as there is room for, but at the end."""
    size = 0
    while size < len(view) and (more := program.pipe.readinto(view[size:])):  # type: ignore[attr-defined]  # a raw pipe has it
        size += more
    return size


def _send_all(peers: dict[str, socket.socket], lost: dict[str, str], block: blocks.Sealed) -> None:
    for name, peer in [*peers.items()]:
        try:
            blocks.send(peer, block)
        except OSError as error:
            lost[name] = str(error.strerror or error)
            peers.pop(name).close()


def _loaded(program: Program, key: bytes, peer: socket.socket) -> Answer | None:
    """Load what comes; why that failed."""
    received, due = 0, 0.0
    try:
        for data in blocks.blocks(peer, key):
            if not _written(program, data):
                return _failed("unloaded", program.last)
            received += len(data)
            if time.monotonic() > due:
                due = time.monotonic() + EVERY
                _tell(bytes=received)
    except OSError as error:
        return _failed("broken", error)
    _tell(bytes=received, loading=True)
    program.pipe.close()
    return _failed("unloaded", program.last) if program.wait() else None


def _written(program: Program, data: memoryview) -> bool:
    """Whether it took all of it; else it has ended."""
    try:
        while data:
            data = data[program.pipe.write(data) :]
    except OSError:
        return False
    return True


def _inspected(named: Sequence[Sequence[str]], argv: Sequence[str]) -> Answer:
    """The Id of the image in what `argv` prints, a JSON list of one, after it is `named`."""
    try:
        for line in named:
            start(line).wait(INSPECT)  # it may have its name: the Id decides
        (found,) = json.loads(start(argv).finish(INSPECT))
        return {"image": str(found["Id"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return _failed("unloaded", error)


def _ended(sent: int, lost: Mapping[str, str]) -> Answer:
    return {"bytes": sent, "lost": lost}


def _failed(error: str, reason: object) -> Answer:
    return {"error": error, "reason": str(getattr(reason, "strerror", None) or reason)}


def _tell(**event: Json) -> None:
    print(json.dumps(event), flush=True)
