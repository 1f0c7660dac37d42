"""Settings left on a node: shells' files and NCCL's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import settings
from sparkctl.node.settings import assignments, conf_values

if TYPE_CHECKING:
    from pathlib import Path

LINES = [
    ("NCCL_NET=Socket", [("NCCL_NET", "Socket")]),
    ("  export NCCL_NET=Socket", [("NCCL_NET", "Socket")]),
    ("export NCCL_DEBUG=X NCCL_NET=Socket", [("NCCL_DEBUG", "X"), ("NCCL_NET", "Socket")]),
    ("declare -x NCCL_NET=Socket", [("NCCL_NET", "Socket")]),
    ("[ -e /x ] && export NCCL_NET=Socket", [("NCCL_NET", "Socket")]),
    ("if true; then export NCCL_NET=Socket; fi", [("NCCL_NET", "Socket")]),
    ("NCCL_NET_PLUGIN=none;export NCCL_NET_PLUGIN", [("NCCL_NET_PLUGIN", "none")]),
    ('export NCCL_IB_HCA="a, b"  # both', [("NCCL_IB_HCA", "a, b")]),
    ("export NCCL_IB_HCA='a',b", [("NCCL_IB_HCA", "a,b")]),
    ('export NCCL_IB_HCA="a', [("NCCL_IB_HCA", "a")]),
    ('export PS1="a # b" NCCL_NET=Socket', [("NCCL_NET", "Socket")]),
    ("export NCCL_IB_HCA==a", [("NCCL_IB_HCA", "=a")]),
    ("export UCX_TLS=", [("UCX_TLS", "")]),
    ("set -gx NCCL_NET Socket", [("NCCL_NET", "Socket")]),
    ("set --export NCCL_IB_HCA 'a b'; echo", [("NCCL_IB_HCA", "a b")]),
    ("setenv NCCL_NET Socket", [("NCCL_NET", "Socket")]),
    ("set -l NCCL_NET Socket", []),
    ("# export NCCL_NET=Socket", []),
    ("echo # NCCL_NET=Socket", []),
    ('echo "export NCCL_NET=Socket" >>notes', []),
    ("alias slow='A=1 NCCL_NET=Socket train'", []),
    ("MY_NCCL_NET=Socket", []),
    ("unset NCCL_NET", []),
]


@pytest.mark.parametrize(("line", "found"), LINES)
def test_assignments_of_a_shells_line(line: str, found: list[tuple[str, str]]) -> None:
    assert assignments(line) == found


def test_a_file_of_nccls_is_read_as_nccl_does() -> None:
    text = "# NCCL_A=1\nNCCL_NET=Socket # x\nNCCL_NET=IB\n NCCL_B=1\nnothing\nNCCL_C=1\r\nNCCL_D="
    assert conf_values(text) == {
        "NCCL_NET": "Socket # x",
        " NCCL_B": "1",
        "NCCL_C": "1\r",
        "NCCL_D": "",
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and no NCCL_CONF_FILE."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NCCL_CONF_FILE", raising=False)
    return tmp_path


def test_profiles_are_listed_with_path_and_line(home: Path) -> None:
    (home / ".bashrc").write_text("# mine\nexport A=1 NCCL_IB_DISABLE=1\n")
    fish = home / ".config/fish/config.fish"
    fish.parent.mkdir(parents=True)
    fish.write_text("set -x NCCL_NET Socket\n")
    profiles: Any = settings.settings()["profiles"]
    assert [p for p in profiles if p["path"].startswith(str(home))] == [
        {"path": str(home / ".bashrc"), "line": 2, "name": "NCCL_IB_DISABLE", "value": "1"},
        {"path": str(fish), "line": 1, "name": "NCCL_NET", "value": "Socket"},
    ]


def test_nccl_conf_file_takes_the_place_of_the_homes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".nccl.conf").write_text("NCCL_NET=Socket\n")
    (home / "planned").write_bytes(b"NCCL_IB_GID_INDEX=7\n")
    own = [{"path": str(home / ".nccl.conf"), "values": {"NCCL_NET": "Socket"}}]
    found: Any = settings.settings()
    assert found["conf"][:1] == own
    planned: Any = settings.settings(str(home / "planned"))
    assert planned["conf_file"] == str(home / "planned")
    assert planned["conf"][0]["values"] == {"NCCL_IB_GID_INDEX": "7"}
    monkeypatch.setenv("NCCL_CONF_FILE", str(home / "absent"))
    found = settings.settings()
    assert own[0] not in found["conf"]
