"""The lab's own files: JSON with a schema number, in the lab's folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from sparkctl.errors import SparkctlError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Document = dict[str, Any] | list[Any] | None

SCHEMA = 1
T = TypeVar("T")


def read(path: Path, build: Callable[..., T]) -> T | None:
    """What `build` makes of the document in a file; None when there is no file.

    Raises SparkctlError when the schema is unknown or the file is damaged.
    """
    try:
        document = _document(path)
        if document is None:
            return None
        return build(document)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SparkctlError(
            f"cannot read {path}: the file is damaged",
            hint=f"`sparkctl lab down --dir {path.parent}` removes it with the lab",
            code="lab-file-damaged",
            data={"path": str(path)},
        ) from None


def refuse_unknown(path: Path) -> None:
    """Raises SparkctlError when the file's schema is unknown; a damaged file passes."""
    try:
        _document(path)
    except ValueError:
        return


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Replace the file in one step."""
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(json.dumps({"schema": SCHEMA, **document}, indent=1))
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)  # on a full disk, or after Ctrl-C


def _document(path: Path) -> Document:
    try:
        document: Document = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    # A document without a number was written before there were numbers.
    schema = document.get("schema", SCHEMA) if isinstance(document, dict) else SCHEMA
    if schema != SCHEMA:
        raise SparkctlError(
            f"cannot read {path}: unknown schema {json.dumps(schema)} (known: {SCHEMA})",
            hint=f"use the sparkctl that made the lab in {path.parent}, or upgrade this one",
            code="lab-schema-unknown",
            data={"path": str(path), "schema": json.dumps(schema)},
        )
    return document
