"""What tools there are, without starting a process: our own server's are declarations that can be read here.

Another server's tools are only known once it runs; those of MCP_SERVERS_FILE are named `server__tool`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from configuration.errors import UnknownTool
from mcp_tools.all_tools import own_tool_specs
from mcp_tools.argument_check import ArgumentCheck
from mcp_tools.qualified_names import is_qualified
from mcp_tools.server_address import OWN_SERVER
from mcp_tools.shown_schemas import shown_schema

if TYPE_CHECKING:
    from agent.live_access import LiveAccess
    from mcp_tools.settings import McpSettings
    from mcp_tools.tool_spec import ToolSpec


class ToolCatalog:
    """Name -> ToolSpec of what an agent may call; bulk tools are left out."""

    def __init__(self, settings: McpSettings, live: LiveAccess) -> None:
        self._own = settings.mcp_server_url == OWN_SERVER
        self._server = settings.mcp_server_name
        self._live = live
        self._main: Mapping[str, ToolSpec] | None = None
        self._checks: dict[str, tuple[dict[str, Any], ArgumentCheck]] = {}

    @property
    def own(self) -> bool:
        """Whether the server is ours: only then are its read-only marks believed and its reads answered from the cache."""
        return self._own

    async def specs(self) -> Mapping[str, ToolSpec]:
        """All of them, of the servers of MCP_SERVERS_FILE as far as they are there.

        Raises ServerGone when MCP_SERVER_URL is another server, its tools are not known yet and it cannot be started.
        """
        return {**await self._main_specs(), **await self._live.other_specs()}

    async def _main_specs(self) -> Mapping[str, ToolSpec]:
        if self._main is None:
            found = own_tool_specs(self._server) if self._own else await self._live.specs()
            self._main = {name: spec for name, spec in found.items() if not spec.bulk}
        return self._main

    async def checked(self, tool: str, arguments: Mapping[str, Any]) -> ToolSpec:
        """The tool, once its arguments fit. Raises UnknownTool with near names, or InvalidArguments."""
        specs = await self._main_specs()
        if is_qualified(tool):  # nothing else may cost the start of other servers
            specs = await self.specs()
        spec = specs.get(tool)
        if spec is None:
            near = difflib.get_close_matches(tool, specs, 3, 0.5)
            hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(sorted(specs))}"
            raise UnknownTool(f"no tool is called {tool[:80]!r}; {hint}")
        known = self._checks.get(tool)
        if known is None or known[0] != spec.input_schema:  # a server that was started anew may have changed it
            known = self._checks[tool] = (spec.input_schema, ArgumentCheck(tool, spec.input_schema))
        known[1].check(arguments)
        return spec

    def shown_schema(self, spec: ToolSpec) -> dict[str, Any]:
        """The arguments as a model sees them; another server's as it describes them."""
        return shown_schema(spec.input_schema) if self._is_ours(spec) else spec.input_schema

    def changes_cluster(self, spec: ToolSpec) -> bool:
        """Our own server's declaration is ours to trust; what another server says about itself is no guarantee."""
        return not (self._is_ours(spec) and spec.read_only)

    def _is_ours(self, spec: ToolSpec) -> bool:
        return self._own and not is_qualified(spec.name)

    def offers_dry_run(self, spec: ToolSpec) -> bool:
        """Of our own tools only: another server may take `dry_run` and change something all the same."""
        return self._is_ours(spec) and "dry_run" in spec.input_schema.get("properties", {})

    def is_dry_run(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> bool:
        return self.offers_dry_run(spec) and arguments.get("dry_run") is True
