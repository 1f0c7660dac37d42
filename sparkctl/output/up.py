"""What `up` did, and what it would do."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from sparkctl.output.stdio import print_json, print_out

if TYPE_CHECKING:
    from sparkctl.node.difference import Blocked, Change
    from sparkctl.operations.outlook import Outlook
    from sparkctl.operations.up import UpReport
    from sparkctl.output.stdio import Fields


RESTART = "restart"  # what a change does
STARTS = "it will be served at {url}; `sparkctl up` watches it, `sparkctl status` shows its stage"


def print_report(report: UpReport, *, as_json: bool) -> None:
    """Print where each model is served, and whether anything was changed."""
    if as_json:
        first = next(iter(report.services.values()))
        document = {
            "changed": bool(report.changes),
            **{k: v for k, v in asdict(replace(report, left_alone=())).items() if k != "several"},
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
            print_out(f"{model} is starting; {STARTS.format(url=service.url)}")
        else:
            print_out(f"{unchanged}{model} is served at {service.url}")


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
        print_out(f"would {change}")
    for blocked in plan.blocked:
        print_out(f"cannot {blocked.change}: {blocked.by} could not be read: {blocked.reason}")
    restarts = any(change.action == RESTART for change in plan.changes)
    for model in outlook.served:
        print_out(f"would stop {'and restart ' if restarts else ''}{model}, which is served")
    for unit in outlook.waits:
        print_out(f"would wait for {unit}, which is starting")
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
