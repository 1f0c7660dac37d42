"""fabric.memlock: which line of pam_limits' files decides, and the remedy that it leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.limits import deciding
from sparkctl.facts.hostgroups import LimitFiles
from tests.unit.doctorview import examined, healthy

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding

TWO = "spark-2"
D = "/etc/security/limits.d/"
FIRST, LATE, LAST = "/etc/security/limits.conf", f"{D}90-site.conf", f"{D}zzz.conf"


def files(*lines: tuple[str, int, str], **values: Any) -> dict[str, Any]:
    """Files with these lines, of (path, number, text without the item)."""
    found = []
    for path, number, text in lines:
        domain, kind, value = (*text.split(), None)[:3]
        line = {"path": path, "line": number, "domain": domain, "type": kind, "value": value}
        found.append(line)
    return {
        "lines": found,
        "unread": [],
        "groups": ["u", "docker"],
        "gids": [1000, 998],
        "use_pam": True,
        "pam_limits": True,
        "sshd_config": "/etc/ssh/sshd_config",
        "systemd": True,
        **values,
    }


# The lines in the order in which they are read; the numbers of those that decide for the user u
# (1000, in the groups u and docker).
@pytest.mark.parametrize(
    ("lines", "numbers"),
    [
        ((), ()),
        (("* - 64",), (0,)),
        (("* soft 64",), (0,)),
        (("* - 64", "* - 128"), (1,)),  # the last of equal ones
        (("u - 64", "* - unlimited"), (0,)),
        (("@docker - 64", "* - unlimited"), (0,)),
        (("@docker - 64", "u - unlimited", "@u - 32"), (1,)),
        (("@docker - 64", "@u - 32"), (1,)),
        (("@video - 64", "* - 32"), (1,)),
        (("bob - 64",), ()),
        (("* soft unlimited", "* hard 64"), (0, 1)),
        (("u soft unlimited", "* hard 64"), (0, 1)),
        (("* - 64", "u hard unlimited"), (0, 1)),  # soft stays the one of *
        (("u - 64", "u -"), (1,)),  # exempt from all limits, wherever the line is
        (("u -", "u - 64"), (0,)),
        (("@docker -", "u - 64"), (0,)),
        (("* -", "u - 64"), (1,)),  # nobody is exempt by *
        ((":1000 - 64", "* - 1"), (0,)),
        (("1000: - 64", "* - 1"), (0,)),
        (("500:999 - 64", "* - 1"), (1,)),
        (("@990:998 - 64", "* - 1"), (0,)),
        (("u - 64", "u - many"), (0,)),  # what is no number is skipped
        (("%docker - 64",), ()),  # for maxlogins alone
    ],
)
def test_the_line_that_decides(lines: tuple[str, ...], numbers: tuple[int, ...]) -> None:
    given = files(*((FIRST, n, text) for n, text in enumerate(lines)))
    found = deciding(LimitFiles.model_validate(given), "u", 1000)
    assert tuple(line.line for line in found) == numbers


def test_root_is_named_by_its_own_lines_alone() -> None:
    given = files((FIRST, 1, "root - 64"), (FIRST, 2, "@docker -"), (LATE, 3, "0: - 1"))
    (found,) = deciding(LimitFiles.model_validate(given), "root", 0)
    assert found.line == 1
    given["lines"] = given["lines"][1:]
    assert deciding(LimitFiles.model_validate(given), "root", 0) == ()


def limited(limits: dict[str, Any] | None, user: str = "u", limit: int = 64 * 1024) -> Finding:
    """The finding of a node whose user is so limited."""
    answers = healthy()
    two = answers.facts[TWO]
    two |= {"user": user, "uid": 0 if user == "root" else 1000, "limits": limits}
    two["system"] |= {"capabilities": 0, "limits": {"memlock": limit, "nofile": 65536}}
    if limits is None:
        del two["limits"]
    (found,) = [f for f in examined(answers, "fabric.memlock") if f.node == TWO]
    assert found.code == "memlock-limit"
    return found


DROP_IN = "echo 'u - memlock unlimited' | sudo tee -a /etc/security/limits.d/zz-memlock.conf"


@pytest.mark.parametrize(
    ("limits", "commands"),
    [
        (None, [DROP_IN]),
        (files(), [DROP_IN]),
        (files((LATE, 7, "* - 64")), [DROP_IN]),
        (files((LATE, 7, "@docker - 64")), [DROP_IN]),
        (files((LATE, 7, "1000:2000 - 64")), [DROP_IN]),
        (
            files((LAST, 7, "1000:2000 - 64")),  # it is read after the drop-in
            [f"sudo sed -i '7s|.*|1000:2000 - memlock unlimited|' {LAST}"],
        ),
        (
            files((FIRST, 3, "u - unlimited"), (LATE, 7, "u - 64")),
            [f"sudo sed -i '7s|.*|u - memlock unlimited|' {LATE}"],
        ),
        (
            files((LATE, 1, "u soft 64"), (LATE, 2, "u hard 64")),
            [
                f"sudo sed -i '1s|.*|u - memlock unlimited|' {LATE}",
                f"sudo sed -i '2s|.*|u - memlock unlimited|' {LATE}",
            ],
        ),
        # Of one kind alone, the other stays what sshd has.
        (files((LATE, 7, "* soft unlimited")), [DROP_IN]),
        (
            files((LATE, 7, "u hard unlimited")),
            [f"sudo sed -i '7s|.*|u - memlock unlimited|' {LATE}"],
        ),
        (
            files((LATE, 4, "@docker -")),
            [f"sudo sed -i '4s|.*|@docker - memlock unlimited|' {LATE}"],
        ),
    ],
)
def test_the_remedy_changes_what_decides(
    limits: dict[str, Any] | None, commands: list[str]
) -> None:
    found = limited(limits)
    assert found.fix
    assert list(found.fix.to_paste) == commands
    assert "next login" in found.fix.text


def test_the_line_is_named_where_its_value_is_the_limit() -> None:
    limits = files((LATE, 7, "u soft 64"), (LATE, 9, "u hard unlimited"))
    found = limited(limits)
    assert found.evidence[0].where == f"line 7 of {LATE} and line 9 of {LATE}"
    assert found.data["lines"] == [f"{LATE}:7", f"{LATE}:9"]
    other = limited(limits, limit=8 * 2**20)  # a limit that is not from there
    assert other.evidence[0].where.startswith("ulimit")


def test_files_that_no_login_reads_decide_nothing() -> None:
    for values in ({"use_pam": False}, {"pam_limits": False}):
        found = limited(files((LATE, 7, "u - 64"), **values))
        assert found.data["lines"] == []
        assert found.fix
        assert "printf '[Service]\\nLimitMEMLOCK=infinity\\n'" in found.fix.to_paste[1]
        without = limited(files(systemd=False, **values))
        assert without.fix
        assert without.fix.to_paste == ()


def test_a_line_that_lifts_the_limit_is_not_what_keeps_it() -> None:
    for lines in (["u - unlimited"], ["u soft unlimited", "* hard unlimited"]):
        found = limited(files(*((LATE, 7, text) for text in lines)))
        assert found.fix
        assert "lifts it already" in found.fix.text
        assert not any("tee" in line for line in found.fix.to_paste)


def test_a_file_that_is_not_readable_may_decide() -> None:
    found = limited(files(unread=[LATE]))
    assert found.fix
    assert f"{LATE} could not be read" in found.fix.text


def test_for_root_the_new_line_names_root() -> None:
    found = limited(files((LATE, 1, "* - 64")), user="root")
    assert found.fix
    assert found.fix.commands[0].startswith("echo 'root - memlock unlimited' | ")


def test_a_users_name_is_one_word_of_the_command() -> None:
    found = limited(files((LATE, 1, r"DOM\u - 64")), user=r"DOM\u")
    assert found.fix
    assert found.fix.commands[0] == rf"sudo sed -i '1s|.*|DOM\\u - memlock unlimited|' {LATE}"
