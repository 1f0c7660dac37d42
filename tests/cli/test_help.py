"""--help: whole sentences and names at every width, examples, and the nearest name of a typo."""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import TYPE_CHECKING

import click
import pytest

from sparkctl.cli.main import COMMANDS, cli
from tests.cli.test_cli import ROOT, sparkctl
from tests.golden import WIDTHS

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 58  # columns of a line that is not broken: an example
EXAMPLE = re.compile(r"    (# \S.*|(sudo )?sparkctl .*|  --.*|source .*|mkdir .*|cd .*)")


def every(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, and of every group."""
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from every(command, (*path, name))
        else:
            yield (*path, name)


def command_of(path: tuple[str, ...]) -> tuple[click.Command, click.Context]:
    command: click.Command = cli
    context = click.Context(cli, info_name="sparkctl", **cli.context_settings)
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(context, name)
        assert found is not None
        command, context = found, click.Context(found, context, name)
    return command, context


@pytest.mark.parametrize("path", [*every(cli)], ids=" ".join)
def test_help_is_whole_at_every_width(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    command, context = command_of(path)
    for columns in (*WIDTHS, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        usage, _, text = command.get_help(context).partition("\n\n")
        assert "..." not in text
        assert max(map(len, [*usage.splitlines(), *text.splitlines()])) <= min(columns, 100)
        assert all(example in text for example in examples(command))
        names = {name for param in command.params for name in param.opts if name.startswith("-")}
        assert names <= set(re.findall(r"--?[a-z][\w-]*", text))


@pytest.mark.parametrize("path", [*every(cli)], ids=" ".join)
def test_help_has_an_effect_examples_and_sentences(path: tuple[str, ...]) -> None:
    command, context = command_of(path)
    first = cleandoc(command.help or "").split("\n\n")[0]
    assert re.match(r"[A-Z][a-z]+ ", first), first
    assert first.endswith(".")
    assert first.split()[0].lower() not in ("the", "a", "this", "shows", "prints", "starts")
    lines = examples(command)
    assert 2 <= len(lines) <= 12
    assert all(len(line) <= LONGEST and EXAMPLE.fullmatch(line) for line in lines), lines
    for param in command.get_params(context):
        if isinstance(param, click.Option):
            assert re.fullmatch(r"[A-Z][^\n]*\.", param.help or ""), (param.name, param.help)


def examples(command: click.Command) -> list[str]:
    """The lines of the Examples, or of the root's first steps, as --help shows them."""
    paragraphs = cleandoc(command.help or "").split("\n\n")
    titles = ("\b\nExamples:", "\b\nFrom nothing", "\b\nWithout a Spark")
    found = [p.splitlines()[2:] for p in paragraphs if p.startswith(titles)]
    return [f"  {line}" for lines in found for line in lines]


@pytest.mark.parametrize("path", [*every(cli)], ids=" ".join)
def test_every_option_of_an_example_exists(path: tuple[str, ...]) -> None:
    for line in examples(command_of(path)[0]):
        words = re.split(r" && | \| | > ", line.strip())[0].split()
        if words[0] == "sparkctl" and words[1:2] != ["lab"] and words != ["sparkctl", "\\"]:
            command, at = cli, 1
            named: click.Command = command
            while at < len(words) and isinstance(named, click.Group):
                found = named.get_command(click.Context(named), words[at])
                assert found is not None, line
                named, at = found, at + 1
            known = {name for param in named.params for name in param.opts}
            assert {w for w in words[at:] if w.startswith("-") and w != "--"} <= known, line


def test_the_root_says_what_is_needed_once() -> None:
    text = sparkctl("--help").stdout
    for title in ("Start here", "Cluster", "Diagnose", "Nodes and images", "Exit codes"):
        assert f"{title}:\n" in text
    assert all(re.search(rf"^  {name} ", text, re.M) for name in COMMANDS)
    assert text.count("QSFP cages") == text.count("two halves") == 1


def test_without_a_command_help_is_shown() -> None:
    done = sparkctl()
    assert done.stdout + done.stderr == sparkctl("--help").stdout
    assert done.returncode in (0, 2)  # click's, by its release


PAIR = ROOT / "inventories" / "two-node.yaml"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("docter", "doctor"),
        ("fabric shwo", "show"),
        ("lab falt", "fault"),
        ("node instal", "install"),
        ("image lst", "list"),
        ("doctor --chek x", "--check"),
        ("lab up --contaners docker", "--containers"),
        ("lab ssh spark-1 --dri x", "--dir"),
        ("doctor --check fabric.mtuu", "fabric.mtu"),
        (f"doctor spark-9 -i {PAIR}", "spark-2"),
        (f"status --watch --intervl 2 -i {PAIR}", "--interval"),
    ],
)
def test_a_typo_names_the_nearest(typed: str, meant: str) -> None:
    done = sparkctl(*typed.split())
    assert done.returncode == 2
    assert f'"; did you mean "{meant}"?\n' in done.stderr
    for words in ("quux", "logs --json", "--json"):
        assert "did you mean" not in sparkctl(*words.split()).stderr


def test_an_option_without_its_value_names_its_command() -> None:
    assert sparkctl("status", "--host").stderr.splitlines() == [
        'error: option "--host" requires an argument',
        "hint: `sparkctl status --help` shows its usage",
    ]
