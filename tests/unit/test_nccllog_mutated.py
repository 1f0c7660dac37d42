"""Real logs that came to harm: a torn line is no rank, and a rank that is whole stays as it was."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.fabric.nccllog.lines import parse
from sparkctl.fabric.nccllog.reader import Reader
from tests.unit.nccllog_mutations import harmed

if TYPE_CHECKING:
    from sparkctl.fabric.nccllog.model import LogVerdict, RankVerdict

FIXTURES = Path(__file__).parents[1] / "fixtures"
SEEDS = 300
# What a message must have in it to decide anything.
DECISIVE = tuple(
    word.encode()
    for word in (
        *(" rank ", "Using", " via ", "version", " set ", "NET", "network", "WARN", "->"),
        *("libibverbs", "Connected all", "error", "[rank", "sparkctl"),
    )
)


def verdict(text: bytes) -> LogVerdict:
    reader = Reader()
    reader.feed("all.log", text.splitlines(keepends=True))
    return reader.verdict()


def shown(rank: RankVerdict, before: RankVerdict) -> Any:
    """All of a rank's verdict but its evidence, whose lines have other numbers.

    A rank's number and version may be those of its file, where it is the only process in it.
    """
    named = (rank.rank, rank.nccl) if before.rank is not None else ()
    return (*named, rank.transport, rank.devices, rank.channels, rank.cause)


def overall(verdict: LogVerdict) -> Any:
    return (verdict.transport, verdict.cause, {finding.code for finding in verdict.findings})


@dataclass(frozen=True)
class Real:
    """A real log, its verdict, and the process of each line."""

    name: str
    text: bytes
    verdict: LogVerdict
    owners: dict[int, str]

    def whole(self, touched: set[int]) -> set[str]:
        """The ranks of which no line was touched."""
        harmed = {self.owners[number] for number in touched if number in self.owners}
        return {rank.name for rank in self.verdict.ranks} - harmed

    @property
    def processes(self) -> set[str]:
        """The processes of all starts; one real line is torn in the log."""
        count = Counter(self.owners.values())
        return {name for name, lines in count.items() if lines > 1}

    def undecided(self, touched: set[int]) -> bool:
        """Whether none of the touched lines decides anything."""
        lines = self.text.splitlines()
        return not any(word in lines[n] for n in touched if n >= 0 for word in DECISIVE)


@cache
def logs() -> list[Real]:
    """Each real log; of two ranks' also both in one file, line by line in turn."""
    texts = {p.name: p.read_bytes() for p in sorted(FIXTURES.glob("vllm/*.log"))}
    ranks = {p.name: p.read_bytes() for p in sorted(FIXTURES.glob("nccl/*.log"))}
    for name in sorted({name.partition(".")[0] for name in ranks}):
        pair = [ranks[f"{name}.rank{n}.log"].splitlines(keepends=True) for n in (0, 1)]
        texts[f"{name} in turn"] = b"".join(chain.from_iterable(zip_longest(*pair, fillvalue=b"")))
        texts[f"{name} in a row"] = b"".join(chain.from_iterable(pair))
    return [Real(name, text, verdict(text), owners(text)) for name, text in texts.items()]


def owners(text: bytes) -> dict[int, str]:
    records = (
        (n, parse(line.decode(errors="replace"))) for n, line in enumerate(text.splitlines())
    )
    return {n: f"{record.host}:{record.pid}" for n, record in records if record}


def wrong(seed: int) -> list[str]:
    """What differs in a harmed log that should not, each with the seed and the harm."""
    random = Random(seed)
    real = random.choice(logs())
    log, names = harmed(random, real.text)
    got, before = verdict(log.text), real.verdict
    whole = real.whole(log.touched)
    found = []
    expected = {rank.name: rank for rank in before.ranks}
    after = {rank.name: rank for rank in got.ranks}
    if phantoms := after.keys() - real.processes:
        found.append(f"phantom ranks {phantoms}")
    for name in sorted(whole):
        if name not in after:
            found.append(f"{name} is missing")
        elif (now := shown(after[name], expected[name])) != (
            then := shown(expected[name], expected[name])
        ):
            found.append(f"{name}: {then} became {now}")
    causes = {f.code for f in before.findings if {*f.ranks} & whole}
    if missing := causes - {f.code for f in got.findings}:
        found.append(f"causes {missing} are missing")
    if real.undecided(log.touched):
        all_now, all_then = map(overall, (got, before))
        if all_now != all_then:
            found.append(f"{all_then} became {all_now}")
    return [f"seed {seed}, {real.name}, {', '.join(names)}: {text}" for text in found]


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_harm_to_some_lines_changes_no_other_rank(first: int) -> None:
    assert [text for seed in range(first, first + 50) for text in wrong(seed)] == []
