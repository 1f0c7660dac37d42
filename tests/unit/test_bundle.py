"""A support bundle has no secret and no name of a person or a host, wherever they were planted."""

from __future__ import annotations

import json
import re
import socket
import zipfile
from getpass import getuser
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl import kept
from sparkctl.doctor import forecast as forecasts
from sparkctl.doctor.masking import masking
from sparkctl.errors import ConnectError
from sparkctl.facts.answers import JournalEntry
from sparkctl.inventory.layers import parse_layer
from sparkctl.operations.logs.kept import keep
from sparkctl.operations.status import status
from sparkctl.operations.support.excerpt import Excerpt, excerpt
from sparkctl.operations.support.nodes import NodeSide
from sparkctl.output.bundle.contents import Gathered, write_bundle
from sparkctl.output.bundle.seal import Seal
from sparkctl.secret.text import SUSPECT, secretless
from tests.unit.answers import all_facts
from tests.unit.doctorview import INVENTORY, Answers, examined, healthy
from tests.unit.test_doctor_collect import ONE, TWO, Asked
from tests.unit.test_masking import FORMS, MARK, QUOTED, WORD

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "Pw-Of-Theirs-Zq7"
FREE = "Pw-Nobody-Knows"  # of no inventory
TOKEN = "hf_Zq7abc0123456789"
KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\nMII{MARK}\n{MARK}\n-----END OPENSSH PRIVATE KEY-----"
LOG = f"""\
HF_TOKEN={TOKEN} vllm serve
Authorization: Bearer {FREE}
curl https://bob:{FREE}@example.org/ -H 'X-Api-Key: {FREE}'
argv: [
  "--api-key",
  "{FREE}",
  "--port", "8000"
]
 tokens: {{
  "a": "{FREE}"
}}
plain {SECRET}-of-the-inventory in no form
the key is sk-{MARK}123456789 and
(rank 1) {KEY}
\x1b[31m/home/anna/x by bob on alices-laptop at dgx-a1.corp.example.com DGX-A1 8.8.8.8\x1b[0m
10%\r20% HF_TOKEN={FREE}\r30%
serving tokens: 12
"""
NAMES = (FREE, "bob", "anna", "alice", "dgx-a1", "corp.example", "4711", "5822", "8.8.8.8")
PLANTED = INVENTORY.replace("10.77.0.11", "dgx-a1.corp.example.com, ssh: {user: anna}").replace(
    "gpu-memory-utilization: 0.2",
    f"gpu-memory-utilization: 0.2, api-key: {SECRET}, hf-overrides: {{token: {SECRET}}}",
) + (
    "env:\n  layers: [x.env]\n  set:"
    f" {{DB_PASS: {SECRET}-of-the-inventory, HTTP_PROXY: 'http://bob:{SECRET}@proxy'}}\n"
)
LAYER = f"AUTH_BEARER={SECRET}\nNCCL_DEBUG=INFO\n"
STAYS = {
    "GUIDs": "4cbb:4703:0000:0100",
    "MAC addresses": "02:00:5e:10:00:01",
    "boot id": "0b0075a1-0000",
    "kernel's command line": "BOOT=x api_token=****",
}
RECORD = {
    "schema": 2,
    "id": "a",
    "cluster": "lab",
    "by": {"who": "alice@alices-laptop (pid 1)", "when": "now"},
    "nodes": {},
    "units": {"a/0/vllm/spark-1": {"boot_id": "0b0075a1-0000"}},
    "older": {
        "ray": {
            "salt": "abc",
            "digest": "d",
            "run": "r",
            "argv": [f"sha256:{MARK}"],
            "env": {"MY_PIN_TOKEN": FREE},
        }
    },
}


def planted() -> Answers:
    """The healthy pair with names and secrets in its answers."""
    answers = healthy(PLANTED)
    answers.layers = [parse_layer("x.env", LAYER)]
    for name in (ONE, TWO):
        facts = answers.facts[name]
        facts |= {"people": ["bob", "anna"], "user": "anna", "home": "/srv/people/4711"}
        facts["os"] = f"Ubuntu, {SECRET}-of-the-inventory"
        facts["state"]["files"]["applied.json"] = json.dumps(RECORD)
        facts["system"]["cmdline"] = f"BOOT=x api_token={FREE} mac=02:00:5e:10:00:01"
    answers.facts[ONE]["hostname"] = "dgx-a1"
    return answers


