"""What imagestream.py and imageroom.py are called with, for the type checker alone; see wire.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence


class ImageRoom(TypedDict):
    """The command line by which an engine describes itself as JSON."""

    argv: Sequence[str]


class _Transfer(TypedDict):
    """`key` in hexadecimal digits; `argv` saves or loads the image, with a folder of its own for
    temporary files below `scratch`, if that is not empty.
    """

    key: str
    argv: Sequence[str]
    scratch: str


class SendImage(_Transfer):
    """The names of the receivers, and which of this node's addresses they connect to."""

    addresses: Sequence[str]
    receivers: Sequence[str]


class ReceiveImage(_Transfer):
    """Where the sender waits, this receiver's name, what names the loaded image as it was, and how
    it is inspected.
    """

    address: str
    port: int
    name: str
    named: Sequence[Sequence[str]]
    inspect: Sequence[str]
