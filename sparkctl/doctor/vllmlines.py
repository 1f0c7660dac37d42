"""vLLM's and Ray's own lines in a log that is read for NCCL: why it failed, and where it hangs."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Literal

from sparkctl.engines.vllm.diagnosis import explain_server, explain_vllm, explain_wait
from sparkctl.engines.vllm.errorlevel import Level
from sparkctl.engines.vllm.failures import WEDGED
from sparkctl.engines.vllm.rootcause import MANY_STALLS, Root, Tracer
from sparkctl.fabric.nccllog.lines import GLOO_NEEDLE, NEEDLE, TEXT_LIMIT, shown
from sparkctl.fabric.nccllog.model import Evidence, Finding, Fix
from sparkctl.node.errorlines import ERRORS, PROGRESS, START, STEP, TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sparkctl.engines.explanation import Explanation
    from sparkctl.fabric.nccllog.model import LogVerdict

Numbered = tuple[int, bytes]

BATCH = 256  # lines that are searched as one text: most of a healthy log has nothing
READ_ON_BATCHES = 8  # in which an error that began in one before may end
# The form of vLLM's lines, coloured or not, with the file in brackets or, in old releases, before a
# closing bracket alone (vLLM's logger.py and logging_utils/formatter.py).
FORM = re.compile(
    rb"(?<![A-Z])(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)(?:\x1b\[[0-9;]*m)* (?:\x1b\[[0-9;]*m)*"
    rb"\d\d-\d\d \d\d:\d\d:\d\d(?:\x1b\[[0-9;]*m)* (?:\x1b\[[0-9;]*m)*\[?[\w./]+:\d+\]"
)
READ_ON = "read the log around this line, and the logs of the other ranks"
LINE_LIMIT = 8192
MOST_EVIDENCE = 6  # lines
CHANGES = tuple(needle for needle in PROGRESS if needle != TOKENS)
MOST_STARTING = 200_000  # lines that are examined before vLLM is ready, whatever they have


class File:
    """One log while it is read: its tracer, and how far all its lines are examined."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tracer = Tracer()
        self._examined = 0
        self._read_on = 0

    @property
    def failed(self) -> bool:
        """Whether vLLM failed or ended, or printed an error that explains a failure alone."""
        root = self.tracer.root
        if root is None or root.level is Level.REQUEST:
            return False
        return bool(self.tracer.fatal or self.tracer.ended or explain_server(root))

    def take(self, batch: list[Numbered], text: bytes) -> None:
        """Examine some lines; `text` has all of them."""
        starting = not self.tracer.ready and self._examined < MOST_STARTING
        if starting or _has(text, ERRORS):
            self._read_on = READ_ON_BATCHES
        elif self._read_on and self.tracer.reading:
            self._read_on -= 1
        else:
            if _has(text, self._needles):
                self._feed(line for line in batch if STEP.search(line[1]))
            return
        self._examined += len(batch)
        self._feed(batch)

    @property
    def _needles(self) -> tuple[bytes, ...]:
        """What changes the tracer's state; tokens do so only where it waits for some."""
        return PROGRESS if not self.tracer.ready or self.tracer.awaits_tokens else CHANGES

    def _feed(self, lines: Iterable[Numbered]) -> None:
        for number, raw in lines:
            for part in raw.split(b"\r"):
                self.tracer.feed(number, part[:LINE_LIMIT].decode("utf-8", "replace"))


class VllmLines:
    """Passes NCCL's lines on, and finds why vLLM failed in its own and Ray's.

    `recognized`: the files that have a line of vLLM, or a failure of it.
    """

    def __init__(self) -> None:
        self.recognized: set[str] = set()
        self._files: dict[str, File] = {}

    def passing(self, name: str, lines: Iterable[Numbered]) -> Iterator[Numbered]:
        """The lines that the log reader may need, in their order; all lines are examined."""
        lines, file = iter(lines), self._files.setdefault(name, File(name))
        while batch := list(islice(lines, BATCH)):
            text = b"\n".join(raw for _, raw in batch)
            if name not in self.recognized and (START in text or FORM.search(text)):
                self.recognized.add(name)
            file.take(batch, text)
            if NEEDLE in text or GLOO_NEEDLE in text or START in text:
                yield from batch
        if file.tracer.ready or file.failed:
            self.recognized.add(name)

    def leave(self, names: Iterable[str]) -> None:
        """Forget these files, which are another engine's."""
        for name in names:
            self.recognized.discard(name)
            self._files.pop(name, None)

    def findings(self, network: LogVerdict) -> list[Finding]:
        """Why vLLM failed or waits, and that it hangs; `network` is the verdict on NCCL's lines."""
        found = (self._failure(network), self._wait(), self._wedge())
        return [finding for finding in found if finding]

    def _failure(self, network: LogVerdict) -> Finding | None:
        """The failure of the last starts in the logs, with their root cause."""
        failed = [
            (root, explain_vllm(root, network), file)
            for file in self._files.values()
            if file.failed and (root := file.tracer.root)
        ]
        if not failed:
            return None
        root, known, file = min(failed, key=lambda found: found[0].level)
        lines = [(f, r) for _, _, f in failed for r in f.tracer.same]
        lines += [(f, f.tracer.fatal) for _, _, f in failed if f.tracer.fatal]
        lines.sort(key=lambda line: line[0] is not file)  # stable
        fatal = any(f.tracer.fatal for _, _, f in failed)
        return _finding(lines, known, severity="FAIL" if fatal else "WARN", root=root)

    def _wait(self) -> Finding | None:
        lines = [(f, f.tracer.waits) for f in self._files.values() if f.tracer.waits]
        lines = [(f, w) for f, w in lines if not f.tracer.root]
        return _finding(lines, explain_wait(lines[0][1]), severity="WARN") if lines else None

    def _wedge(self) -> Finding | None:
        hung = [(f, f.tracer.wedge) for f in self._files.values() if f.tracer.wedge]
        if not hung:
            return None
        file, wedge = max(hung, key=lambda found: found[1].seconds)
        return Finding(
            cause="vllm",
            code=WEDGED.code,
            severity="FAIL" if wedge.seconds >= MANY_STALLS else "WARN",
            summary=f"the engine is wedged: no step ended for {wedge.seconds} s, no token followed",
            ranks=(),
            evidence=tuple(_evidence(f, w.line, w.text) for f, w in hung[:MOST_EVIDENCE]),
            candidates=(),
            fix=Fix(WEDGED.remedy, ("sparkctl down", "sparkctl up")),
            data={"seconds": wedge.seconds, "path": file.name},
        )


def _finding(
    lines: list[tuple[File, Root]],
    known: Explanation | None,
    *,
    severity: Literal["FAIL", "WARN"],
    root: Root | None = None,
) -> Finding:
    evidence = dict.fromkeys(_evidence(f, r.line, r.text.partition("\n")[0]) for f, r in lines)
    root = root or lines[0][1]
    return Finding(
        cause="vllm",
        code=known.code if known else "vllm",
        severity=severity,
        summary=shown(root.described[:TEXT_LIMIT]),
        ranks=(),
        evidence=tuple(evidence)[:MOST_EVIDENCE],
        candidates=(),
        fix=Fix(known.remedy if known else READ_ON),
        data={"process": root.source},
    )


def _evidence(file: File, line: int, text: str) -> Evidence:
    return Evidence(file.name, line, shown(text[:TEXT_LIMIT]))


def _has(text: bytes, needles: tuple[bytes, ...]) -> bool:
    return any(needle in text for needle in needles)
