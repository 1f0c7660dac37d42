"""Harm that logs come to: processes that share a pipe, rotation, a full disk, terminals.

The same seed does the same harm. Each harm names the lines that it touches, by their number in the
log as it was; what leaves each line whole, such as colours, touches none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

COLOURS = (b"\x1b[36m", b"\x1b[0m", b"\x1b[0;36m", b"\x1b[0;0m", b"\x1b[1;31m")
PREFIXES = (b"(EngineCore pid=77) ", b"spark-9  | ", b"2026-11-21T00:06:24.123Z stdout F ")


@dataclass
class Log:
    """The lines of a log, each with its number in the unharmed one (from 0), and those touched."""

    lines: list[tuple[int, bytes]]
    touched: set[int] = field(default_factory=set)
    ends: bytes = b"\n"

    def take(self, at: int) -> tuple[int, bytes]:
        """Touch a line, and give its number and its text."""
        number, line = self.lines[at]
        self.touched.add(number)
        return number, line

    @property
    def text(self) -> bytes:
        """The log as it is now."""
        return b"".join(line + self.ends for _, line in self.lines)


def _pick(random: Random, log: Log) -> int:
    """The index of a line; mostly one of NCCL's."""
    nccl = [at for at, (_, line) in enumerate(log.lines) if b"NCCL" in line]
    if nccl and random.random() < 0.9:
        return random.choice(nccl)
    return random.randrange(len(log.lines))


def _byte(random: Random, line: bytes) -> int:
    """A place in a line, half the time in the head or the prefix of a record."""
    head = line.find(b"NCCL INFO")
    if head > 0 and random.random() < 0.6:
        return random.randrange(head + 9)
    return random.randrange(len(line) + 1)


def split(random: Random, log: Log) -> None:
    """A line break within a line."""
    at = _pick(random, log)
    number, line = log.take(at)
    place = _byte(random, line)
    log.lines[at : at + 1] = [(number, line[:place]), (number, line[place:])]


def behead(random: Random, log: Log) -> None:
    """The first bytes of a line are missing."""
    at = _pick(random, log)
    number, line = log.take(at)
    log.lines[at] = number, line[_byte(random, line) :]


def join(random: Random, log: Log) -> None:
    """Two lines without the line break between them."""
    at = _pick(random, log)
    if at + 1 < len(log.lines):
        number, line = log.take(at)
        _, after = log.take(at + 1)
        log.lines[at : at + 2] = [(number, line + after)]


def interleave(random: Random, log: Log) -> None:
    """A line that another process wrote into the next one, at one or two places."""
    at = _pick(random, log)
    if at + 1 < len(log.lines):
        number, line = log.take(at)
        _, other = log.take(at + 1)
        place, cut = _byte(random, line), _byte(random, other)
        if random.random() < 0.5:
            cut = len(other)
        torn = line[:place] + other[:cut] + random.choice((b"\n", b"")) + line[place:] + other[cut:]
        log.lines[at : at + 2] = [(number, part) for part in torn.split(b"\n")]


def drop(random: Random, log: Log) -> None:
    """Some bytes of a line are missing."""
    at = _pick(random, log)
    number, line = log.take(at)
    place = _byte(random, line)
    log.lines[at] = number, line[:place] + line[place + random.choice((1, 2, 3, 20)) :]


def cut_start(random: Random, log: Log) -> None:
    """The log begins within a line."""
    at = random.randrange(max(1, len(log.lines) // 2))
    for gone in range(at + 1):
        log.take(gone)
    number, line = log.lines[at]
    log.lines[: at + 1] = [(number, line[_byte(random, line) :])]


def cut_end(random: Random, log: Log) -> None:
    """The log ends within a line."""
    at = random.randrange(len(log.lines) // 2, len(log.lines))
    for gone in range(at, len(log.lines)):
        log.take(gone)
    number, line = log.lines[at]
    log.lines[at:] = [(number, line[: _byte(random, line)])]


def duplicate(random: Random, log: Log) -> None:
    """A line is there twice."""
    at = _pick(random, log)
    number, line = log.take(at)
    log.lines.insert(at, (number, line))


def nuls(random: Random, log: Log) -> None:
    """Zeros within a line, as a file has them that is emptied while it is written."""
    at = _pick(random, log)
    number, line = log.take(at)
    place = _byte(random, line)
    log.lines[at] = number, line[:place] + b"\0" * random.choice((1, 9, 500)) + line[place:]


def zeros(random: Random, log: Log) -> None:
    """A line of zeros."""
    log.lines.insert(random.randrange(len(log.lines)), (-1, b"\0" * 4096))


def colour(random: Random, log: Log) -> None:
    """Colours of the words in a line, but within what is NCCL's own."""
    at = _pick(random, log)
    number, line = log.lines[at]
    before, sign, after = line.partition(b"NCCL ")
    words = [random.choice((b"", b"", *COLOURS)) + word for word in before.split(b" ")]
    log.lines[at] = number, b" ".join(words) + sign + after


def prefix(random: Random, log: Log) -> None:
    """One more prefix before every record."""
    text = random.choice(PREFIXES) * random.randint(1, 3)
    log.lines = [(n, text + line if b"NCCL" in line else line) for n, line in log.lines]


def returns(_: Random, log: Log) -> None:
    """The line ends of another system."""
    log.ends = b"\r\n"


HARM: tuple[Callable[[Random, Log], None], ...] = (
    split,
    behead,
    join,
    interleave,
    drop,
    cut_start,
    cut_end,
    duplicate,
    nuls,
    zeros,
    colour,
    prefix,
    returns,
)


def harmed(random: Random, text: bytes) -> tuple[Log, list[str]]:
    """The log after one to four kinds of harm, and their names."""
    log = Log(list(enumerate(text.splitlines())))
    names = []
    for _ in range(random.randint(1, 4)):
        harm = random.choice(HARM)
        names.append(harm.__name__)
        harm(random, log)
    return log, names
