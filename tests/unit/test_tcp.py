"""Names that are resolved for a TCP connection; no name server is asked."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from sparkctl.remote import tcp


@pytest.mark.parametrize(
    ("host", "given"),
    [("spark.example", b"spark.example"), ("spärk.example", "spärk.example")],
)
def test_a_name_without_ascii_is_left_to_idna(
    host: str, given: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def resolve(name: object, *_: Any, **__: Any) -> list[Any]:
        asked.append(name)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(OSError, match="has no address"):
        tcp.connect((host, 22), 1)
    assert asked == [given]


def test_a_name_that_idna_refuses_is_unknown_and_no_bug() -> None:
    with pytest.raises(socket.gaierror) as caught:
        tcp.connect((f"{'ä' * 70}.example", 22), 1)
    assert caught.value.errno == socket.EAI_NONAME


def test_the_next_address_is_tried_when_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        found = [(*kind, ("127.0.0.1", 1)), (*kind, ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with tcp.connect(("spark.example", 22), 5) as connection:
            assert connection.getpeername()[1] == port


def test_an_option_that_the_system_refuses_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As WSL 1 does; the connection is kept alive otherwise."""

    def refuse(*_: Any) -> None:
        raise OSError(92, "Protocol not available")

    real = socket.socket.setsockopt
    monkeypatch.setattr(
        tcp.PromptSocket,
        "setsockopt",
        lambda self, level, name, value: (
            real(self, level, name, value) if name == socket.TCP_NODELAY else refuse()
        ),
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        with tcp.connect(server.getsockname(), 5) as connection, server.accept()[0] as peer:
            peer.sendall(b"x")
            assert connection.recv(1) == b"x"
            assert not tcp.is_bounded(connection)
        monkeypatch.undo()
        with tcp.connect(server.getsockname(), 5) as connection:
            assert tcp.is_bounded(connection)
