"""The page of a report as a browser reads it: whole, of its own, and nobody's text is markup."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from sparkctl.doctor.finding import Evidence, fail, ok, unknown, warn
from sparkctl.doctor.masking import Masking
from sparkctl.doctor.remedy import Remedy
from sparkctl.doctor.unreached import gathered
from sparkctl.errors import AuthError
from sparkctl.fabric.diagram import draw
from sparkctl.output.report.drawing import drawing
from sparkctl.output.report.page import page
from sparkctl.output.report.subnets import subnets
from sparkctl.output.report.verdict import verdict
from tests.unit.answers import all_facts
from tests.unit.doctorview import examined, healthy
from tests.unit.fabrics import port, ring, switched
from tests.unit.test_doctor_runner import faulty
from tests.unit.test_doctor_unreached import unreachable

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from tests.unit.doctorview import Answers

VOID = {"meta", "br"}
TWO = "spark-2"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "{{ 7*7 }}{% raw %}",
    "</title></svg></style><b>",
    "&lt;b&gt;",
    "`<b>x</b>`",
    "a\x00b\x1b[31m\u202ec",
)


class Parsed(HTMLParser):
    """A page's elements; it fails where they are not well nested."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all(self, tag: str, name: str = "") -> list[dict[str, str | None]]:
        """The attributes of the elements of this tag and class."""
        return [a for t, a in self.elements if t == tag and name in (a.get("class") or "")]


def parsed(answers: Answers, *more: Finding) -> Parsed:
    snapshot = answers.snapshot()
    findings = gathered([*examined(snapshot), *more])
    return Parsed(page(snapshot, findings, Masking()))


def several() -> Answers:
    """Eight nodes: one unreachable, one half down, one group unread."""
    answers = unreachable(switched(8), "spark-7")
    port(answers, "spark-3", "roceP2p1s0f0")["state"] = "DOWN"
    del answers.facts["spark-6"]["ib"]
    return answers


@pytest.mark.parametrize("answers", [healthy(), faulty(), several(), ring(3)])
def test_a_page_is_well_formed_and_needs_nothing_else(answers: Answers) -> None:
    found = parsed(answers)
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in found.elements:
        assert not {"style", "src"} & {*attributes}
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name) in (None, *ids)
        assert attributes.get("href", "#nodes") in {f"#{each}" for each in ids}
    assert not {"script", "link", "iframe", "img", "form"} & {tag for tag, _ in found.elements}
    assert not re.search(r"https?://|url\(|@import", str(found.elements) + str(found.texts))
    assert all("open" not in a for a in found.all("details"))
    sheet = b64encode(sha256("".join(found.texts["style"]).encode()).digest()).decode()
    (policy,) = (a["content"] for a in found.all("meta") if a.get("http-equiv"))
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{sheet}'; base-uri 'none'; form-action 'none'"
    )
    nodes = [n.name for n in answers.inventory.nodes]
    rows = [text for text in found.texts["text"] if text in nodes]
    assert rows == nodes, "the drawing has a row for each node"
    assert len(found.all("li", "card")) == len(nodes)


def test_failures_come_first_and_what_passed_is_folded() -> None:
    snapshot = faulty().snapshot()
    html = page(snapshot, examined(snapshot), Masking())
    places = [html.index(f'class="{name}') for name in ("FAIL", "WARN", "INFO", "OK")]
    assert places == sorted(places)
    assert html.index('class="WARN') < html.index("<details>") < html.index('class="INFO')


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_text(text: str) -> None:
    clean = parsed(healthy())
    answers = healthy()
    facts = answers.facts[TWO]
    facts["ib"][text] = facts["ib"].pop("rocep1s0f0")
    facts["net"][text] = facts["net"]["enp1s0f0np0"]
    facts["ib"][text]["netdevs"] = [text]
    facts["system"]["kernel"] = facts["os"] = text
    facts["gpu"]["gpus"][0]["name"] = text
    said = fail(text, Evidence(text, text, text), Remedy(text, (text,)), code="x")
    found = parsed(answers, said.of(f"x.{text}", "node", text))
    assert {tag for tag, _ in found.elements} <= {tag for tag, _ in clean.elements} | {
        "article",
        "pre",
    }
    names = {name for _, attributes in found.elements for name in attributes}
    assert names <= {name for _, attributes in clean.elements for name in attributes} | {"tabindex"}
    shown = text.replace("\x00", "\\x00").replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert shown in found.texts["pre"]
    assert shown in found.texts["dd"], "as the kernel"
    drawn = "".join("".join(found.texts["text"]).split())
    assert "".join(shown.split()) in drawn, "in the drawing too"


