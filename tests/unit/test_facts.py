"""A node's answers are data from a stranger: what is wrong with one is an error of that node."""

from __future__ import annotations

import copy
import json
import re
from importlib import import_module
from inspect import isfunction
from pathlib import Path
from typing import Any

import pytest

import sparkctl
from sparkctl.cluster.known import Missing
from sparkctl.cluster.session import Session
from sparkctl.errors import AuthError, CommandError, RemoteError
from sparkctl.facts.answers import SHAPES
from sparkctl.facts.decode import DEPTH, MISSING, PROBE, decode
from sparkctl.facts.probe import GROUPS, Scalars
from sparkctl.node import (
    checkpoint,
    files,
    imports,
    launch,
    lease,
    nccllines,
    peers,
    sharedmemory,
    stop,
    verbs,
)
from sparkctl.node import follow as following
from sparkctl.node import probe as probing
from sparkctl.remote.command import Command, Result
from sparkctl.remote.pool import Pool
from sparkctl.serving.inventory import parse
from tests.unit.doctorview import CAPTURED, INVENTORY

TITLE = "asking"
TARGET = re.compile(r'"(\w+)\.(\w+)"')


def answered(target: str, answer: object) -> dict[str, Any]:
    return decode(target, json.dumps(answer).encode(), "n", TITLE)


def captured() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(CAPTURED.read_text())["facts"]["spark-1"]
    return facts


def changed(value: object, *path: str | int) -> dict[str, Any]:
    """The captured facts with another value at a path."""
    facts = copy.deepcopy(captured())
    inner: Any = facts
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return facts


def test_captured_answers_have_the_declared_shape() -> None:
    document = json.loads(CAPTURED.read_text())
    for facts in document["facts"].values():
        assert answered(PROBE, facts) == facts
    for answer in document["peers"].values():
        assert answered("peers.peers", answer) == answer


def test_this_machines_own_answer_has_the_declared_shape() -> None:
    request: Any = {
        "cluster": "no-such", "venv": "/nowhere", "model": "/nowhere", "ports": [22],
        "worker_ports": [1, 65535], "temp_dir": "/nowhere", "names": ["applied.json"],
        "watch": [], "conf_file": "", "revision": None, "hub": {},
    }  # fmt: skip
    answer: Any = probing.probe(request)
    assert set(answer) <= {*GROUPS, *Scalars.model_fields}, "what has no shape is not checked"
    checked = answered(PROBE, answer)
    assert {g: why for g, why in checked["unread"].items() if g not in answer["unread"]} == {}
    assert set(checked) - {"unread"} >= set(GROUPS) - set(answer["unread"])


def test_what_other_functions_give_has_the_declared_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    name: Any = {"cluster": "no-such"}
    run: Any = {**name, "env": {}, "unit": "a", "run": "1", "timeout": 9}
    run["argv"] = ["/bin/sh", "-c", "echo a"]
    owner = {"who": "a", "when": "b", "why": "c"}
    owned: Any = {**name, "token": "t", "seconds": 9, "owner": owner}
    other: Any = {**owned, "token": "u"}
    (tmp_path / "log").write_text("one NCCL\ntwo\n")
    answers = {
        "files.write": files.write(name | {"files": {"a": "b"}}),
        "files.read": files.read(name | {"names": ["a", "none"]}),
        "launch.run": launch.run(run),
        "launch.start": launch.start(run),
        "lease.take": lease.take(owned),
        "lease.renew": lease.renew(other),
        "lease.stale": lease.stale(other),
        "lease.release": lease.release(owned),
        "stop.clear": stop.clear(name | {"temp_dir": str(tmp_path / "none")}),
        "stop.stop": stop.stop(name | {"roles": []}),
        "stop.remove": stop.remove(name | {"temp_dir": str(tmp_path / "none")}),
        "imports.imports": imports.imports({"modules": ["json", "no_such_module"]}),
        "nccllines.lines": nccllines.lines({"path": str(tmp_path / "log")}),
        "peers.peers": peers.peers({"pings": [], "connects": [
            {"to": "b", "what": "x", "address": "127.0.0.1", "port": 1}]}),
        "sharedmemory.note": sharedmemory.note(name),
        "verbs.counters": verbs.counters({}),
        "follow.follow": following.follow(
            {"path": str(tmp_path / "log"), "lines": 1, "follow": False}
        ),
    }  # fmt: skip
    for target, answer in answers.items():
        assert answered(target, answer) == json.loads(json.dumps(answer))
    assert checkpoint.checkpoint("a/hub-name") == {"is_path": False}


def test_whatever_is_called_on_a_node_has_a_shape() -> None:
    """And each shape belongs to a function that is there."""
    package = Path(sparkctl.__file__).parent
    modules = {path.stem for path in (package / "node").glob("*.py")}
    named = {
        f"{module}.{function}"
        for path in package.rglob("*.py")
        for module, function in TARGET.findall(path.read_text())
        if module in modules
        and isfunction(getattr(import_module(f"sparkctl.node.{module}"), function, None))
    }
    assert named == {*SHAPES, PROBE}


HOSTILE = {
    "nothing": b"",
    "a list": b"[1,2]",
    "a number": b"1",
    "null": b"null",
    "an empty object": b"{}",
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep, and closed": b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
    "NaN": b'{"time": NaN}',
    "Infinity": b'{"time": -Infinity}',
    "a huge number": b'{"time": ' + b"9" * 5000 + b"}",
    "a huge exponent": b'{"time": 1e999999}',
    "cut": b'{"hostname": "a',
    "no UTF-8": b'{"hostname": "\xff\xfe"',
    "a lone greeting": b"Welcome to DGX",
    "megabytes": b'"' + b"x" * 5_000_000 + b'"',
    "a name of megabytes": json.dumps(changed("x" * 5_000_000, "hostname")).encode(),
}


