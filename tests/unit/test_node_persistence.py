"""Network files of a node, as each program writes them, read as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sparkctl.node import persistence
from sparkctl.node.persistence import named, sets_addresses

if TYPE_CHECKING:
    from pathlib import Path

HERE = {"enp1s0f0np0": "4c:bb:47:00:01:00", "enP7s7": "4c:bb:47:00:01:09"}
NETPLAN = """\
network:
  version: 2
  ethernets:
    enp1s0f0np0:
      # addresses: [10.9.9.9/24]
      addresses: [192.168.100.11/24, "fe80::1/64"]
      mtu: 9000
"""
LINK_LOCAL = """\
network:
  ethernets:
    enp1s0f0np0:
      link-local: [ ipv4 ]
"""
KEYFILE = """\
[connection]
id=fabric
[ethernet]
mac-address=4C:BB:47:00:01:00
[ipv4]
address1=192.168.100.11/24
method=manual
[ipv6]
method=auto
"""
KEYFILE_DHCP = "[connection]\ninterface-name=enP7s7\n[ipv4]\nmethod=auto\n[ipv6]\nmethod=disabled\n"
NETWORKD = "[Match]\nName=enp1s0f0np0\n[Network]\n;Address=10.9.9.9/24\nAddress=192.168.100.11/24\n"
SERVICE = "[Service]\nExecStart=/sbin/ip address add 192.168.100.11/24 dev enp1s0f0np0\n"
RAY = """\
[Service]
Environment=VLLM_HOST_IP=192.168.100.11 \\
  NCCL_SOCKET_IFNAME=enp1s0f0np0
Environment=GLOO_SOCKET_IFNAME=enp1s0f0np0
ExecStart=/opt/ray start --node-ip-address=192.168.100.11
"""
IFUPDOWN = "auto enP7s7\niface enP7s7 inet dhcp\n"
FABRIC, MANAGEMENT = ["enp1s0f0np0"], ["enP7s7"]


@pytest.mark.parametrize(
    ("text", "addresses", "interfaces", "automatic"),
    [
        (NETPLAN, ["192.168.100.11"], FABRIC, set()),
        (LINK_LOCAL, [], FABRIC, {"link_local"}),
        (LINK_LOCAL.replace("ipv4", "ipv6"), [], FABRIC, set()),
        (LINK_LOCAL.replace("link-local: [ ipv4 ]", "dhcp4: true"), [], FABRIC, {"dhcp"}),
        (LINK_LOCAL.replace("link-local: [ ipv4 ]", "dhcp4: no"), [], FABRIC, set()),
        (KEYFILE, ["192.168.100.11"], FABRIC, set()),
        (KEYFILE_DHCP, [], MANAGEMENT, {"dhcp"}),
        (KEYFILE_DHCP.replace("auto", "link-local"), [], MANAGEMENT, {"link_local"}),
        (NETWORKD, ["192.168.100.11"], FABRIC, set()),
        (NETWORKD + "DHCP=ipv4\n", ["192.168.100.11"], FABRIC, {"dhcp"}),
        (SERVICE, ["192.168.100.11"], FABRIC, set()),
        (RAY, ["192.168.100.11"], [], set()),  # what its variables name is given elsewhere
        (IFUPDOWN, [], MANAGEMENT, {"dhcp"}),
        ("psk=enp1s0f0np01 1.2.3.4.5\n", [], [], set()),
    ],
)
def test_what_a_network_file_names(
    text: str, addresses: list[str], interfaces: list[str], automatic: set[str]
) -> None:
    assert named(text, HERE) == {
        "addresses": addresses,
        "interfaces": interfaces,
        "dhcp": "dhcp" in automatic,
        "link_local": "link_local" in automatic,
    }


def test_only_names_are_taken_from_network_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, netplan = tmp_path / "net", tmp_path / "netplan"
    for name, mac in HERE.items():
        (net / name).mkdir(parents=True)
        (net / name / "address").write_text(mac + "\n")
    netplan.mkdir()
    (netplan / "60-fabric.yaml").write_text(NETPLAN)
    (netplan / "90-wifi.yaml").write_text("wifis: {wlP9s9: {password: s3cret}}\n")
    (netplan / "broken.yaml").symlink_to("nowhere")
    (netplan / "loop.yaml").symlink_to("loop.yaml")  # not even root may read it
    monkeypatch.setattr(persistence, "NET", net)
    monkeypatch.setattr(persistence, "FILES", ((str(netplan), "*.yaml"), ("/nowhere", "*")))
    monkeypatch.setattr(persistence, "SCRIPTS", ())
    assert persistence.persistence() == {
        "files": [
            {
                "path": str(netplan / "60-fabric.yaml"),
                "addresses": ["192.168.100.11"],
                "interfaces": FABRIC,
                "dhcp": False,
                "link_local": False,
                "sets": False,
            }
        ],
        "unread": [str(netplan / "loop.yaml")],
    }


@pytest.mark.parametrize(
    "line",
    [
        "ip addr add $ADDRESS dev $DEVICE",
        "/sbin/ip -4 address replace $ADDRESS/24 dev $DEVICE",
        "ip a add $ADDRESS dev $DEVICE",
        "subprocess.run(['ip', 'addr', 'add', address, 'dev', device])",
        "ifconfig $DEVICE 10.0.0.1 netmask 255.255.255.0".replace("$DEVICE", "eth9"),
        "nmcli connection modify fabric ipv4.addresses $ADDRESS",
        "exec dhclient $DEVICE",
    ],
)
def test_a_script_that_sets_addresses_is_seen(line: str) -> None:
    assert sets_addresses(f"#!/bin/sh\n{line}\n")
    assert not sets_addresses(f"#!/bin/sh\n# {line}\n")


@pytest.mark.parametrize(
    "line", ["ip link set $DEVICE up mtu 9000", "ip address show", "ip route add default via $GW"]
)
def test_other_uses_of_ip_set_no_address(line: str) -> None:
    assert not sets_addresses(line)


def test_a_units_script_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units, bin_ = tmp_path / "units", tmp_path / "bin"
    units.mkdir()
    bin_.mkdir()
    script, program = bin_ / "fabric-up", bin_ / "program"
    script.write_text("#!/bin/sh\nip addr add $1 dev $2\n")
    program.write_bytes(b"\x7fELF ip addr add")
    text = f"[Service]\nExecStart=-{script} $A $B\nExecStart={program}\n"
    (units / "fabric.service").write_text(text)
    monkeypatch.setattr(persistence, "NET", tmp_path)
    monkeypatch.setattr(persistence, "FILES", ())
    monkeypatch.setattr(persistence, "SCRIPTS", ((str(units), "*.service"),))
    monkeypatch.setattr(persistence, "CALLED", r"(?<![\w.}/])/[\w./-]+")
    nothing_else = {"addresses": [], "interfaces": [], "dhcp": False, "link_local": False}
    found = {"path": str(script), **nothing_else, "sets": True}
    assert persistence.persistence() == {"files": [found], "unread": []}


def test_the_paths_of_a_units_commands() -> None:
    text = "ExecStart=-/usr/local/sbin/up $HOME/usr/x\nExecStartPre=/bin/sh /opt/a/b.sh /home/u/c\n"
    found = re.findall(persistence.CALLED, text)
    assert found == ["/usr/local/sbin/up", "/bin/sh", "/opt/a/b.sh"]