def gathered(answers: Answers, folder: Path, **changes: Any) -> Gathered:
    """What a bundle of these answers is made of; the inventory is in `folder`."""
    session = Asked(answers)
    session.base = folder
    (folder / "x.env").write_text(LAYER)
    session.facts = all_facts(answers.facts)
    snapshot = answers.snapshot()
    entry = JournalEntry(
        id="c1", owner="fix", undo="u", title="by bob", when="/srv/people/4711", done=True
    )
    side = NodeSide(
        logs={f"vllm/0/ray/{ONE}": Excerpt(LOG), f"bob/0/vllm/{ONE}": Excerpt(LOG, LOG, 5)},
        paths={f"vllm/0/ray/{ONE}": "/srv/people/4711/.sparkctl/lab/logs/r/ray.log"},
        journal=[entry],
        errors={"root's journal": "bob may not"},
    )
    made: dict[str, Any] = {"sides": {ONE: side}, "left_out": {"x": "of bob"}, **changes}
    return Gathered(
        snapshot=snapshot,
        findings=examined(snapshot),
        undecided={},
        status=None if answers.errors else status(session),
        forecast=None if answers.errors else forecasts.forecast(session),
        **made,
    )


def unzipped(path: Path) -> dict[str, str]:
    """The files by name, without the folder."""
    with zipfile.ZipFile(path) as inner:
        assert inner.testzip() is None
        folders = {name.partition("/")[0] for name in inner.namelist()}
        assert len(folders) == 1
        return {n.partition("/")[2]: inner.read(n).decode() for n in inner.namelist()}


KEPT = f"lab-20260102-000000-00ab.{TWO}.vllm.log"


@pytest.fixture
def run_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's log on this machine."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", "/srv/laptops/5822")
    kept.folder().mkdir(parents=True)
    path = kept.folder() / "20260101-000000-7-ab.run.log"
    path.write_text(f"{LOG} /srv/laptops/5822 {socket.gethostname()} {getuser()}")
    (kept.folder() / "20260101-000001-8-ab.run.log").symlink_to("/etc/passwd")
    for run in ("20260101-000000-00ab", "20260102-000000-00ab"):
        keep("lab", run, TWO, "vllm", [*LOG.splitlines(), run])
        keep("lab-2", run, TWO, "vllm", ["of another cluster"])
    keep("lab", run, "spark-9", "vllm", ["of another inventory"])
    (kept.folder() / KEPT.replace(TWO, ONE)).symlink_to("/etc/passwd")
    for pid in (7, 9):
        (kept.folder() / f"20260101-000002-{pid}.traceback").write_text(f"bug of {pid}")
    return path


def test_nothing_that_was_planted_is_in_the_bytes(run_log: Path, tmp_path: Path) -> None:
    path, found = tmp_path / "b.zip", gathered(planted(), run_log.parent)
    write_bundle(path, found, 1e9)
    assert path.stat().st_mode & 0o777 == 0o600
    files = unzipped(path)
    assert {*files} >= {
        "README.txt",
        "doctor.html",
        "doctor.json",
        "plan.txt",
        "plan.json",
        "status.json",
        "inventory.json",
        f"facts/{ONE}.json",
        f"facts/{TWO}.json",
        f"journal/{ONE}.json",
        f"logs/{ONE}/vllm-0-ray.log",
        f"logs/{ONE}/user-0-vllm.log",
        "controller/versions.json",
        "controller/20260101-000000-7-ab.run.log",
        f"logs/{TWO}/{KEPT}",
    }
    kept_here = [n.rpartition("/")[2] for n in files if n.endswith(".vllm.log")]
    assert kept_here == [KEPT, KEPT.replace("0102", "0101")], "the newest first, of this cluster"
    assert "/home/user/x by user" in files[f"logs/{TWO}/{KEPT}"]
    identity = files[f"facts/{ONE}.json"] + files[f"journal/{ONE}.json"]
    for what, value in STAYS.items():
        assert value in identity
        assert what in " ".join(files["README.txt"].split()), "what identifies a machine is named"
    assert "logs/NODE/CLUSTER-RUN.NODE.KIND.log" in files["README.txt"]
    assert KEPT.replace(TWO, ONE) in files["README.txt"], "a link is not followed"
    for name, text in files.items():
        whole = f"{name}\n{text}".lower()
        planted_there = [w for w in (SECRET, MARK, *NAMES) if w.lower() in whole]
        assert planted_there == [], name
        assert "\x1b" not in text
        if name.endswith(".json"):
            json.loads(text)
    log = files[f"logs/{ONE}/vllm-0-ray.log"]
    assert "vllm serve" in log
    assert '"--port", "8000"' in log
    assert "/home/user/x by user on host-of-another-machine at host-of-spark-1 host" in log
    assert "serving tokens: 12" in log
    assert "5 bytes are left out" in files[f"logs/{ONE}/user-0-vllm.log"]
    bugs = [text for name, text in files.items() if name.endswith(".traceback")]
    assert bugs == ["bug of 7"], "of 9 nobody knows which inventory it was about"
    assert '"host_keys": "strict"' in files["inventory.json"]
    assert '"NCCL_DEBUG": "INFO"' in files["inventory.json"]
    assert not {"salt", "digest"} & {
        *json.loads(files[f"journal/{ONE}.json"])["record"]["older"]["ray"]
    }
    assert "controller/20260101-000001-8-ab.run.log" in files["README.txt"], (
        "a link is not followed"
    )
    assert files["controller/20260101-000000-7-ab.run.log"].endswith(
        " /home/user host-of-controller root"
    )


