"""`--approve=POLICY`: changes that may happen without a question, written down beforehand by a person.

    k8s_delete_resource:namespace=dev,kind=Deployment      deletes of Deployments in dev
    create-deployment:namespace=team-*                     the short name of a tool; * stands for any characters
    all:namespace=dev,cluster=kind-dev                     every change of an object in that namespace of that cluster
    github__search_issues                                  every call of that tool of a server of MCP_SERVERS_FILE
    github__*                                              every call of any tool of that server

A policy has at least one condition, and every condition must hold. Without `cluster` it holds for the cluster in use
only: a model can name other contexts of the kubeconfig. `namespace` never matches a cluster-scoped object: deleting the
Namespace dev is no change in dev. A change of several objects (a manifest, the pods of a drained node) is allowed only when
every one of them is.

Tools of other servers are allowed by their own names only, never by `all`, and without conditions: what their arguments
mean is known to their server alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agent.approval_request import ApprovalRequest, ObjectRef
from configuration.errors import ConfigurationError, UnknownKind
from kinds.registry import find_kind
from mcp_tools.qualified_names import SEPARATOR, SERVER_NAME, is_qualified

EVERY_TOOL = "all"
_CUSTOM_KIND = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
"""`plural.group`: of kinds that have no declaration here only a cluster knows whether there is one."""
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]+")
CONDITIONS = ("namespace", "kind", "name", "cluster")
_SHORT = {"ns": "namespace", "context": "cluster"}
OWN_MUTATIONS = (
    "k8s_create_deployment", "k8s_delete_resource", "k8s_apply_manifest", "k8s_patch_resource", "k8s_scale", "k8s_rollout",
    "k8s_node",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """One parsed policy. `conditions` maps a condition to its pattern."""

    text: str
    tool: str
    conditions: Mapping[str, str]

    def allows(self, request: ApprovalRequest) -> bool:
        if is_qualified(self.tool) or is_qualified(request.tool):
            return is_qualified(self.tool) and _matches(request.tool, self.tool)
        if self.tool not in (EVERY_TOOL, request.tool):
            return False
        if "cluster" not in self.conditions and not request.in_use:
            return False
        return all(self._covers(one, request.cluster) for one in request.objects)

    def _covers(self, target: ObjectRef, cluster: str) -> bool:
        actual = {"namespace": target.namespace, "kind": target.kind, "name": target.name, "cluster": cluster}
        return all(_matches(actual[name], pattern) for name, pattern in self.conditions.items())


def parse_policy(text: str, *, known_tools: Iterable[str] = OWN_MUTATIONS) -> ApprovalPolicy:
    """Raises ConfigurationError, with the grammar, for an unknown tool or condition or a missing condition."""
    tool_text, _, rest = text.strip().partition(":")
    if is_qualified(tool_text):
        return _of_another_server(text, tool_text.strip(), rest)
    tools = {_short_name(name): name for name in known_tools} | {EVERY_TOOL: EVERY_TOOL}
    tool = tools.get(_short_name(tool_text.strip()))
    if tool is None:
        raise _refused(text, f"no changing tool is called {tool_text[:60]!r}; there are {', '.join((EVERY_TOOL, *known_tools))}")
    conditions: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in rest.split(","))):
        name, separator, pattern = (piece.strip() for piece in part.partition("="))
        name = _SHORT.get(name, name)
        if not separator or not pattern or name not in CONDITIONS or name in conditions:
            raise _refused(text, f"{part[:60]!r} is no condition; write {'=…, '.join(CONDITIONS)}=…, each once")
        conditions[name] = _kind_name(text, pattern) if name == "kind" else pattern
    if not conditions:
        raise _refused(text, f"say where it holds, for example {tool_text.strip()}:namespace=dev")
    return ApprovalPolicy(text.strip(), tool, conditions)


def _of_another_server(text: str, tool: str, conditions: str) -> ApprovalPolicy:
    server, _, name = tool.partition(SEPARATOR)
    if not SERVER_NAME.fullmatch(server) or not (name == "*" or _TOOL_NAME.fullmatch(name)):
        raise _refused(text, "a tool of another server is named server__tool as `main tools` shows it, or server__* for all")
    if conditions.strip():
        raise _refused(text, f"tools of other servers take no conditions; write --approve={tool}")
    return ApprovalPolicy(text.strip(), tool, {})


def narrowest(request: ApprovalRequest) -> str:
    """The policy that allows these objects and as little else as can be said; of another server's tools it allows this tool."""
    if is_qualified(request.tool):
        return request.tool
    values = [
        {"namespace": one.namespace, "kind": one.kind, "name": one.name, "cluster": request.cluster} for one in request.objects
    ]
    common = {name: value for name, value in values[0].items() if all(one[name] == value for one in values)}
    return f"{request.tool}:" + ",".join(f"{name}={value}" for name, value in common.items() if value and "," not in value)


def _matches(actual: str | None, pattern: str) -> bool:
    # Only * has a meaning: [ and ? could appear in a context's name.
    literal = pattern.replace("[", "[[]").replace("?", "[?]")
    return actual is not None and fnmatchcase(actual, literal)


def _short_name(tool: str) -> str:
    return tool.lower().replace("_", "-").removeprefix("k8s-")


def _kind_name(text: str, pattern: str) -> str:
    if "*" in pattern:
        return pattern
    try:
        return find_kind(pattern).kind
    except UnknownKind as error:
        if _CUSTOM_KIND.fullmatch(pattern.lower()):
            return pattern.lower()
        raise _refused(text, str(error)) from None


def _refused(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"--approve={text[:120]}: {why}")
