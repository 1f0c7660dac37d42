"""sparkctl validate, as a script calls it."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import sparkctl
from tests.golden import WIDTHS, same_screen
from tests.unit.test_inventory import GOOD


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inventory.yaml").write_text(GOOD)
    return tmp_path


def test_a_summary_and_warnings(folder: Path) -> None:
    (folder / "inventory.yaml").write_text(GOOD + "env: {set: {SAFETENSORS_FAST_GPU: '1'}}\n")
    done = sparkctl("validate", cwd=folder)
    assert done.returncode == 0
    assert done.stdout.startswith("inventory.yaml is valid\n")
    assert "spark-1 (head), spark-2 (worker)" in done.stdout
    assert done.stderr.startswith("warning: SAFETENSORS_FAST_GPU: ")
    document = json.loads(sparkctl("validate", "--json", cwd=folder).stdout)
    assert document["valid"] is True
    [doubt] = document["doubts"]  # not one a node
    assert document["warnings"] == [doubt["text"]]
    assert doubt["code"] == "unread-variable"
    assert doubt["data"] == {"setting": "SAFETENSORS_FAST_GPU"}


def test_one_service_in_short_has_the_line_that_it_had_and_is_a_service_as_json(
    folder: Path,
) -> None:
    done = sparkctl("validate", cwd=folder)
    assert "  model    /models/m on port 30000, TP 2\n  runtime  ~/vllm\n" in done.stdout
    assert json.loads(sparkctl("validate", "--json", cwd=folder).stdout)["services"] == {
        "vllm": {
            "engine": "vllm",
            "executor": "ray",
            "runtime": {"kind": "venv", "venv": "~/vllm", "image": None, "tool": None},
            "model": "/models/m",
            "port": 30000,
            "tensor_parallel_size": 2,
            "nodes": ["spark-1", "spark-2"],
            "head": "spark-1",
        }
    }


SERVICES = """\
cluster: rack
nodes: [{name: a, host: a}, {name: b, host: b}, {name: c, host: c}]
services:
  one: {model: /m, nodes: [b], tensor_parallel_size: 1, runtime: {image: "i:v1", tool: podman}}
  two:
    {model: org/n, nodes: [a], tensor_parallel_size: 1, arguments: {enable-expert-parallel: true}}
