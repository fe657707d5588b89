"""What pods and nodes use now, as metrics.k8s.io tells it (metrics-server, or another server behind that API)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from configuration.errors import ClusterError, KindNotServed, NotFound
from kinds.generic import generic_kind
from kinds.kind import Kind
from kinds.quantity import millicores, whole
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.object_reading import Objects, read_objects
from mcp_tools.redaction import Redactor

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
NODES = generic_kind(f"nodes.{GROUP}", GROUP, VERSION, "NodeMetrics", False)
PODS = generic_kind(f"pods.{GROUP}", GROUP, VERSION, "PodMetrics", True)
MOST_OBJECTS = 20_000


@dataclass(frozen=True, slots=True)
class Usage:
    """Over the last `window` (as the API writes it: `15s`). A pod's is the sum of its containers'."""

    namespace: str
    name: str
    cpu_millicores: int
    memory_bytes: int
    window: str


async def read_usage(
    api: ClusterApi, redactor: Redactor, kind: Kind, *, namespace: str | None = None, selector: str = ""
) -> Objects[Usage]:
    """Usage of pods (PODS) or nodes (NODES). `selector` must be a checked label selector.

    Raises KindNotServed when nothing serves the API, ClusterError when what should serve it does not answer.
    """
    query = (("labelSelector", selector),) if selector else ()
    try:
        read = await read_objects(api, redactor, kind, _usage, namespace=namespace, query=query, most=MOST_OBJECTS)
    except NotFound as error:
        raise KindNotServed(
            f"context {api.context} does not serve {GROUP}/{VERSION}: nothing measures usage there. Install metrics-server "
            "(kubernetes-sigs/metrics-server; an add-on of most distributions); k8s_list_resources with kind=nodes and "
            "k8s_describe of a node show requests and allocatable meanwhile",
            status=404,
            reason=error.reason or "KindNotServed",
        ) from None
    except ClusterError as error:
        if error.status != 503:
            raise
        raise ClusterError(
            f"{error}. {GROUP} is registered, but its server does not answer: k8s_describe with "
            f"kind=apiservices.apiregistration.k8s.io and name={VERSION}.{GROUP} says why; look at the pods behind it too",
            status=error.status,
            reason=error.reason,
        ) from None
    # whoever serves this API may not know field selectors, by which denied namespaces are left out elsewhere
    return replace(read, found=[one for one in read.found if not (one.namespace and api.hides(GROUP, "pods", one.namespace))])


def _usage(obj: dict[str, Any]) -> Usage | None:
    """None for an object without a readable measurement."""
    try:
        metadata = obj["metadata"]
        measured = [one["usage"] for one in obj["containers"]] if "containers" in obj else [obj["usage"]]
        return Usage(
            str(metadata.get("namespace") or ""),
            str(metadata["name"]),
            sum(millicores(one.get("cpu")) or 0 for one in measured),
            sum(whole(one.get("memory")) or 0 for one in measured),
            str(obj.get("window") or ""),
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None
