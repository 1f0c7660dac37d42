"""Transport and cause from real and synthetic logs: every cause, and every trap of the log."""

from __future__ import annotations

import json
import re
from typing import get_args

import pytest

from sparkctl.fabric.nccllog.advice import ADVICE
from sparkctl.fabric.nccllog.advice import NO_DEVICE as NO_DEVICE_CANDIDATES
from sparkctl.fabric.nccllog.hca import mistakes
from sparkctl.fabric.nccllog.model import Cause, Finding
from tests.unit.nccllogs import (
    CASES,
    HEALTHY,
    LINK_LOCAL,
    MODIFY,
    NO_DEVICE,
    ON_IB,
    ON_SOCKET,
    USING,
    USING_NONE,
    V4,
    VIA_IB,
    VIA_SOCKET,
    Warn,
    pair,
    process,
    read,
    real,
)


def only_finding(name: str) -> Finding:
    (found,) = read(CASES[name][0]).findings
    return found


@pytest.mark.parametrize("name", list(CASES))
def test_transport_and_cause(name: str) -> None:
    files, transport, cause = CASES[name]
    verdict = read(files)
    assert (verdict.transport, verdict.cause) == (transport, cause)


def test_every_cause_has_a_log_and_an_advice() -> None:
    assert {cause for _, _, cause in CASES.values()} - {None} == set(get_args(Cause))
    assert set(ADVICE) == set(get_args(Cause))


@pytest.mark.parametrize("name", list(CASES))
def test_a_codes_data_and_text_are_in_the_document(name: str) -> None:
    verdict = read(CASES[name][0])
    document = json.loads(json.dumps(verdict.document()))
    assert [(f["code"], f["data"]) for f in document["findings"]] == [
        (f.code, f.data) for f in verdict.findings
    ]
    for finding in document["findings"]:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", finding["code"])
        assert all(set(line) == {"file", "line", "text"} for line in finding["evidence"])


@pytest.mark.parametrize("name", list(CASES))
def test_evidence_is_what_stands_at_that_line(name: str) -> None:
    files = CASES[name][0]
    verdict = read(files)
    lines = [e for rank in verdict.ranks for e in rank.evidence]
    lines += [e for finding in verdict.findings for e in finding.evidence]
    for evidence in lines:
        assert evidence.text in files[evidence.file].splitlines()[evidence.line - 1]
        assert evidence.text.endswith(evidence.message)
    for finding in verdict.findings:
        assert finding.evidence or finding.cause == "unknown"
        assert finding.fix.text


@pytest.mark.parametrize("name", [n for n, (_, _, cause) in CASES.items() if cause is None])
def test_all_well_has_no_finding(name: str) -> None:
    verdict = read(CASES[name][0])
    assert verdict.findings == ()
    assert not verdict.failed
    assert [rank.cause for rank in verdict.ranks] == [None, None]


@pytest.mark.parametrize(
    "name", [n for n, case in CASES.items() if case[1] in ("socket", "failed")]
)
def test_socket_and_failed_are_failures(name: str) -> None:
    verdict = read(CASES[name][0])
    assert verdict.failed
    assert verdict.findings[0].severity == "FAIL"


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case[2] == "one-half-only"])
def test_half_of_the_bandwidth_is_a_warning(name: str) -> None:
    assert [f.severity for f in read(CASES[name][0]).findings] == ["WARN"]


def test_what_the_log_does_not_tell_is_unknown_and_not_ok() -> None:
    assert only_finding("no line of a network").severity == "UNKNOWN"
    nothing = read({"x.log": "no line of its\n"})
    assert (nothing.ranks, nothing.transport, nothing.cause) == ((), "unknown", "unknown")
    assert [(f.severity, f.code) for f in nothing.findings] == [("UNKNOWN", "no-nccl-lines")]


def test_who_the_ranks_are() -> None:
    first, second = read(HEALTHY).ranks
    assert (first.host, first.pid, first.rank, first.nccl) == ("spark-1", 100, 0, "2.28.9")
    assert (second.host, second.pid, second.rank) == ("spark-2", 101, 1)
    assert first.devices == ("rocep1s0f0", "roceP2p1s0f0")
    assert first.channels == {"rocep1s0f0": 2, "roceP2p1s0f0": 2}


def test_a_rank_that_failed_early_is_known_by_torch() -> None:
    first, second = read(CASES["real ifname-missing"][0]).ranks
    assert (first.rank, first.nccl, first.transport) == (0, "2.28.9", "failed")
    assert (second.rank, second.transport, second.cause) == (1, "unknown", "unknown")


def test_a_version_line_of_its_own_counts_for_the_file() -> None:
    text = process(USING, *ON_IB, *VIA_IB).replace(
        "spark-1:100:100 [0] NCCL INFO NCCL version 2.28.9", "NCCL version 2.20.5"
    )
    assert [r.nccl for r in read({"a": text}).ranks] == ["2.20.5"]


def test_a_using_line_without_a_device_opens_none() -> None:
    for rank in read(CASES["real socket-fallback"][0]).ranks:
        assert rank.devices == ()
        assert rank.transport == "socket"


