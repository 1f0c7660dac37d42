"""What scripts and cloud-init may set at boot, as fabric.persistent judges it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.doctorview import examined, healthy
from tests.unit.test_doctor_fabric import SECOND, TWO


@pytest.mark.parametrize(
    ("script", "severity", "code"),
    [
        ({"path": "/etc/systemd/system/fabric.service", "sets": True}, "UNKNOWN", "set-by-script"),
        ({"path": "/usr/local/sbin/up", "interfaces": [SECOND]}, "WARN", "lost-on-reboot"),
        (
            {"path": "/usr/local/sbin/up", "interfaces": [SECOND], "sets": True},
            "UNKNOWN",
            "set-by-script",
        ),
        (
            {"path": "/usr/local/sbin/up", "interfaces": ["enP7s7"], "sets": True},
            "WARN",
            "lost-on-reboot",
        ),
        (
            {
                "path": "/usr/local/sbin/up",
                "interfaces": [SECOND],
                "addresses": ["192.168.101.12"],
                "sets": True,
            },
            "OK",
            "ok",
        ),
        (
            {
                "path": "/etc/cloud/cloud.cfg.d/90.cfg",
                "interfaces": [SECOND],
                "addresses": ["192.168.101.12"],
            },
            "UNKNOWN",
            "set-by-script",
        ),
    ],
)
def test_what_a_script_may_set_is_unknown(script: dict[str, Any], severity: str, code: str) -> None:
    answers = healthy()
    whole = {"addresses": [], "interfaces": [], "dhcp": False, "link_local": False, "sets": False}
    answers.facts[TWO]["persistence"]["files"] = [{**whole, **script}]
    (second,) = [
        f
        for f in examined(answers, "fabric.persistent")
        if f.node == TWO and f.data["interface"] == SECOND
    ]
    assert (second.severity.value, second.code) == (severity, code)
    if severity == "WARN":
        assert "netplan, NetworkManager, systemd-networkd, ifupdown" in second.summary
