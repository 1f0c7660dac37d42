"""SGLang's own lines in a log that is read for NCCL: why a start failed, and where it waits."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from sparkctl.doctor.vllmlines import BATCH, LINE_LIMIT, READ_ON
from sparkctl.engines.sglang.failures import SGLANG, WAITING, explain
from sparkctl.engines.sglang.progress import Tracer
from sparkctl.engines.sglang.stages import READY, STAGES
from sparkctl.fabric.nccllog.lines import TEXT_LIMIT, shown
from sparkctl.fabric.nccllog.model import Evidence, Finding, Fix
from sparkctl.node.errorlines import START

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sparkctl.engines.explanation import Explanation
    from sparkctl.engines.vllm.rootcause import Root

    Numbered = tuple[int, bytes]

# What no other program prints: a rank's prefix, the arguments, paths, argparse (0.5.23, run). NCCL
# has the same form of time.
FORM = re.compile(
    rb"(?m)^\[[\d-]{10} [\d:]{8} [A-Z]{2}\d[^\]\n]{0,40}\] |^\[[\d-]{10} [\d:]{8}\] server_args="
    rb"|/site-packages/sglang/|^sglang(?: serve)?: error: "
)
BEGINS = "] server_args="  # a start's first line of its own


class File:
    """One log while it is read: the last start in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.begin()

    def begin(self) -> None:
        """Take what follows for another start."""
        self.tracer, self.ready = Tracer(), False
        self.last: tuple[int, str] | None = None  # the last milestone

    def take(self, number: int, raw: bytes) -> None:
        """Take a line."""
        for part in raw.split(b"\r"):
            line = part[:LINE_LIMIT].decode("utf-8", "replace")
            if raw.startswith(START) or BEGINS in line:
                self.begin()
            self.tracer.feed(number, line)
            self.ready = self.ready or READY in line
            if any(stage.begins.search(line) for stage in STAGES):
                self.last = number, line

    @property
    def failure(self) -> Root | None:
        """Why it failed; an error that it survived is none."""
        return self.tracer.root if self.tracer.fatal or not self.ready else None


class SglangLines:
    """Passes all lines on, and finds why SGLang failed in its own.

    `recognized`: the files that have a line of SGLang.
    """

    def __init__(self) -> None:
        self.recognized: set[str] = set()
        self._files: dict[str, File] = {}

    def passing(self, name: str, lines: Iterable[Numbered]) -> Iterator[Numbered]:
        """The lines, as they came."""
        lines, file = iter(lines), self._files.setdefault(name, File(name))
        while batch := list(islice(lines, BATCH)):
            if FORM.search(b"\n".join(raw for _, raw in batch)):
                self.recognized.add(name)
            if name in self.recognized:
                for number, raw in batch:
                    file.take(number, raw)
            yield from batch

    def findings(self) -> list[Finding]:
        """Why the last start of each log failed, or at which step it waits."""
        found = (self._finding(self._files[name]) for name in sorted(self.recognized))
        return [finding for finding in found if finding]

    def _finding(self, file: File) -> Finding | None:
        if (root := file.failure) is None:
            return _wait(file)
        known, lines = explain([root.described], SGLANG), [(root.line, root.text)]
        if (fatal := file.tracer.fatal) and fatal.line != root.line:
            lines.append((fatal.line, fatal.text))
        found = _made(file, known, root.described, lines)
        return replace(
            found, severity="FAIL" if fatal else "WARN", data={"process": root.source or ""}
        )


def _wait(file: File) -> Finding | None:
    """The milestone at which a log ends, where starts are known to wait in vain."""
    if file.ready or file.last is None or not (known := explain([file.last[1]], WAITING)):
        return None
    return _made(file, known, f"the log ends after: {file.last[1]}", [file.last])


def _made(
    file: File, known: Explanation | None, summary: str, lines: list[tuple[int, str]]
) -> Finding:
    evidence = (Evidence(file.name, number, shown(text[:TEXT_LIMIT])) for number, text in lines)
    return Finding(
        cause="sglang",
        code=known.code if known else "sglang",
        severity="WARN",
        summary=shown(summary[:TEXT_LIMIT]),
        ranks=(),
        evidence=tuple(evidence),
        candidates=(),
        fix=Fix(known.remedy if known else READ_ON),
    )
