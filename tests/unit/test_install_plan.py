"""What `node install` does on a node by what is there, its versions, and why pip or uv failed."""

from __future__ import annotations

from typing import Any

import pytest

from sparkctl.engines.table import ENGINES
from sparkctl.errors import SparkctlError
from sparkctl.facts.installanswers import Built, VenvLooked
from sparkctl.inventory.models import Node
from sparkctl.operations.install.failures import failure
from sparkctl.operations.install.pins import PINS, TORCH, pinned, requirements
from sparkctl.operations.install.plan import Asked, doubts, goal, same_python, step

LOOKED: dict[str, Any] = {
    "path": "/home/nvidia/vllm",
    "kind": "absent",
    "python": None,
    "versions": {},
    "unwritable": None,
    "base": "/usr/bin/python3",
    "base_python": "3.12.3",
    "ensurepip": True,
    "headers": True,
    "uv": None,
    "users": [],
    "free": 2**40,
    "left": False,
}
WHOLE: dict[str, Any] = {
    "kind": "venv",
    "python": "3.12.3",
    "versions": {"ray": PINS["ray"], "vllm": PINS["vllm"], "torch": f"{TORCH['vllm']}+cu130"},
}
USER = {"pid": 7, "command": "VLLM::Worker", "cluster": "sparks", "unit": "vllm/0/vllm/spark-1"}


def planned(
    broken: dict[str, str] | None = None,
    *,
    node: str = "spark-1",
    service: str = "vllm",
    asked: Asked | None = None,
    **changes: Any,
) -> Any:
    asked = asked or Asked()
    unit = f"{service}/0/install/{node}"
    aim = goal(Node(name=node, host="a"), unit, "~/vllm", ENGINES["vllm"].judged, asked)
    assert aim is not None
    return step(aim, VenvLooked.model_validate(LOOKED | changes), asked, broken or {})


def test_every_package_of_an_engine_has_a_pin() -> None:
    for engine in ENGINES.values():
        for row in (engine, *engine.over.values()):
            assert set(pinned(row.judged.packages, {})) == set(row.judged.packages)
    assert requirements(pinned(("ray", "vllm", "torch"), {"ray": "2.61.0"})) == [
        "ray[default]==2.61.0",
        f"vllm=={PINS['vllm']}",
        f"torch=={TORCH['vllm']}",
    ]


def test_another_engine_than_the_pinned_brings_its_own_torch() -> None:
    assert pinned(("vllm", "torch"), {"vllm": "0.33.0"}) == {"vllm": "0.33.0"}
    asked = {"vllm": "0.33.0", "torch": "2.14.0"}
    assert pinned(("vllm", "torch"), asked) == asked


@pytest.mark.parametrize(
    ("changes", "broken", "action", "differences"),
    [
        ({}, {}, "install", ()),
        (WHOLE, {}, "keep", ()),
        # What stays needs nothing to be made with, and may run.
        (WHOLE | {"unwritable": "no", "ensurepip": False, "users": [USER]}, {}, "keep", ()),
        (WHOLE, {"vllm": "bad"}, "replace", ("vllm cannot be imported: bad",)),
        (WHOLE | {"python": "3.11.1"}, {}, "keep", ()),
        (WHOLE | {"python": None}, {}, "replace", ("Python is absent, expected 3.12.3",)),
        (
            WHOLE | {"versions": {"ray": "2.5.0"}},
            {},
            "replace",
            (
                f"ray is 2.5.0, expected {PINS['ray']}",
                f"vllm is absent, expected {PINS['vllm']}",
                f"torch is absent, expected {TORCH['vllm']}",
            ),
        ),
    ],
)
def test_what_is_there_is_kept_or_replaced(
    changes: dict[str, Any], broken: dict[str, str], action: str, differences: tuple[str, ...]
) -> None:
    found = planned(broken, **changes)
    assert (found.action, found.differences) == (action, differences)


@pytest.mark.parametrize(
    ("changes", "code", "hint"),
    [
        ({"kind": "other"}, "venv-foreign", "another path"),
        ({"base": None, "base_python": None}, "python-missing", "--python 3.12"),
        ({"ensurepip": False}, "ensurepip-missing", "sudo apt install python3.12-venv"),
        ({"unwritable": "/opt is not writable"}, "venv-unwritable", "below ~/"),
        (WHOLE | {"versions": {}, "users": [USER]}, "venv-in-use", "stops cluster sparks"),
        (WHOLE | {"versions": {}, "users": [USER | {"cluster": ""}]}, "venv-in-use", "end these"),
    ],
)
def test_what_cannot_be_done_names_a_way_out(changes: dict[str, Any], code: str, hint: str) -> None:
    with pytest.raises(SparkctlError) as raised:
        planned(**changes)
    assert (raised.value.code, raised.value.node) == (code, "spark-1")
    assert hint in (raised.value.hint or "")


def test_uv_serves_where_ensurepip_is_absent() -> None:
    assert planned(ensurepip=False, uv="/usr/bin/uv").action == "install"


def test_a_python_without_headers_is_a_doubt() -> None:
    assert doubts([planned()]) == ()
    (doubt,) = doubts([planned(headers=False)])
    assert doubt.data == {"node": "spark-1", "package": "python3.12-dev"}


