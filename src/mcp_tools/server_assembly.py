"""The server's parts, put together from settings and policy; the same for every transport."""

from __future__ import annotations

import os

from mcp_tools.all_tools import ALL_TOOLS
from mcp_tools.k8s_api import Clusters
from mcp_tools.redaction import Redactor
from mcp_tools.redaction_key import read_or_create_key
from mcp_tools.server import ToolGate, package_version
from mcp_tools.server_policy import ServerPolicy
from mcp_tools.settings import McpSettings, context_names
from mcp_tools.tool_declaration import ToolContext
from mcp_tools.tool_profiles import of_profile

TOKEN_VARIABLES = ("MCP_TOKEN", "MCP_SERVER_TOKEN")
"""They are in the settings by now, and not for the plugins that a kubeconfig starts."""


def assembled_gate(settings: McpSettings, policy: ServerPolicy) -> ToolGate:
    """Nothing is contacted yet. Raises ConfigurationError when the redaction key cannot be used."""
    redactor = Redactor(read_or_create_key(settings.redaction_key_file))
    environment = {name: value for name, value in os.environ.items() if name.upper() not in TOKEN_VARIABLES}
    allowed = context_names(settings.k8s_contexts)
    clusters = Clusters(environment, allowed=allowed, version=package_version(), policy=policy)
    return ToolGate(ToolContext(clusters, redactor), of_profile(settings.mcp_profile, ALL_TOOLS))
