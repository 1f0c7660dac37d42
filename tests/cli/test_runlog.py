"""The debug log of a run: where it is, when there is none, and what it never holds."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sparkctl import kept
from sparkctl.engines.inventory import load
from sparkctl.errors import CommandError
from sparkctl.output import failure, runlog
from sparkctl.output.safe import trace
from sparkctl.remote import connection, ssh_io
from sparkctl.remote.command import Command
from sparkctl.secret.value import protected, revealed
from tests.cli.test_cli import sparkctl
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = "Kq7-of-theirs"  # of no form that shows what it is


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An inventory of two hosts that refuse every connection."""
    nobody = GOOD.replace("host: a", "host: 127.0.0.1").replace("host: b", "host: 127.0.0.2")
    (tmp_path / "inventory.yaml").write_text(nobody + "ssh: {port: 1}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def logs(folder: Path) -> list[Path]:
    where = folder / "state/sparkctl"
    return sorted(p for kind in ("run", "change") for p in where.glob(f"*.{kind}.log"))


def test_a_command_that_fails_names_its_log_last(folder: Path) -> None:
    done = sparkctl("plan", "--json")
    (path,) = logs(folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"log: {path}"
    assert json.loads(done.stdout)["error"]["log"] == str(path)
    text = path.read_text()
    assert "argv: sparkctl plan --json\n" in text
    assert "spark-1: connecting: 127.0.0.1\n" in text
    assert "Traceback" in text
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_command_that_goes_on_without_nodes_keeps_its_log(folder: Path) -> None:
    done = sparkctl("down")
    (path,) = logs(folder)
    assert done.stderr.splitlines()[-1] == f"log: {path}"
    assert "failed after" in path.read_text()
    for number in range(2 * kept.LAST):
        kept.write(f"9{number:02}.run.log", "")
    assert logs(folder)[0] == path, "runs that only read push out none that may change nodes"
    assert len(logs(folder)) == 1 + kept.LAST


def test_a_run_that_begins_to_change_nodes_is_kept_with_those_that_do(folder: Path) -> None:
    for number in range(kept.LAST):
        path = folder / "state/sparkctl" / kept.write(f"{number}.change.log", "").name
        os.utime(path, (number, number))
    with runlog.recorded(["doctor", "--fix"]):
        logging.getLogger("sparkctl.x").debug("it reads")
        assert [p.suffixes for p in logs(folder)].count([".run", ".log"]) == 1
        runlog.changes()
        runlog.changes()
        logging.getLogger("sparkctl.x").debug("it changes")
        now = runlog.path()
    assert now is not None
    assert now in logs(folder)
    assert now.name.endswith(".change.log")
    assert [line.split(" ", 2)[2] for line in now.read_text().splitlines()[-2:]] == [
        "it reads",
        "it changes",
    ]
    assert len(logs(folder)) == kept.LAST, "the oldest is gone, and no log of a run that reads"


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        "plan --help",
        "validate",
        "plan --nonsense",
        "plan -i none.yaml",
        "up -i none.yaml",
        "doctor --list-checks",
        "fabric match --device x",
    ],
)
def test_what_reads_nothing_remote_leaves_no_log(words: str, folder: Path) -> None:
    done = sparkctl(*words.split())
    assert not (folder / "state").exists()
    assert "log: " not in done.stderr
    assert "connect" not in done.stderr


def test_completion_leaves_no_log(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SPARKCTL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "sparkctl pl")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert "plan" in sparkctl().stdout
    assert not (folder / "state").exists()


def test_the_last_ten_of_a_kind_are_kept(folder: Path) -> None:
    where = folder / "state/sparkctl"
    for number in range(12):
        for kind in ("run.log", "traceback", "vllm.log"):
            where.mkdir(parents=True, exist_ok=True)
            path = where / f"{number:02}.{kind}"
            path.touch()
            os.utime(path, (number, number))
    sparkctl("plan")
    assert len(logs(folder)) == kept.LAST
    assert [p.name for p in logs(folder)[:2]] == ["03.run.log", "04.run.log"]
    assert len([*where.glob("*.traceback")]) == len([*where.glob("*.vllm.log")]) == 12


def test_the_log_of_a_run_that_goes_on_stays(folder: Path) -> None:
    with kept.create("00.run.log") as file:
        for number in range(kept.LAST + 2):
            kept.write(f"1{number:02}.run.log", "")
        os.utime(file.name, (0, 0))
        kept.write("last.run.log", "")
        assert folder / "state/sparkctl/00.run.log" in logs(folder)
    kept.write("later.run.log", "")
    assert len(logs(folder)) == kept.LAST


def test_runs_at_the_same_time_have_a_log_each(folder: Path) -> None:
    command = [sys.executable, "-m", "sparkctl", "plan"]
    running = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    named = {each.communicate()[1].splitlines()[-1] for each in running}
    assert named == {f"log: {path}" for path in logs(folder)}
    assert len(named) == 3


@pytest.mark.parametrize("state", ["/proc/none", "file"])
def test_where_no_log_can_be_written_the_command_goes_on(
    state: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / state))
    done = sparkctl("plan", "--json")
    assert done.returncode == 1
    assert done.stderr.startswith("error: 2 nodes ")
    assert "log: " not in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["error"]["log"] is None


