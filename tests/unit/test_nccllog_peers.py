"""Ranks compared: mixed transports, halves of a port, several communicators and files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.nccllogs import (
    CASES,
    CONNECTED,
    IB,
    ON_IB,
    SOCKET,
    USING,
    VIA_IB,
    VIA_SOCKET,
    Warn,
    pair,
    process,
    read,
)

if TYPE_CHECKING:
    from sparkctl.fabric.nccllog.model import RankVerdict


def test_mixed_transports_come_with_what_keeps_the_one_from_rdma() -> None:
    verdict = read({"a": process(*IB, rank=0), "b": process(*SOCKET, rank=1)})
    assert [(f.cause, f.severity, f.ranks) for f in verdict.findings] == [
        ("mixed-transports", "FAIL", ("spark-1:100", "spark-2:101")),
        ("no-device", "FAIL", ("spark-2:101",)),
    ]
    assert verdict.findings[0].data == {"rdma": ["spark-1:100"], "socket": ["spark-2:101"]}
    assert [r.cause for r in verdict.ranks] == ["mixed-transports", "no-device"]


def test_of_many_ranks_each_shows_a_line() -> None:
    files = {f"{n}": process(*(SOCKET if n == 9 else IB), rank=n, size=10) for n in range(10)}
    finding = read(files).findings[0]
    assert finding.cause == "mixed-transports"
    assert {evidence.file for evidence in finding.evidence} == set(files)


def test_the_same_when_the_socket_reports_it() -> None:
    wrong = Warn("socketFinalizeAccept: wrong type 4 != 3", "misc/socket.cc:446")
    verdict = read({"a": process(*IB, rank=0), "b": process(*SOCKET, wrong, rank=1)})
    assert verdict.transport == "failed"
    assert [f.cause for f in verdict.findings] == ["mixed-transports", "no-device"]
    assert [r.cause for r in verdict.ranks] == ["mixed-transports", "mixed-transports"]


def test_what_only_the_socket_reports_shows_nothing_of_ranks_that_are_alike() -> None:
    wrong = Warn("socketFinalizeAccept: wrong type 4 != 3", "misc/socket.cc:446")
    (finding,) = read({"a": process(*IB, wrong)}).findings
    assert finding.cause == "mixed-transports"
    assert finding.data == {}


GLOO = "RuntimeError: [enforce fail at device.cc:168] rv != -1. Unable to find address for: eth0"


def test_gloo_without_an_interface_is_a_failure_with_its_line() -> None:
    verdict = read({"a": f"INFO starting\n(RayWorkerProc pid=9) {GLOO}\n"})
    assert (verdict.transport, verdict.cause, verdict.failed) == ("failed", "ifname-no-match", True)
    assert verdict.findings[0].code == "gloo-no-address"
    assert verdict.findings[0].data == {"interfaces": ["eth0"]}
    assert [(e.line, e.text) for e in verdict.findings[0].evidence] == [
        (2, "Unable to find address for: eth0")
    ]
    verdict = read({"a": f"{process(*IB)}{GLOO}\n{GLOO}\n"})
    assert (verdict.transport, verdict.cause) == ("failed", "ifname-no-match")
    assert [f.code for f in verdict.findings] == ["gloo-no-address"]


@pytest.mark.parametrize(
    ("printed", "name", "shown"),
    [
        ('"eth0"', '"eth0"', "('\"eth0\"')"),
        (" eth0", " eth0", "(' eth0')"),
        ('" eth0,eth1"', '" eth0,eth1"', "('\" eth0,eth1\"')"),
        ("eth0')", "eth0", "(eth0)"),
        ("eth0;eth1", "eth0;eth1", "('eth0;eth1')"),
    ],
)
def test_quotes_and_spaces_in_gloos_name_are_visible(printed: str, name: str, shown: str) -> None:
    (found,) = read({"a": f"rv != -1. Unable to find address for: {printed}\n"}).findings
    assert (found.cause, found.data) == ("ifname-no-match", {"interfaces": [name]})
    assert found.summary.endswith(shown)


def test_different_communicators_may_differ() -> None:
    other = process(*SOCKET, rank=1).replace("commId 0x1a2b3c", "commId 0xdead")
    verdict = read({"a": process(*IB, rank=0), "b": other})
    assert [f.cause for f in verdict.findings] == ["no-device"]
    assert verdict.ranks[0].cause is None


def test_a_rank_that_lost_its_peer_does_not_hide_the_cause() -> None:
    lost = Warn("socketProgress: Connection closed by remote peer 1.2.3.4<5>", "misc/socket.cc:39")
    memory = Warn("Call to ibv_reg_mr_iova2 failed with error Cannot allocate memory")
    verdict = read(
        {
            "a": process(*IB, lost, "init.cc:421 -> 6", rank=0),
            "b": process(*IB, memory, "init.cc:421 -> 2", rank=1),
        }
    )
    assert (verdict.transport, verdict.cause) == ("failed", "memory-registration")
    assert [f.cause for f in verdict.findings] == ["memory-registration"]
    assert [r.cause for r in verdict.ranks] == ["unknown", "memory-registration"]


def test_what_never_joined_a_communicator_does_not_hide_the_ranks() -> None:
    files = pair(*IB)
    files["api"] = "spark-1:7:7 [0] NCCL INFO ENV/Plugin: Could not find: libnccl-env.so\n"
    verdict = read(files)
    assert (verdict.transport, verdict.cause, verdict.findings) == ("rdma", None, ())
    assert [(r.pid, r.transport) for r in verdict.ranks] == [
        (100, "rdma"),
        (101, "rdma"),
        (7, "unknown"),
    ]


def test_a_rank_that_is_still_starting_leaves_the_whole_unknown() -> None:
    verdict = read({"a": process(*IB, rank=0), "b": process(rank=1)})
    assert (verdict.transport, verdict.cause) == ("unknown", "unknown")
    assert [f.severity for f in verdict.findings] == ["UNKNOWN"]


def test_the_worst_of_several_communicators_wins() -> None:
    local = "Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM"
    assert read(pair(local, *IB)).transport == "rdma"
    assert read(pair(*IB, "Using network Socket", *VIA_SOCKET)).transport == "socket"
    assert read(pair(*IB, *IB, *IB)).findings == ()


def test_the_largest_communicator_names_the_rank() -> None:
    text = process("comm 0x1 rank 1 nranks 4 cudaDev 0 busId 60 - Init COMPLETE", *IB)
    text += process(rank=0, size=1)
    assert [rank.rank for rank in read({"a": text}).ranks] == [1]


def test_one_process_in_several_files_is_one_rank() -> None:
    lines = process(*IB).splitlines(keepends=True)
    whole = read({"a": "".join(lines)})
    parts = read({"a": "".join(lines[:5]), "b": "".join(lines[5:])})
    assert len(parts.ranks) == 1
    assert parts.ranks[0].channels == whole.ranks[0].channels
    assert (parts.transport, parts.cause) == ("rdma", None)


# Which devices carry channels.


def first(*messages: str | Warn) -> RankVerdict:
    return read({"a": process(*messages)}).ranks[0]


def test_every_opened_device_is_counted_and_an_idle_one_has_0() -> None:
    assert first(USING, *ON_IB, VIA_IB[0]).channels == {"rocep1s0f0": 1, "roceP2p1s0f0": 0}


@pytest.mark.parametrize(
    "using",
    [
        ("NET/IB : Using [0]mlx5_0+mlx5_1:1/RoCE [RO]; OOB e:1.2.3.4<0>",),
        ("NET/IB : Using [0]={[0] mlx5_0:1/RoCE, [1] mlx5_1:1/RoCE} [RO]; OOB e:1.2.3.4<0>",),
        (
            "NET/IB : Made virtual device [0] name=mlx5_0+mlx5_1 speed=400000 ndevs=2",
            "NET/IB : Using [1]mlx5_0:1/RoCE [2]mlx5_1:1/RoCE [RO]; OOB e:1.2.3.4<0>",
        ),
    ],
)
def test_a_merged_device_carries_over_its_members(using: tuple[str, ...]) -> None:
    rank = first(*using, *ON_IB, VIA_IB[0], CONNECTED)
    assert rank.devices == ("mlx5_0", "mlx5_1")
    assert rank.channels == {"mlx5_0": 1, "mlx5_1": 1}
    assert rank.cause is None


def test_two_ports_of_a_device_are_two() -> None:
    rank = first("NET/IB : Using [0]mlx4_0:1/IB [1]mlx4_0:2/IB ; OOB e:1.2.3.4<0>", *ON_IB, *VIA_IB)
    assert rank.channels == {"mlx4_0": 2, "mlx4_0:2": 2}


def test_a_device_whose_name_is_not_shown_accuses_no_half() -> None:
    rank = first(USING, *ON_IB, "Channel 00/0 : 1[0] -> 0[0] [receive] via NET/IB/2")
    assert rank.channels == {"rocep1s0f0": 0, "roceP2p1s0f0": 0, "IB/2": 1}
    assert rank.cause is None


FOUR = ("rocep1s0f0", "rocep1s0f1", "roceP2p1s0f0", "roceP2p1s0f1")


@pytest.mark.parametrize(
    ("names", "used", "idle"),
    [
        (FOUR, (0, 2), None),  # both halves of cage 0: the other cage may be unused
        (FOUR, (0, 1, 2, 3), None),
        (FOUR, (0,), "roceP2p1s0f0"),
        (FOUR, (0, 1, 2), "roceP2p1s0f1"),
        (("mlx5_0", "mlx5_1"), (0,), "mlx5_1"),
        (("mlx5_0", "mlx5_1", "mlx5_2", "mlx5_3"), (0, 2), None),  # which are one port's?
    ],
)
def test_of_two_ports_each_is_judged_by_itself(
    names: tuple[str, ...], used: tuple[int, ...], idle: str | None
) -> None:
    opened = " ".join(f"[{n}]{name}:1/RoCE" for n, name in enumerate(names))
    channels = [f"Channel 00/0 : 1[0] -> 0[0] [receive] via NET/IB/{n}" for n in used]
    using = f"NET/IB : Using {opened} [RO]; OOB enp1s0f0np0:1.2.3.4<0>"
    verdict = read(pair(using, *ON_IB, *channels, CONNECTED))
    assert verdict.transport == "rdma"
    assert verdict.cause == ("one-half-only" if idle else None)
    assert [f.data["idle"] for f in verdict.findings] == ([[idle]] if idle else [])


def test_halves_that_are_distinguished_by_name() -> None:
    verdict = read(CASES["one-half-only, by the name"][0])
    assert verdict.findings[0].data == {"used": ["rocep1s0f1"], "idle": ["roceP2p1s0f1"]}
    assert {c.cause for c in verdict.findings[0].candidates} == {"hca-filter", "port-down"}


def test_only_the_rank_with_one_half_is_named() -> None:
    verdict = read(CASES["one-half-only, by the peer"][0])
    assert verdict.findings[0].ranks == ("spark-2:101",)
    assert [r.cause for r in verdict.ranks] == [None, "one-half-only"]


ONE = "NET/IB : Using [0]mlx5_0:1/RoCE [RO]; OOB e:1.2.3.4<0>"


def test_one_device_whose_name_shows_no_half_is_unsure() -> None:
    verdict = read(pair(ONE, *ON_IB, VIA_IB[0], CONNECTED))
    assert (verdict.transport, verdict.cause, verdict.failed) == ("rdma", None, False)
    assert [r.cause for r in verdict.ranks] == [None, None]
    (finding,) = verdict.findings
    assert (finding.cause, finding.code, finding.severity) == (
        "one-half-only",
        "one-device",
        "INFO",
    )
    assert finding.data == {"used": ["mlx5_0"], "idle": []}
    assert {c.cause for c in finding.candidates} == {"hca-filter", "port-down"}


def test_one_device_on_one_host_is_no_matter_of_halves() -> None:
    alone = process(ONE, *ON_IB, VIA_IB[0]).replace("nNodes 2", "nNodes 1")
    assert read({"a": alone}).findings == ()


def test_folded_channel_lines_prove_no_idle_half() -> None:
    folded = VIA_IB[0] + " [repeated 7x across cluster]"
    verdict = read(pair(USING, *ON_IB, folded))
    assert (verdict.transport, verdict.cause, verdict.failed) == ("rdma", None, False)
    (finding,) = verdict.findings
    assert (finding.cause, finding.severity) == ("one-half-only", "INFO")
    assert [c.cause for c in finding.candidates] == ["folded-by-ray"]
