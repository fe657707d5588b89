"""Which cluster and namespace are meant when nobody names one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from configuration.errors import ConfigurationError
from mcp_tools.kubeconfig import IN_CLUSTER, KubeConfigSource, load_kubeconfig
from mcp_tools.redaction_marks import MARK_START
from mcp_tools.settings import ALL_CONTEXTS, McpSettings, context_names

if TYPE_CHECKING:
    from cache.cache_reader import ClusterRow

DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class CurrentCluster:
    """`name` is the context's name, "" when there is none; `problem` is why the kubeconfig gave none."""

    name: str
    namespace: str
    problem: str = ""


def from_kubeconfig(settings: McpSettings, environment: Mapping[str, str], *, context: str) -> CurrentCluster:
    """`context` as asked for, else the first of K8S_CONTEXTS, else the current one; the server chooses in the same way."""
    allowed = [name for name in context_names(settings.k8s_contexts) if name != ALL_CONTEXTS]
    wanted = context or (allowed[0] if allowed else "")
    try:
        config = load_kubeconfig(environment)
        if config is None:
            return CurrentCluster(wanted or IN_CLUSTER, DEFAULT_NAMESPACE)
        entry = config.context(wanted)
    except ConfigurationError as error:
        return CurrentCluster(wanted, DEFAULT_NAMESPACE, str(error))
    return CurrentCluster(entry.name, entry.namespace)


def moved(kubeconfig: KubeConfigSource, cluster: str, *, scanned_at: str) -> str:
    """When the context means another API server than the one that was scanned: which, in a sentence; else "".

    A cluster that was made anew under its old name answers at another address; its old rows must not pass for its own.
    """
    try:
        config = kubeconfig.current()
        server = config.context(cluster).server if config else ""
    except ConfigurationError:
        return ""
    if not server or not scanned_at or MARK_START in scanned_at or server.rstrip("/") == scanned_at.rstrip("/"):
        return ""
    return f"{cluster} was scanned at {scanned_at}, and is at {server} now"


def from_cache(clusters: Sequence[ClusterRow]) -> str:
    """Without a kubeconfig: the only cluster that was ever scanned, or the one scanned last. "" for none."""
    latest = max(clusters, key=lambda cluster: cluster.last_success_at or 0, default=None)
    return latest.cluster if latest else ""
