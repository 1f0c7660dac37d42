"""YAML text to plain values with a place for each, and every problem of the text itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import yaml

from sparkctl.inventory.paths import Path, Problem, quoted, short, shown, unsecret
from sparkctl.secret.names import MASK, is_secret
from sparkctl.text import UNPRINTABLE, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from yaml._yaml import Mark as CMark

MAX_BYTES = 128 * 1024  # a hundred times a large inventory; PyYAML needs a second for as much
MAX_DEPTH = 30
STR = "tag:yaml.org,2002:str"
# What only YAML 1.1 reads as something else than text or a decimal number.
SURPRISES = (
    (re.compile(r"(?i)^(no|off|yes|on)$"), "boolean"),
    (re.compile(r"^[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?$"), "base 60"),
    (re.compile(r"^[-+]?0[0-7_]+$"), "octal"),
    (re.compile(r"^\d{4}-\d\d?-\d\d?"), "date"),
)
Place = tuple[int, int]  # line and column, from 1
Value: TypeAlias = "bool | int | float | str | date | list[Value] | dict[str, Value] | None"


@dataclass
class Document:
    """`value` with plain keys, the places of values (`marks`) and `keys`, and problems."""

    value: Value = None
    marks: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    problems: list[tuple[Place, Problem]] = field(default_factory=list)

    def place(self, path: Path, *, at_key: bool = False) -> Place:
        """The place of a path's key or value, or of the nearest parent that is in the file."""
        if at_key and path in self.keys:
            return self.keys[path]
        while path not in self.marks:
            path = path[:-1]
        return self.marks[path]


def read(data: bytes) -> Document:
    """The one YAML document in `data`; raises nothing, all errors are in `problems`."""
    document = Document()
    try:
        root = _compose(data)
    except _Refused as refused:
        problem = Problem((), refused.text, code=refused.code)
        document.problems.append((refused.place, problem))
        return document
    document.value = _plain(root, (), document)
    return document


class _Refused(Exception):
    """The whole text is refused, or a scalar of it: no value is built from it."""

    def __init__(self, code: str, text: str, place: Place = (1, 1)) -> None:
        self.code, self.text, self.place = code, text, place


def _compose(data: bytes) -> yaml.Node:
    text = _decoded(data)
    try:
        _refuse_traps(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        character = f"U+{ord(text[error.position]):04X}"
        raise _Refused(
            "unprintable", f"unprintable character {character}", (line, column)
        ) from None
    except yaml.MarkedYAMLError as error:
        reason = " ".join(x for x in (error.context, error.problem) if x)
        reason = re.sub(r"(handle|anchor) '.*?'", r"\1", reason)  # see _unless_secret
        tab = " (indent with spaces, not with tabs)" if r"'\t'" in reason else ""
        place = _place(error.problem_mark or error.context_mark)
        raise _Refused("yaml-syntax", f"YAML syntax error: {reason}{tab}", place) from None
    if root is None:
        raise _Refused(
            "empty-file", "the file is empty; required keys: cluster, nodes, and vllm or services"
        )
    return root


def _decoded(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _Refused("too-large", f"the file is larger than {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        reason = f"the file is not UTF-8: invalid byte 0x{data[error.start]:02x}"
        raise _Refused("not-utf-8", reason, (line, column)) from None


def _place(mark: yaml.Mark | CMark | None) -> Place:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _refuse_traps(text: str) -> None:
    """Refuse aliases, which multiply (billion laughs), and depth, which exhausts the stack."""
    depth, documents, scalar = 0, 0, ""
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        place = _place(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            name = _unless_secret(str(event.anchor), scalar)
            raise _Refused("alias", f"unsupported alias *{name}; write the value itself", place)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _Refused("second-document", "unsupported second YAML document", place)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _Refused("too-deep", f"nested deeper than {MAX_DEPTH} levels", place)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        tag: str | None = getattr(event, "tag", None)
        if tag not in (None, "!", STR):
            name = _unless_secret(str(tag).replace("tag:yaml.org,2002:", "!!"), scalar)
            raise _Refused("tag", f"unsupported tag {name}; write a plain value", place)
        scalar = event.value if isinstance(event, yaml.ScalarEvent) else scalar


def _unless_secret(name: str, key: str) -> str:
    """An alias or a tag, masked where it may be an unquoted password that begins with * or !."""
    return MASK if is_secret(key) else short(name)


def _plain(node: yaml.Node, path: Path, document: Document) -> Value:
    document.marks[path] = _place(node.start_mark)
    if isinstance(node, yaml.MappingNode):
        return dict(_items(node, path, document))
    if isinstance(node, yaml.SequenceNode):
        items: list[yaml.Node] = node.value
        return [_plain(item, (*path, i), document) for i, item in enumerate(items)]
    try:
        return _scalar(node, path)
    except _Refused as refused:
        problem = Problem(path, refused.text, code=refused.code)
        document.problems.append((document.marks[path], problem))
        return str(node.value)


def _items(node: yaml.MappingNode, path: Path, document: Document) -> Iterator[tuple[str, Value]]:
    """The items; keys are text as written, so that `no:` and `22:22:` surprise nobody."""
    pairs: list[tuple[yaml.Node, yaml.Node]] = node.value
    for key, value in pairs:
        name = str(key.value)
        here = (*path, name)
        if not isinstance(key, yaml.ScalarNode):
            problem = Problem(path, "unsupported key: it is a collection", code="complex-key")
        elif key.tag.endswith(":merge"):
            problem = Problem(path, "unsupported merge key <<; write the keys", code="merge-key")
        elif one_line(name) != name:
            problem = Problem(path, f"unprintable key {shown(name)}", code="unprintable")
        elif here in document.keys:
            first = document.keys[here][0]
            text = f"duplicate key {quoted(name)} (first on line {first})"
            problem = Problem(here, text, code="duplicate-key")
        else:
            document.keys[here] = _place(key.start_mark)
            yield name, _plain(value, here, document)
            continue
        document.problems.append((_place(key.start_mark), problem))


def _scalar(node: yaml.Node, path: Path) -> Value:
    """The value by YAML 1.1.

    Raises _Refused where only YAML 1.1 would read it so, and for what is not printable.
    """
    text = str(node.value)
    hidden = any(is_secret(name, text) for name in path if isinstance(name, str))
    if UNPRINTABLE.search(text):
        where = MASK if hidden else shown(text)
        raise _Refused("unprintable", f"unprintable character in {where}")
    if node.tag in (STR, "!"):
        return text
    loader = yaml.SafeLoader("")
    try:
        value: Value = loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError):
        value_shown = MASK if hidden else short(unsecret(text))
        raise _Refused("not-plain", f"unsupported value {value_shown}; quote it") from None
    finally:
        loader.dispose()
    for pattern, kind in SURPRISES:
        if pattern.match(text):
            message = "ambiguous value; quote it" if hidden else _ambiguous(text, value, kind)
            raise _Refused("ambiguous-value", message)
    return value


def _ambiguous(text: str, value: Value, kind: str) -> str:
    remedy = f"quote it, or write {shown(value)}" if isinstance(value, bool) else "quote it if text"
    read_as = short(shown(value) if isinstance(value, bool) else str(value))
    return f"ambiguous value {short(text)}: YAML 1.1 reads it as {read_as} ({kind}); {remedy}"