def test_a_full_disk_ends_the_log_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(kept, "create", lambda _: os.fdopen(full, "w"))
    with runlog.recorded(["plan"]):
        logging.getLogger("sparkctl.x").debug("spark-1: %s", "connecting")
        failure.show(CommandError("broken"), as_json=False)
    assert capsys.readouterr().err == "error: broken\n"


@pytest.fixture
def written(folder: Path) -> Callable[..., str]:
    """What a log has of these records."""

    def write(*records: tuple[Any, ...], argv: tuple[str, ...] = ("plan",)) -> str:
        with runlog.recorded(argv):
            for record in records:
                logging.getLogger("sparkctl.x").debug(*record)
        (path,) = logs(folder)
        text = path.read_text()
        path.unlink()
        return text

    return write


def test_no_secret_of_the_inventory_is_logged(folder: Path, written: Callable[..., str]) -> None:
    """Whatever name it comes under, and also where a node's program prints it."""
    (folder / "inventory.yaml").write_text(
        f"{GOOD}  arguments: {{api-key: {KEY}1}}\n"
        f"env: {{set: {{MY_TOKEN: '{KEY}\"2', HTTP_PROXY: 'http://bob:{KEY}3@proxy'}}}}\n"
    )
    loaded = load(folder / "inventory.yaml")
    values = [revealed(loaded.vllm.arguments["api-key"]), *revealed(loaded.env.set).values()]
    assert [KEY in str(value) for value in values] == [True] * 3
    text = written(
        *[("spark-1: %s", value) for value in values],
        *[(f"it printed {value!r}",) for value in values],
        ("the request was %s", json.dumps(values)),
    )
    assert "proxy" in text
    assert KEY not in text


def test_no_secret_of_the_command_line_is_logged(written: Callable[..., str]) -> None:
    argv = ("plan", "-i", f"https://bob:{KEY}@host/x", f"--api-key={KEY}", "--token", KEY)
    text = written(("begin",), argv=argv)
    assert "argv: sparkctl plan -i https://****@host/x" in text
    assert KEY not in text


def test_what_looks_like_a_secret_is_not_logged(written: Callable[..., str]) -> None:
    pem = f"-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----"
    text = written((f"VLLM_API_KEY={KEY}",), ("%s", pem), ("%s", f"Authorization: Bearer {KEY}"))
    assert KEY not in text


def test_the_stdin_of_a_remote_command_is_not_logged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node prints it back, as a program does that refuses its input."""
    environment = protected("", {"VLLM_API_KEY": KEY})
    stdin = json.dumps(revealed(environment)).encode()

    transport: Any = None  # nothing is sent
    node = connection.Connection("spark-1", [transport])
    sessions = SimpleNamespace(
        session=lambda _: nullcontext(),
        reader=lambda _: None,
        limited=lambda *_: nullcontext(),
        exit_status=lambda *_: 1,
    )
    monkeypatch.setattr(node, "_sessions", sessions)
    monkeypatch.setattr(ssh_io, "exchange", lambda *_: (b"", stdin))
    command = Command(("python3", "-c", "x" * 500), stdin=stdin, title="starting vLLM")
    with runlog.recorded(["up"]):
        with pytest.raises(CommandError) as caught:
            node.run(command).check()
        failure.show(caught.value, as_json=False)
    (path,) = logs(folder)
    text = path.read_text()
    assert "spark-1: starting vLLM: python3 -c '(500 characters)' (time-out 60 s)\n" in text
    assert "spark-1: starting vLLM: exit status 1\n" in text
    assert (
        'CommandError: spark-1: starting vLLM failed with exit status 1: {"VLLM_API_KEY": ' in text
    )
    assert KEY not in text


def test_an_error_that_quotes_its_input_is_logged_without(folder: Path) -> None:
    """As of a key in a file that could not be understood, so that nobody knows that it is one."""
    try:
        try:
            yaml.safe_load(f"a: [{KEY}")
        except yaml.YAMLError as error:
            raise ValueError("not understood") from error
    except ValueError as error:
        text = trace(error)
    assert "ParserError: (the message quotes the input)" in text
    assert text.endswith("ValueError: not understood")
    assert KEY not in text


def test_control_characters_are_escaped(written: Callable[..., str]) -> None:
    text = written(("spark-1: %s", "\x1b[2J\u202e"), ("\x1b]0;x\x07",))
    assert "spark-1: \\x1b[2J\\u202e\n" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("debug", [False, True])
def test_paramikos_own_records_are_for_debug_alone(debug: bool, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = (folder / "inventory.yaml").read_text()
        (folder / "inventory.yaml").write_text(text.replace("port: 1", f"port: {port}"))

        def refuse() -> None:
            server.accept()[0].close()

        threading.Thread(target=refuse, daemon=True).start()
        done = sparkctl(*["--debug"] * debug, "validate", "--connect")
    (path,) = logs(folder)
    assert ("starting thread (client mode)" in path.read_text()) is debug
    assert ("starting thread (client mode)" in done.stderr) is debug
    assert ("connecting: 127.0.0.1" in done.stderr) is debug
