"""What `logs` asks the nodes for, and what it shows of several logs, by the command itself."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sparkctl.errors import ConnectError, UsageError
from sparkctl.operations.logs.since import ON_ITS_WAY, since
from sparkctl.remote import pool
from tests.bench.hostile import run
from tests.bench.nodes import Answers, Node, healthy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.remote.command import Command

BEGIN = {"at": {"path": "/x.log", "offset": 0, "begins": "0:0"}}
GONE = ConnectError("no route", node="spark-2", hint="plug it in")


class Logs(Node):
    """A node of which each log has two lines."""

    def __init__(self, name: str, requests: list[dict[str, Any]]) -> None:
        super().__init__(name, Answers(Random(0), healthy(serving=False), harmed=()), [])
        self._requests = requests

    @contextmanager
    def stream(self, command: Command, *, timeout: float = 1.0) -> Iterator[Iterator[str | None]]:
        request = json.loads(command.stdin)["request"]
        self._requests.append(request)
        untimed = [BEGIN | {"untimed": True}] if "since" in request else []
        texts = {"text": f"{self.node} o"}, {"text": "ne\ntw"}, {"text": "o\x1b[0m"}
        yield iter([None, *map(json.dumps, [*untimed, *texts])])


class Cluster:
    """The nodes of the inventory; what they were asked is in `requests`."""

    def __init__(self, folder: Path) -> None:
        self.inventory = folder / "inventory.yaml"
        self.inventory.write_text(Node.INVENTORY)
        self.requests: list[dict[str, Any]] = []
        self.lost = ""

    def logs(self, *words: str) -> tuple[int, str, str]:
        """The exit code, stdout and stderr of `logs`."""

        def connect(name: str, *_: Any, **__: Any) -> Node:
            if name == self.lost:
                raise GONE
            return Logs(name, self.requests)

        with mock.patch.object(pool, "connect", connect):
            return run(["logs", "-i", str(self.inventory), *words])


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), {"lines": 200, "follow": False}),
        (("-n", "0"), {"lines": 0, "follow": False}),
        (("--all",), {"all": True, "follow": False}),
        (("--since", "1m"), {"all": True, "follow": False, "since": 60}),
        (("-f", "--since", "1h30m", "-n", "5"), {"lines": 5, "follow": True, "since": 5400}),
    ],
)
def test_some_lines_or_all_of_a_log(
    cluster: Cluster, words: tuple[str, ...], asked: dict[str, Any]
) -> None:
    code, out, err = cluster.logs(*words)
    assert (code, out) == (0, "spark-1 one\ntwo")
    (request,) = cluster.requests
    if ago := asked.get("since"):
        assert request.pop("since") >= asked.pop("since") + ON_ITS_WAY, f"never less than {ago} s"
        assert "vllm/0/vllm/spark-1: no times are recorded for this log" in err
    else:
        assert err == ""
    assert request == {"cluster": "lab", "unit": "vllm/0/vllm/spark-1", **asked}


def test_several_logs_come_one_after_the_other_with_prefixes(cluster: Cluster) -> None:
    shown = cluster.logs("ray", "spark-2", "spark-1")
    lines = [f"spark-{n} ray │ {line}\n" for n in (2, 1) for line in (f"spark-{n} one", "two")]
    assert shown == (0, "".join(lines), "")


@pytest.mark.parametrize("follows", [(), ("-f",)])
def test_a_node_that_fails_leaves_the_others(cluster: Cluster, follows: tuple[str, ...]) -> None:
    cluster.lost = "spark-2"
    code, out, err = cluster.logs("spark-2", "spark-1", *follows)
    assert (code, out) == (1, "spark-1 vllm │ spark-1 one\nspark-1 vllm │ two\n")
    assert err.startswith("error: spark-2: no route\nhint: plug it in\n")


def test_the_only_log_that_fails_is_the_commands_error(cluster: Cluster) -> None:
    cluster.lost = "spark-2"
    code, out, err = cluster.logs("spark-2")
    assert (code, out) == (1, "")
    assert err.count("error: spark-2: no route") == 1


def test_a_time_of_a_clock_is_one_of_this_machine() -> None:
    now = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    for text in ("2026-07-01T11:00Z", "2026-07-01T13:00+02:00"):
        assert 3600 <= since(text, now).seconds() - ON_ITS_WAY < 3660


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "5m1h", "yesterday", "2999-01-01", "9" * 9])
def test_a_time_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        since(text)
    assert caught.value.code == "since-invalid"
