"""A shell's command on several lines."""

from __future__ import annotations

import re

from rich.cells import cell_len

# An argument: quoted parts, escaped characters, anything else without a space.
ARGUMENT = re.compile(r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+""")
# Quotes nest in substitutions, and a backslash means something else in a comment and a here-doc.
KEPT_WHOLE = re.compile(r"`|\$\(|<<|\n|(?:^|\s)#")
MORE = " \\"
HANG = 2  # spaces before all lines but the first


def continued(command: str, width: int) -> list[str]:
    r"""The lines of a command: at most `width` columns each, all but the last with ` \` at the end.

    It is broken between arguments only, where a shell reads the same command. One that cannot be
    broken is wider.
    """
    if cell_len(command) <= width or KEPT_WHOLE.search(command):
        return command.split("\n")
    arguments = ARGUMENT.findall(command)
    if " ".join(arguments) != command:  # a quote without its end, a tab
        return [command]
    lines = [arguments[0]]
    for argument in arguments[1:]:
        longer = f"{lines[-1]} {argument}"
        if cell_len(longer + MORE) <= width:
            lines[-1] = longer
        else:
            lines[-1] += MORE
            lines.append(" " * HANG + argument)
    return lines
