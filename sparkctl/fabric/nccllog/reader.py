"""The verdict on logs that are read line by line in bounded memory; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog import program
from sparkctl.fabric.nccllog.join import Around, join
from sparkctl.fabric.nccllog.lines import (
    COLOUR,
    GLOO,
    GLOO_NEEDLE,
    NEEDLE,
    TEXT_LIMIT,
    records,
    shown,
)
from sparkctl.fabric.nccllog.model import Evidence, Finding, LogVerdict
from sparkctl.fabric.nccllog.processes import Processes
from sparkctl.fabric.nccllog.rank import LINES_A_MARK
from sparkctl.node.nccllines import START

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.fabric.nccllog.rank import RankState

# A line of its own, and torch's of an error; all three numbers, or it may be torn.
VERSION = re.compile(r"NCCL version ([0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4})(?!\w|\.\w)")
# torchrun's prefix: the rank of a process that failed before it had a communicator.
TORCH_RANK = re.compile(r"\[rank([0-9]{1,6})\]:")


@dataclass
class FileHints:
    """What a file shows outside NCCL's own lines, for those processes in it that did not print it.

    At most two ranks are kept: more than one names no process. `of_vllm`: the file has lines of
    vLLM, `begins`: those of its start too. `graphs` is the last line on CUDA graphs that it
    captured.
    """

    version: tuple[str, Evidence] | None = None
    ranks: set[int] = field(default_factory=set)
    of_vllm: bool = False
    begins: bool = False
    graphs: Evidence | None = None

    @property
    def cut(self) -> bool:
        """Whether the beginning of vLLM's log is missing."""
        return self.of_vllm and not self.begins

    def give(self, states: Sequence[RankState]) -> None:
        """Add it to the file's processes."""
        for state in states:
            if self.version:
                state.take_version(*self.version)
            if state.rank is None and len(states) == len(self.ranks) == 1:
                state.rank = min(self.ranks)


class Reader:
    """Reads the lines of each file, then gives the verdict.

    The same host:pid in several files is one process. `recognized`: the files with a line of NCCL
    or Gloo.
    """

    def __init__(self) -> None:
        self.recognized: set[str] = set()
        self._processes = Processes()
        self._hints: dict[str, FileHints] = {}
        self._gloo: list[Evidence] = []
        self._errors: dict[str, list[Evidence]] = {}

    def feed(self, file: str, lines: Iterable[bytes]) -> None:
        """Read one file's lines, in their order; `file` is its name in the evidence."""
        self.feed_numbered(file, enumerate(lines, start=1))

    def feed_numbered(self, file: str, lines: Iterable[tuple[int, bytes]]) -> None:
        """Read some lines of a file, with their numbers.

        Where `up` started vLLM again, the lines before are of a process that ended.
        """
        self._hints.setdefault(file, FileHints())
        for number, raw in lines:
            if raw.startswith(START):
                self._started(file, number)
            elif NEEDLE in raw:
                # A progress bar ends in a bare carriage return, and NCCL's line follows it.
                for part in raw.decode("utf-8", "replace").rstrip("\r\n").split("\r"):
                    self._line(file, number, part)
            elif GLOO_NEEDLE in raw and (found := GLOO.search(raw.decode("utf-8", "replace"))):
                self.recognized.add(file)
                line = Evidence(file, number, found[0], found.start("name") - found.start())
                self._gloo = [*self._gloo, line][:LINES_A_MARK]

    def note(self, file: str, number: int, line: bytes) -> None:
        """Read a line of vLLM's own that program.NOTED matches, before those that follow it."""
        hints = self._hints.setdefault(file, FileHints())
        if any(text in line for text in program.BEGINS):
            hints.begins = True
        else:
            part = line.rstrip(b"\r\n").rpartition(b"\r")[2].decode("utf-8", "replace")
            text = shown(COLOUR.sub("", part)[:TEXT_LIMIT])
            hints.graphs = Evidence(file, number, text)

    def of_vllm(self, file: str) -> None:
        """Take a file for a log of vLLM, which begins with the lines of its start."""
        self._hints.setdefault(file, FileHints()).of_vllm = True

    def _started(self, file: str, number: int) -> None:
        self._processes.start(file)
        # The line may be noted before the one of the start is read.
        graphs = self._hints[file].graphs
        self._hints[file] = FileHints(
            begins=True, graphs=graphs if graphs and graphs.line > number else None
        )
        self._gloo = [line for line in self._gloo if line.file != file]
        left = {k: [e for e in v if e.file != file] for k, v in self._errors.items()}
        self._errors = {code: lines for code, lines in left.items() if lines}

    def _line(self, file: str, number: int, line: str) -> None:
        found = records(line, self._processes.owner)
        for record in found:
            self.recognized.add(file)
            self._processes.feed(record, file, number)
        if found:
            return
        hints = self._hints[file]
        if hints.version is None and (version := VERSION.search(line)):
            self.recognized.add(file)
            hints.version = version[1], Evidence(file, number, version[0])
        if error := program.error(line):
            self.recognized.add(file)
            code, text = error
            known = self._errors.setdefault(code, [])
            known += [Evidence(file, number, text)] if len(known) < LINES_A_MARK else []
        if (rank := TORCH_RANK.search(line)) and len(hints.ranks) < 2:
            hints.ranks.add(int(rank[1]))

    def verdict(self, others: Sequence[Finding] = ()) -> LogVerdict:
        """The verdict on all files, ranks in order, with the findings of another reader.

        It is on the last start in each file.
        """
        states, earlier = self._processes.last_start()
        graphs = []
        for file, hints in self._hints.items():
            printed = [state for state in states if file in state.spans]
            hints.give(printed)
            first = min((state.spans[file][0] for state in printed), default=0)
            graphs += [hints.graphs] if hints.graphs and hints.graphs.line >= first else []
        states.sort(key=lambda s: (s.rank is None, s.rank or 0, s.host, s.pid))
        around = Around(
            tuple(self._gloo),
            self._errors,
            tuple(graphs),
            tuple(map(tuple, earlier)),
            self._processes.dropped,
            cut=any(hints.cut for hints in self._hints.values()),
        )
        return join(states, around, others)
