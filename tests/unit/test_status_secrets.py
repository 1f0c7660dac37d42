"""What `status` shows of a command line."""

from __future__ import annotations

from sparkctl.operations.status import status
from tests.unit.answers import node_facts, process
from tests.unit.doctorview import captured
from tests.unit.test_doctor_collect import Asked

PW = "Pw-Of-Theirs"


def test_status_shows_a_command_line_without_its_secrets() -> None:
    session = Asked()
    command = f"python vllm serve m --api-key {PW} --otlp http://bob:{PW}@h --port 1"
    answer = captured()["facts"]["spark-1"]
    session.facts["spark-1"] = node_facts({**answer, "ours": [process("vllm", command)]})
    (shown,) = status(session).nodes[0].processes
    assert shown.command == ("python vllm serve m --api-key **** --otlp http://****@h --port 1")
