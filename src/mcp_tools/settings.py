"""Settings of everything that talks to a cluster: which MCP server, which contexts, which redaction key."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from configuration.sources import ProcessSettings

ALL_CONTEXTS = "*"


class McpSettings(ProcessSettings):
    """Mixed into the settings of the scanner and the agent; the server's own settings are a part of it."""

    paths: ClassVar[frozenset[str]] = frozenset(
        {"redaction_key_file", "mcp_token_file", "mcp_server_token_file", "mcp_server_ca_file"}
    )

    mcp_server_url: str = Field(
        "stdio://",
        description="MCP server to talk to: `stdio://` is our own, `stdio:///path/to/server` another one, or an http(s) address",
    )
    mcp_server_type: Literal["stdio", "http", "streamable-http"] = Field("stdio", description="Transport of that server")
    mcp_server_name: str = Field(
        "k8s-mcp", min_length=1, max_length=64, description="Name of that server in logs and in the names of its tools"
    )
    k8s_contexts: str = Field(
        "", description="Kubeconfig contexts to use, comma-separated; empty: the current context; `*`: all of them"
    )
    mcp_allow: str = Field(
        "",
        description="Changes that our server makes without asking, as rules separated by `;`, e.g. "
        "`tool=k8s_scale,namespace=dev-*,kind=deployments`",
    )
    mcp_deny: str = Field(
        "",
        description="What our server neither reads nor changes, as rules separated by `;`, e.g. "
        "`namespace=payments;kind=secrets`",
    )
    mcp_profile: Literal["core", "read", "full"] = Field(
        "full",
        description="Tools that our server offers: `core` the few that find out what is wrong, `read` all that change nothing, "
        "`full` all that its policy permits",
    )
    mcp_server_token_file: Path | None = Field(
        None, description="File (mode 0600) with the bearer token to send to a server with an http(s) address"
    )
    mcp_server_token: SecretStr = Field(SecretStr(""), description="That token itself; a file is safer, and wins")
    mcp_server_ca_file: Path | None = Field(
        None, description="PEM file of the CAs that may vouch for a server with an https address; empty: the system's"
    )
    mcp_token_file: Path | None = Field(
        None,
        description="File (mode 0600) with the bearer tokens that our server accepts over HTTP, one a line; "
        "read again when it changes",
    )
    mcp_token: SecretStr = Field(
        SecretStr(""), description="The token that our server accepts over HTTP, 32 characters or more; a file is safer, and wins"
    )
    redaction_key_file: Path | None = Field(
        None,
        description="File with the key of the redaction fingerprints (mode 0600, created when missing); "
        "empty: `redaction.key` in the state directory",
    )


def context_names(k8s_contexts: str) -> tuple[str, ...]:
    """`K8S_CONTEXTS` as names; () for the current context; ("*",) for all."""
    return tuple(dict.fromkeys(name for name in (part.strip() for part in k8s_contexts.split(",")) if name))