"""


def test_each_service_has_a_line_and_its_own_doubts(folder: Path) -> None:
    (folder / "inventory.yaml").write_text(SERVICES)
    done = sparkctl("validate", cwd=folder)
    assert done.stdout.splitlines()[2:] == [
        "  nodes    a (head), b (head), c (no service)",
        "  env      no layers",
        "  service  one: /m on port 30000, TP 1, on b",
        "  service  two: org/n on port 30000, TP 1, on a",
        "  runtime  one: containers of i:v1, by podman",
        "  runtime  two: ~/vllm",
    ]
    document = json.loads(sparkctl("validate", "--json", cwd=folder).stdout)
    runtime = {"kind": "container", "venv": None, "image": "i:v1", "tool": "podman"}
    assert document["services"]["one"]["runtime"] == runtime
    assert {n: s["nodes"] for n, s in document["services"].items()} == {"one": ["b"], "two": ["a"]}
    settings = [doubt["data"]["setting"] for doubt in document["doubts"]]
    assert settings == ["services.two.arguments.enable-expert-parallel"]


def test_a_node_without_a_service_has_no_environment(folder: Path) -> None:
    (folder / "inventory.yaml").write_text(SERVICES)
    done = sparkctl("env", "c", "--json", cwd=folder)
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["data"]) == ("node-without-service", {"node": "c"})


def test_every_problem_on_stderr_and_exit_2(folder: Path) -> None:
    (folder / "inventory.yaml").write_text("clustr: a\nnodes: 3\n")
    done = sparkctl("validate", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert [x for x in done.stderr.splitlines() if x.startswith("inventory.yaml:")] == [
        'inventory.yaml:1:1: missing required key "cluster"',
        'inventory.yaml:1:1: unknown key "clustr"; did you mean "cluster"?',
        'inventory.yaml:1:1: missing required key "vllm" or "services"',
        "inventory.yaml:2:8: nodes: expected a list, got 3",
    ]


def test_problems_as_json(folder: Path) -> None:
    (folder / "inventory.yaml").write_text(GOOD + "x: 1\n")
    done = sparkctl("validate", "--json", cwd=folder)
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    [problem], [detail] = error["problems"], error["details"]
    assert problem == f"inventory.yaml:7:1: {detail.pop('text')}"
    assert detail == {
        "code": "unknown-key",
        "file": "inventory.yaml",
        "line": 7,
        "column": 1,
        "path": "x",
    }


def test_a_layer_is_checked_as_well(folder: Path) -> None:
    (folder / "inventory.yaml").write_text(GOOD + "env: {layers: [a.env, b.env]}\n")
    (folder / "a.env").write_text("A\n")
    done = sparkctl("validate", "--json", cwd=folder)
    assert done.returncode == 2
    found = json.loads(done.stdout)["error"]["details"]
    assert [(d["file"], d["line"], d["code"]) for d in found] == [
        ("a.env", 1, "bad-line"),
        ("b.env", None, "file-not-found"),
    ]


def test_the_inventory_of_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "inventory.yaml").rename(folder / "other.yaml")
    assert sparkctl("validate", cwd=folder).returncode == 2
    monkeypatch.setenv("SPARKCTL_INVENTORY", "other.yaml")
    assert sparkctl("validate", cwd=folder).returncode == 0


def test_connect_names_each_node_and_ends_with_1(folder: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refused at once
        port = closed.getsockname()[1]
        text = GOOD.replace("host: a", "host: 127.0.0.1").replace("host: b", "host: 127.0.0.2")
        (folder / "inventory.yaml").write_text(text + f"ssh: {{user: x, port: {port}}}\n")
        done = sparkctl("validate", "--connect", cwd=folder)
        as_json = sparkctl("validate", "--connect", "--json", cwd=folder)
    assert done.returncode == as_json.returncode == 1
    assert "Traceback" not in done.stderr
    assert "spark-1: unreachable: " in done.stdout
    assert "spark-2: unreachable: " in done.stdout
    document = json.loads(as_json.stdout)
    assert all(document["reached"].values())
    assert document["codes"] == dict.fromkeys(("spark-1", "spark-2"), "connect-refused")


def test_a_recipe_and_a_model_that_no_node_could_use(folder: Path) -> None:
    text = GOOD.replace("/models/m", "./m") + "  recipe: minimax-m3\n"
    (folder / "inventory.yaml").write_text(text)
    done = sparkctl("validate", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    lines = [x for x in done.stderr.splitlines() if x.startswith("inventory.yaml:")]
    assert [line.split(": ")[:2] for line in lines] == [
        ["inventory.yaml:6:10", "vllm.model"],
        ["inventory.yaml:7:11", "vllm.recipe"],
    ]


@pytest.mark.parametrize(("recipe", "count"), [("auto", 0), ("none", 0), ("minimax-m2", 1)])
def test_what_depends_on_the_architecture_needs_a_node_or_a_recipe(
    folder: Path, recipe: str, count: int
) -> None:
    text = f"{GOOD}  recipe: {recipe}\n  arguments: {{compilation-config: null}}\n"
    (folder / "inventory.yaml").write_text(text.replace("/models/m", "/models/MiniMax-M2"))
    done = sparkctl("validate", cwd=folder)
    assert done.returncode == 0
    assert done.stderr.count("deadlocks") == count


PROBLEMS = """\
cluster: Sparks of the second rack
nodes: [{name: spark-1, host: s1, rol: head}, {name: spark-2, host: s2, fabric: {cage: left}}]
vllm: {model: /models/m, port: 99999999, tensor_parallel_size: 2}
"""


@pytest.mark.parametrize("columns", WIDTHS)
def test_problems_fit_the_terminal(folder: Path, columns: int) -> None:
    (folder / "inventory.yaml").write_text(PROBLEMS)
    script = f"cd '{folder}' && exec '{sys.executable}' -m sparkctl validate"
    root = str(Path(__file__).parents[2])
    same_screen(
        "validate-problems", ["sh", "-c", script], columns, environment={"PYTHONPATH": root}
    )
