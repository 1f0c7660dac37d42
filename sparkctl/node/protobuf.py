"""Protobuf's wire format, which has neither names nor types (protobuf.dev, Encoding)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Value: TypeAlias = "int | bytes"
    Fields: TypeAlias = "dict[int, list[Value]]"

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def decode(message: bytes) -> Fields:
    """A message's values by field number: numbers, and bytes for all others.

    Raises ValueError for what is no message.
    """
    found: Fields = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            found.setdefault(key >> 3, []).append(value)
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {kind}")
        if at + size > len(message):
            raise ValueError("the message is cut")
        found.setdefault(key >> 3, []).append(message[at : at + size])
        at += size
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of up to 64 bits, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("the message is cut")
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number is too long")


def encode(fields: Mapping[int, bytes]) -> bytes:
    """A message of byte fields; each shorter than 128 bytes, each number less than 16."""
    return b"".join(bytes([n << 3 | BYTES, len(value)]) + value for n, value in fields.items())


def messages(fields: Fields, number: int) -> list[Fields]:
    """The messages in a field, none if it is absent; the entries of a map are messages too."""
    return [decode(data(value)) for value in fields.get(number, [])]


def number(value: Value) -> int:
    """The value, which must be a number."""
    if not isinstance(value, int):
        raise ValueError("expected a number")
    return value


def data(value: Value) -> bytes:
    """The value, which must be bytes."""
    if not isinstance(value, bytes):
        raise ValueError("expected bytes")
    return value


def text(value: Value) -> str:
    """The value, which must be text."""
    return data(value).decode()


def double(value: Value) -> float:
    """The value, which must be a number of double precision."""
    if len(data(value)) != 8:
        raise ValueError("expected a double")
    found: float = struct.unpack("<d", data(value))[0]
    return found
