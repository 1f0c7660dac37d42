"""The env layers that an inventory names: files of KEY=VALUE lines.

A value may refer to a node's values: ${FABRIC_ADDRESS}, ${SOCKET_INTERFACE}, ${HCAS}, ${NODE}.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.errors import FileProblem, InventoryError
from sparkctl.inventory.paths import quoted
from sparkctl.secret.text import secretless
from sparkctl.secret.value import Secret, masked, protected_text, revealed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.inventory.models import Inventory

REFERENCES = ("FABRIC_ADDRESS", "SOCKET_INTERFACE", "HCAS", "NODE")
LINE = re.compile(r"(?:(-)\s*|export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*(?:=(.*))?$")
REFERENCE = re.compile(r"\$\{([^}]*)\}")
UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class Layer:
    """Settings of one file; None drops a variable that an earlier layer set."""

    name: str
    values: dict[str, str | None]


def unknown_references(value: str) -> list[str]:
    """A message for each ${NAME} in a value that is not in REFERENCES; a secret stays hidden."""
    known = ", ".join(f"${{{name}}}" for name in REFERENCES)
    unknown = [m[0] for m in REFERENCE.finditer(revealed(value)) if m[1] not in REFERENCES]
    if isinstance(value, Secret):
        unknown = ["in a secret value" for _ in unknown[:1]]  # it is a part of the secret
    return [f"unknown reference {reference}; known are {known}" for reference in unknown]


def parse_layer(name: str, text: str) -> Layer:
    """A file of KEY=VALUE lines; `-KEY` drops a variable, `#` begins a comment line.

    Raises InventoryError with every problem; they show no value, which may be a secret.
    """
    values: dict[str, str | None] = {}
    lines: dict[str, int] = {}
    problems: list[FileProblem] = []
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = LINE.match(stripped)
        if not match or bool(match[1]) == (match[3] is not None):
            problems.append(FileProblem("bad-line", _bad_line(stripped), name, number))
            continue
        key, value = str(match[2]), str(match[3] or "").strip()
        found = list(_value_problems(key, value))
        if key in values:
            found.append(("duplicate-key", f"duplicate variable (first on line {lines[key]})"))
        problems += [FileProblem(c, f"{key}: {t}", name, number, path=key) for c, t in found]
        values[key] = None if match[1] else protected_text(_unquoted(value), key)
        lines.setdefault(key, number)
    if problems:
        raise InventoryError(problems, hint="an env layer holds KEY=VALUE lines, as in env/*.env")
    return Layer(name, values)


def _bad_line(line: str) -> str:
    name, sign, _ = line.partition("=")
    # Without the sign a line that is no name may be the rest of a secret.
    shown = sign or LINE.fullmatch(masked("", line))
    return f"expected KEY=VALUE, -KEY or # comment, got {quoted(name) if shown else 'no ='}"


def _value_problems(name: str, value: str) -> Iterator[tuple[str, str]]:
    """The code and text of each problem of a value."""
    for text in unknown_references(protected_text(value, name)):
        yield "unknown-reference", text
    if UNPRINTABLE.search(value):
        yield "unprintable", "unprintable character in the value"
    quote = value[:1] in ("'", '"')
    if quote and (len(value) < 2 or value[-1] != value[0]):
        yield "unclosed-quote", "missing closing quote"
    if not quote and re.search(r"\s#", value):
        # It would become a part of the value: NCCL trims nothing (its src/misc/utils.cc).
        yield "trailing-comment", "comment after the value; put it on a line of its own"


def _unquoted(value: str) -> str:
    """Quotes around the whole value are shell habit; NCCL would take them for part of a name."""
    return value[1:-1] if value[:1] in ("'", '"') else value


def load_layers(inventory: Inventory, base: Path) -> list[Layer]:
    """The layers in their order; relative paths start at `base`, the inventory's folder.

    A name that has a password, as a URL by mistake, is shown without it. Raises InventoryError with
    every problem of every file.
    """
    layers: list[Layer] = []
    problems: list[FileProblem] = []
    for name in inventory.env.layers:
        try:
            layers.append(parse_layer(secretless(name), _read(base, name)))
        except InventoryError as error:
            problems += error.details
    if problems:
        hint = "env.layers names files relative to the inventory that hold KEY=VALUE lines"
        raise InventoryError(problems, hint=hint)
    return layers


def _read(base: Path, name: str) -> str:
    shown = _shown(base / name, name)
    try:
        path = base / Path(name).expanduser()
        shown = _shown(path, name)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise _unreadable("too-large", f"it is larger than {MAX_BYTES} bytes", shown)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _unreadable("not-utf-8", "it is not UTF-8", shown, line) from None
    except FileNotFoundError:
        raise _unreadable("file-not-found", "no such file", shown) from None
    except (OSError, ValueError, RuntimeError) as error:  # also a null byte, or no such ~user
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _unreadable("unreadable-file", reason, shown) from None


def _shown(path: Path, name: str) -> str:
    """The path; of a name with a secret that alone, masked: a Path has one slash of a URL's two, by
    which its password is recognized.
    """
    return str(path) if secretless(name) == name else secretless(name)


def _unreadable(code: str, why: str, file: str, line: int | None = None) -> InventoryError:
    return InventoryError([FileProblem(code, f"cannot read the env layer: {why}", file, line)])
