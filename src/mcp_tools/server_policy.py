"""What this server may do, whatever a client says: rules about tools, namespaces, kinds and contexts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from configuration.errors import ConfigurationError
from kinds.registry import declared_kind
from mcp_tools.api_targets import PROJECTS, ApiTarget

if TYPE_CHECKING:
    from mcp_tools.settings import McpSettings
    from mcp_tools.tool_declaration import ToolDeclaration

Approval = Literal["elicit", "client"]
"""Who asks the person before a change: this server, by elicitation; or the client that started it, by itself."""

EXEC = "k8s_exec"
GRAMMAR = (
    "a rule is KEY=VALUE[,KEY=VALUE…] with the keys tool, namespace, kind and context, for example "
    '"tool=k8s_scale,namespace=dev-*,kind=deployments"; * stands for any text in namespaces and contexts'
)
_KEYS = ("tool", "namespace", "kind", "context")
_NAMESPACE = re.compile(r"[a-z0-9*](?:[a-z0-9*-]{0,61}[a-z0-9*])?\Z")
_FULL_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z")
_UNDECLARED = ("bindings", "componentstatuses", "endpoints", "podtemplates", "replicationcontrollers")
"""Kinds of the core group that have no declaration here, and no group to be told by."""
_RBAC = "rbac.authorization.k8s.io"
SERVED_TWICE = {
    ("events.k8s.io", "events"): ("", "events"),
    ("metrics.k8s.io", "pods"): ("", "pods"),
    ("metrics.k8s.io", "nodes"): ("", "nodes"),
    **dict.fromkeys(PROJECTS, ("", "namespaces")),
    **{
        ("authorization.openshift.io", one): (_RBAC, one)
        for one in ("clusterrolebindings", "clusterroles", "rolebindings", "roles")
    },
}
"""What is served a second time: a rule about the one is a rule about the other."""


@dataclass(frozen=True)
class Rule:
    """One rule; "" is any. `text` is what was written."""

    text: str
    tool: str = ""
    namespace: str = ""
    kind: str = ""
    context: str = ""

    @cached_property
    def resource(self) -> tuple[str, str]:
        """API group and plural of `kind`."""
        return _resource_of(self.kind)

    def covers(self, tool: str, target: ApiTarget) -> bool:
        """Whether tool, kind and context are those of the rule; says nothing about the namespace."""
        return (
            self.tool in ("", tool)
            and (not self.context or _matches(self.context, target.context))
            and (not self.kind or self.resource == object_of(target))
        )

    def takes_all_of(self, other: Rule) -> bool:
        """Whether, part by part, this rule is about everything that the other one is about: as far as one rule can be told from
        one other. A rule about namespaces leaves what is in none, so the other must be about namespaces too."""
        return (
            self.tool in ("", other.tool)
            and (not self.kind or (bool(other.kind) and self.resource == other.resource))
            and all(not mine or (bool(its) and _matches(mine, its)) for mine, its in self._places(other))
        )

    def _places(self, other: Rule) -> tuple[tuple[str, str], ...]:
        return (self.namespace, other.namespace), (self.context, other.context)

    def names(self, namespace: str) -> bool:
        """Whether the rule is about this namespace, or about all."""
        return not self.namespace or _matches(self.namespace, namespace)

    @property
    def is_pattern(self) -> bool:
        """Whether its namespaces cannot be listed."""
        return "*" in self.namespace


@dataclass(frozen=True)
class ServerPolicy:
    """Refused tools are not even listed. `deny` wins over `allow`; what is neither is asked of a person."""

    read_only: bool = False
    enable_exec: bool = False
    approval: Approval = "elicit"
    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()

    def offers(self, declaration: ToolDeclaration) -> bool:
        """Whether the tool exists on this server."""
        if not declaration.read_only and self.read_only:
            return False
        if declaration.name == EXEC and not self.enable_exec:
            return False
        return not any(rule.tool == declaration.name and not rule.namespace + rule.kind + rule.context for rule in self.deny)

    def denial(self, tool: str, target: ApiTarget) -> Rule | None:
        """The rule that forbids a request about one namespace, one object, or things without namespace."""
        return next((rule for rule in self.deny if rule.covers(tool, target) and _about(rule, target)), None)

    def allows(self, tool: str, target: ApiTarget) -> bool:
        """Whether a rule permits a change without asking. A rule about a namespace permits what is in it; to change or delete
        the Namespace itself, the rule has to say `kind=namespaces`."""
        return any(rule.covers(tool, target) and _about(rule, target) and _may_permit(rule, target) for rule in self.allow)

    def hidden_namespaces(self, tool: str, target: ApiTarget) -> tuple[Rule, ...]:
        """The rules that forbid some namespaces to a request about all of them."""
        return tuple(rule for rule in self.deny if rule.namespace and rule.covers(tool, target))


def policy_of(
    settings: McpSettings, tools: Collection[str], *, allow: Sequence[str] = (), deny: Sequence[str] = (),
    read_only: bool = False, enable_exec: bool = False, approval: Approval = "elicit",
) -> ServerPolicy:  # fmt: skip
    """Flags and settings together: a rule of either counts. Raises ConfigurationError."""
    allowed = [("--allow", allow), ("MCP_ALLOW", [settings.mcp_allow] if settings.mcp_allow else [])]
    denied = [("--deny", deny), ("MCP_DENY", [settings.mcp_deny] if settings.mcp_deny else [])]
    return ServerPolicy(
        read_only,
        enable_exec,
        approval,
        tuple(rule for option, texts in allowed for rule in rules_of(texts, option, tools)),
        tuple(rule for option, texts in denied for rule in rules_of(texts, option, tools)),
    )


def rules_of(texts: Iterable[str], option: str, tools: Collection[str]) -> tuple[Rule, ...]:
    """Parse rules; each text may hold several, separated by `;`. Raises ConfigurationError that shows the grammar."""
    parts = [part for text in texts for part in text.split(";")]
    return tuple(_rule(part.strip(), option, tools) for part in parts)


def _rule(text: str, option: str, tools: Collection[str]) -> Rule:
    values: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (one.strip() for one in part.partition("="))
        if not equals or key not in _KEYS:
            raise _wrong(option, text, f"{key!r} is none of {', '.join(_KEYS)}" if key else "it is empty")
        if not value:
            raise _wrong(option, text, f"{key} has no value")
        if key in values:
            raise _wrong(option, text, f"{key} is given twice")
        values[key] = value
    _check_values(values, option, text, tools)
    return Rule(text, **values)


def _check_values(values: dict[str, str], option: str, text: str, tools: Collection[str]) -> None:
    if (name := values.get("tool")) is not None and name not in tools:
        raise _wrong(option, text, f"there is no tool {name!r}; there are {', '.join(sorted(tools))}")
    if (name := values.get("namespace")) is not None and _NAMESPACE.match(name) is None:
        raise _wrong(option, text, f"{name!r} is no namespace and no pattern of namespaces")
    if (name := values.get("kind")) is not None and _resource_of(name) == ("", ""):
        raise _wrong(option, text, f"there is no kind {name!r}; of kinds that are not built in give plural.group")


def _wrong(option: str, text: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"{option} {text[:200]!r}: {why}; {GRAMMAR}")


def _resource_of(kind: str) -> tuple[str, str]:
    """API group and plural; ("", "") for what is no kind."""
    if (declared := declared_kind(kind)) is not None:
        return declared.group, declared.resource
    wanted = kind.lower()
    if wanted in _UNDECLARED:
        return "", wanted
    if _FULL_NAME.match(wanted) is None:
        return "", ""
    plural, _, group = wanted.partition(".")
    return SERVED_TWICE.get((group, plural), (group, plural))


def object_of(target: ApiTarget) -> tuple[str, str]:
    """API group and plural; of what is served twice, of the first."""
    return SERVED_TWICE.get((target.group, target.resource), (target.group, target.resource))


def _about(rule: Rule, target: ApiTarget) -> bool:
    return not rule.namespace or (bool(target.namespace) and _matches(rule.namespace, target.namespace))


def _may_permit(rule: Rule, target: ApiTarget) -> bool:
    return not target.is_namespace or bool(rule.kind) or not rule.namespace


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), text, re.DOTALL) is not None
