"""The JSON documents of commands, which need no rich; part of the contract that scripts rely on."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sparkctl.output import failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.log_causes import Decision
    from sparkctl.errors import SparkctlError
    from sparkctl.fabric.diagram import Diagram
    from sparkctl.fabric.nccllog.model import LogVerdict
    from sparkctl.inventory.models import Inventory
    from sparkctl.operations.host import HostStatus
    from sparkctl.operations.servicestatus import ApiAnswer, ServiceStatus
    from sparkctl.operations.status import Status
    from sparkctl.operations.unitstatus import UnitStatus
    from sparkctl.output.stdio import Fields


def of_status(status: Status) -> Fields:
    """The document of `status`; its `ray` and `vllm` are those of the first service."""
    nodes = [
        {
            **vars(node),
            "processes": [asdict(process) for process in node.processes],
            "error": str(node.error) if node.error else None,
            "code": node.error.code if node.error else None,
        }
        for node in status.nodes
    ]
    services = {name: _service(service) for name, service in status.services.items()}
    first = next(iter(services.values()))
    return {
        "healthy": status.healthy,
        "cluster": status.cluster,
        "id": status.id,
        "nodes": nodes,
        "units": [of_unit(unit) for unit in status.units],
        "services": services,
        "ray": first["ray"],
        "vllm": first["api"],
        "lease": status.lease.model_dump() if status.lease else None,
        "departed": [{"name": name, "host": host} for name, host in status.departed.items()],
        "departed_services": [
            {"name": name, "nodes": nodes} for name, nodes in status.departed_services.items()
        ],
        "imitated": status.imitated,
    }


def of_host(found: HostStatus) -> Fields:
    """The document of `status --host`."""
    return {
        "host": found.host,
        "clusters": [
            {
                **vars(cluster),
                "units": [of_unit(unit) for unit in cluster.units],
                "lease": cluster.lease.model_dump() if cluster.lease else None,
            }
            for cluster in found.clusters
        ],
        "others": [other.model_dump() for other in found.others],
        "left_out": found.left_out,
    }


def of_unit(unit: UnitStatus) -> Fields:
    """The document of a unit; `doing` and `follows` are for people alone."""
    return {k: v for k, v in asdict(unit).items() if k not in ("doing", "follows")}


def _service(service: ServiceStatus) -> Fields:
    ray, table = service.ray, service.ray.table
    return {
        "state": service.state,
        "model": service.model,
        "endpoint": service.endpoint,
        "ray": table.model_dump(include={"ray", "nodes", "groups"})
        if table
        else _failed(ray.error, ray.code),
        "api": {} if service.api is None else _api(service, service.api),
    }


def _failed(error: str | None, code: str | None) -> Fields:
    return {"error": error, "code": code} if error else {}


def _api(service: ServiceStatus, api: ApiAnswer) -> Fields:
    document = api.answer.model_dump(exclude_unset=True) if api.answer else {}
    document |= _failed(api.error, api.code)
    if api.since:
        document["since"] = api.since
    if service.start and api.code == "starting":
        start = service.start
        document |= {"state": "starting", "stage": start.stage, "percent": start.percent}
        document |= {"who": start.who}
    if api.code != "not-running":
        document["endpoint"] = service.endpoint
    return document


def of_findings(
    inventory: Inventory,
    findings: Sequence[Finding],
    undecided: Mapping[str, str],
    error: SparkctlError | None,
    code: int,
) -> Fields:
    """The document of `doctor`, with the `error` of --fix; `code` is the exit code."""
    from sparkctl.doctor.runner import counts

    document: dict[str, object] = {
        "cluster": inventory.cluster,
        "findings": [f.document() for f in findings],
        "counts": counts(findings),
        "undecided": [*undecided],
        "imitated": inventory.imitated,
    }
    if error:
        document["error"] = {**failure.document(error), "exit_code": code}
    return document


def of_log(
    verdict: LogVerdict, decided: tuple[Sequence[Finding], Sequence[Decision]] | None
) -> Fields:
    """The document of `doctor --log`, with what checks on the nodes decided."""
    document = verdict.document()
    if decided:
        document["decided"] = [f.document() for f in decided[0]]
        document["decisions"] = [asdict(d) for d in decided[1]]
    return document


def of_fabric(
    inventory: Inventory, diagram: Diagram, errors: Mapping[str, SparkctlError]
) -> Fields:
    """The document of `fabric show`; `errors` has the nodes whose fabric could not be read."""
    return {
        "cluster": inventory.cluster,
        "imitated": inventory.imitated,
        **diagram.document(),
        "errors": {name: str(error) for name, error in errors.items()},
        "codes": {name: error.code for name, error in errors.items()},
    }
