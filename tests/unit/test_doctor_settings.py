"""Settings of the inventory, of env layers and of the node's owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.inventory.layers import Layer
from tests.unit.doctorview import INVENTORY, examined, healthy, wrong

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding

TWO = "spark-2"


def dropping(*names: str) -> Layer:
    """An env layer that drops these variables from the built-in ones."""
    return Layer("mine", dict.fromkeys(names))


NUMBERS = {"1": True, "0x1": True, "-1": True, "010": True}
NO_NUMBERS = {"true": False, "": False, "0": False, "00": False}


@pytest.mark.parametrize(("value", "disabled"), [*NUMBERS.items(), *NO_NUMBERS.items()])
def test_rdma_is_disabled_by_what_nccl_reads_as_a_number(value: str, disabled: bool) -> None:
    expected = {("settings.forced", TWO, "FAIL")} if disabled else set()
    text = INVENTORY.replace("role: worker", f"role: worker, env: {{NCCL_IB_DISABLE: '{value}'}}")
    assert wrong(healthy(text)) == expected
    answers = healthy()
    answers.facts[TWO]["settings"]["session"] = {"NCCL_IB_DISABLE": value}
    assert wrong(answers) == set(), "the built-in 0 wins"
    answers = healthy()
    answers.facts[TWO]["settings"]["session"] = {"NCCL_IB_DISABLE": value}
    answers.layers = [dropping("NCCL_IB_DISABLE")]
    assert wrong(answers) == expected


@pytest.mark.parametrize(
    ("dropped", "variable", "value", "check"),
    [
        ("", "NCCL_IB_GID_INDEX", "7", "fabric.gid-index"),
        ("NCCL_IB_HCA", "NCCL_IB_HCA", "enp1s0f0np0", "fabric.hca"),
        ("NCCL_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "enP7s7", "fabric.interfaces"),
        ("NCCL_IB_DISABLE", "NCCL_IB_DISABLE", "1", "settings.forced"),
    ],
)
def test_what_nccls_own_files_set_counts_where_nothing_overrides_it(
    dropped: str, variable: str, value: str, check: str
) -> None:
    def at_two(layers: list[Layer]) -> list[Finding]:
        answers = healthy()
        file = {"path": "/etc/nccl.conf", "values": {variable: value}}
        answers.facts[TWO]["settings"]["conf"] = [file]
        answers.layers = layers
        found = [f for f in examined(answers) if f.severity.value not in ("OK", "INFO")]
        return [f for f in found if f.node == TWO]

    found = at_two([dropping(dropped)] if dropped else [])
    assert {f.check for f in found} == {check, "settings.nccl-conf"}
    assert {f.severity.value for f in found if f.check == check} == {"FAIL"}
    assert any("/etc/nccl.conf" in str(f.document()) for f in found if f.check == check)
    planned = healthy().snapshot().environment(TWO).get(variable, "-1")
    assert at_two([Layer("planned", {variable: planned})]) == []


@pytest.mark.parametrize("check", ["settings.nccl-conf", "settings.profiles"])
def test_a_value_of_a_file_is_quoted_where_it_has_a_space(check: str) -> None:
    answers = healthy()
    settings = answers.facts[TWO]["settings"]
    settings["conf"] = [{"path": "/etc/nccl.conf", "values": {"NCCL_ALGO": "Ring "}}]
    entry = {"path": "/etc/profile.d/x.sh", "line": 1, "name": "NCCL_ALGO", "value": "Ring "}
    settings["profiles"] = [entry]
    (finding,) = [f for f in examined(answers, check) if f.fix]
    assert "NCCL_ALGO=`Ring `" in finding.summary
    assert finding.evidence[0].got == "`Ring `"
    assert finding.data["got"] == "Ring ", "a program gets the value"


def test_a_conf_file_that_was_not_read_is_unknown() -> None:
    answers = healthy(INVENTORY + "env: {set: {NCCL_CONF_FILE: /opt/nccl.conf}}\n")
    assert wrong(answers) == {("settings.nccl-conf", n, "UNKNOWN") for n in answers.names}
    for name in answers.names:
        answers.facts[name]["settings"]["conf_file"] = "/opt/nccl.conf"
    assert wrong(answers) == set()


OLD_EXECUTOR = "env: {set: {VLLM_USE_RAY_V2_EXECUTOR_BACKEND: '0'}}\n"
NO_COMPILATION = "arguments: {compilation-config: null, "


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        (INVENTORY + OLD_EXECUTOR, "VLLM_USE_RAY_V2_EXECUTOR_BACKEND"),
        (INVENTORY.replace("arguments: {", NO_COMPILATION), "vllm.arguments.compilation-config"),
    ],
)
def test_what_is_known_to_go_wrong_is_a_warning(text: str, setting: str) -> None:
    answers = healthy(text)
    found = [f for f in examined(answers, "settings.recipe") if f.severity.value == "WARN"]
    assert [(f.node, f.data["setting"]) for f in found] == [(n, setting) for n in answers.names]
    assert {c for c, _, _ in wrong(answers)} == {"settings.recipe"}


@pytest.mark.parametrize("value", [None, "250"])
def test_rays_memory_monitor_must_be_off(value: str | None) -> None:
    answers = healthy()
    answers.layers = [Layer("mine", {"RAY_memory_monitor_refresh_ms": value})]
    assert wrong(answers) == {("settings.memory-monitor", n, "WARN") for n in answers.names}


@pytest.mark.parametrize(
    ("value", "severity"),
    [(None, "WARN"), ("10.77.0.12", "WARN"), ("192.168.100.11", "FAIL"), ("192.168.100.12", None)],
)
def test_vllms_own_address_is_the_fabrics(value: str | None, severity: str | None) -> None:
    own = f"role: worker, env: {{VLLM_HOST_IP: {value}}}" if value else "role: worker"
    answers = healthy(INVENTORY.replace("role: worker", own))
    answers.layers = [] if value else [dropping("VLLM_HOST_IP")]
    found = {(s, n) for c, n, s in wrong(answers) if c == "fabric.interfaces" and n == TWO}
    assert found == ({(severity, TWO)} if severity else set())
