"""-o/--output and --json: which form is printed, also of errors."""

from __future__ import annotations

import json

import pytest

from sparkctl.cli.main import cli
from sparkctl.cli.options import asks_json
from tests.cli.test_cli import sparkctl


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        ("status --json", True),
        ("status -o json", True),
        ("--debug status -ojson", True),
        ("status --output json", True),
        ("status --output=json", True),
        ("status -wojson --bogus", True),
        ("nonsense -o json", True),
        ("status -o json --interval", True),
        ("status --json -o name", True),
        ("status -o name", False),
        ("status -o", False),
        ("status -- --json", False),
        ("status --host -ojson", False),
        ("doctor --explain --json", False),
        ("lab ssh spark-1 tool --json", False),
    ],
)
def test_json_is_asked_for_by_an_option_alone(line: str, asks: bool) -> None:
    assert asks_json(cli, line.split()) == asks


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("status --json -o name", "options-conflict", "--json conflicts with -o name"),
        ("status -o json --watch", "options-conflict", "--watch conflicts with --json"),
        ("status -o json --interval 3", "usage", "--interval requires --watch"),
        ("lab faults -o json --bogus", "usage", "no such option"),
        ("status -o json -i /nope", "inventory", ""),
    ],
)
def test_errors_are_the_same_document_with_o_json(line: str, code: str, said: str) -> None:
    done = sparkctl(*line.split())
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (2, code)
    assert said in error["message"]


def test_an_unknown_output_is_a_usage_error() -> None:
    done = sparkctl("status", "-o", "yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert '"yaml" is not one of "wide", "json", "name"' in done.stderr
