"""`main tools`: what can be called, what asks first, and what the list costs a model."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from agent.commands.options import CommandOptions
from agent.terminal.safe_text import safe_line
from agent.terminal.screen import Screen
from agent.terminal.tool_list import as_model_sees, tool_grid, tool_json

SERVERS_SECONDS = 20.0
"""How long is waited for servers of MCP_SERVERS_FILE that are slow to start."""


async def tools(options: CommandOptions, output: str, screen: Screen) -> None:
    """Print the tools of the configured servers. Raises ServerGone when another server than ours cannot be started."""
    settings = options.settings()
    async with options.gateway(settings) as gateway:
        missing = await gateway.missing_servers(SERVERS_SECONDS)
        specs = await gateway.tools()
    tokens = count_tokens(as_model_sees(specs, gateway.catalog.shown_schema))
    if output == "json":
        screen.json({"tools": tool_json(specs), "tokens": tokens})
        return
    screen.table(tool_grid(specs))
    reads = sum(spec.read_only for spec in specs.values())
    for problem in missing:
        screen.note(f"left out: {safe_line(problem)}")
    screen.note(f"{reads} read, {len(specs) - reads} change (they ask first) · the list costs a model {tokens:,} tokens (cl100k)")


def count_tokens(text: str) -> int:
    """cl100k tokens, counted with the tables that litellm carries; nothing is downloaded and litellm is not imported."""
    spec = find_spec("litellm")
    if spec is not None and spec.origin:
        os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(Path(spec.origin).parent / "litellm_core_utils" / "tokenizers"))
    import tiktoken

    return len(tiktoken.get_encoding("cl100k_base").encode(text, disallowed_special=()))
