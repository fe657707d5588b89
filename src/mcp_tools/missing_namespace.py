"""An empty list of a namespace that does not exist: the API server answers as it does for one that is empty."""

from __future__ import annotations

from configuration.errors import K8sMcpError, NotFound
from kinds.registry import KINDS
from mcp_tools.k8s_api import ClusterApi


async def require_namespace(api: ClusterApi, namespace: str | None) -> None:
    """Raises NotFound when there is no such namespace; says nothing when that may not be read. The name must be valid."""
    if not namespace:
        return
    try:
        await api.get(KINDS["namespaces"].api_path(name=namespace), doing=f"look for namespace {namespace}")
    except NotFound:
        raise NotFound(
            f"there is no namespace {namespace} in context {api.context}; k8s_list_namespaces, or k8s_list_resources with "
            "kind=namespaces, names those that exist",
            status=404,
            reason="NotFound",
        ) from None
    except K8sMcpError:
        return  # an empty answer stays an empty answer for those who may not look
