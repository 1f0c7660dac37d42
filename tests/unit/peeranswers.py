"""What nodes answer when they try their peers and all arrives, to be changed by tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkctl.doctor.collect import _connects, _pings

if TYPE_CHECKING:
    from tests.unit.doctorview import Answers

ANSWERED = {"sent": 50, "received": 50, "error": None, "problem": None}
REFUSED = {"error": "refused", "refused": True, "errno": "ECONNREFUSED"}


def tried(answers: Answers) -> Answers:
    """With an answer to every ping that doctor sends, and a refusal of every connection."""
    snapshot, names = answers.snapshot(), answers.names
    for one in names:
        others = [name for name in names if name != one]
        answers.looks.setdefault("peers", {})[one] = {
            "pings": [{**p, **ANSWERED} for two in others for p in _pings(snapshot, one, two)],
            "connects": [{**c, **REFUSED} for two in others for c in _connects(snapshot, one, two)],
            "routes": {},
            "firewalls": {"active": [], "installed": []},
            "counters": answers.facts[one]["counters"],
        }
    return answers


def peer(answers: Answers, name: str) -> Any:
    """What a node answered about its peers, to be changed."""
    return answers.looks["peers"][name]
