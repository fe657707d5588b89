"""Which of the tools a server offers: the fewer a model sees, the less every conversation costs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from mcp_tools.tool_declaration import ToolDeclaration

Profile = Literal["core", "read", "full"]
PROFILES: tuple[Profile, ...] = get_args(Profile)

CORE = (
    "k8s_list_contexts",
    "k8s_list_resources",
    "k8s_list_pods",
    "k8s_get_resource",
    "k8s_describe",
    "k8s_list_events",
    "k8s_get_pod_logs",
    "k8s_top",
)
"""Enough to find out what is wrong, and the whole list under 1,500 tokens (output schemas not counted)."""


def of_profile(profile: Profile, tools: Iterable[ToolDeclaration]) -> tuple[ToolDeclaration, ...]:
    """`core`: the tools named above. `read`: every tool that changes nothing, those for programs too. `full`: all, as far as
    the server's policy offers them."""
    if profile == "core":
        return tuple(tool for tool in tools if tool.name in CORE)
    return tuple(tool for tool in tools if tool.read_only or profile == "full")
