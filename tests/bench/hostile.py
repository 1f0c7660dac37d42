"""What the commands do with answers, inventories and env layers that were harmed at random.

Run as `python -m tests.bench.hostile [--seed N] [--answers N] [--inventories N] [--layers N]`.
Prints each fault with the seed that repeats it, and exits 1 when there is one. A fault: an
exception that nobody expects, "a bug in sparkctl", a finding CRASH, a control character in what is
printed, a command that changes a node from one that only reads, a status without every node, or a
run of many seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from unittest import mock

import yaml

from sparkctl.cli import main as cli
from sparkctl.remote import pool
from tests.bench import mutate
from tests.bench.nodes import READING, Answers, Node, healthy

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW = 8.0  # seconds for one command, on a machine with much else to do
CODES = {0, 1, 2, 3}
WRITTEN = Path(__file__).parents[2] / "sparkctl/inventory/starter"
BUG = re.compile(r"a bug in sparkctl|^CRASH|\bthe check has a bug|Traceback \(most", re.M)
UNFIT = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("doctor", "--passive"),
    ("doctor", "--json"),
    ("plan",),
    ("env",),
    ("fabric", "show"),
    ("fabric", "match", "--node", "spark-1"),
    ("logs",),
    ("logs", "spark-1", "spark-2", "--since", "1m"),
    ("validate", "--connect"),
    ("down",),
)


class Terminal(io.StringIO):
    """What a log is cleaned for."""

    def isatty(self) -> bool:
        return True


def run(argv: list[str]) -> tuple[int, str, str]:
    """One command in this process: exit code, stdout, stderr."""
    out, err = Terminal() if argv[0] == "logs" else io.StringIO(), io.StringIO()
    handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.dict(os.environ, {"NO_COLOR": "1"}),
        ):
            code = cli.run(argv)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code, out.getvalue(), err.getvalue()


def faults(argv: list[str]) -> Iterator[str]:
    """What is wrong with how a command ends."""
    start = time.monotonic()
    try:
        code, out, err = run(argv)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        yield "".join(traceback.format_exception(error)[-3:])
        return
    if (seconds := time.monotonic() - start) > SLOW:
        yield f"it took {seconds:.1f} s"
    if code not in CODES:
        yield f"exit code {code}"
    if found := BUG.search(out) or BUG.search(err):
        text = out + err
        at = text.find(found[0])
        yield text[at : at + 300]
    if found := UNFIT.search(out) or UNFIT.search(err):
        yield f"the control character {found[0]!r} is printed"
    if argv[0] == "status" and not ("spark-1" in out and "spark-2" in out):
        yield f"not every node has its row: {out[:200]!r} {err[:200]!r}"
    if "--json" in argv:
        try:
            json.loads(out)
        except ValueError:
            yield f"no JSON document on stdout: {out[:200]!r}"


def answers(seed: int, commands: tuple[tuple[str, ...], ...] = COMMANDS) -> Iterator[str]:
    """The commands on two nodes of which one, or each, answers harm."""
    random = Random(seed)
    state = healthy(serving=random.random() < 0.5)
    given = Answers(random, state, harmed=random.choice([("spark-1",), ("spark-2",), tuple(state)]))
    with tempfile.TemporaryDirectory() as folder:
        inventory = Path(folder, "inventory.yaml")
        inventory.write_text(Node.INVENTORY)
        for words in commands:
            argv = [*words, "-i", str(inventory)]
            changed: list[str] = []

            def connect(name: str, *_: Any, changed: list[str] = changed, **__: Any) -> Node:
                return Node(name, given, changed)

            with mock.patch.object(pool, "connect", connect):
                for text in faults(argv):
                    yield f"answers {seed}: {' '.join(words)}: {text}"
            if changed and words[0] in READING:
                yield f"answers {seed}: {' '.join(words)} changes a node: {changed}"


def inventories(seed: int) -> Iterator[str]:
    """`validate` on a harmed inventory; each problem is one line that names the file."""
    random = Random(seed)
    good = random.choice([WRITTEN / "two-node.yaml", None])
    text = good.read_text() if good else Node.INVENTORY
    if random.random() < 0.5:
        data = mutate.text(random, text)
    else:
        data = json.dumps(mutate.tree(random, yaml.safe_load(text))).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "inventory.yaml")
        path.write_bytes(data)
        for name in ("gb10-vllm", "nccl-roce", "ray"):
            layer = Path(folder, "env", f"{name}.env")
            layer.parent.mkdir(exist_ok=True)
            layer.write_bytes((WRITTEN / f"{name}.env").read_bytes())
        yield from _validated(path, f"inventories {seed}")


def layers(seed: int) -> Iterator[str]:
    """`validate` on an inventory with a harmed env layer."""
    random = Random(seed)
    name = random.choice(["gb10-vllm", "nccl-roce", "ray"])
    data = mutate.text(random, (WRITTEN / f"{name}.env").read_text(), 8)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.env").write_bytes(data)
        path = Path(folder, "inventory.yaml")
        path.write_text(Node.INVENTORY + "env: {layers: [a.env]}\n")
        yield from _validated(path, f"layers {seed}")


def _validated(path: Path, what: str) -> Iterator[str]:
    argv = ["validate", "-i", str(path)]
    for text in faults(argv):
        yield f"{what}: {text}"
    code, _, err = run(argv)
    if code not in (0, 2):
        yield f"{what}: exit code {code}"
    for line in err.splitlines() if code else ():
        problem = line.removeprefix("error: ")  # the last line, or one of a whole file
        if not problem.startswith((f"{path.parent}/", "hint: ", "a.env")):
            yield f"{what}: a line that names no file: {line!r}"


KINDS = {"answers": answers, "inventories": inventories, "layers": layers}


def main() -> int:
    """Run them all; gives the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=int(time.time()))
    for kind, count in (("answers", 2000), ("inventories", 1800), ("layers", 400)):
        parser.add_argument(f"--{kind}", type=int, default=count)
    options = parser.parse_args()
    print(f"seeds from {options.seed}", flush=True)
    found = 0
    for kind, check in KINDS.items():
        count, start = getattr(options, kind), time.monotonic()
        for seed in range(options.seed, options.seed + count):
            for fault in check(seed):
                found += 1
                print(fault, flush=True)
        print(f"{count} {kind}: {time.monotonic() - start:.0f} s", flush=True)
    print(f"{found} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