def test_a_using_line_alone_proves_nothing() -> None:
    verdict = read(CASES["net-forced-socket 2.28.3"][0])
    assert verdict.transport == "socket"
    assert verdict.ranks[0].devices == ("rocep1s0f0", "roceP2p1s0f0")
    assert verdict.ranks[0].channels == {"eth0": 1}


def test_hidden_net_lines_leave_the_channels() -> None:
    verdict = read(pair("Using network IB", *VIA_IB, version="2.20.5"))
    assert (verdict.transport, verdict.cause) == ("rdma", None)
    assert verdict.ranks[0].devices == ()
    assert verdict.ranks[0].channels == {"IB/0": 2, "IB/1": 2}


def test_channels_count_more_than_the_networks_name() -> None:
    assert read(pair(USING, *ON_IB, *VIA_SOCKET)).transport == "socket"


# What cannot be told apart is named.


@pytest.mark.parametrize("keep", ["no INFO", "from the tenth line on"])
def test_what_a_log_does_not_show_is_not_taken_as_not_tried(keep: str) -> None:
    files = {}
    for name, text in real("net-ib-forced").items():
        lines = text.splitlines(keepends=True)
        seen = [x for x in lines if "NCCL INFO" not in x] if keep == "no INFO" else lines[9:]
        files[name] = "NCCL version 2.28.9+cuda13.0\n" + "".join(seen)
    verdict = read(files)
    assert verdict.cause == "net-ib-unavailable"
    assert "plugin-only" in {c.cause for f in verdict.findings for c in f.candidates}


def candidates(name: str) -> set[str]:
    return {c.cause for c in only_finding(name).candidates if c.decided_by}


def test_no_device_leaves_four_causes_open() -> None:
    four = {"uverbs-missing", "provider-missing", "port-down", "no-hardware"}
    assert candidates("real socket-fallback") == four
    assert candidates("real ib-hca-missing") == {"hca-filter-no-match", *four}
    assert candidates("real net-ib-forced") == four


def test_a_filter_that_can_match_nothing_leaves_none_open() -> None:
    finding = only_finding("hca-filter-no-match")
    assert finding.candidates == ()
    assert finding.data == {"NCCL_IB_HCA": ["enp1s0f0np0"], "mistakes": ["other-kind"]}


@pytest.mark.parametrize(
    ("value", "codes"),
    [
        ("enp1s0f0np0,enP2p1s0f0np0", ["other-kind", "other-kind"]),
        ("eth0", ["other-kind"]),
        (' rocep1s0f0,"roceP2p1s0f0"', ["quoted", "quoted"]),
        ("a;b,a:2", ["quoted", "wrong-port"]),
        ("^", ["nothing-selected"]),
    ],
)
def test_filters_that_select_nothing(value: str, codes: list[str]) -> None:
    assert [doubt.code for doubt in mistakes(value)] == codes


@pytest.mark.parametrize(
    "value", ["rocep1s0f0", "mlx5", "=mlx5_0:1", "rocep1s0f0, roceP2p1s0f0", "^mlx5_9", "a:1:0:0"]
)
def test_filters_that_may_select_something(value: str) -> None:
    assert mistakes(value) == []


def on_socket_with(value: str, version: str = "2.28.9") -> Finding:
    echo = f"NCCL_IB_HCA set to {value}"
    files = pair(echo, NO_DEVICE, USING_NONE, *ON_SOCKET, *VIA_SOCKET, version=version)
    (found,) = read(files).findings
    return found


@pytest.mark.parametrize(
    "value",
    ["", ",", "=", ":1", ":1,:2", "^enp1s0f0np0", "^eth0,enP2p1s0f0np0", '^"mlx5_0"', "^mlx5_0:2"],
)
def test_a_filter_that_leaves_nothing_out_is_none(value: str) -> None:
    found = on_socket_with(value)
    assert found.cause == "no-device"
    assert {c.cause for c in found.candidates} == {c.cause for c in NO_DEVICE_CANDIDATES}


@pytest.mark.parametrize("value", ["^", "^:1", "^,", "^=rocep1s0f0", "^enp1s0f0np0,rocep"])
def test_a_filter_that_leaves_something_out_is_one(value: str) -> None:
    assert on_socket_with(value).cause == "hca-filter-no-match"


def test_an_empty_port_is_port_0_until_the_grammar_changed() -> None:
    assert on_socket_with("rocep1s0f0:", "2.28.9").data["mistakes"] == ["wrong-port"]
    assert on_socket_with("rocep1s0f0:", "2.30.7").candidates


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("rocep", "no ACTIVE device begins with a name in the list"),
        ("=rocep", "no ACTIVE device has a name in the list"),
        ("^rocep", "every ACTIVE device begins with a name that the list excludes"),
        ("^=rocep", "every ACTIVE device has a name that the list excludes"),
    ],
)
def test_the_text_of_what_decides_fits_the_value(value: str, text: str) -> None:
    assert on_socket_with(value).candidates[0].decided_by.endswith(text)


