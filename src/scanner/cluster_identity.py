"""Who a cluster is, asked of itself; and whether it accepts us at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cache.cache_manager import ClusterIdentity
from configuration.errors import ConfigurationError, K8sMcpError, ToolError, Unauthorized
from mcp_tools.tool_loader import ToolLoader

CLUSTER_INFO = "k8s_get_cluster_info"
IDENTIFY_SECONDS = 15.0


async def cluster_identity(loader: ToolLoader, context: str, *, timeout_seconds: float = IDENTIFY_SECONDS) -> ClusterIdentity:
    """Ask the cluster of a context. Raises ClusterError when it does not answer or does not accept the credentials."""
    spec = (await loader.connect()).get(CLUSTER_INFO)
    countless = {"count": False} if spec is not None and "count" in spec.input_schema.get("properties", {}) else {}
    result = await loader.call(CLUSTER_INFO, {"context": context} | countless, timeout_seconds=timeout_seconds)
    info = result.structured
    if info is None:
        raise ToolError(f"{CLUSTER_INFO} answered without structured content; is MCP_SERVER_URL a k8s-mcp server?")
    return ClusterIdentity(
        cluster=context,
        uid=str(info.get("cluster_uid") or ""),
        server_version=str(info.get("server_version") or ""),
        api_server=str(info.get("api_server") or ""),
    )


async def refuse_bad_credentials(loader: ToolLoader, contexts: Sequence[str]) -> None:
    """Raise ConfigurationError when not one of the clusters accepts the credentials; other troubles are for the scan.

    The first cluster that gives another answer settles it: nobody waits here for one that hangs.
    """
    asking = [asyncio.create_task(_refusal(loader, context)) for context in contexts]
    refusals = []
    try:
        for answer in asyncio.as_completed(asking):
            refusal = await answer
            if refusal is None:
                return
            refusals.append(str(refusal))
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    if refusals:
        raise ConfigurationError("; ".join(sorted(refusals)))


async def _refusal(loader: ToolLoader, context: str) -> Unauthorized | None:
    try:
        await cluster_identity(loader, context)
    except Unauthorized as error:
        return error
    except K8sMcpError:
        return None
    return None
