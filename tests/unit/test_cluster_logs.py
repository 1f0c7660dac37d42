"""What `logs` asks a node for."""

from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.operations import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("lines", "asked"), [(None, {"all": True}), (0, {"lines": 0}), (200, {"lines": 200})]
)
@pytest.mark.parametrize("follow", [False, True])
def test_some_lines_or_all_of_a_log(
    monkeypatch: pytest.MonkeyPatch, lines: int | None, asked: dict[str, Any], follow: bool
) -> None:
    requests: list[dict[str, Any]] = []

    def call(_target: str, request: dict[str, Any], *, title: str) -> SimpleNamespace:
        requests.append(request)
        return SimpleNamespace(title=title)

    @contextmanager
    def stream(_command: Any) -> Iterator[list[str | None]]:
        yield [json.dumps({"text": "one\n"}), None, json.dumps({}), json.dumps({"text": "two\n"})]

    monkeypatch.setattr("sparkctl.operations.logs.node_rpc.call", call)
    session: Any = SimpleNamespace(
        inventory=SimpleNamespace(cluster="c"),
        pool=SimpleNamespace(connections={"a": SimpleNamespace(stream=stream)}),
    )
    node: Any = SimpleNamespace(name="a")
    texts = [*logs.read_log(session, node, "vllm", lines=lines, follow=follow)]
    assert texts == ["one\n", "two\n"]
    assert requests == [{"cluster": "c", "unit": "vllm", "follow": follow, **asked}]
