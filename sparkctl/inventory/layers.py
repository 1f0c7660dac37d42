"""The env layers that an inventory names: files of KEY=VALUE lines.

Values may refer to what is known of a node: ${FABRIC_ADDRESS}, ${SOCKET_INTERFACE}, ${HCAS},
${NODE}.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.errors import InventoryError
from sparkctl.secret.value import Secret, masked, protected_text, revealed

if TYPE_CHECKING:
    from sparkctl.inventory.models import Inventory

REFERENCES = ("FABRIC_ADDRESS", "SOCKET_INTERFACE", "HCAS", "NODE")
LINE = re.compile(r"(?:(-)\s*|export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*(?:=(.*))?$")
REFERENCE = re.compile(r"\$\{([^}]*)\}")
UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class Layer:
    """Settings of one file; null drops a variable that an earlier layer set."""

    name: str
    values: dict[str, str | None]


def unknown_references(value: str) -> list[str]:
    """Each ${NAME} in a value that no node knows, as wanted and found."""
    wanted = ", ".join(f"${{{name}}}" for name in REFERENCES)
    found = [m[0] for m in REFERENCE.finditer(revealed(value)) if m[1] not in REFERENCES]
    if isinstance(value, Secret):
        found = ["another" for _ in found[:1]]  # it is a part of the secret
    return [f"wanted one of {wanted}, found {reference}" for reference in found]


def parse_layer(name: str, text: str) -> Layer:
    """A file of KEY=VALUE lines; `-KEY` drops a variable, `#` begins a comment line.

    Raises InventoryError with every problem, as file:line: text; no value stands in it, for it
    may be a secret.
    """
    values: dict[str, str | None] = {}
    problems = []
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = LINE.match(stripped)
        if not match or bool(match[1]) == (match[3] is not None):
            name_part, sign, _ = stripped.partition("=")
            # Without the sign a line that is no name may be the rest of a secret.
            named = sign or LINE.fullmatch(masked("", stripped))
            found = ascii(name_part)[:60] if named else "a line without ="
            problems.append(f"{name}:{number}: wanted KEY=VALUE, -KEY or # comment, found {found}")
            continue
        key, value = match[2], None if match[1] else match[3].strip()
        said = [f"{key}: {text}" for text in _value_problems(key, value or "")]
        if key in values:
            said.append(f"{key}: wanted each name once, found it again")
        problems += [f"{name}:{number}: {text}" for text in said]
        values[key] = value if value is None else protected_text(_unquoted(value), key)
    if problems:
        raise InventoryError(problems, hint="an env layer holds KEY=VALUE lines, as in env/*.env")
    return Layer(name, values)


def _value_problems(name: str, value: str) -> list[str]:
    problems = unknown_references(protected_text(value, name))
    if UNPRINTABLE.search(value):
        problems.append("wanted printable text, found a control character")
    quoted = value[:1] in ("'", '"')
    if quoted and (len(value) < 2 or value[-1] != value[0]):
        problems.append("wanted a quote at the end as at the beginning")
    if not quoted and re.search(r"\s#", value):
        # It would become a part of the value: NCCL trims nothing (its src/misc/utils.cc).
        problems.append("wanted a comment on a line of its own, found one after the value")
    return problems


def _unquoted(value: str) -> str:
    """Quotes around the whole value are shell habit; NCCL would take them for part of a name."""
    return value[1:-1] if value[:1] in ("'", '"') else value


def load_layers(inventory: Inventory, base: Path) -> list[Layer]:
    """The layers in their order; relative paths start at `base`, the inventory's folder.

    Raises InventoryError with every problem of every file.
    """
    layers, problems = [], []
    for name in inventory.env.layers:
        try:
            layers.append(parse_layer(name, _text(base / Path(name).expanduser())))
        except InventoryError as error:
            problems += error.problems
        except (OSError, ValueError, RuntimeError) as error:  # no such file, not UTF-8, no ~user
            said = getattr(error, "strerror", None) or error
            problems.append(f"{base / name}: wanted an env layer, it cannot be read: {said}")
    if problems:
        hint = "env.layers names files beside the inventory that hold KEY=VALUE lines"
        raise InventoryError(problems, hint=hint)
    return layers


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8") from None