def test_what_was_not_read_is_named_and_what_cannot_be_masked_is_left_out(
    run_log: Path, tmp_path: Path
) -> None:
    answers = planted()
    del answers.facts[TWO]
    answers.errors = {TWO: ConnectError("no route to bob", node=TWO, code="host-unreachable")}
    found = gathered(answers, run_log.parent, failed=answers.errors)
    write_bundle(tmp_path / "a.zip", found, 1e9)
    files = unzipped(tmp_path / "a.zip")
    assert f"  {TWO}: not read (host-unreachable)\n      no route to user" in files["README.txt"]
    assert "facts/spark-2.json" not in files

    answers = planted()
    del answers.facts[ONE]["people"]
    answers.facts[ONE]["unread"] = {"people": {"reason": "a directory hangs", "kind": "timeout"}}
    write_bundle(tmp_path / "b.zip", found := gathered(answers, run_log.parent), 1e9)
    files = unzipped(tmp_path / "b.zip")
    assert f"logs/{TWO}/{KEPT}" in files
    assert not [n for n in files if ONE in n or n.startswith(("plan", "status"))]
    assert f"facts, journal and logs of {ONE}" in files["README.txt"]
    assert f"facts/{TWO}.json" in files


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 999))
def test_an_excerpt_has_whole_lines(begin: bytes, end: bytes, between: int) -> None:
    found = excerpt(begin, end, len(begin) + len(end) + between)
    if end:
        assert found.begin == "" or found.begin.endswith("\n")
        assert found.end == "" or end.decode(errors="replace").endswith(found.end)
        assert found.left_out >= between
    else:
        assert found == Excerpt(begin.decode(errors="replace"))


@pytest.mark.parametrize("form", FORMS + QUOTED)
@given(secret=WORD)
def test_no_form_tells_a_secret_in_a_log(form: str, secret: str) -> None:
    line = form.format(*[secret] * form.count("{}"))
    assert SUSPECT.search(line), "such a line is looked at"
    assert MARK not in Seal(masking([], {})).text(f"before\n{line}\nafter {line}\n")


@given(st.text("abhfeyJskpwtokn_-=:/@. \"'0 8u", max_size=40))
def test_a_line_that_is_not_suspect_has_no_secret(text: str) -> None:
    assert SUSPECT.search(text) or secretless(text) == text


def test_a_hostile_log_is_bounded() -> None:
    seal = Seal(masking(["bob"], {}))
    assert len(seal.text("x" * 10**6)) < 100
    assert seal.text(f"end of a key\n-----END PRIVATE KEY-----\nbob {'a ' * 2000}").startswith(
        "****\nuser a a"
    )


@pytest.mark.parametrize(
    "text",
    [
        "token:\n\n   {}\nafter: 1\n",
        "api_key: |\n  {}\n  {}\nafter: 1\n",
        "secret: >-\n  {}\n  {}\nafter: 1\n",
        "secret: |2\n  {}\n  {}\nafter: 1\n",
        'token="""\n{}\n{}\n"""\nafter: 1\n',
        "api_key=['a',\n '{}', '{}']\nafter: 1\n",
        "serve --api-key \\\n  {}\nafter: 1\n",
        '"hf_token": [\n"x",\n"{}"\n]\nafter: 1\n',
    ],
)
def test_a_value_on_the_next_lines_is_hidden(text: str) -> None:
    shown = Seal(masking([], {})).text(text.replace("{}", FREE))
    assert FREE not in shown
    assert "after: 1" in shown


AROUND = st.text("ab1 /.-_@:=~\n'\"\\u8-{[,", max_size=12)
HIDDEN = Seal(masking(["zoe"], {ONE: ["zed.corp.example.com"]}, ["/srv/zip"]))
FOUND = re.compile(r"(?i)(?<![a-z0-9])(?:zoe|zed|corp\.example\.com|/srv/zip)(?![a-z0-9])")


@given(AROUND, st.sampled_from(["zoe", "ZED", "zed.corp.example.com", "/srv/zip"]), AROUND)
def test_no_surrounding_shows_a_name(before: str, name: str, after: str) -> None:
    assert not FOUND.search(HIDDEN.text(f"{before}{name}{after}"))
    assert not FOUND.search(json.dumps(HIDDEN.value({f"{before}{name}": [f"{name}{after}"]})))
