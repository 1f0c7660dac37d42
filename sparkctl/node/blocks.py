"""Bytes from one node to others over TCP: both ends prove that they have the key of this transfer,
and each block carries its code by that key (HMAC-SHA256), so that nothing else is ever taken.

A connection begins with the sender's nonce. The receiver answers with its own and its name, the
sender with its proof. Then come blocks: their size, the bytes, the code; the last one is empty.
"""

from __future__ import annotations

import hmac
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 1 << 20  # bytes of a block, but for the last one
LONGEST = 255  # bytes of a name
NONCE = CODE = 32
GREETING = struct.Struct(f"!{NONCE}s{CODE}sB")  # the receiver's nonce, its proof, its name's size
LENGTH = struct.Struct("!I")
POLITE = 5.0  # seconds that a stranger may take to prove itself
# A node that is gone is detected by the receiver within IDLE + EVERY * PROBES seconds, while the
# sender is silent; the sender detects it by STALL.
IDLE, EVERY, PROBES = 10, 5, 3
STALL = 120.0  # seconds without any progress of a receiver; a slow disk's pauses are shorter


class Broken(OSError):
    """The stream ended early, or it is not that of the other end."""


class Sealed(NamedTuple):
    """A block as it travels."""

    head: bytes
    data: memoryview
    code: bytes


def listen(address: str) -> socket.socket:
    """A socket that listens at a free port of this address alone."""
    server = socket.socket()
    try:
        server.bind((address, 0))
        server.listen(16)
    except OSError:
        server.close()
        raise
    return server


def welcome(peer: socket.socket, key: bytes) -> str:
    """The name of a receiver that has just connected. Raises Broken for a stranger."""
    until = time.monotonic() + POLITE
    nonce = os.urandom(NONCE)
    peer.settimeout(POLITE)
    peer.sendall(nonce)
    theirs, proof, size = GREETING.unpack(_exactly(peer, GREETING.size, until))
    name = _exactly(peer, size, until)
    if not hmac.compare_digest(proof, _code(key, b"receiver", nonce, theirs, name)):
        raise Broken("a connection without the transfer's key was refused")
    peer.sendall(_code(key, b"sender", nonce, theirs))
    peer.settimeout(STALL)
    return name.decode(errors="replace")


def connect(address: str, port: int, key: bytes, name: str, timeout: float) -> socket.socket:
    """A connection to the sender, which has proved itself. Raises OSError, Broken for another."""
    peer = socket.create_connection((address, port), timeout)
    try:
        until = time.monotonic() + timeout
        nonce, own, text = _exactly(peer, NONCE, until), os.urandom(NONCE), name.encode()[:LONGEST]
        proof = _code(key, b"receiver", nonce, own, text)
        peer.sendall(GREETING.pack(own, proof, len(text)) + text)
        theirs = _exactly(peer, CODE, until)
        if not hmac.compare_digest(theirs, _code(key, b"sender", nonce, own)):
            raise Broken("the sender does not have the transfer's key")
        peer.settimeout(None)  # an export may take minutes before its first byte
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("IDLE", IDLE), ("INTVL", EVERY), ("CNT", PROBES)):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_KEEP{option}"), value)
    except OSError:
        peer.close()
        raise
    return peer


def sealed(key: bytes, number: int, data: memoryview) -> Sealed:
    """A block, the `number`th of the stream from 0. An empty one ends the stream."""
    return Sealed(LENGTH.pack(len(data)), data, _code(key, b"block", _position(number), data))


def send(peer: socket.socket, block: Sealed) -> None:
    """Send a block whole. Raises OSError, after STALL seconds without progress too."""
    for part in block:
        if part:
            peer.sendall(part)


def blocks(peer: socket.socket, key: bytes) -> Iterator[memoryview]:
    """The blocks' bytes, each valid until the next is asked for; ends with the stream.

    Raises Broken where the stream ends early or a block is not the sender's.
    """
    buffer, number = memoryview(bytearray(SIZE)), 0
    while True:
        (size,) = LENGTH.unpack(_exactly(peer, LENGTH.size))
        if size > SIZE:
            raise Broken("a block is too large")
        data = buffer[:size]
        _fill(peer, data)
        code = _exactly(peer, CODE)
        if not hmac.compare_digest(code, _code(key, b"block", _position(number), data)):
            raise Broken("a block was changed on its way")
        if not size:
            return
        yield data
        number += 1


def _position(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _code(key: bytes, *parts: bytes | memoryview) -> bytes:
    """The code of these parts, all of fixed sizes but the last."""
    code = hmac.new(key, digestmod="sha256")
    for part in parts:
        code.update(part)
    return code.digest()


def _exactly(peer: socket.socket, size: int, until: float | None = None) -> bytes:
    data = bytearray(size)
    _fill(peer, memoryview(data), until)
    return bytes(data)


def _fill(peer: socket.socket, view: memoryview, until: float | None = None) -> None:
    while view:
        if until is not None:
            peer.settimeout(max(0.01, until - time.monotonic()))
        size = peer.recv_into(view)
        if not size:
            raise Broken("the stream ended early")
        view = view[size:]
