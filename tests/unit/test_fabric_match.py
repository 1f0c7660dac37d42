"""`fabric match --node` asks with the rest of the environment that `up` would set."""

from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from sparkctl.cli.fabric import match
from tests.unit.doctorview import INVENTORY, healthy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORCED = INVENTORY.replace("role: worker", "role: worker, env: {NCCL_SOCKET_FAMILY: AF_INET6}")


@pytest.mark.parametrize(
    ("inventory", "selected"),
    [(INVENTORY, ["enp1s0f0np0", "enP2p1s0f0np0"]), (FORCED, ["enP2p1s0f0np0"])],
)
def test_a_forced_family_bears_on_a_value_that_is_given(
    inventory: str, selected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = healthy(inventory)
    answers.facts["spark-2"]["net"]["enp1s0f0np0"]["ipv6"] = []
    snapshot = answers.snapshot()
    path = tmp_path / "cluster.yaml"
    path.write_text(inventory)

    @contextmanager
    def session(*_: Any, **__: Any) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(inventory=snapshot.inventory)

    monkeypatch.setattr("sparkctl.cli.context.open_session", session)
    monkeypatch.setattr("sparkctl.doctor.collect.collect", lambda *_, **__: snapshot)
    value = "=enp1s0f0np0,enP2p1s0f0np0"
    asked = ["-i", str(path), "--node", "spark-2", "--ifname", value, "--json"]
    done = CliRunner().invoke(match, asked, catch_exceptions=False)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["selected"] == selected
