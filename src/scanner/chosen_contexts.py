"""K8S_CONTEXTS, resolved to the names of contexts that exist."""

from __future__ import annotations

import logging

from configuration.errors import ConfigurationError, ToolError
from mcp_tools.settings import ALL_CONTEXTS, context_names
from mcp_tools.tool_loader import ToolLoader
from mcp_tools.tool_spec import WHOLE_ANSWER

log = logging.getLogger(__name__)


async def chosen_contexts(loader: ToolLoader, k8s_contexts: str, *, skip_unknown: bool = False) -> tuple[str, ...]:
    """The contexts to scan: the current one, those named, or all (`*`), in the kubeconfig's order.

    Raises ConfigurationError with the names that exist. `skip_unknown`: only when none of those named exists, for a
    kubeconfig that lost one while a daemon works on the others.
    """
    answer = (await loader.call("k8s_list_contexts", {"max_tokens": WHOLE_ANSWER})).structured
    if answer is None:
        raise ToolError("k8s_list_contexts answered without structured content; is MCP_SERVER_URL a k8s-mcp server?")
    known = {str(entry["name"]): bool(entry.get("current")) for entry in answer["contexts"]}
    names = context_names(k8s_contexts)
    if not known:
        raise ConfigurationError("the kubeconfig names no context; set KUBECONFIG to a file that does")
    if names == (ALL_CONTEXTS,):
        return tuple(known)
    if not names:
        current = tuple(name for name, is_current in known.items() if is_current)
        if not current:
            raise ConfigurationError(f"the kubeconfig has no current context; choose one of {', '.join(known)} with --context")
        return current
    unknown = [name for name in names if name not in known]
    if unknown:
        problem = f"context {', '.join(map(repr, unknown))} does not exist; known: {', '.join(known)}"
        if not skip_unknown or len(unknown) == len(names):
            raise ConfigurationError(problem)
        log.warning("%s", problem)
    return tuple(name for name in names if name in known)
