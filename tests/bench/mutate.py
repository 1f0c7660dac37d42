"""Random harm to answers, inventories and env layers; the same seed does the same harm."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

BAD = ["\x1b[2J\x1b[31m", "\u202egnp", "a\nb", "\r", "\x9b5m", "\x00", "\u2028", "\t", "\u200b"]
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    2**63,
    -(2**63),
    10**30,
    3.5,
    -0.1,
    1e300,
    float("nan"),
    float("inf"),
    "",
    " ",
    "x",
    "1",
    "-1",
    "auto",
    "x" * 70_000,
    *BAD,
    [],
    {},
    [1, 2],
    [None],
    {"a": 1},
    {"": None},
    [[[[]]]],
    ["", ""],
    "999.1.1.1/99",
    "0.0.0.0/0",
    "10.0.0.1",
    "::/0",
    "../..",
    "~",
    "/",
    "'\"`$(id)",
    "%s%n",
    "\ud800",
    "🙂" * 300,
]
GREETINGS = [b"Welcome to DGX OS\n", b"{}\n", b"\x1b[1mmotd\x1b[0m\n", b"\xff\xfe\n", b"[1]\n"]
ENDINGS = [b"\n\n", b"\nlogout\n", b"\x00", b"}", b",", b"\n{}", b"\n[1,2]"]
WHOLE = [
    b"",
    b"{}",
    b"[]",
    b"[1,2]",
    b"null",
    b"0",
    b'""',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"9" * 5000,
    b'{"time": NaN}',
    b"not json",
    b"\xff" * 50,
    b"x" * 300_000,
]


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a tree, but for the top."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (*here, key)
        yield from paths(inner, (*here, key))


def tree(random: Random, value: Any, most: int = 4) -> Any:
    """A copy of a tree with some of its values, keys or items changed."""
    value = copy.deepcopy(value)
    for _ in range(random.randint(1, most)):
        every = list(paths(value))
        if not every:
            break
        *above, key = random.choice(every)
        parent = value
        for step in above:
            parent = parent[step]
        _change(random, parent, key)
    return value


def _change(random: Random, parent: Any, key: Any) -> None:
    how = random.randrange(6)
    if how == 0:
        del parent[key]
    elif how == 1 and isinstance(parent, dict):
        parent[random.choice([*BAD, "", "x" * 5000, "1", "99999"])] = parent.pop(key)
    elif how == 2 and isinstance(parent[key], str):
        parent[key] += random.choice([*BAD, "x" * 5000])
    elif how == 3 and isinstance(parent[key], (int, float)):
        parent[key] = random.choice([-parent[key], parent[key] * 10**12, str(parent[key]), 0])
    elif how == 4 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    else:
        parent[key] = copy.deepcopy(random.choice(VALUES))


def answer(random: Random, value: Any) -> bytes:
    """What a node might print instead of an answer."""
    how = random.randrange(10)
    if how == 0:
        return random.choice(WHOLE)
    text = json.dumps(tree(random, value)).encode()
    if how == 1:
        text = text[: random.randrange(len(text) + 1)]
    if how == 2:
        text = random.choice(GREETINGS) + text
    if how == 3:
        text += random.choice(ENDINGS)
    return text


def text(random: Random, value: str, most: int = 5) -> bytes:
    """A file's text with some of its characters or lines changed."""
    for _ in range(random.randint(1, most)):
        at, how = random.randrange(len(value) + 1), random.randrange(6)
        lines = value.split("\n")
        line = random.randrange(len(lines))
        if how == 0:
            value = value[:at] + random.choice([*BAD, *"{}[]:,-#&*!|>'\"%@` ="]) + value[at:]
        elif how == 1:
            value = value[:at] + value[at + random.randint(1, 10) :]
        elif how == 2:
            lines[line:line] = [lines[random.randrange(len(lines))]]
            value = "\n".join(lines)
        elif how == 3:
            lines[line] = " " * random.randint(1, 4) + lines[line]
            value = "\n".join(lines)
        elif how == 4:
            key, sign, _ = lines[line].partition(random.choice(":="))
            lines[line] = key + sign + " " + json.dumps(random.choice(VALUES))
            value = "\n".join(lines)
        else:
            value = value[:at]
    data = value.encode(errors="surrogatepass")
    if random.random() < 0.05:
        at = random.randrange(len(data) + 1)
        data = data[:at] + bytes([random.randrange(256)]) + data[at:]
    return data