def test_what_stands_in_backticks_is_code_and_masked() -> None:
    said = fail("run `ssh bob@box`", Evidence("a", "b", "c"), Remedy("as `bob <b>`"), code="x")
    snapshot = healthy().snapshot()
    html = page(snapshot, [said.of("x.y", "node", TWO)], Masking({"bob": "user"}))
    assert "run <code>ssh user@box</code>" in html
    assert "Fix: as <code>user &lt;b&gt;</code>" in html


def test_a_name_is_masked_before_the_drawing_breaks_it() -> None:
    person = "bob" + "-the-builder" * 5
    answers = healthy()
    facts = answers.facts[TWO]
    facts["net"][person] = facts["net"].pop("enp1s0f0np0")
    facts["ib"]["rocep1s0f0"]["netdevs"] = [person]
    snapshot = answers.snapshot()
    html = page(snapshot, examined(snapshot), Masking({person: "user"}))
    assert "rocep1s0f0 · user" in html
    assert "builder" not in html


def test_what_could_not_be_read_is_said() -> None:
    found = parsed(several())
    assert "not reached: refused every key" in found.texts["p"]
    unread = "the RDMA devices could not be read: missing from the answer"
    assert unread in found.texts["dd"], "on the node's card"
    drawn = " ".join(found.texts["text"])
    assert "spark-7 not reached" in drawn
    assert "spark-6 the RDMA devices could not be read" in drawn
    assert "DOWN" in drawn
    described = "".join(found.texts["desc"])
    for said in ("spark-7: not reached", "spark-3 roceP2p1s0f0", "192.168.101.0/24"):
        assert said in described
    withheld = faulty()
    del withheld.facts[TWO]["people"]
    withheld.facts[TWO]["system"]["kernel"] = "6.17-of-bob"
    html = page(withheld.snapshot(), examined(withheld), Masking())
    assert "bob" not in html
    assert html.count("withheld: the accounts could not be read") > 1


def test_a_broken_link_is_marked_by_more_than_its_colour() -> None:
    answers = ring(4)
    port(answers, "spark-2", "rocep1s0f0").update(state="DOWN", phys_state="Disabled")
    found = parsed(answers)
    assert len(found.all("path", "cross")) == 2, "at the half, and at the box's edge"
    assert len(found.all("g", "lane down")) == 2, "its line, and its number"
    assert "DOWN (Disabled) · 10.0.1.1/24" in found.texts["text"]
    assert any("spark-2 rocep1s0f0 is DOWN (Disabled)." in text for text in found.texts["p"])
    assert parsed(ring(4)).all("path", "cross") == []


@pytest.mark.parametrize("number", [2, 8])
def test_two_lanes_of_a_column_never_overlap(number: int) -> None:
    diagram = draw(all_facts(ring(number).facts), {})
    names = [node.name for node in diagram.nodes]
    drawn = drawing(diagram, subnets(diagram), {}, names, str)
    assert len(drawn.lanes) == (number * 2 if number > 2 else 4)
    assert all(lane.x < drawn.width for lane in drawn.lanes)
    for one in drawn.lanes:
        for two in drawn.lanes:
            same = one is not two and one.x == two.x
            assert not same or one.bottom < two.top or two.bottom < one.top
    assert all(tap.active for lane in drawn.lanes for tap in lane.taps)


def test_the_verdict_is_one_sentence() -> None:
    pair = healthy().snapshot()
    evidence, fix = Evidence("a", "b", "c"), Remedy("d")
    down = fail("s", evidence, fix, code="x").of("fabric.halves", "node", TWO)
    slow = warn("s", evidence, fix, code="x").of("fabric.speed", "node", TWO)
    open_ = unknown("r").of("host.gpu", "node", "spark-1")
    good = ok("s").of("host.gpu", "node", TWO)

    def said(*findings: Finding) -> tuple[str, str]:
        found = verdict(pair, findings)
        return found.state, found.sentence

    assert said(good) == ("good", "Healthy: 1 check on 2 nodes found nothing wrong.")
    assert said(good, slow) == ("warned", "Nothing fails; 1 warning on spark-2: fabric.speed.")
    assert said(slow, open_) == (
        "unsure",
        "Nothing fails, but 1 check could not decide on spark-1: host.gpu.",
    )
    assert said(down, open_, slow) == (
        "bad",
        "Not healthy: 1 check fails on spark-2: fabric.halves.",
    )
    assert said() == ("unsure", "No check ran.")
    pair.errors = {TWO: AuthError("refused every key", node=TWO)}
    away = fail("s", evidence, fix, code="x").of("reach.ssh", "node", TWO)
    assert said(away) == ("bad", "Not healthy: spark-2 is unreachable.")
    many = [fail("s", evidence, fix, code="x").of(f"x.{n}", "cluster") for n in range(6)]
    assert said(away, *many)[1] == (
        "Not healthy: spark-2 is unreachable; 6 checks fail on the cluster:"
        " x.0, x.1, x.2, x.3 and 2 more checks."
    )
