"""vLLM's and Ray's own lines in a log: failures with a known remedy, beside NCCL's lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog.lines import GLOO_NEEDLE, NEEDLE, TEXT_LIMIT, shown
from sparkctl.fabric.nccllog.model import Evidence, Finding, Fix
from sparkctl.node.nccllines import START
from sparkctl.serving.failures import RAY, VLLM, WAITING, Explanation, explain
from sparkctl.serving.progress import ANSI, FATAL, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Numbered = tuple[int, bytes]

BATCH = 256  # lines that are searched as one text: of a log that is well most hold nothing
READY = b"Application startup complete."
# Each line that is looked at has one of these in it.
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
# What tells without an exception's name before it (the dynamic linker, Ray's warning).
BARE = re.compile(r"undefined symbol|Version mismatch")
# vLLM's own form of a line, coloured or not, with the file in brackets or, in old releases, before
# a closing one alone (vLLM's logger.py and logging_utils/formatter.py).
FORM = re.compile(
    rb"(?<![A-Z])(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)(?:\x1b\[[0-9;]*m)* (?:\x1b\[[0-9;]*m)*"
    rb"\d\d-\d\d \d\d:\d\d:\d\d(?:\x1b\[[0-9;]*m)* (?:\x1b\[[0-9;]*m)*\[?[\w./]+:\d+\]"
)
OF_RAY = re.compile(r"\b[Rr]ay\b|\bGCS\b|Version mismatch")
READ_ON = "read the log around this line, and the logs of the other ranks"
LINE_LIMIT = 4096
MOST_REMEDIES = 3
MOST_LOOKED_AT = 10_000  # the first lines with a needle tell the cause, not the last


@dataclass
class Start:
    """What one start of vLLM said; a log may hold several, and the last one counts."""

    ready: bool = False
    looked_at: int = 0
    fatal: Evidence | None = None
    error: Evidence | None = None
    remedies: dict[Explanation, Evidence] = field(default_factory=dict)

    def take(self, file: str, number: int, line: str) -> None:
        """Look at a line; once the API is up an error is a request's, unless the engine died."""
        if self.ready and not (self.fatal or FATAL.search(line) or explain([line], WAITING)):
            return
        self.looked_at += 1
        progress = Progress()
        progress.feed(f"{line}\n")
        said = progress.verdict
        if said is None and (BARE.search(line) or explain([line], WAITING)):
            said = line.strip()
        if said is None:
            return
        evidence = Evidence(file, number, shown(said[:TEXT_LIMIT]))
        if progress.fatal:
            self.fatal = self.fatal or evidence
        elif progress.cause:
            self.error = self.error or evidence
        if (known := _explain(said)) and len(self.remedies) < MOST_REMEDIES:
            self.remedies.setdefault(known, evidence)


def _explain(said: str) -> Explanation | None:
    # What waits is no error, and a fault where it does not end (vLLM 0.17 to 0.33).
    tables = (*VLLM, *WAITING, *(RAY if OF_RAY.search(said) else ()))
    return explain([said], tables)


class VllmLines:
    """Hands NCCL's lines on, and keeps of vLLM's and Ray's own what tells of a failure.

    `recognized`: the files that have a line of vLLM, or an error with a known remedy.
    """

    def __init__(self) -> None:
        self.recognized: set[str] = set()
        self._starts: dict[str, Start] = {}

    def passing(self, file: str, lines: Iterable[Numbered]) -> Iterator[Numbered]:
        """The lines that the log reader may want, in their order; all are looked at on the way."""
        lines = iter(lines)
        while batch := list(islice(lines, BATCH)):
            text = b"\n".join(raw for _, raw in batch)
            if file not in self.recognized and FORM.search(text):
                self.recognized.add(file)
            if any(needle in text for needle in NEEDLES):
                for number, raw in batch:
                    if any(needle in raw for needle in NEEDLES):
                        self._line(file, number, raw)
            if NEEDLE in text or GLOO_NEEDLE in text or START in text:
                yield from batch

    def _line(self, file: str, number: int, raw: bytes) -> None:
        start = self._starts.setdefault(file, Start())
        if raw.startswith(START) or READY in raw:
            self._starts[file] = Start(ready=READY in raw)
            self.recognized.add(file)
        elif start.looked_at < MOST_LOOKED_AT:
            for part in raw.split(b"\r"):
                # NCCL's and Gloo's are the log reader's.
                if NEEDLE not in part and GLOO_NEEDLE not in part:
                    text = part[:LINE_LIMIT].decode("utf-8", "replace")
                    start.take(file, number, ANSI.sub("", text))
            if start.fatal or start.remedies:
                self.recognized.add(file)

    def findings(self) -> list[Finding]:
        """One finding where a start failed or waits, with the remedies that are known."""
        told = [s for s in self._starts.values() if s.fatal or s.remedies]
        if not told:
            return []
        lines = [e for s in told for e in (*s.remedies.values(), s.error, s.fatal) if e]
        cures = dict.fromkeys(known.text for s in told for known in s.remedies)
        return [
            Finding(
                cause="vllm",
                severity="FAIL" if any(s.fatal for s in told) else "WARN",
                summary=lines[0].text,
                ranks=(),
                evidence=tuple(dict.fromkeys(lines))[:6],
                candidates=(),
                fix=Fix("; ".join(cures) or READ_ON),
            )
        ]
