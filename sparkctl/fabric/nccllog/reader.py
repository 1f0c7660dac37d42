"""The verdict on logs that are read line by line in bounded memory; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog import program
from sparkctl.fabric.nccllog.join import join
from sparkctl.fabric.nccllog.lines import GLOO, GLOO_NEEDLE, NEEDLE, parse
from sparkctl.fabric.nccllog.model import Evidence, Finding, LogVerdict
from sparkctl.fabric.nccllog.rank import LINES_A_MARK, VERSION, RankState
from sparkctl.node.nccllines import START

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# torchrun's prefix: the rank of a process that failed before it had a communicator.
TORCH_RANK = re.compile(r"\[rank([0-9]{1,6})\]:")


@dataclass
class FileHints:
    """What a file shows outside NCCL's own lines, for those processes in it that did not print it.

    At most two ranks are kept: more than one names no process.
    """

    processes: set[str] = field(default_factory=set)
    version: tuple[str, Evidence] | None = None
    ranks: set[int] = field(default_factory=set)


class Reader:
    """Reads the lines of each file, then gives the verdict.

    The same host:pid in several files is one process. `recognized`: the files with a line of NCCL
    or Gloo.
    """

    def __init__(self) -> None:
        self.recognized: set[str] = set()
        self._states: dict[str, RankState] = {}
        self._hints: list[FileHints] = []
        self._gloo: list[Evidence] = []
        self._errors: dict[str, list[Evidence]] = {}

    def feed(self, file: str, lines: Iterable[bytes]) -> None:
        """Read one file's lines, in their order; `file` is its name in the evidence."""
        self.feed_numbered(file, enumerate(lines, start=1))

    def feed_numbered(self, file: str, lines: Iterable[tuple[int, bytes]]) -> None:
        """Read some lines of a file, with their numbers.

        Where `up` started vLLM again, the lines before are of a process that ended.
        """
        hints = FileHints()
        self._hints.append(hints)
        for number, raw in lines:
            if raw.startswith(START):
                self._forget(file, hints)
            elif NEEDLE in raw:
                # A progress bar ends in a bare carriage return, and NCCL's line follows it.
                for part in raw.decode("utf-8", "replace").rstrip("\r\n").split("\r"):
                    self._line(file, number, part, hints)
            elif GLOO_NEEDLE in raw and (found := GLOO.search(raw.decode("utf-8", "replace"))):
                self.recognized.add(file)
                line = Evidence(file, number, found[0], found.start("name") - found.start())
                self._gloo = [*self._gloo, line][:LINES_A_MARK]

    def _forget(self, file: str, hints: FileHints) -> None:
        for name in hints.processes:
            self._states.pop(name, None)
        hints.processes, hints.version, hints.ranks = set(), None, set()
        self._gloo = [line for line in self._gloo if line.file != file]
        left = {k: [e for e in v if e.file != file] for k, v in self._errors.items()}
        self._errors = {code: lines for code, lines in left.items() if lines}

    def _line(self, file: str, number: int, line: str, hints: FileHints) -> None:
        record = parse(line)
        if record is None:
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
            return
        self.recognized.add(file)
        state = RankState(record.host, record.pid)
        state = self._states.setdefault(state.name, state)
        hints.processes.add(state.name)
        state.feed(record, file, number)

    def verdict(self, others: Sequence[Finding] = ()) -> LogVerdict:
        """The verdict on all files, ranks in order, with the findings of another reader."""
        for hints in self._hints:
            for state in (self._states[name] for name in hints.processes if name in self._states):
                if hints.version:
                    state.take_version(*hints.version)
                if state.rank is None and len(hints.processes) == len(hints.ranks) == 1:
                    state.rank = min(hints.ranks)
        states = sorted(
            self._states.values(), key=lambda s: (s.rank is None, s.rank or 0, s.host, s.pid)
        )
        return join(states, self._gloo, self._errors, others)
