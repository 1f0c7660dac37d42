"""Errors in vLLM's log as the processes printed them: tracebacks and single lines; pure."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparkctl.engines.vllm.logline import Line

TEXT_LIMIT = 1500  # characters of an error that are kept
MOST_PROCESSES, MOST_MORE = 64, 6
OPENS = "Traceback (most recent call last):"
DIRECT = "The above exception was the direct cause of the following exception"
DURING = "During handling of the above exception, another exception occurred"
IGNORED = "Exception ignored in"  # by Python, in a destructor
# Ray's head of an error of another process: ray::Actor.method() (pid=1, ip=…, …).
REMOTE = re.compile(r"ray::(\w+)\S* \((pid=\d+, ip=[\w.:]+)")
# An exception as Python prints it after its frames; without them it must look like one.
RAISED = re.compile(r"(?:\w+\.)*(?:[A-Z]\w*|\w*error)(?:\(\w+\))?(?:: |:?$)")
ALONE = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)(?:\(\w+\))?: ?\S")
WITHIN = re.compile(r"\b[A-Za-z_.]*(?:Error|Exception): \S.*")
REFUSED = re.compile(r"\b(?:api_server|vllm)[\w. -]*: error: .+")  # argparse's
# How a message goes on: indented, but not as the lines of a frame, or as torch quotes NCCL.
LAST = "Last error:"  # the next line is NCCL's
MORE = re.compile(rf"\s+(?!File \"|[\s^~]+$)|nccl\w+: |{LAST}")


@dataclass
class Printed:
    """An error: the number of its line, its text, which may go on in further lines, and the process
    that it is of ("": unnamed).

    Errors of one `chain` were raised one after the other, `during`: while the one before it was
    handled. `logged_by`: the process that logged it, which is another's where Ray passes an error
    on; what a process writes without its logger comes through another pipe, in no order. `vague`:
    quoted within another message.
    """

    line: int
    text: str
    source: str
    chain: int = 0
    during: bool = False
    logged_by: str = ""
    vague: bool = False


@dataclass
class _Process:
    """What a process is printing: a traceback's frames, the link to the next, its last error."""

    chain: int = 0
    frames: bool = False
    linked: bool = False
    during: bool = False
    ignored: bool = False
    source: str = ""
    mark: str = ""
    last: Printed | None = None
    more: int = 0  # lines that the last error's message may still have


class Tracebacks:
    """Finds the errors in the lines of all processes, whose lines may alternate.

    Forms: CPython 3.9 to 3.13's traceback.py; Ray's RayTaskError, which has no `Traceback` line.
    """

    def __init__(self) -> None:
        self._processes: OrderedDict[str, _Process] = OrderedDict()
        self._chains = 0

    @property
    def reading(self) -> bool:
        """Whether what was printed last may go on."""
        return any(p.frames or p.linked or p.last for p in self._processes.values())

    def feed(self, number: int, line: Line) -> Printed | None:
        """The error that this line begins; its text grows with the next lines."""
        process = self._process(line.process)
        if self._belongs(process, line):
            return None
        process.last = None
        text = line.text.lstrip(" |+") if line.text.startswith("  |") else line.text
        if OPENS in text:
            self._open(process, line.mark, "")
        elif head := REMOTE.search(text):
            self._open(process, line.mark, f"{head[1]} {head[2]}")
        elif process.frames and line.mark == process.mark and RAISED.match(text):
            process.frames = False
            if not process.ignored:
                return self._begin(process, number, line, text)
            process.ignored = False
        elif not text.startswith((" ", "\t")):
            return self._message(process, number, line, text)
        return None

    def alone(self, number: int, line: Line) -> Printed:
        """An error of this line, which has no form of an exception."""
        process = self._process(line.process)
        self._link(process, "")
        return self._begin(process, number, line, line.text.strip())

    def _process(self, key: str) -> _Process:
        process = self._processes.setdefault(key, _Process())
        self._processes.move_to_end(key)
        if len(self._processes) > MOST_PROCESSES:
            self._processes.popitem(last=False)
        return process

    def _belongs(self, process: _Process, line: Line) -> bool:
        """Whether the line goes on with an error's message, or links it to the next error."""
        text = line.text
        if DIRECT in text or DURING in text:
            process.linked, process.during, process.last = True, DURING in text, None
        elif IGNORED in text:
            process.ignored, process.last = True, None
        elif not text.strip():
            process.last = None
        elif process.last and process.more and _goes_on(process.last, process.mark, line):
            process.more -= 1
            process.last.text = f"{process.last.text}\n{text.strip()}"[:TEXT_LIMIT]
        else:
            return False
        return True

    def _open(self, process: _Process, mark: str, source: str) -> None:
        process.frames, process.mark = True, mark
        self._link(process, source)

    def _link(self, process: _Process, source: str) -> None:
        """Begin a chain, unless the next error is linked to the last."""
        if not process.linked:
            self._chains += 1
            process.chain, process.during, process.source = self._chains, False, source
        process.linked = False
        process.source = source or process.source

    def _message(self, process: _Process, number: int, line: Line, text: str) -> Printed | None:
        """An error outside a traceback."""
        within = None
        if not ALONE.match(text):
            within = REFUSED.search(text) or WITHIN.search(text)
            if within is None:
                return None
        self._link(process, "")
        error = self._begin(process, number, line, within[0] if within else text)
        error.vague = within is not None and not REFUSED.match(within[0])
        return error

    def _begin(self, process: _Process, number: int, line: Line, text: str) -> Printed:
        source = process.source or line.source
        by = line.pid if line.mark else ""
        error = Printed(number, text[:TEXT_LIMIT], source, process.chain, process.during, by)
        process.last, process.more, process.mark = error, MOST_MORE, line.mark
        return error


def _goes_on(last: Printed, mark: str, line: Line) -> bool:
    """Whether the line is of the same message, by its form."""
    if line.mark != mark or OPENS in line.text or REMOTE.search(line.text):
        return False
    return bool(MORE.match(line.text)) or last.text.endswith(LAST)