@pytest.mark.parametrize(
    ("python", "action"),
    [("3.12", "keep"), ("3.12.3", "replace"), ("3.1", "replace"), ("/opt/python", "replace")],
)
def test_a_python_that_was_asked_for_counts(python: str, action: str) -> None:
    assert planned(asked=Asked(python=python), **WHOLE | {"python": "3.12.1"}).action == action


def pair(first: str | None, second: str | None, **changes: str) -> list[Any]:
    """Two nodes whose virtual environments have these Pythons, or do not exist."""
    nodes = {"spark-1": first, "spark-2": second}
    there = {n: WHOLE | {"python": v} if v else {} for n, v in nodes.items()}
    return [planned(node=n, **there[n] | changes) for n in nodes]


@pytest.mark.parametrize(
    ("pythons", "actions", "differences"),
    [
        (("3.12.1", "3.12.1"), ["keep", "keep"], []),
        (("3.12.1", "3.12.3"), ["replace", "keep"], ["Python is 3.12.1, but 3.12.3 on spark-2"]),
        (("3.12.1", None), ["replace", "install"], ["Python is 3.12.1, but 3.12.3 on spark-2"]),
        (
            ("3.12.1", "3.12.2"),
            ["replace", "replace"],
            ["Python is 3.12.1, but 3.12.2 on spark-2", "Python is 3.12.2, but 3.12.1 on spark-1"],
        ),
    ],
)
def test_a_python_is_replaced_where_another_node_differs(
    pythons: tuple[str | None, str | None], actions: list[str], differences: list[str]
) -> None:
    found = same_python(pair(*pythons))
    assert [s.action for s in found] == actions
    assert [d for s in found for d in s.differences] == differences
    assert len({s.python for s in found}) == 1


def test_services_may_differ_and_nodes_without_a_python_in_common_are_refused() -> None:
    steps = [planned(), planned(node="spark-2", base_python="3.12.7")]
    with pytest.raises(SparkctlError, match=r"3\.12\.3 on spark-1, 3\.12\.7 on spark-2") as raised:
        same_python(steps)
    assert raised.value.code == "python-differs"
    other = planned(node="spark-2", service="chat", base_python="3.12.7")
    assert same_python([steps[0], other]) == [steps[0], other]
    with pytest.raises(SparkctlError) as raised:
        same_python([planned(**WHOLE | {"python": "3.12.1", "users": [USER]}), planned(node="b")])
    assert raised.value.code == "venv-in-use"


def test_an_index_goes_by_environment_and_not_by_command_line() -> None:
    url = "https://me:secret@index.example/simple"
    asked = Asked(index_url=url, extra_index_urls=(url,), python="3.12")
    assert asked.program == "python3.12"
    request = planned().goal.request(asked, VenvLooked.model_validate(LOOKED), "r")
    assert [request["env"][f"{tool}_{name}"] for tool, name in URLS] == [url] * 4
    assert "secret" not in str({**request, "env": {}})
    assert request["uv"][-1] == "pip"
    offline = Asked(no_index=True, find_links=("~/wheels",))
    request = planned().goal.request(offline, VenvLooked.model_validate(LOOKED), "r")
    assert request["pip"][:3] == ["--no-index", "--find-links", "~/wheels"]
    assert request["env"] == {"PIP_CONFIG_FILE": "/dev/null", "UV_NO_CONFIG": "1"}


URLS = [
    ("PIP", "INDEX_URL"),
    ("PIP", "EXTRA_INDEX_URL"),
    ("UV", "DEFAULT_INDEX"),
    ("UV", "INDEX"),
]
# As pip 23.0.1 and uv print them.
OFFLINE = """\
WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after \
connection broken by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object at \
0x7f>: Failed to establish a new connection: [Errno 111] Connection refused')': /simple/ray/
ERROR: Could not find a version that satisfies the requirement ray==2.60.0 (from versions: none)
ERROR: No matching distribution found for ray==2.60.0
"""


@pytest.mark.parametrize(
    ("text", "status", "free", "code", "said"),
    [
        (OFFLINE, 1, 2**40, "index-unreachable", "reached: Connection refused"),
        (OFFLINE[OFFLINE.index("ERROR") :], 1, 2**40, "version-missing", "No matching"),
        ("error: Failed to fetch\n  Caused by: dns error", 2, 2**40, "index-unreachable", "dns"),
        ("  x No solution found when resolving", 1, 2**40, "version-missing", "No solution"),
        ("ERROR: 401 Client Error: Unauthorized for url: x", 1, 2**40, "index-refused", "401"),
        ("OSError: [Errno 28] No space left on device", 1, 2**40, "disk-full", "No space"),
        ("Collecting ray", 120, 2**20, "disk-full", "only 1 MiB are free"),
        ("Collecting ray", -15, 2**40, "install-killed", "killed by signal 15"),
        ("Collecting ray", None, 2**40, "install-killed", "it was killed"),
        ("a\nERROR: odd thing\nb\n", 1, 2**40, "install-failed", "ERROR: odd thing"),
        ("", 1, 2**40, "install-failed", "it printed nothing"),
    ],
)
def test_a_failure_is_named_by_what_was_printed(
    text: str, status: int | None, free: int, code: str, said: str
) -> None:
    built = Built(status=status, tail=tuple(text.splitlines()), free=free)
    error = failure("spark-2", "/v/install.log", built)
    assert (error.code, error.node, error.data["log"]) == (code, "spark-2", "/v/install.log")
    assert said in error.message
    assert error.hint
    assert len(error.message) < 400
