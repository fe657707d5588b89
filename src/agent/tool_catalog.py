"""What tools there are, without starting a process: our own server's are kept in own_tools.json.

`script/list-own-tools` writes that file from the server itself; a test fails when the two differ. Another server's
tools are only known once it runs.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from typing import TYPE_CHECKING, Any

from configuration.errors import UnknownTool
from mcp_tools.argument_check import ArgumentCheck
from mcp_tools.server_address import OWN_SERVER
from mcp_tools.tool_spec import ToolSpec

if TYPE_CHECKING:
    from agent.live_access import LiveAccess
    from mcp_tools.settings import McpSettings

OWN_TOOLS_FILE = "own_tools.json"


class ToolCatalog:
    """Name -> ToolSpec of what an agent may call; bulk tools are left out."""

    def __init__(self, settings: McpSettings, live: LiveAccess) -> None:
        self._own = settings.mcp_server_url == OWN_SERVER
        self._server = settings.mcp_server_name
        self._live = live
        self._specs: Mapping[str, ToolSpec] | None = None
        self._checks: dict[str, ArgumentCheck] = {}

    @property
    def own(self) -> bool:
        """Whether the server is ours: only then are its read-only marks believed and its reads answered from the cache."""
        return self._own

    async def specs(self) -> Mapping[str, ToolSpec]:
        """Raises ServerGone when another server's tools are not known yet and it cannot be started."""
        if self._specs is None:
            found = own_tools(self._server) if self._own else await self._live.specs()
            self._specs = {name: spec for name, spec in found.items() if not spec.bulk}
        return self._specs

    async def checked(self, tool: str, arguments: Mapping[str, Any]) -> ToolSpec:
        """The tool, once its arguments fit. Raises UnknownTool with near names, or InvalidArguments."""
        specs = await self.specs()
        spec = specs.get(tool)
        if spec is None:
            near = difflib.get_close_matches(tool, specs, 3, 0.5)
            hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(sorted(specs))}"
            raise UnknownTool(f"no tool is called {tool[:80]!r}; {hint}")
        check = self._checks.get(tool) or self._checks.setdefault(tool, ArgumentCheck(tool, spec.input_schema))
        check.check(arguments)
        return spec

    def changes_cluster(self, spec: ToolSpec) -> bool:
        """Our own server's declaration is ours to trust; what another server says about itself is no guarantee."""
        return not (self._own and spec.read_only)


def own_tools(server: str) -> dict[str, ToolSpec]:
    """The tools of our own server, from the file that is kept with this package."""
    text = resources.files("agent").joinpath(OWN_TOOLS_FILE).read_text("utf-8")
    return {entry["name"]: ToolSpec(**entry, server=server) for entry in json.loads(text)}


def as_file(specs: Mapping[str, ToolSpec]) -> str:
    """The text of own_tools.json for these tools."""
    entries = [{key: value for key, value in asdict(spec).items() if key != "server"} for spec in specs.values()]
    return json.dumps(sorted(entries, key=lambda entry: entry["name"]), indent=1, ensure_ascii=False) + "\n"
