"""An MCP server over stdio, written by hand, that answers as no SDK would: each tool is one way to trouble a client."""

from __future__ import annotations

import json
import sys
from typing import Any

SCHEMA = {"type": "object"}
PATTERN = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
TOOLS: list[dict[str, Any]] = [
    {"name": "slow_pattern", "inputSchema": PATTERN, "outputSchema": PATTERN},
    {"name": "malformed", "inputSchema": SCHEMA},
    {"name": "asks_for_input", "inputSchema": SCHEMA},
    {"name": "echo", "inputSchema": SCHEMA},
    *({"name": f"one-of-many-{number}", "inputSchema": SCHEMA} for number in range(500)),
]


def answer(method: str, parameters: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        about = {"name": "hostile", "version": "1"}
        return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": about}
    if method == "tools/list":
        return {"tools": TOOLS}
    name = parameters.get("name")
    if name == "slow_pattern":
        return {"content": [], "structuredContent": {"a": "a" * 60 + "!"}}
    if name == "malformed":
        return {"content": [{"type": "text", "text": {"password": "canary-in-malformed"}}]}
    if name == "asks_for_input":
        return {"resultType": "input_required", "inputRequests": {"a": {"method": "elicitation/create", "params": {}}}}
    return {"content": [{"type": "text", "text": json.dumps(parameters.get("arguments"))}]}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request and "method" in request:
        if request["method"] in ("initialize", "tools/list", "tools/call"):
            reply = {"result": answer(request["method"], request.get("params") or {})}
        else:
            reply = {"error": {"code": -32601, "message": "no such method"}}
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **reply}), flush=True)
