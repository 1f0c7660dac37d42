"""A node's answers are data from a stranger: what is wrong with one is an error of that node."""

from __future__ import annotations

import json
from importlib import import_module
from inspect import isfunction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import mypy.api
import pytest
from pydantic import TypeAdapter, ValidationError

from sparkctl.engines.inventory import parse
from sparkctl.errors import AuthError, CommandError, RemoteError
from sparkctl.facts.calls import CALLS, COUNTERS, PEERS, PROBE, STALE_LEASE
from sparkctl.facts.decode import DEPTH, decode
from sparkctl.facts.node import LEFT_OUT, NodeFacts
from sparkctl.facts.unread import Missing, Unread, known, required
from sparkctl.node import (
    checkpoint,
    files,
    imports,
    launch,
    lease,
    nccllines,
    peers,
    state,
    stop,
    verbs,
    waits,
)
from sparkctl.node import follow as following
from sparkctl.node import probe as probing
from sparkctl.node.calls import CALLS as BOUNDS
from sparkctl.operations.session import Session
from sparkctl.remote import node_rpc
from sparkctl.remote.command import Command, Result
from sparkctl.remote.pool import Pool
from tests.unit.doctorview import CAPTURED, INVENTORY

if TYPE_CHECKING:
    from sparkctl.facts.calls import Call

T = TypeVar("T")
TITLE = "asking"
BY_TARGET = {call.target: call for call in CALLS}


def answered(call: Call[T], answer: object) -> T:
    return decode(call, json.dumps(answer).encode(), "n", TITLE)


def captured() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(CAPTURED.read_text())["facts"]["spark-1"]
    return facts


def changed(value: object, *path: str | int) -> dict[str, Any]:
    """The captured facts with another value at a path."""
    facts = captured()
    inner: Any = facts
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return facts


def test_captured_answers_have_the_declared_shape() -> None:
    document = json.loads(CAPTURED.read_text())
    for facts in document["facts"].values():
        assert answered(PROBE, facts).gaps == {}
        assert as_sent(answered(PROBE, facts)) == facts
    for answer in document["peers"].values():
        assert as_sent(answered(PEERS, answer)) == answer


def as_sent(answer: object) -> object:
    """What was decoded, as JSON."""
    adapter: TypeAdapter[object] = TypeAdapter(Any)
    return adapter.dump_python(answer, mode="json", by_alias=True, exclude_unset=True)


def test_this_machines_own_answer_has_the_declared_shape() -> None:
    request: Any = {
        "cluster": "no-such",
        "venv": "/nowhere",
        "image": "nowhere/x",
        "tools": ["docker", "podman"],
        "mounts": ["/", "~/no-such"],
        "reader": {"argv": ["python3"], "stdin": ""},
        "model": "/nowhere",
        "ports": [22],
        "worker_ports": [1, 65535],
        "temp_dir": "/nowhere",
        "names": ["applied.json"],
        "watch": [],
        "conf_file": "",
        "revision": None,
        "hub": {},
    }
    answer: Any = probing.probe(request)
    fields = {field.alias or name for name, field in NodeFacts.model_fields.items()}
    assert set(answer) <= fields, "what has no shape is not checked"
    assert {*answered(PROBE, answer).gaps} == {*answer["unread"]}


