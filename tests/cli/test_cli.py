"""The command line as scripts and newcomers meet it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sparkctl.cli.main import COMMANDS
from tests.unit.test_inventory import GOOD

ROOT = Path(__file__).parents[2]
HEAVY = ("paramiko", "pydantic", "yaml", "rich", "jinja2", "psutil", "ray", "vllm", "torch")


def sparkctl(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sparkctl", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv=['sparkctl','--help']\n"
        "from sparkctl.__main__ import command\ncommand()\n"
        f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert all(name in done.stdout for name in COMMANDS)


def test_a_status_as_json_needs_no_rich(tmp_path: Path) -> None:
    """Its import takes as long as a tenth of the command."""
    nobody = GOOD.replace("host: a", "host: 127.0.0.1").replace("host: b", "host: 127.0.0.2")
    (tmp_path / "inventory.yaml").write_text(nobody + "ssh: {port: 1}\n")
    code = (
        "import sys; sys.argv=['sparkctl','status','--json']\n"
        "from sparkctl.__main__ import command\n"
        "command()\n"
        "print('rich' in sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout)["healthy"] is False
    assert done.stderr.strip() == "False"


def test_validate_needs_no_ssh() -> None:
    inventory = str(ROOT / "inventories/two-node.yaml")
    code = (
        f"import sys; sys.argv=['sparkctl','validate','-i',{inventory!r}]\n"
        "from sparkctl.__main__ import command\nassert command() == 0\n"
        "print([m for m in ('paramiko','rich','psutil') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(name: str) -> None:
    done = sparkctl(name, "--help")
    assert done.returncode == 0
    assert "Usage: sparkctl" in done.stdout


def test_a_command_that_is_almost_right_is_named() -> None:
    done = sparkctl("docter")
    assert done.returncode == 2
    assert 'did you mean "doctor"?' in done.stderr
    assert "did you mean" not in sparkctl("quux").stderr


def test_every_command_and_check_stands_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert [n for n in COMMANDS if f"`sparkctl {n}" not in text] == []


def test_every_key_of_the_inventory_stands_in_the_readme() -> None:
    from pydantic import BaseModel

    from sparkctl.inventory import models

    text = (ROOT / "README.md").read_text()
    known = [
        name
        for model in vars(models).values()
        if isinstance(model, type) and issubclass(model, BaseModel)
        for name in model.model_fields
    ]
    assert sorted({n for n in known if f"`{n}`" not in text}) == []


def test_a_typo_ends_with_2_and_its_place(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(GOOD.replace("nodes:", "nods:"))
    for command in ("validate", "up", "down", "status", "plan", "env", "logs"):
        done = sparkctl(command, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert 'did you mean "nodes"?' in done.stderr
        assert re.search(r"^error: inventory.yaml has \d problems?$", done.stderr, re.M)
        assert "Traceback" not in done.stderr


def test_json_errors_are_one_document(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("cluster: 5")
    done = sparkctl("validate", "-i", str(path), "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["exit_code"] == 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("doctor --chek x --json", "no such option"),
        ("fabric match --bogus --json", "no such option"),
        ("nonsense --json", "no such command"),
        ("doctor --json --explain", "requires an argument"),
        ("node install --no-index --json", "--no-index requires --find-links"),
        ("node install --find-links wheels --json", "a path that begins with / or ~/"),
    ],
)
def test_usage_errors_are_one_document_with_json(args: str, said: str) -> None:
    done = sparkctl(*args.split())
    error = json.loads(done.stdout)["error"]
    assert done.returncode == error["exit_code"] == 2
    assert said in error["message"]
    assert said in done.stderr
    assert set(error) == {"code", "message", "hint", "node", "exit_code", "data", "log"}
    assert error["code"] == "usage"
    assert sparkctl(*args.replace("--json", "").split()).stdout == ""


RAISING = """\
import sys, click, sparkctl.output.checks as module
from sparkctl.cli.main import run
def print_checks(*_, **__):
    raise {error}
