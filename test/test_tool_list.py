"""The list of tools: what it costs a model, which profile offers what, and that no contract changes unnoticed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from agent.commands.tools import count_tokens
from agent.terminal.tool_list import as_model_sees
from mcp_tools.all_tools import ALL_TOOLS, own_tool_specs
from mcp_tools.argument_check import ArgumentCheck
from mcp_tools.server import INSTRUCTIONS
from mcp_tools.server_address import server_address
from mcp_tools.settings import McpSettings
from mcp_tools.shown_schemas import COMMON, shown_schema
from mcp_tools.tool_declaration import ToolDeclaration
from mcp_tools.tool_profiles import CORE, PROFILES, Profile, of_profile
from server_fixtures import ToolClient

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = Path(__file__).with_name("tool_schemas.json")
REGENERATE = "uv run script/reference"
MOST_OF_ONE = 400
"""Tokens. A tool that costs more needs shorter words, or fewer arguments."""


def shown(tools: Any) -> str:
    """As models are sent it."""
    form = [
        {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.listed_schema}}
        for t in tools
        if not t.bulk
    ]
    return json.dumps(form, ensure_ascii=False)


@pytest.mark.parametrize(("profile", "most"), [("core", 1500), ("read", 5000), ("full", 5000)])
def test_the_list_of_a_profile_costs_a_model_no_more_than_this(profile: Profile, most: int) -> None:
    assert count_tokens(shown(of_profile(profile, ALL_TOOLS))) < most


def test_no_tool_takes_the_room_of_the_others() -> None:
    costs = {tool.name: count_tokens(shown([tool])) for tool in ALL_TOOLS if not tool.bulk}
    assert {name: cost for name, cost in costs.items() if cost > MOST_OF_ONE} == {}


@pytest.mark.parametrize(("profile", "most"), [("core", 5000), ("full", 15_000)])
def test_with_output_schemas_the_list_costs_no_more_than_the_readme_says(profile: Profile, most: int) -> None:
    outputs = [tool.output for tool in of_profile(profile, ALL_TOOLS) if not tool.bulk]
    assert count_tokens(shown(of_profile(profile, ALL_TOOLS)) + json.dumps(outputs)) < most


def test_what_the_agent_sends_is_the_short_form() -> None:
    specs = {name: spec for name, spec in own_tool_specs("x").items() if not spec.bulk}
    assert count_tokens(as_model_sees(specs, lambda spec: shown_schema(spec.input_schema))) < 5000


def test_profiles_grow_and_core_has_the_tools_that_it_names() -> None:
    core, read, full = ({tool.name for tool in of_profile(profile, ALL_TOOLS)} for profile in PROFILES)
    assert core == set(CORE)
    assert core < read < full
    assert full == {tool.name for tool in ALL_TOOLS}
    assert {tool.name for tool in ALL_TOOLS if not tool.read_only} == full - read


@pytest.mark.parametrize("tool", ALL_TOOLS, ids=lambda tool: tool.name)
def test_what_the_shown_schema_leaves_out_is_still_checked(tool: ToolDeclaration) -> None:
    if tool.bulk:
        assert tool.listed_schema == tool.input_schema
        return
    assert set(tool.listed_schema["properties"]) == set(tool.input_schema["properties"])
    assert tool.listed_schema.get("required") == tool.input_schema.get("required")
    assert tool.listed_schema["additionalProperties"] is False
    for name, whole in tool.input_schema["properties"].items():
        short = tool.listed_schema["properties"][name]
        assert (short["type"], short.get("enum")) == (whole["type"], whole.get("enum"))
        assert "description" in short or name in COMMON or "description" not in whole
    assert not {"maxLength", "default", "maximum"} & {key for one in tool.listed_schema["properties"].values() for key in one}
    ArgumentCheck(tool.name, tool.input_schema)


def test_a_value_beyond_a_bound_that_models_are_not_shown_is_refused(
    tool_client: Callable[..., ToolClient], tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(json.dumps({"contexts": [], "clusters": []}))
    tools = tool_client(kubeconfig)
    assert "at most 1000" in tools.error("k8s_list_pods", limit=1001)["message"]
    assert "at most" in tools.error("k8s_list_pods", max_tokens=10**9)["message"]
    assert "namespace" in tools.error("k8s_list_pods", namespace="x" * 64)["message"]


def test_the_common_arguments_are_explained_in_the_instructions() -> None:
    for name, words in COMMON.items():
        assert f"{name} ({words})" in INSTRUCTIONS


def _names_over_stdio(tmp_path: Path, *arguments: str, **environment: str) -> set[str]:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(json.dumps({"contexts": [], "clusters": []}))
    kept = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path), "KUBECONFIG": str(kubeconfig)}
    parameters = StdioServerParameters(command=sys.executable, args=["-m", "mcp_tools", *arguments], env=kept | environment)

    async def run() -> set[str]:
        async with Client(parameters) as client:
            return {tool.name for tool in (await client.list_tools()).tools}

    return asyncio.run(run())


def test_the_setting_chooses_the_profile_and_the_flag_wins(tmp_path: Path) -> None:
    assert _names_over_stdio(tmp_path, MCP_PROFILE="core") == set(CORE)
    read = _names_over_stdio(tmp_path, "--profile", "read", MCP_PROFILE="core")
    assert read == {tool.name for tool in ALL_TOOLS if tool.read_only and not tool.bulk}


def test_a_profile_that_does_not_exist_is_an_error_at_the_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mcp_tools", "--profile", "everything"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "core" in done.stderr


def test_our_own_programs_get_every_tool_whatever_the_profile_of_others(tmp_path: Path) -> None:
    address = server_address(McpSettings(mcp_profile="core"), {"PATH": "/usr/bin:/bin"})
    assert address.environment["MCP_PROFILE"] == "full"


def test_no_contract_of_a_tool_changes_unnoticed() -> None:
    sys.path.insert(0, str(ROOT / "script"))
    try:
        import tool_reference
    finally:
        sys.path.remove(str(ROOT / "script"))
    now, then = json.loads(tool_reference.schemas_json()), json.loads(SCHEMAS.read_text())
    changed = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    assert changed == [], (
        f"the contract of {', '.join(changed)} changed; when that is meant: {REGENERATE}, and commit what it writes"
    )
    assert (ROOT / "docs/tools.md").read_text() == tool_reference.tools_md(), f"docs/tools.md is out of date: {REGENERATE}"
