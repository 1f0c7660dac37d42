"""One error for several nodes."""

from __future__ import annotations

from sparkctl.errors import ConnectError, LeaseLostError, RemoteError, SparkctlError, combined

ONE = ConnectError("no route", node="spark-1", hint="is it on?")
TWO = RemoteError("no space left", node="spark-2", hint="`df -h` there")
PLAIN = RemoteError("broken", node="spark-3")


def test_every_node_is_named_with_its_hint() -> None:
    errors: dict[str, SparkctlError] = {"spark-1": ONE, "spark-2": TWO, "spark-3": PLAIN}
    found = combined(errors, "cannot be reached")
    assert isinstance(found, RemoteError)
    assert found.code == "remote"
    nodes = ["spark-1", "spark-2", "spark-3"]
    assert found.data == {"nodes": nodes, "codes": ["connect", "remote", "remote"]}
    # The text is the subject: its lines are what people read of each node.
    assert found.message.splitlines() == [
        "3 nodes cannot be reached:",
        "spark-1: no route",
        "    is it on?",
        "spark-2: no space left",
        "    `df -h` there",
        "spark-3: broken",
    ]


def test_a_common_code_is_kept() -> None:
    again = ConnectError("no route", node="spark-2")
    assert combined({"spark-1": ONE, "spark-2": again}).code == "connect"


def test_the_only_one_is_given_as_it_is() -> None:
    assert combined({"spark-1": ONE}) is ONE


def test_a_lost_lease_is_more_than_what_failed_with_it() -> None:
    lost = LeaseLostError("spark-1 has it", node="spark-2")
    assert combined({"spark-1": ONE, "spark-2": lost}) is lost