def test_what_other_functions_give_has_the_declared_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    name: Any = {"cluster": "no-such"}
    run: Any = {**name, "env": {}, "unit": "a", "run": "1", "timeout": 9}
    run["argv"] = ["/bin/sh", "-c", "echo a"]
    record = {"unit": {}, "salt": "s", "argv": [], "environment": {}, "digest": "", "who": "a"}
    unit: Any = {**name, "unit": "s/0/a/n", "run": "1"}
    listens: Any = {"listens": None, "ends": True, "timeout": 9}
    joined: Any = {**name, "id": "1", "by": {"who": "a"}, "nodes": {"n": {"host": "h", "ssh": {}}}}
    owner = {"who": "a", "when": "b", "why": "c"}
    owned: Any = {**name, "token": "t", "seconds": 9, "owner": owner}
    other: Any = {**owned, "token": "u"}
    (tmp_path / "log").write_text("one NCCL\ntwo\n")
    answers = {
        "files.write": files.write(name | {"files": {"a": "b"}}),
        "files.read": files.read(name | {"names": ["a", "none"]}),
        "launch.run": launch.run(run),
        "launch.start": launch.start(run),
        "state.join": state.join(joined) and state.join(joined | {"id": "2"}),
        "launch.start ": launch.start(run | unit | {"record": record, "wait": 9}),
        "waits.until": waits.until(unit | listens),
        "state.forget": state.forget(name | {"units": ["s/0/a/n"]}),
        "lease.take": lease.take(owned),
        "lease.renew": lease.renew(other),
        "lease.stale": lease.stale(other),
        "lease.release": lease.release(owned),
        "stop.clear": stop.clear(name | {"temp_dir": str(tmp_path / "none")}),
        "stop.stop": stop.stop(name | {"roles": []}),
        "stop.remove": stop.remove(name | {"temp_dir": str(tmp_path / "none")}),
        "imports.imports": imports.imports({"modules": ["json", "no_such_module"]}),
        "nccllines.lines": nccllines.lines({"path": str(tmp_path / "log")}),
        "peers.peers": peers.peers(
            {"pings": [], "connects": [{"to": "b", "what": "x", "address": "127.0.0.1", "port": 1}]}
        ),
        "verbs.counters": verbs.counters({}),
        "follow.follow": following.follow(
            {"path": str(tmp_path / "log"), "lines": 1, "follow": False}
        ),
    }
    for target, answer in answers.items():
        assert as_sent(answered(BY_TARGET[target.strip()], answer)) == json.loads(
            json.dumps(answer)
        )
    assert checkpoint.checkpoint("a/hub-name") == {"is_path": False}


def test_every_call_is_a_function_that_is_there_with_its_bounds() -> None:
    for call in CALLS:
        module, _, function = call.target.partition(".")
        assert isfunction(getattr(import_module(f"sparkctl.node.{module}"), function, None))
    # A node itself answers `lease.stale` in place of a call whose lease is no longer in force.
    assert {*BY_TARGET} - {STALE_LEASE.target} == {*BOUNDS}
    assert all(0 < bounds.timeout <= bounds.maximum for bounds in BOUNDS.values())


def test_a_caller_may_shorten_a_call_and_not_go_beyond_its_maximum() -> None:
    assert node_rpc.call("files.read", {}).timeout == BOUNDS["files.read"].timeout
    assert node_rpc.call("files.read", {}, timeout=1).timeout == 1
    with pytest.raises(ValueError, match=r"files\.read may take 60 s at most, got 61"):
        node_rpc.call("files.read", {}, timeout=61)


def test_whether_a_call_changes_the_node_is_declared_there() -> None:
    assert node_rpc.call("files.write", {}).mutates
    assert not node_rpc.call("files.read", {}).mutates


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


def refused(call: Call[Any], stdout: bytes) -> None:
    with pytest.raises(CommandError) as caught:
        decode(call, stdout, "spark-2", TITLE)
    assert caught.value.node == "spark-2"
    assert len(caught.value.message) < 1500


@pytest.mark.parametrize("stdout", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_answer_is_an_error_of_its_node(stdout: bytes) -> None:
    refused(PROBE, stdout)


def test_an_answer_is_as_deep_as_allowed_and_no_deeper() -> None:
    def nested(levels: int) -> bytes:
        return (
            json.dumps(changed(None, "more"))
            .replace('"more": null', f'"more": {"[" * levels}{"]" * levels}')
            .encode()
        )

    assert decode(PROBE, nested(DEPTH - 1), "n", TITLE)  # within the answer itself
    with pytest.raises(CommandError, match="it is nested too deeply"):
        decode(PROBE, nested(DEPTH), "n", TITLE)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.target)
def test_every_function_refuses_what_is_no_object(call: Call[Any]) -> None:
    for stdout in HOSTILE.values():
        if not stdout.endswith(b"}"):
            refused(call, stdout)


