"""The MCP tools as committed text: docs/tools.md for people, test/tool_schemas.json for noticing that a contract changed.

Both are made from the declarations by script/reference, and nowhere edited by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from agent.commands.tools import count_tokens
from mcp_tools.all_tools import ALL_TOOLS
from mcp_tools.shown_schemas import COMMON
from mcp_tools.tool_declaration import ToolDeclaration
from mcp_tools.tool_profiles import CORE, PROFILES, of_profile

HEAD = """# Tools of the MCP server

Written by script/reference from the declarations in src/mcp_tools/k8s_tools; do not edit.

Every tool refuses arguments that it does not know and values of another type. Text and structured content of an answer
together stay below `max_tokens` (4,000 unless given): what does not fit is left out, and the answer says how much of it
is shown ("N of M shown") and which call gives the rest. An error says what failed, on what, and what to do.
"""
OUTPUT_SCHEMAS = """Each of these tools has an output schema. Most clients pass only names, words and arguments on to
the model; with one that passes all of it on, the list costs what the last column says.
"""
FOR_PROGRAMS = """Pages for programs, without a budget. They are listed only to a client that sends
`"k8s-mcp/bulk": true` in the `_meta` of its tools/list, in the profiles `read` and `full`."""


def function_form(tool: ToolDeclaration) -> dict[str, Any]:
    """What a model is shown of a tool."""
    return {"name": tool.name, "description": tool.description, "input_schema": tool.listed_schema}


def list_tokens(tools: Iterable[ToolDeclaration]) -> int:
    """cl100k tokens of a list of tools as models see it."""
    return count_tokens(json.dumps([function_form(tool) for tool in tools if not tool.bulk], ensure_ascii=False))


def list_tokens_with_outputs(tools: Iterable[ToolDeclaration]) -> int:
    """The same with the output schemas, which most clients keep to themselves."""
    whole = [function_form(tool) | {"output_schema": tool.output} for tool in tools if not tool.bulk]
    return count_tokens(json.dumps(whole, ensure_ascii=False))


def contract(tool: ToolDeclaration) -> dict[str, Any]:
    """All that a client may rely on."""
    return {
        "title": tool.title,
        "description": tool.description,
        "read_only": tool.read_only,
        "destructive": tool.destructive,
        "idempotent": tool.idempotent,
        "for_programs": tool.bulk,
        "input_schema": tool.input_schema,
        "output_schema": tool.output,
    }


def schemas_json() -> str:
    return json.dumps({tool.name: contract(tool) for tool in ALL_TOOLS}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def tools_md() -> str:
    models = [tool for tool in ALL_TOOLS if not tool.bulk]
    sections = [
        HEAD,
        _profiles(),
        _common(),
        "## Tools that read\n",
        *(_tool(tool) for tool in models if tool.read_only),
        "## Tools that change a cluster\n",
        *(_tool(tool) for tool in models if not tool.read_only),
        f"## Tools for programs\n\n{FOR_PROGRAMS}\n",
        *(_tool(tool) for tool in ALL_TOOLS if tool.bulk),
    ]
    return "\n".join(sections)


def _profiles() -> str:
    lines = ["## Profiles\n", "`k8s-mcp --profile` or `MCP_PROFILE` chooses which tools are offered.\n"]
    lines.append(OUTPUT_SCHEMAS)
    lines += ["| profile | tools | tokens of the list (cl100k) | with output schemas |", "|---|---|---|---|"]
    for profile in PROFILES:
        tools = [tool for tool in of_profile(profile, ALL_TOOLS) if not tool.bulk]
        lines.append(f"| `{profile}` | {len(tools)} | {list_tokens(tools):,} | {list_tokens_with_outputs(tools):,} |")
    return "\n".join([*lines, f"\n`core` is {', '.join(f'`{name}`' for name in CORE)}.\n"])


def _common() -> str:
    lines = ["## Arguments that mean the same everywhere\n", "Their words are in the server's instructions, not in every tool.\n"]
    lines += ["| argument | meaning |", "|---|---|", *(f"| `{name}` | {_cell(words)} |" for name, words in COMMON.items())]
    return "\n".join(lines) + "\n"


def _tool(tool: ToolDeclaration) -> str:
    lines = [f"### {tool.name}\n", f"{tool.description}\n", f"{_hints(tool)}\n"]
    if tool.arguments:
        lines += ["| argument | type | default | meaning |", "|---|---|---|---|"]
        lines += [_argument(name, schema, required=name in tool.required) for name, schema in tool.arguments.items()]
        lines.append("")
    if tool.output is not None:
        lines.append(f"Answers {', '.join(f'`{name}`' for name in tool.output['properties'])}.\n")
    return "\n".join(lines)


def _hints(tool: ToolDeclaration) -> str:
    said = "Reads." if tool.read_only else "Changes a cluster, and may destroy." if tool.destructive else "Changes a cluster."
    said += "" if tool.read_only else " Idempotent." if tool.idempotent else " Not idempotent."
    return said + (" In the profile `core`." if tool.name in CORE else "")


def _argument(name: str, schema: Mapping[str, Any], *, required: bool) -> str:
    default = "required" if required else f"`{json.dumps(schema['default'])}`" if schema.get("default") not in (None, "") else ""
    return f"| `{name}` | {_type(schema)} | {default} | {_cell(str(schema.get('description', '')))} |"


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{one}`" for one in schema["enum"] if one)
    kind = schema["type"]
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if "maximum" in schema:
        return f"{words}, {schema.get('minimum', '')}..{schema['maximum']}"
    if "maxLength" in schema:
        return f"{words}, up to {schema['maxLength']}"
    return words


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
