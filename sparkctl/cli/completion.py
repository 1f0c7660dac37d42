"""sparkctl completion, and the answers to the scripts that it prints."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from sparkctl.output.stdio import print_out

if TYPE_CHECKING:
    from click.shell_completion import ShellComplete

VARIABLE = "_SPARKCTL_COMPLETE"  # cli/main.py has it too, which does not import this


class Bash(BashComplete):
    """As click's, but `--option=value` is one word again, which bash makes three."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is completed, and that one."""
        words, incomplete = super().get_completion_args()
        joined: list[str] = []
        for word in words:
            last = joined[-1] if joined else ""
            if last.startswith("--") and (word == "=" or last.endswith("=")):
                joined[-1] += word
            else:
                joined.append(word)
        if joined and joined[-1].startswith("--") and joined[-1].endswith("="):
            joined[-1] = joined[-1].removesuffix("=")  # its value is what is completed
        return joined, incomplete


class Fish(FishComplete):
    """As click's, whose script cuts a description at its first comma."""

    source_template = FishComplete.source_template.replace("split ", "split --max 1 ")


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": ZshComplete, "fish": Fish}


@click.command()
@click.argument("shell", type=click.Choice([*SHELLS]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes names in bash, zsh or fish.

    It completes commands, options, nodes, services, units, checks and the lab's faults. The names
    are those of the inventory that -i or SPARKCTL_INVENTORY names, else of ./inventory.yaml; no
    node is contacted. bash needs release 4.4 or newer.

    \b
    Examples:
      # bash: add this line to ~/.bashrc
      source <(sparkctl completion bash)
      # zsh: fpath+=~/.zfunc before compinit in ~/.zshrc
      sparkctl completion zsh > ~/.zfunc/_sparkctl
      # fish: loads what is in ~/.config/fish/completions
      cd ~/.config/fish/completions
      sparkctl completion fish > sparkctl.fish
    """
    print_out(SHELLS[shell](context.find_root().command, {}, "sparkctl", VARIABLE).source())


def answer(root: click.Command) -> int:
    """Print what completes the line of a shell whose script asks; gives the exit code.

    What cannot be read completes to nothing: an error would be printed into the user's line.
    """
    shell = os.environ[VARIABLE].partition("_")[0]
    with suppress(Exception):
        if found := SHELLS[shell](root, {}, "sparkctl", VARIABLE).complete():
            print_out(found)
    return 0