module.print_checks = print_checks
sys.exit(run(["doctor", "--list-checks", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("KeyError('speed')", 1, "a bug in sparkctl: KeyError: 'speed'"),
        ("KeyboardInterrupt", 130, "interrupted"),
        ("click.Abort", 130, "interrupted"),
    ],
)
@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_bugs_and_interrupts_are_one_document_with_json(
    error: str, code: int, said: str, debug: tuple[str, ...]
) -> None:
    script = RAISING.format(error=error).replace('["doctor"', f'[*{debug!r}, "doctor"')
    ran = [
        subprocess.run(
            [sys.executable, "-c", script, *more], capture_output=True, text=True, check=False
        )
        for more in (["--json"], [])
    ]
    assert [done.returncode for done in ran] == [code, code]
    assert json.loads(ran[0].stdout)["error"]["exit_code"] == code
    assert json.loads(ran[0].stdout)["error"]["message"] == said
    assert ran[1].stdout == ""
    assert all(said in done.stderr for done in ran)
    assert ("Traceback" in ran[0].stderr) == (bool(debug) and code == 1)


@pytest.mark.parametrize(
    "args", [("validate", "-i", "/nope", "--json"), ("doctor", "--list-checks", "--json")]
)
def test_a_reader_who_has_had_enough_sees_no_traceback(args: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "sparkctl", *args]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert not {"Traceback", "BrokenPipeError"} & {*done.stderr.replace(":", " ").split()}


def test_usage_errors_end_with_2() -> None:
    assert sparkctl("nonsense").returncode == 2
    assert sparkctl("up", "--nonsense").returncode == 2


def test_init_writes_what_validates_and_overwrites_nothing(tmp_path: Path) -> None:
    assert sparkctl("init", str(tmp_path / "new")).returncode == 0
    assert sparkctl("validate", cwd=tmp_path / "new").returncode == 0
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "inventory.yaml").write_text("mine")
    done = sparkctl("init", str(kept))
    assert done.returncode == 1
    assert "inventory.yaml" in done.stderr
    assert [p.name for p in kept.iterdir()] == ["inventory.yaml"]


def test_a_wheel_carries_everything_that_is_needed(tmp_path: Path) -> None:
    # Of a copy: setuptools would take what is left in the checkout's build/ from earlier.
    source = tmp_path / "source"
    shutil.copytree(ROOT / "sparkctl", source / "sparkctl")
    for name in ("setup.cfg", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            str(tmp_path),
            str(source),
        ],
        check=True,
    )
    names = zipfile.ZipFile(next(tmp_path.glob("dgx_sparkctl-*.whl"))).namelist()
    wanted = [
        f"sparkctl/inventory/starter/{n}"
        for n in ("two-node.yaml", "gb10-vllm.env", "nccl-roce.env", "ray.env")
    ]
    wanted += [f"sparkctl/node/{p.name}" for p in (ROOT / "sparkctl/node").glob("*.py")]
    wanted += [
        "sparkctl/doctor/checks.yaml",
        "sparkctl/lab/faults/clock.c",
        "sparkctl/lab/runtime/install.sh",
        "sparkctl/lab/runtime/vllm/pyproject.toml",
    ]
    assert [n for n in wanted if n not in names] == []


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", ["validate", "env --json", "plan", "doctor --log -"])
def test_a_closed_stream_is_no_bug(words: str, closed: str, tmp_path: Path) -> None:
    nobody = GOOD.replace("host: a", "host: 127.0.0.1").replace("host: b", "host: 127.0.0.2")
    (tmp_path / "inventory.yaml").write_text(nobody + "ssh: {port: 1}\n")
    usual = sparkctl(*words.split(), cwd=tmp_path)
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m sparkctl {words} {closed}', sys.executable],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == usual.returncode
    assert "a bug in sparkctl" not in done.stdout + done.stderr


@pytest.mark.parametrize("lines", [("-n", "5"), ("--lines", "200")])
def test_all_of_a_log_and_some_lines_conflict(lines: tuple[str, str]) -> None:
    done = sparkctl("logs", "vllm", "--all", *lines)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --all conflicts with --lines")
