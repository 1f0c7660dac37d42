"""What `up` did, and what it would do."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from sparkctl.node.unitid import service_of
from sparkctl.output.spans import duration
from sparkctl.output.stdio import print_json, print_out, print_wrapped
from sparkctl.output.tryout import MARGIN, curl, curl_lines, key_line, next_commands

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.node.difference import Blocked, Change
    from sparkctl.operations.outlook import Outlook
    from sparkctl.operations.up import UpReport
    from sparkctl.output.stdio import Fields


RESTART = "restart"  # what a change does
PRIVATE = "A certificate that this computer does not trust needs `--cacert FILE`."
STARTS = "it will be served at {url}; `sparkctl up` watches it, `sparkctl status` shows its stage"


def print_report(report: UpReport, inventory: Path, *, as_json: bool) -> None:
    """Print where each model is served, and whether anything was changed; for what was started also
    the time, a request to try and the next commands for this inventory.
    """
    if as_json:
        first = next(iter(report.services.values()))
        fields = asdict(replace(report, left_alone=(), services={}))
        document = {
            "changed": bool(report.changes),
            **{k: v for k, v in fields.items() if k not in ("several", "total")},
            "total_seconds": round(report.total, 1),
            "services": {
                name: {"url": service.url, "model": service.model, "curl": curl(service)}
                for name, service in report.services.items()
            },
            "doubts": [doubt.document() for doubt in report.doubts],
            "endpoint": first.url,
            "model": first.model,
            "warnings": [str(doubt) for doubt in report.doubts],
            "left_alone": [left.document() for left in report.left_alone],
        }
        print_json(document)
        return
    unchanged = "" if report.changes or report.starting else "no changes: "
    for name, service in report.services.items():
        model = f"{service.model} of {name}" if report.several else service.model
        if any(unit.startswith(f"{name}/") for unit in report.starting):
            print_wrapped(f"{model} is starting; {STARTS.format(url=service.url)}")
        else:
            print_wrapped(f"{unchanged}{model} is served at {service.url}")
    if not unchanged:
        print_out(f"total time: {duration(report.total)}")
        _print_next(report, inventory)


def _print_next(report: UpReport, inventory: Path) -> None:
    """Print a request to each service that serves, and what to run next."""
    from sparkctl.output.shellcommand import continued

    width = get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    waited = {service_of(unit) for unit in report.starting}
    served = {name: s for name, s in report.services.items() if name not in waited}
    if served:
        print_out("\nTry it:")
    for service in served.values():
        for line in curl_lines(service, width):
            print_out(line)
    for key in dict.fromkeys(service.key for service in served.values() if service.key):
        print_wrapped(key_line(key, inventory))
    if any(service.url.startswith("https:") for service in served.values()):
        print_wrapped(PRIVATE)
    print_out("\nNext:")
    for command in next_commands(inventory):
        for line in continued(command, width - len(MARGIN)):
            print_out(MARGIN + line)


def print_outlook(outlook: Outlook, *, as_json: bool) -> None:
    """Print what would change, and which models would be stopped."""
    plan = outlook.plan
    if as_json:
        changes = [blocked_change(blocked) for blocked in plan.blocked]
        document = {
            "cluster": outlook.desired[0].inventory.cluster,
            "changes": [_change(change) for change in plan.changes],
            "blocked": changes,
            "blocked_changes": changes,
            "left_alone": [left.document() for left in outlook.left],
            "ends": next(iter(outlook.ends), None),
            "stops": list(outlook.stops),
            "warnings": [str(doubt) for doubt in outlook.doubts],
            "doubts": [doubt.document() for doubt in outlook.doubts],
        }
        print_json(document)
        return
    for change in plan.changes:
        print_wrapped(f"would {change}")
    for blocked in plan.blocked:
        print_wrapped(f"cannot {blocked.change}: {blocked.by} could not be read: {blocked.reason}")
    restarts = any(change.action == RESTART for change in plan.changes)
    for model in outlook.served:
        print_wrapped(f"would stop {'and restart ' if restarts else ''}{model}, which is served")
    for unit in outlook.waits:
        print_wrapped(f"would wait for {unit}, which is starting")
    if not plan and not outlook.waits:
        print_out("no changes")


def blocked_change(blocked: Blocked) -> Fields:
    """A change that is not made, as JSON: also what could not be read, and why."""
    return {**_change(blocked.change), "by": blocked.by, "reason": blocked.reason}


def _change(change: Change) -> Fields:
    """A change; `what` and `unit` are as before there were ids, which `id` has."""
    return {
        "id": change.unit,
        "node": change.node,
        "what": change.title,
        "action": change.action,
        "why": change.why,
        "unit": change.kind,
    }
