"""known_hosts: which lines are about a host, and what follows from them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import paramiko
import pytest
from paramiko.hostkeys import HostKeys

from sparkctl.errors import HostKeyError
from sparkctl.inventory.models import Ssh
from sparkctl.remote.hostkeys import check, fingerprint, known_types, recorded
from sparkctl.remote.sshconfig import Target, make_target

if TYPE_CHECKING:
    from pathlib import Path

KEY = paramiko.ECDSAKey.generate()
OTHER = paramiko.ECDSAKey.generate()
# Fixed, so that every run names its tests alike.
SALT = base64.b64encode(bytes(20)).decode()


def text(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


@pytest.fixture
def known(tmp_path: Path) -> Path:
    return tmp_path / "known"


def target(known: Path, port: int = 22, **values: str) -> Target:
    settings = Ssh(known_hosts=str(known), port=port, user="me")
    return make_target("Spark-A", {name: [v] for name, v in values.items()}, settings)


def refused(target: Target, key: paramiko.PKey) -> HostKeyError:
    """Why this key of the target is not accepted."""
    with pytest.raises(HostKeyError) as caught:
        check("n", target, key)
    assert caught.value.node == "n"
    return caught.value


@pytest.mark.parametrize(
    ("names", "about"),
    [
        ("spark-a", True),
        ("SPARK-A", True),
        ("spark-b,spark-a", True),
        ("spark-?", True),
        ("*", True),
        ("*,!spark-a", False),
        ("!spark-a,*", False),
        ("spark-b", False),
        ("[spark-a]:22", False),
        (HostKeys.hash_host("spark-a", SALT), True),
        (HostKeys.hash_host("spark-b", SALT), False),
        ("|1|short|short", False),
    ],
)
def test_the_lines_about_a_host(known: Path, names: str, about: bool) -> None:
    known.write_text(f"# comment\n\nnot a line\n{names} {text(KEY)}\n")
    found = recorded([str(known)], "Spark-A")
    assert [(r.path, r.line) for r in found] == ([(str(known), 4)] if about else [])


def test_a_name_without_its_port_counts_for_other_ports(known: Path) -> None:
    known.write_text(f"spark-a {text(KEY)}\n")
    check("n", target(known, 2222), KEY)
    for port, names in ((2222, {}), (2222, {"hostkeyalias": "alias"})):
        found = refused(target(known, port, **names), OTHER)
        assert (found.code, found.data["host"]) == (
            "host-key-unknown",
            names.get("hostkeyalias", "[Spark-A]:2222"),
        )
    assert refused(target(known, 2222, hostkeyalias="alias"), KEY).code == "host-key-unknown"


def test_the_changed_key_message_names_all_that_is_needed(known: Path) -> None:
    known.write_text(f"# one\n[spark-a]:2222 {text(KEY)}\n")
    found = refused(target(known, 2222), OTHER)
    assert found.code == "host-key-changed"
    assert found.data == {
        "host": "[Spark-A]:2222",
        "type": OTHER.get_name(),
        "fingerprint": fingerprint(OTHER),
        "recorded": fingerprint(KEY),
        "file": str(known),
        "line": 2,
    }
    for part in (fingerprint(KEY), f"{known}:2", fingerprint(OTHER)):
        assert part in found.message
    assert f"`ssh-keygen -f '{known}' -R '[Spark-A]:2222'`" in (found.hint or "")


def test_a_revoked_key_is_fatal_even_beside_a_good_line(known: Path) -> None:
    known.write_text(f"spark-a {text(KEY)}\n@revoked * {text(KEY)}\n")
    found = refused(target(known), KEY)
    assert (found.code, found.data["line"]) == ("host-key-revoked", 2)
    known.write_text(f"spark-a {text(KEY)}\n@revoked * {text(OTHER)}\n")
    check("n", target(known), KEY)


def test_an_authority_does_not_make_a_host_known_but_is_named(known: Path) -> None:
    known.write_text(f"@cert-authority * {text(KEY)}\n")
    found = refused(target(known), KEY)
    assert (found.code, found.data["authority"]) == ("host-key-unknown", f"{known}:1")
    assert f"{known}:1" in (found.hint or "")
    assert known_types(target(known)) == set()


def test_new_keys_are_recorded_hashed_where_ssh_would(known: Path) -> None:
    settings = Ssh(known_hosts=str(known), host_keys="accept-new", port=2222)
    hashing = make_target("spark-a", {"hashknownhosts": ["yes"]}, settings)
    check("n", hashing, KEY)
    assert known.read_text().startswith("|1|")
    check("n", target(known, 2222), KEY)
    assert refused(hashing, OTHER).code == "host-key-changed"
    assert len(known.read_text().splitlines()) == 1


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    settings = Ssh(known_hosts=str(tmp_path), host_keys="accept-new")
    found = refused(make_target("spark-a", {}, settings), KEY)
    assert (found.code, found.data["file"]) == ("host-key-not-recorded", str(tmp_path))
