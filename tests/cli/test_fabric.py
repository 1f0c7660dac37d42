"""sparkctl fabric without a cluster."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.fabric.diagram import draw
from sparkctl.output.fabric import print_diagram
from tests.cli.test_cli import sparkctl
from tests.unit.answers import all_facts
from tests.unit.doctorview import healthy

if TYPE_CHECKING:
    from pathlib import Path


def match(*args: str) -> dict[str, Any]:
    done = sparkctl("fabric", "match", *args, "--json")
    assert done.returncode == 0
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_match_answers_what_is_selected_and_why() -> None:
    found = match("--hca", "rocep1s0f0", "--device", "rocep1s0f0", "--device", "x:2:down")
    assert found == {
        "value": "rocep1s0f0",
        "selected": ["rocep1s0f0"],
        "devices": [
            {
                "name": "rocep1s0f0",
                "selected": True,
                "code": "selected",
                "reason": "its name is rocep1s0f0",
                "data": {"entry": "rocep1s0f0"},
            },
            {
                "name": "x",
                "selected": False,
                "code": "not-active",
                "reason": "port 2 is DOWN, not ACTIVE; NCCL silently skips it",
                "data": {"port": 2, "state": "DOWN"},
            },
        ],
        "warnings": [],
        "doubts": [],
    }
    ports = ("--hca", "a:", "--device", "a")
    assert match(*ports)["selected"] == ["a"]
    assert match(*ports, "--nccl-version", "2.30.4")["selected"] == []
    links = ("--ifname", "en", "--interface", "en0:down", "--interface", "en1")
    assert match(*links)["selected"] == ["en1"]
    assert match(*links, "--nccl-version", "2.28.2")["selected"] == ["en0", "en1"]
    assert match("--device", "a")["value"] is None


def test_match_takes_the_port_and_its_state_as_sysfs_names_them() -> None:
    found = match(
        "--hca",
        "a:2",
        "--device",
        "a:1",
        "--device",
        "a:2",
        "--device",
        "a:2:INIT",
        "--device",
        "a:ACTIVE",
        "--device",
        "a:2:up",
    )
    assert [d["selected"] for d in found["devices"]] == [False, True, False, False, True]
    assert (found["devices"][0]["code"], found["devices"][0]["data"]["port"]) == ("wrong-port", 1)
    assert found["devices"][2]["code"] == "not-active"
    assert found["devices"][2]["data"] == {"port": 2, "state": "INIT"}


def test_match_warns_of_a_netdevs_name_and_needs_no_inventory(tmp_path: Path) -> None:
    done = sparkctl(
        "fabric", "match", "--hca", "enp1s0f0np0", "--device", "rocep1s0f0", "--json", cwd=tmp_path
    )
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["selected"] == []
    assert [doubt["code"] for doubt in found["doubts"]] == ["other-kind"]
    assert found["warnings"] == [found["doubts"][0]["text"]]


def test_match_in_words() -> None:
    printed = sparkctl("fabric", "match", "--hca", "A B", "--device", "a").stdout
    assert printed.splitlines()[0] == "NCCL_IB_HCA = `A B` (NCCL 2.30.7)"
    assert "selected: nothing: NCCL silently falls back to TCP" in printed
    assert "  - a: no entry matches" in printed
    assert "warning: a space" in printed
    links = ("--interface", "enp1s0f0np0", "--interface", "enp1s0f1np1")
    printed = sparkctl("fabric", "match", *links, "--nccl-version", "2.28.2").stdout
    assert printed.splitlines()[0] == "NCCL_SOCKET_IFNAME is unset (NCCL 2.28.2)"
    assert "selected: enp1s0f0np0, enp1s0f1np1" in printed
    assert "+ enp1s0f0np0: by default NCCL takes all but docker, lo; the bootstrap" in printed
    printed = sparkctl("fabric", "match", "--ifname", "eth0", "--interface", "enp1").stdout
    assert "selected: nothing: NCCL fails to start" in printed


REFUSED = """\
--hca x
--ifname x
--hca x --ifname y --device x
--hca x --interface e
--ifname e --device x
--device x --interface e
--node n --device x
--node n --interface e
--device a:1:broken
--device a:1:2:3
--device a:1:up:
--device a:9999999999999999999999
--device :1
--device ''
--device a:
--interface e:sideways
--interface e:1
--device a --nccl-version new
--device a --nccl-version ''
"""


@pytest.mark.parametrize("words", ["", *REFUSED.splitlines()])
def test_match_refuses_what_it_cannot_take(words: str) -> None:
    done = sparkctl("fabric", "match", *shlex.split(words))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("show",), ("show", "n"), ("match", "--node", "n")])
def test_a_missing_inventory_is_usage(command: tuple[str, ...], tmp_path: Path) -> None:
    done = sparkctl("fabric", *command, cwd=tmp_path)
    assert done.returncode == 2
    assert "inventory" in done.stderr


def test_nccl_is_said_to_take_gids_of_active_ports_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = healthy().facts["spark-2"]
    port = facts["ib"]["rocep1s0f0"]["ports"]["1"]

    def taken() -> int:
        print_diagram(draw(all_facts({"spark-2": facts}), {}), {}, [])
        return capsys.readouterr().out.count("<- NCCL takes it")

    active = sum(p["state"] == "ACTIVE" for d in facts["ib"].values() for p in d["ports"].values())
    assert taken() == active
    port["state"] = "DOWN"
    assert taken() == active - 1
    port["gids"] = []
    assert taken() == active - 1
