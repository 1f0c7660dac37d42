"""plan, env and validate never show a secret; the nodes are a captured pair's facts."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from sparkctl.cli import context
from sparkctl.cli.env import env
from sparkctl.cli.plan import plan
from sparkctl.engines.inventory import load
from sparkctl.operations.session import Session
from tests.cli.test_cli import sparkctl
from tests.unit.doctorview import INVENTORY, healthy
from tests.unit.test_doctor_collect import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PW = "Pw-Of-Theirs"
PLANTED = INVENTORY.replace(
    "gpu-memory-utilization: 0.2",
    f"gpu-memory-utilization: 0.2, api-key: {PW}, hf-token: {PW}, hf-overrides: {{token: {PW}}}",
) + (
    f"env:\n  layers: [x.env]\n  set: {{DB_PASS: {PW}, MY_PWD: {PW}, MY_JWT: {PW},"
    f" GITHUB_PAT: {PW}, HTTP_PROXY: 'http://bob:{PW}@proxy'}}\n"
)


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "inventory.yaml"
    path.write_text(PLANTED)
    (tmp_path / "x.env").write_text(f"AUTH_BEARER={PW}\nAWS_ACCESS_KEY_ID={PW}\n")

    @contextmanager
    def opened(inventory: Path, **_: Any) -> Iterator[Session]:
        pool: Any = Pool()
        known = dict(healthy().snapshot().all_facts)
        yield Session(load(inventory), inventory.parent, pool, facts=known)

    monkeypatch.setattr(context, "open_session", opened)
    return path


@pytest.mark.parametrize("command", [plan, env], ids=["plan", "env"])
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_no_secret_is_printed(command: Any, options: list[str], inventory: Path) -> None:
    done = CliRunner().invoke(command, ["-i", str(inventory), *options])
    assert done.exit_code == 0, done.output
    for name in (
        "DB_PASS",
        "MY_PWD",
        "MY_JWT",
        "GITHUB_PAT",
        "AUTH_BEARER",
        "AWS_ACCESS_KEY_ID",
        "VLLM_API_KEY",
        "HF_TOKEN",
        "http://****@proxy",
    ):
        assert name in done.output
    assert PW not in done.output
    if options:
        json.loads(done.stdout)


def test_validate_warns_without_the_secret(inventory: Path) -> None:
    for options in ([], ["--json"]):
        done = sparkctl("validate", "-i", str(inventory), *options)
        assert done.returncode == 0
        assert "vllm.arguments.hf-overrides: " in done.stdout + done.stderr
        assert PW not in done.stdout + done.stderr


def test_validate_refuses_several_keys_and_shows_none(inventory: Path) -> None:
    inventory.write_text(PLANTED.replace(f"api-key: {PW}", f"api-key: [{PW}, {PW}]"))
    for options in ([], ["--json"]):
        done = sparkctl("validate", "-i", str(inventory), *options)
        assert done.returncode == 2
        assert "vllm.arguments.api-key: expected one value, got 2" in done.stdout + done.stderr
        assert PW not in done.stdout + done.stderr
