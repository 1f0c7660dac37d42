"""What `node install` has done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.output.stdio import print_json, print_wrapped

if TYPE_CHECKING:
    from sparkctl.operations.install.run import Done, Report


def print_report(report: Report, *, as_json: bool) -> None:
    """Print what each node has now."""
    if as_json:
        print_json(
            {
                "cluster": report.cluster,
                "changed": any(done.action != "unchanged" for done in report.nodes.values()),
                "nodes": {name: _document(done) for name, done in report.nodes.items()},
                "doubts": [doubt.document() for doubt in report.doubts],
            }
        )
        return
    for name, done in report.nodes.items():
        versions = ", ".join(f"{package} {version}" for package, version in done.versions.items())
        print_wrapped(f"{name}: {done.action}: {done.venv} has Python {done.python}, {versions}")


def _document(done: Done) -> dict[str, object]:
    return {
        "action": done.action,
        "venv": done.venv,
        "python": done.python,
        "versions": {**done.versions},
        "log": done.log,
    }
