"""vLLM's and Ray's own lines in a log that is read for NCCL: failures with a known remedy."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

from sparkctl.fabric.nccllog.lines import GLOO_NEEDLE, NEEDLE, TEXT_LIMIT, shown
from sparkctl.fabric.nccllog.model import Evidence, Finding, Fix
from sparkctl.node.nccllines import START
from sparkctl.serving.failures import RAY, VLLM, WAITING, Explanation, explain
from sparkctl.serving.progress import ANSI, FATAL, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")
Numbered = tuple[int, bytes]

BATCH = 256  # lines that are searched as one text: most of a healthy log has nothing
READY = b"Application startup complete."
# Each line that is examined has one of these in it.
NEEDLES = (
    READY,
    START,
    b"rror",
    b"No available ",
    b"less than desired",
    b"undefined symbol",
    b"Version mismatch",
    b"Waiting for creating",
    b"failed to start",
    b"died unexpectedly",
)
# Failures without the name of an exception (the dynamic linker's, Ray's warning).
BARE = re.compile(r"undefined symbol|Version mismatch")
# The form of vLLM's lines, coloured or not, with the file in brackets or, in old releases, before a
# closing bracket alone (vLLM's logger.py and logging_utils/formatter.py).
FORM = re.compile(
    rb"(?<![A-Z])(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)(?:\x1b\[[0-9;]*m)* (?:\x1b\[[0-9;]*m)*"
    rb"\d\d-\d\d \d\d:\d\d:\d\d(?:\x1b\[[0-9;]*m)* (?:\x1b\[[0-9;]*m)*\[?[\w./]+:\d+\]"
)
OF_RAY = re.compile(r"\b[Rr]ay\b|\bGCS\b|Version mismatch")
READ_ON = "read the log around this line, and the logs of the other ranks"
LINE_LIMIT = 4096
MOST_CAUSES = 3
MOST_EVIDENCE = 6  # lines
MOST_EXAMINED = 10_000  # the first lines with a needle have the cause, not the last


@dataclass
class Start:
    """What the log has of one start of vLLM; the last one in a log counts."""

    ready: bool = False
    examined: int = 0
    fatal: Evidence | None = None
    error: Evidence | None = None
    causes: dict[Explanation, Evidence] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether it failed, or waits for a known cause."""
        return bool(self.fatal or self.causes)

    @property
    def evidence(self) -> list[Evidence]:
        """The lines of the failure, those with a known cause first."""
        return [e for e in (*self.causes.values(), self.error, self.fatal) if e]

    def take(self, file: str, number: int, line: str) -> None:
        """Examine a line."""
        waits = explain([line], WAITING) is not None
        # Once the API is ready an error is a request's, unless the engine died.
        if self.ready and not (self.fatal or waits or FATAL.search(line)):
            return
        self.examined += 1
        progress = Progress()
        progress.feed(f"{line}\n")
        text = progress.verdict
        if text is None and (waits or BARE.search(line)):
            text = line.strip()
        if text is not None:
            evidence = Evidence(file, number, shown(text[:TEXT_LIMIT]))
            self._keep(evidence, text, progress)

    def _keep(self, evidence: Evidence, text: str, progress: Progress) -> None:
        if progress.fatal:
            self.fatal = self.fatal or evidence
        elif progress.cause:
            self.error = self.error or evidence
        known = _explain(text)
        if known and len(self.causes) < MOST_CAUSES:
            self.causes.setdefault(known, evidence)


def _explain(text: str) -> Explanation | None:
    # A line that waits is a failure only if the wait does not end (vLLM 0.17 to 0.33).
    tables = (*VLLM, *WAITING, *(RAY if OF_RAY.search(text) else ()))
    return explain([text], tables)


class VllmLines:
    """Passes NCCL's lines on, and keeps the failures in vLLM's and Ray's own.

    `recognized`: the files that have a line of vLLM, or an error with a known cause.
    """

    def __init__(self) -> None:
        self.recognized: set[str] = set()
        self._starts: dict[str, Start] = {}

    def passing(self, file: str, lines: Iterable[Numbered]) -> Iterator[Numbered]:
        """The lines that the log reader may need, in their order; all lines are examined."""
        lines = iter(lines)
        while batch := list(islice(lines, BATCH)):
            text = b"\n".join(raw for _, raw in batch)
            self._examine(file, batch, text)
            if NEEDLE in text or GLOO_NEEDLE in text or START in text:
                yield from batch

    def _examine(self, file: str, batch: list[Numbered], text: bytes) -> None:
        if file not in self.recognized and FORM.search(text):
            self.recognized.add(file)
        if _has_needle(text):
            for number, raw in batch:
                if _has_needle(raw):
                    self._line(file, number, raw)

    def _line(self, file: str, number: int, raw: bytes) -> None:
        start = self._starts.setdefault(file, Start())
        if raw.startswith(START) or READY in raw:
            self._starts[file] = Start(ready=READY in raw)
            self.recognized.add(file)
        elif start.examined < MOST_EXAMINED:
            for part in raw.split(b"\r"):
                # The log reader takes NCCL's and Gloo's.
                if NEEDLE not in part and GLOO_NEEDLE not in part:
                    text = part[:LINE_LIMIT].decode("utf-8", "replace")
                    start.take(file, number, ANSI.sub("", text))
            if start.failed:
                self.recognized.add(file)

    def findings(self) -> list[Finding]:
        """One finding if a start failed or waits, with the remedies of the known causes."""
        failed = [start for start in self._starts.values() if start.failed]
        if not failed:
            return []
        lines = _distinct(start.evidence for start in failed)
        causes = _distinct(start.causes for start in failed)
        return [
            Finding(
                cause="vllm",
                code=next((cause.code for cause in causes), "vllm"),
                severity="FAIL" if any(start.fatal for start in failed) else "WARN",
                summary=lines[0].text,
                ranks=(),
                evidence=tuple(lines[:MOST_EVIDENCE]),
                candidates=(),
                fix=Fix("; ".join(dict.fromkeys(c.text for c in causes)) or READ_ON),
            )
        ]


def _distinct(groups: Iterable[Iterable[T]]) -> list[T]:
    return list(dict.fromkeys(chain.from_iterable(groups)))


def _has_needle(text: bytes) -> bool:
    return any(needle in text for needle in NEEDLES)