def refused(target: str, stdout: bytes) -> None:
    with pytest.raises(CommandError) as caught:
        decode(target, stdout, "spark-2", TITLE)
    assert caught.value.node == "spark-2"
    assert len(caught.value.message) < 1500


@pytest.mark.parametrize("stdout", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_answer_is_an_error_of_its_node(stdout: bytes) -> None:
    refused(PROBE, stdout)


def test_an_answer_is_as_deep_as_allowed_and_no_deeper() -> None:
    def nested(levels: int) -> bytes:
        return json.dumps(changed(None, "more")).replace(
            '"more": null', f'"more": {"[" * levels}{"]" * levels}'
        ).encode()  # fmt: skip

    assert "more" in decode(PROBE, nested(DEPTH - 1), "n", TITLE)  # within the answer itself
    with pytest.raises(CommandError, match="it is nested too deeply"):
        decode(PROBE, nested(DEPTH), "n", TITLE)


@pytest.mark.parametrize("target", SHAPES)
def test_every_function_refuses_what_is_no_object(target: str) -> None:
    for stdout in HOSTILE.values():
        if not stdout.endswith(b"}"):
            refused(target, stdout)


MALFORMED = {
    "net.enp1s0f0np0.mtu: expected a whole number": ("9k", "net", "enp1s0f0np0", "mtu"),
    "net.enp1s0f0np0.ipv4.0": ("999.1.1.1/99", "net", "enp1s0f0np0", "ipv4", 0),
    "ib.rocep1s0f0.ports: expected an object": ([], "ib", "rocep1s0f0", "ports"),
    "ib.rocep1s0f0.ports: it is empty": ({}, "ib", "rocep1s0f0", "ports"),
    "memory.SwapTotal: expected a whole number": ("1", "memory", "SwapTotal"),
    "sudo: expected true or false": (1, "sudo"),
    "memory.MemTotal": (-1, "memory", "MemTotal"),
    "system.limits.memlock": (2**70, "system", "limits", "memlock"),
    "state.exists: expected true or false": (1, "state", "exists"),
    "people.0: expected printable text": (["a\nb"], "people"),
    "ours: expected a list": (None, "ours"),
    r"net.a\x1b[31m": ({"a\x1b[31m": None}, "net"),
}


@pytest.mark.parametrize("reason", MALFORMED)
def test_a_malformed_group_is_unread_and_the_others_count(reason: str) -> None:
    value, *path = MALFORMED[reason]
    facts = answered(PROBE, changed(value, *path))  # type: ignore[arg-type]
    group = str(path[0])
    assert facts["unread"][group].startswith(f"malformed: {reason}")
    assert set(facts["unread"]) == {group}
    assert group not in facts
    assert len(facts) == len(captured()) - 1


def test_a_group_that_is_not_there_is_unread_and_a_reason_given_stays() -> None:
    facts = captured()
    del facts["ours"], facts["gpu"]
    facts["unread"]["gpu"] = "TimeoutError: no answer"
    assert answered(PROBE, facts)["unread"] == {"gpu": "TimeoutError: no answer", "ours": MISSING}


@pytest.mark.parametrize("key", ["hostname", "user", "uid", "home", "time", "machine", "time_end"])
def test_without_what_every_answer_has_there_are_no_facts(key: str) -> None:
    facts = captured()
    del facts[key]
    with pytest.raises(CommandError, match=f"the answer is malformed: {key}: it is missing"):
        answered(PROBE, facts)


def test_bytes_that_are_no_text_are_replaced() -> None:
    """Python on a node reads a variable in Latin-1 so."""
    facts = answered(PROBE, changed({"NCCL_DEBUG": "gr\udcfc\udcdfe 🙂"}, "settings", "session"))
    assert facts["settings"]["session"] == {"NCCL_DEBUG": "gr\ufffd\ufffde 🙂"}


class Answering:
    """A connection that gives the same output to every command."""

    def __init__(self, stdout: bytes) -> None:
        self._stdout = stdout

    def run(self, command: Command) -> Result:
        return Result("spark-1", command, 0, self._stdout, b"", 0.1)


def session(stdout: bytes) -> Session:
    inventory = parse(INVENTORY.encode(), "inventory.yaml")
    pool = Pool(inventory)
    pool.connections["spark-1"] = Answering(stdout)  # type: ignore[assignment]
    pool.errors["spark-2"] = AuthError("refused", node="spark-2")
    return Session(inventory, Path(), pool)


def test_asking_a_node_that_is_not_connected_gives_its_error() -> None:
    asking = session(b"{}")
    with pytest.raises(AuthError, match="spark-2: refused"):
        asking.ask(asking.node("spark-2"), "verbs.counters", {}, mutates=False)
    asking.pool.errors.clear()
    with pytest.raises(RemoteError, match="spark-2: not connected"):
        asking.ask(asking.node("spark-2"), "verbs.counters", {}, mutates=False)


def test_a_key_that_was_asked_for_and_is_not_there_is_an_error_of_its_node() -> None:
    asking = session(b"greeting\n{}\n")
    answer = asking.ask(asking.node("spark-1"), "files.read", {"names": []}, mutates=False)
    with pytest.raises(Missing, match=r"spark-1: files\.read\.ray-token could not be read"):
        answer["ray-token"]


def test_one_hostile_node_leaves_the_facts_of_the_other() -> None:
    asking = session(b"[" * 100_000)
    asking.pool.connections["spark-2"] = Answering(json.dumps(captured()).encode())  # type: ignore[assignment]
    result = asking.probe(asking.inventory.nodes)
    assert list(result.ok) == ["spark-2"]
    assert "it is nested too deeply" in str(result.failed["spark-1"])