def test_a_required_network_names_the_filter_that_prevents_it() -> None:
    failed = Warn("Failed to initialize any NET plugin", "plugin/net.cc:1")
    files = pair("NCCL_IB_HCA set to ^rocep", NO_DEVICE, failed)
    (found,) = read(files).findings
    assert found.data == {"because": ["hca-filter-no-match"], "NCCL_IB_HCA": ["^rocep"]}
    assert found.candidates[0].cause == "hca-filter-no-match"


def test_nccl_net_is_proved_only_where_ib_was_opened() -> None:
    assert candidates("net-forced-socket 2.28.3") == set()
    open_ones = candidates("net-forced-socket 2.28.9")
    assert open_ones == {"net-forced-socket", "net-forced-by-program", "plugin-only"}


def test_socket_without_a_reason_names_what_would_tell() -> None:
    assert "net-forced-socket" in candidates("socket and no reason")


def test_ib_disabled_without_env_lines_is_a_guess_and_says_so() -> None:
    files = pair("Failed to initialize NET plugin IB", *ON_SOCKET, *VIA_SOCKET)
    (finding,) = read(files).findings
    assert finding.cause == "ib-disabled"
    assert {c.cause for c in finding.candidates} == {"ib-disabled", "libibverbs-missing"}


@pytest.mark.parametrize("value", ["0.", "0"])
def test_ib_disable_0_disables_nothing(value: str) -> None:
    echo = f"NCCL_IB_DISABLE set by environment to {value}"
    assert read(pair(echo, USING, *ON_IB, *VIA_IB)).cause is None
    assert read(pair(echo, NO_DEVICE, *ON_SOCKET, *VIA_SOCKET)).cause == "no-device"


def test_memory_and_retries_leave_causes_open() -> None:
    assert candidates("memory-registration") == {"memlock-limit", "kho-kernel"}
    assert candidates("retry-exceeded") == {"mtu-mismatch", "loss", "peer-died"}


# Breaks.


def test_the_gids_are_data_and_in_the_summary() -> None:
    found = only_finding("gid-family-mismatch")
    assert found.data == {"local_gid": [LINK_LOCAL], "remote_gid": [V4]}
    assert f"(local GID {LINK_LOCAL}, remote GID {V4})" in found.summary


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("Connection timed out errno 110", "peer-timeout"),
        ("Invalid argument errno 22", "gid-family-mismatch"),
        ("No data available errno 61", "gid-empty-slot"),
        ("Network is unreachable errno 101", "no-route"),
        ("No route to host errno 113", "no-route"),
        ("Die Wartezeit ist abgelaufen errno 110", "peer-timeout"),
    ],
)
def test_the_number_after_the_words_counts(error: str, cause: str) -> None:
    files = pair(USING, *ON_IB, Warn(f"Call to ibv_modify_qp failed with error {error}"))
    assert read(files).cause == cause


def test_a_gid_ends_before_the_comma_of_a_retry() -> None:
    assert only_finding("peer-timeout, still retrying").data["remote_gid"] == [V4]


@pytest.mark.parametrize("gids", [("::", V4), (V4, "::")])
def test_an_empty_gid_at_either_end_is_an_empty_slot(gids: tuple[str, str]) -> None:
    files = pair(USING, *ON_IB, Warn(MODIFY.format("22 Invalid argument", 7, *gids)))
    assert read(files).cause == "gid-empty-slot"


def test_other_errnos_and_statuses_fail_without_a_known_cause() -> None:
    for text in (
        MODIFY.format("19 No such device", 3, V4, V4),
        "NET/IB: Got completion from peer 1.2.3.4<5> with status=4 opcode=0 len=0 vendor err 81",
    ):
        verdict = read(pair(USING, *ON_IB, Warn(text)))
        assert (verdict.transport, verdict.cause) == ("failed", "unknown")


def test_another_wrong_type_is_not_mixed_transports() -> None:
    files = pair(USING, *ON_IB, *VIA_IB, "socketFinalizeAccept: wrong type 2 != 1")
    assert read(files).cause is None


def test_a_device_that_was_denied_next_to_one_that_works_is_a_warning() -> None:
    files = pair(Warn("NET/IB : Unable to open device roceP2p1s0f0"), USING, *ON_IB, *VIA_IB)
    verdict = read(files)
    assert (verdict.transport, verdict.cause, verdict.failed) == (
        "rdma",
        "device-open-denied",
        False,
    )


def test_a_registration_that_nccl_does_without_is_a_warning() -> None:
    text = "Call to ibv_reg_mr_iova2 failed with error Cannot allocate memory"
    verdict = read(pair(USING, *ON_IB, *VIA_IB, text))
    assert (verdict.transport, verdict.cause, verdict.failed) == (
        "rdma",
        "memory-registration",
        False,
    )


def test_rdma_that_was_required_and_turned_off_is_no_plugins_doing() -> None:
    files = pair(
        "NCCL_IB_DISABLE set by environment to 1.",
        Warn("Failed to initialize any NET plugin", "plugin/net.cc:1"),
    )
    verdict = read(files)
    assert verdict.cause == "net-ib-unavailable"
    assert verdict.findings[0].data == {"because": ["ib-disabled"]}
