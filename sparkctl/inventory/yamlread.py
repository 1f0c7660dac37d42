"""YAML text to plain values with a place for each, and every problem of the text itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 1 << 20
MAX_DEPTH = 30
Path = tuple[str | int, ...]
# YAML 1.1 in PyYAML: sexagesimals, octals, dates and no/yes/on/off become what nobody wrote.
SURPRISES = (
    (re.compile(r"(?i)^(no|off|yes|on|y|n)$"), "YAML 1.1 reads {0} as true or false"),
    (re.compile(r"^[-+]?\d+(:[0-5]?\d)+$"), "YAML 1.1 reads {0} as a number in base 60"),
    (re.compile(r"^0\d+$"), "YAML 1.1 reads {0} as an octal number"),
    (re.compile(r"^\d{4}-\d\d?-\d\d?"), "YAML 1.1 reads {0} as a date"),
)


@dataclass
class Document:
    """`value` with plain keys, the `marks` (line, column, from 1) of paths, and problems."""

    value: Any = None
    marks: dict[Path, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    problems: list[tuple[int, int, str]] = field(default_factory=list)


def read(data: bytes) -> Document:
    """Compose the one YAML document in `data`; nothing is raised, all is in `problems`."""
    document = Document()
    if len(data) > MAX_BYTES:
        document.problems.append((1, 1, f"wanted at most {MAX_BYTES} bytes, found {len(data)}"))
        return document
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        byte = data[error.start]
        document.problems.append((line, column, f"wanted UTF-8, found the byte 0x{byte:02x}"))
        return document
    try:
        _refuse_traps(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except _Trap as trap:
        document.problems.append(trap.args)
        return document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        document.problems.append((*where, f"this is no YAML: {error.problem or error.context}"))
        return document
    except (yaml.YAMLError, RecursionError) as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        document.problems.append((line, 1, f"this is no YAML: {str(error).splitlines()[0]}"))
        return document
    if root is None:
        document.problems.append(
            (1, 1, "wanted a mapping with cluster, nodes and vllm, it is empty")
        )
        return document
    document.value = _plain(root, (), document)
    return document


class _Trap(Exception):
    """Something that is refused before anything is built: (line, column, text)."""


def _refuse_traps(text: str) -> None:
    """Refuse aliases, which multiply (billion laughs), and depth, which exhausts the stack."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = event.start_mark
        where = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if isinstance(event, yaml.AliasEvent):
            raise _Trap(*where, f"wanted the value itself, found the alias *{event.anchor}")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _Trap(*where, "wanted one document, found a second one")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _Trap(*where, f"wanted at most {MAX_DEPTH} levels, found more")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _plain(node: yaml.Node, path: Path, document: Document) -> Any:
    document.marks[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.MappingNode):
        return dict(_items(node, path, document))
    if isinstance(node, yaml.SequenceNode):
        return [_plain(n, (*path, i), document) for i, n in enumerate(node.value)]
    return _scalar(node, path, document)


def _items(node: yaml.MappingNode, path: Path, document: Document) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key, value in node.value:
        where = (key.start_mark.line + 1, key.start_mark.column + 1)
        if not isinstance(key, yaml.ScalarNode):
            document.problems.append((*where, "wanted a plain key, found a collection"))
            continue
        name = str(key.value)
        if name in seen:
            document.problems.append(
                (*where, f"{dotted((*path, name))}: the key stands here twice")
            )
            continue
        seen.add(name)
        document.keys[(*path, name)] = where
        yield name, _plain(value, (*path, name), document)


def _scalar(node: yaml.Node, path: Path, document: Document) -> Any:
    """The value as YAML 1.1 has it, but what only YAML 1.1 would read so is a problem."""
    assert isinstance(node, yaml.ScalarNode)
    line, column = document.marks[path]
    if node.style is None and not node.tag.endswith(":str"):
        for pattern, text in SURPRISES:
            if pattern.match(node.value):
                said = f"{dotted(path)}: {text.format(node.value)}; put it in quotes if it is text"
                if "true or false" in said:
                    said += ", or write true or false"
                document.problems.append((line, column, said))
                return node.value
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:
        reason = getattr(error, "problem", None) or error
        document.problems.append((line, column, f"{dotted(path)}: {reason}"))
        return node.value
    finally:
        loader.dispose()


def dotted(path: Path) -> str:
    """nodes[1].role; the whole document is (top)."""
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)
    return text.removeprefix(".") or "(top)"