MALFORMED: dict[str, Any] = {
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
    facts = answered(PROBE, changed(value, *path))
    ((group, gap),) = facts.gaps.items()
    assert (group, gap.kind) == (path[0], "malformed")
    assert gap.reason.startswith(f"malformed: {reason}")


def test_a_group_that_is_not_there_is_unread_with_the_reason_that_is_given() -> None:
    facts = captured()
    for group in ("ours", "gpu", "net"):
        del facts[group]
    facts["unread"]["gpu"] = {"reason": "no answer", "kind": "timeout"}
    facts["unread"]["net"] = "OSError: gone"  # as before there were kinds
    assert answered(PROBE, facts).gaps == {
        "gpu": Unread("gpu", "no answer", "timeout"),
        "net": Unread("net", "OSError: gone", "failed"),
        "ours": Unread("ours", LEFT_OUT, "missing"),
    }


def test_what_is_unread_is_missing_where_facts_are_needed() -> None:
    facts = answered(PROBE, changed("9k", "net", "lo", "mtu"))
    with pytest.raises(Missing, match="interfaces could not be read: malformed") as caught:
        known(facts.net)
    assert (caught.value.what, caught.value.kind) == ("net", "malformed")
    assert known(facts.ib)
    with pytest.raises(Missing, match=r"runtime\.python could not be read"):
        required(None, "runtime.python")


def test_facts_are_frozen() -> None:
    facts = answered(PROBE, captured())
    with pytest.raises(ValidationError):
        facts.hostname = "other"


def test_mypy_accepts_no_unread_group_where_facts_are_needed(tmp_path: Path) -> None:
    source = tmp_path / "reads.py"
    head = "from sparkctl.facts.node import NodeFacts\nfrom sparkctl.facts.unread import known\n"
    source.write_text(head + "def f(facts: NodeFacts) -> int:\n    return len(facts.net)\n")
    cache = ["--cache-dir", str(tmp_path / "cache")]
    said, _, status = mypy.api.run(["--strict", *cache, str(source)])
    assert status == 1
    assert 'incompatible type "Mapping[str, Interface] | Unread"' in said
    source.write_text(head + "def f(facts: NodeFacts) -> int:\n    return len(known(facts.net))\n")
    assert mypy.api.run(["--strict", *cache, str(source)])[2] == 0


@pytest.mark.parametrize("key", ["hostname", "user", "uid", "home", "time", "machine", "time_end"])
def test_without_what_every_answer_has_there_are_no_facts(key: str) -> None:
    facts = captured()
    del facts[key]
    with pytest.raises(CommandError, match=f"the answer is malformed: {key}: missing"):
        answered(PROBE, facts)


def test_bytes_that_are_no_text_are_replaced() -> None:
    """Python on a node reads a variable in Latin-1 so."""
    facts = answered(PROBE, changed({"NCCL_DEBUG": "gr\udcfc\udcdfe 🙂"}, "settings", "session"))
    assert known(facts.settings).session == {"NCCL_DEBUG": "gr\ufffd\ufffde 🙂"}


class Answering:
    """A connection that gives the same output to every command."""

    def __init__(self, stdout: bytes) -> None:
        self._stdout = stdout

    def run(self, command: Command) -> Result:
        return Result("spark-1", command, 0, self._stdout, b"", 0.1)


def session(stdout: bytes) -> Session:
    inventory = parse(INVENTORY.encode(), "inventory.yaml")
    pool = Pool(inventory)
    pool.connections["spark-1"] = Answering(stdout)  # type: ignore[assignment]  # a stand-in
    pool.errors["spark-2"] = AuthError("refused", node="spark-2")
    return Session(inventory, Path(), pool)


def test_asking_a_node_that_is_not_connected_gives_its_error() -> None:
    asking = session(b"{}")
    with pytest.raises(AuthError, match="spark-2: refused"):
        asking.ask(asking.node("spark-2"), COUNTERS, {})
    asking.pool.errors.clear()
    with pytest.raises(RemoteError, match="spark-2: not connected"):
        asking.ask(asking.node("spark-2"), COUNTERS, {})


def test_one_hostile_node_leaves_the_facts_of_the_other() -> None:
    asking = session(b"[" * 100_000)
    without_gpu = captured()
    del without_gpu["gpu"]
    other = Answering(json.dumps(without_gpu).encode())
    asking.pool.connections["spark-2"] = other  # type: ignore[assignment]  # a stand-in
    result = asking.probe(asking.inventory.nodes)
    assert list(result.ok) == ["spark-2"]
    with pytest.raises(Missing) as caught:
        known(result.ok["spark-2"].gpu)
    assert (caught.value.node, caught.value.data["what"]) == ("spark-2", "gpu")
    assert "it is nested too deeply" in str(result.failed["spark-1"])
