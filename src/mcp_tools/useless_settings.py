"""Settings and flags that would do nothing, or the opposite of what another one says: told at the start, not found out later.

Flags that contradict each other are refused where they are read (__main__.py); this is about what they come to together with
the settings, which may stand in a file that nobody thinks of. Rules that name no tool or kind at all: server_policy.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from configuration.errors import ConfigurationError
from mcp_tools.server_policy import EXEC, Rule, ServerPolicy

if TYPE_CHECKING:
    from mcp_tools.settings import McpSettings
    from mcp_tools.tool_declaration import ToolDeclaration


@dataclass(frozen=True, slots=True)
class Start:
    """How the server is started."""

    over_http: bool = False
    allow_writes: bool = False
    read_only_said: bool = False
    """By a flag; over HTTP it is the default."""


def refuse_useless(
    start: Start, settings: McpSettings, policy: ServerPolicy, all_tools: Collection[ToolDeclaration], offered: Collection[str]
) -> None:
    """`offered`: names of the tools of the profile. Raises ConfigurationError."""
    if not start.over_http:
        _refuse_tokens(settings)
    if policy.allow and policy.approval == "client":
        raise ConfigurationError(
            f"{_source(settings, policy)} permits changes, and --approval client permits all of them already: leave out one of "
            "them (what --deny names stays forbidden)"
        )
    if policy.read_only:
        _refuse_rules_of_read_only(start, settings, policy)
        return
    tools = {tool.name: tool for tool in all_tools if tool.name in offered and policy.offers(tool)}
    _refuse_narrow_profile(start, settings, policy, tools)
    for rule in policy.allow:
        _refuse_denied(rule, policy)
        if rule.tool:
            _refuse_rule_about(rule.tool, rule.text, policy, all_tools, tools)


def _refuse_tokens(settings: McpSettings) -> None:
    for name, is_set in (("MCP_TOKEN_FILE", settings.mcp_token_file is not None), ("MCP_TOKEN", bool(settings.mcp_token))):
        if is_set:
            raise ConfigurationError(
                f"{name} is for HTTP only, over stdio nobody is asked for a token: leave it out, say --transport "
                "streamable-http, or keep it in a file of its own and name that with --env-file"
            )


def _refuse_rules_of_read_only(start: Start, settings: McpSettings, policy: ServerPolicy) -> None:
    if not policy.allow:
        return
    source = _source(settings, policy)
    if start.over_http and not start.read_only_said:
        raise ConfigurationError(f"{source} does nothing over HTTP without --allow-writes: say that too, or leave {source} out")
    raise ConfigurationError(f"{source} permits changes, and --read-only offers none: leave out one of them")


def _refuse_narrow_profile(start: Start, settings: McpSettings, policy: ServerPolicy, tools: dict[str, ToolDeclaration]) -> None:
    """A profile may have no tool that changes anything, whatever is permitted."""
    useless = [
        *(["--enable-exec"] if policy.enable_exec and EXEC not in tools else []),
        *([] if any(not tool.read_only for tool in tools.values()) else _about_changes(start, settings, policy)),
    ]
    if useless:
        raise ConfigurationError(
            f"{useless[0]} does nothing here: the profile {settings.mcp_profile} and the --deny rules leave no tool that it is "
            f"about. Say --profile full, or leave {useless[0]} out"
        )


def _about_changes(start: Start, settings: McpSettings, policy: ServerPolicy) -> list[str]:
    return [*(["--allow-writes"] if start.allow_writes else []), *([_source(settings, policy)] if policy.allow else [])]


def _refuse_denied(rule: Rule, policy: ServerPolicy) -> None:
    denied = next((deny for deny in policy.deny if not _is_only_a_tool(deny) and deny.takes_all_of(rule)), None)
    if denied is not None:
        raise ConfigurationError(
            f"--allow {rule.text!r} permits nothing: --deny {denied.text!r} forbids all of it, and wins; leave out one of the two"
        )


def _is_only_a_tool(rule: Rule) -> bool:
    """Such a tool is not offered at all, which is said in other words."""
    return bool(rule.tool) and not rule.namespace + rule.kind + rule.context


def _refuse_rule_about(
    name: str, rule: str, policy: ServerPolicy, all_tools: Collection[ToolDeclaration], tools: dict[str, ToolDeclaration]
) -> None:
    declaration = next(tool for tool in all_tools if tool.name == name)
    if declaration.read_only:
        raise ConfigurationError(f"--allow {rule!r}: {name} changes nothing and needs no permission; leave the rule out")
    if name in tools:
        return
    if name == EXEC and not policy.enable_exec:
        raise ConfigurationError(f"--allow {rule!r}: this server does not offer {EXEC}; say --enable-exec too, or leave it out")
    raise ConfigurationError(
        f"--allow {rule!r}: a --deny rule or the profile takes {name} away altogether, and wins; leave out one of the two"
    )


def _source(settings: McpSettings, policy: ServerPolicy) -> str:
    """What the rules came from, for the message."""
    return "MCP_ALLOW" if settings.mcp_allow else f"--allow {policy.allow[0].text!r}"
