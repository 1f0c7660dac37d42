"""YAML text to plain values with a place for each, and every problem of the text itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from sparkctl.inventory.paths import Path, dotted, short, shown, unsecret
from sparkctl.secret.names import MASK, is_secret
from sparkctl.text import UNPRINTABLE, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 128 * 1024  # a hundred times a large inventory; PyYAML needs a second for as much
MAX_DEPTH = 30
STR = "tag:yaml.org,2002:str"
# What only YAML 1.1 reads as something else than text or a decimal number.
SURPRISES = (
    (re.compile(r"(?i)^(no|off|yes|on)$"), "the truth value"),
    (re.compile(r"^[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?$"), "a number in base 60,"),
    (re.compile(r"^[-+]?0[0-7_]+$"), "an octal number,"),
    (re.compile(r"^\d{4}-\d\d?-\d\d?"), "a date,"),
)


@dataclass
class Document:
    """`value` with plain keys, the `marks` (line, column, from 1) of paths, and problems."""

    value: Any = None
    marks: dict[Path, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    problems: list[tuple[int, int, str]] = field(default_factory=list)

    def place(self, path: Path, *, at_key: bool = False) -> tuple[int, int]:
        """Where a path stands: its key or its value, or the nearest parent that is there."""
        if at_key and path in self.keys:
            return self.keys[path]
        while path not in self.marks:
            path = path[:-1]
        return self.marks[path]


def read(data: bytes) -> Document:
    """Compose the one YAML document in `data`; nothing is raised, all is in `problems`."""
    document = Document()
    try:
        root = _compose(data)
    except _Refused as refused:
        document.problems.append((refused.line, refused.column, refused.text))
        return document
    document.value = _plain(root, (), document)
    return document


class _Refused(Exception):
    """The text cannot be taken at all, or should not be: nothing is built from it."""

    def __init__(self, line: int, column: int, text: str) -> None:
        self.line, self.column, self.text = line, column, text


def _compose(data: bytes) -> yaml.Node:
    if len(data) > MAX_BYTES:
        raise _Refused(1, 1, f"wanted at most {MAX_BYTES} bytes, found more")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        found = f"the byte 0x{data[error.start]:02x}"
        raise _Refused(line, column, f"wanted UTF-8, found {found}") from None
    try:
        _refuse_traps(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        code = ord(text[error.position])
        raise _Refused(line, column, f"wanted text, found the character U+{code:04X}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(x for x in (error.context, error.problem) if x)
        where = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = re.sub(r"(handle|anchor) '.*?'", r"\1", said)  # see _kept
        tab = " (indent with spaces, not with tabs)" if r"'\t'" in said else ""
        raise _Refused(*where, f"wanted YAML, found a syntax error: {said}{tab}") from None
    if root is None:
        raise _Refused(1, 1, "wanted a mapping with cluster, nodes and vllm, it is empty")
    return root


def _refuse_traps(text: str) -> None:
    """Refuse aliases, which multiply (billion laughs), and depth, which exhausts the stack."""
    depth, documents, scalar = 0, 0, ""
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = event.start_mark
        where = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if isinstance(event, yaml.AliasEvent):
            name = _kept(str(event.anchor), scalar)
            raise _Refused(*where, f"wanted the value itself, found the alias *{name}")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _Refused(*where, "wanted one document, found a second one")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _Refused(*where, f"wanted at most {MAX_DEPTH} levels, found more")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", STR):
            name = _kept(tag.replace("tag:yaml.org,2002:", "!!"), scalar)
            raise _Refused(*where, f"wanted a plain value, found the tag {name}")
        scalar = event.value if isinstance(event, yaml.ScalarEvent) else scalar


def _kept(name: str, key: str) -> str:
    """An alias or a tag, unless it is a password of * or ! and more, which nobody quoted."""
    return MASK if is_secret(key) else short(name)


def _plain(node: yaml.Node, path: Path, document: Document) -> Any:
    document.marks[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.MappingNode):
        return dict(_items(node, path, document))
    if isinstance(node, yaml.SequenceNode):
        return [_plain(n, (*path, i), document) for i, n in enumerate(node.value)]
    try:
        return _scalar(node, path)
    except ValueError as error:
        document.problems.append((*document.marks[path], f"{dotted(path)}: {error}"))
        return str(node.value)


def _items(node: yaml.MappingNode, path: Path, document: Document) -> Iterator[tuple[str, Any]]:
    """Keys are text as they stand: `no:` and `22:22:` surprise nobody here."""
    for key, value in node.value:
        where = (key.start_mark.line + 1, key.start_mark.column + 1)
        name = str(key.value)
        here = (*path, name)
        if not isinstance(key, yaml.ScalarNode):
            said = f"{dotted(path)}: wanted a plain key, found a collection"
        elif key.tag.endswith(":merge"):
            said = f"{dotted(path)}: wanted the keys themselves, found the merge key <<"
        elif one_line(name) != name:
            said = f"{dotted(path)}: wanted a printable key, found {shown(name)}"
        elif here in document.keys:
            line = document.keys[here][0]
            said = f"{dotted(here)}: wanted each key once, found it again (line {line} has it)"
        else:
            document.keys[here] = where
            yield name, _plain(value, here, document)
            continue
        document.problems.append((*where, said))


def _scalar(node: yaml.Node, path: Path) -> Any:
    """The value as YAML 1.1 has it.

    Raises ValueError where only YAML 1.1 would read it so, and for what nobody can print.
    """
    text = str(node.value)
    hidden = any(is_secret(name, text) for name in path if isinstance(name, str))
    if UNPRINTABLE.search(text):
        said = MASK if hidden else shown(text)
        raise ValueError(f"wanted printable text, found {said}")
    if node.tag in (STR, "!"):
        return text
    loader = yaml.SafeLoader("")
    try:
        value = loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError):
        said = MASK if hidden else short(unsecret(text))
        raise ValueError(f"wanted a plain value, found {said}; quote it") from None
    finally:
        loader.dispose()
    for pattern, kind in SURPRISES:
        if hidden and pattern.match(text):
            raise ValueError(f"wanted an unambiguous value, found {MASK}; quote it")
        if pattern.match(text):
            value = shown(value) if isinstance(value, bool) else value
            other = f", or write {value}" if kind.startswith("the truth") else " if it is text"
            raise ValueError(
                f"wanted an unambiguous value, found {short(text)}, which YAML 1.1 reads as"
                f" {kind} {short(str(value))}; quote it{other}"
            )
    return value
