"""A command line that SGLang's own parser takes or refuses, as a node answers it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sparkctl.facts.answers import Parsed
from sparkctl.remote import node_rpc

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.remote.command import Command

# As much of SGLang as is asked, which prints while it is imported.
SERVER_ARGS = """\
import os, sys
print("loading")
os.write(1, b"from native code")
class ServerArgs:
    @staticmethod
    def add_cli_args(parser):
        parser.add_argument("--model-path", required=True)
        parser.add_argument("--tool-call-parser", choices=["minimax-m2"])
"""


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A virtual environment's python that has it."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site,) = venv.glob("lib/python3*/site-packages")
    package = site / "sglang/srt"
    package.mkdir(parents=True)
    (package / "server_args.py").write_text(SERVER_ARGS)
    return str(venv / "bin/python")


def asked(python: str, *argv: str) -> Parsed:
    request = {"cluster": "c", "argv": ["/v/bin/sglang", "serve", *argv]}
    command: Command = node_rpc.call("sglangline.parse", request, python=python)
    done = subprocess.run(command.argv, input=command.stdin, capture_output=True, check=True)
    return Parsed.model_validate(json.loads(done.stdout))


def test_its_own_parser_says_what_is_wrong_with_a_line(python: str) -> None:
    assert asked(python, "--model-path", "m", "--tool-call-parser", "minimax-m2").error is None
    odd = asked(python, "--model-path", "m", "--tool-call-parser", "minimax_m2").error
    assert (odd or "").startswith("argument --tool-call-parser: invalid choice: 'minimax_m2'")
    unknown = asked(python, "--model-path", "m", "--max-seqs", "3").error
    assert unknown == "unrecognized arguments: --max-seqs 3"
