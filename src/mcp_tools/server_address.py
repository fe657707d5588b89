"""MCP_SERVER_URL: which server to talk to, and how.

`stdio://` alone is our own server, started as a child; `stdio:///path/to/server` somebody else's executable;
`http://…` or `https://…` a server that is running already (streamable HTTP).
"""

from __future__ import annotations

import shutil
import ssl
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit, urlunsplit

from configuration.errors import ConfigurationError
from mcp_tools.child_environment import foreign_server_environment, own_server_environment
from mcp_tools.http_names import is_loopback_host
from mcp_tools.http_tokens import TokenOfServer

if TYPE_CHECKING:
    from mcp_tools.settings import McpSettings

OWN_SERVER = "stdio://"
HTTP_TYPES = ("http", "streamable-http")
ONLY_READS = ("--read-only",)
"""Flags of our own server for a client that changes nothing."""
ASKS_ITSELF = ("--approval", "client")
"""For a client that has asked its person before it calls a tool that changes something."""
_ONLY_ENVIRONMENT = "--no-env-file"
"""Our server gets all settings from whoever starts it, whatever file it might find."""
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_ANSWER_CHARACTERS = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Either `command` (a child over stdio) or `url` is set. `ours`: answers were redacted before they left the server."""

    name: str
    ours: bool
    command: tuple[str, ...] = field(default=(), repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    url: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every request to `url`."""
    token: TokenOfServer | None = field(default=None, repr=False)
    """Sent with every request to `url`, as it is then."""
    ca_file: Path | None = None
    """Who may vouch for `url`; None: whom the system trusts."""
    working_directory: str = ""
    """Of the child; "" for ours."""
    max_message_bytes: int = MAX_MESSAGE_BYTES
    """A message that is larger ends the connection."""
    max_answer_characters: int = MAX_ANSWER_CHARACTERS
    """An answer with more text is refused."""

    def __str__(self) -> str:
        """For messages and logs; of another server's command the program only: its arguments may hold a credential."""
        if not self.command:
            return f"MCP server {self.name} ({without_credentials(self.url)})"
        return f"MCP server {self.name} ({' '.join(self.command[-2:]) if self.ours else self.command[0]})"


def server_address(settings: McpSettings, environment: Mapping[str, str], own_flags: Sequence[str] = ()) -> ServerAddress:
    """`own_flags` are for our own server. Raises ConfigurationError when MCP_SERVER_URL cannot be used or MCP_SERVER_TYPE
    contradicts it."""
    url, name = settings.mcp_server_url, settings.mcp_server_name
    if url.startswith(OWN_SERVER):
        _expect_type(settings, ("stdio",))
        _refuse_http_only(settings)
        if url == OWN_SERVER:
            command = (sys.executable, "-m", "mcp_tools", _ONLY_ENVIRONMENT, *own_flags)
            return ServerAddress(name, True, command, own_server_environment(environment, _declared(settings, own_flags)))
        _refuse_deny(settings)
        return ServerAddress(name, False, (_executable(url),), foreign_server_environment(environment))
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and parts.hostname:
        _expect_type(settings, HTTP_TYPES)
        _refuse_deny(settings)
        return ServerAddress(name, False, url=url, token=_token_for(settings, parts), ca_file=_ca_file(settings))
    raise ConfigurationError(
        f"MCP_SERVER_URL={without_credentials(url)}: expected stdio:// (our own server), stdio:///path/to/server, "
        "or an http(s) address"
    )


def _token_for(settings: McpSettings, parts: SplitResult) -> TokenOfServer | None:
    """A token is not sent where it could be read on the way. Raises ConfigurationError."""
    token = TokenOfServer(settings.mcp_server_token_file, settings.mcp_server_token.get_secret_value().strip())
    if not token():
        return None
    if parts.scheme == "http" and not is_loopback_host(parts.hostname or ""):
        raise ConfigurationError(
            f"MCP_SERVER_URL={without_credentials(settings.mcp_server_url)}: MCP_SERVER_TOKEN would cross the network in the "
            "clear; use https (or a tunnel that ends on this machine), or leave the token out"
        )
    return token


def _ca_file(settings: McpSettings) -> Path | None:
    if settings.mcp_server_ca_file is not None:
        if urlsplit(settings.mcp_server_url).scheme == "http":
            raise ConfigurationError(
                f"MCP_SERVER_CA_FILE does nothing with MCP_SERVER_URL={without_credentials(settings.mcp_server_url)}: plain http "
                "has no certificates; leave it out, or use https"
            )
        try:
            ssl.create_default_context(cafile=settings.mcp_server_ca_file)
        except OSError as error:  # SSLError too
            raise ConfigurationError(
                f"MCP_SERVER_CA_FILE {settings.mcp_server_ca_file} cannot be used ({error.strerror}); "
                "name a PEM file of certificates"
            ) from None
    return settings.mcp_server_ca_file


def without_credentials(url: str) -> str:
    """The URL without user, password, query and fragment, for messages and logs."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _expect_type(settings: McpSettings, accepted: tuple[str, ...]) -> None:
    if settings.mcp_server_type not in accepted:
        url = without_credentials(settings.mcp_server_url)
        raise ConfigurationError(
            f"MCP_SERVER_TYPE={settings.mcp_server_type} does not fit MCP_SERVER_URL={url}: "
            f"set MCP_SERVER_TYPE={accepted[-1]}, or change the address"
        )


def _refuse_deny(settings: McpSettings) -> None:
    """Whatever else the server is: it was not started by us, and nobody tells it of our rules."""
    if settings.mcp_deny:
        raise ConfigurationError(
            f"MCP_DENY does nothing with MCP_SERVER_URL={without_credentials(settings.mcp_server_url)}: only a server that is "
            "started from here keeps to it, and what was denied would be read; leave it out, or use stdio:// (another server "
            "needs a kubeconfig that may not read it, one of ours --deny, or MCP_DENY in an --env-file of its own)"
        )


def _refuse_http_only(settings: McpSettings) -> None:
    given = (
        ("MCP_SERVER_TOKEN_FILE", settings.mcp_server_token_file),
        ("MCP_SERVER_TOKEN", settings.mcp_server_token),
        ("MCP_SERVER_CA_FILE", settings.mcp_server_ca_file),
    )
    if useless := next((name for name, value in given if value), None):
        raise ConfigurationError(
            f"{useless} does nothing with MCP_SERVER_URL={without_credentials(settings.mcp_server_url)}: it is for a server with "
            "an http(s) address; leave it out, or give that address"
        )


def _declared(settings: McpSettings, own_flags: Sequence[str]) -> dict[str, str]:
    """Settings that the child reads from its environment, wherever ours came from. A server that only reads, or whose client
    asks by itself, is told of no rules that permit changes: it refuses them as useless."""
    declared = {"K8S_CONTEXTS": settings.k8s_contexts, "MCP_PROFILE": "full"}
    asks = not {*ONLY_READS, *ASKS_ITSELF} & set(own_flags)
    rules = {"MCP_ALLOW": settings.mcp_allow if asks else "", "MCP_DENY": settings.mcp_deny}
    declared |= {name: value for name, value in rules.items() if value}
    if settings.redaction_key_file is not None:
        declared["REDACTION_KEY_FILE"] = str(settings.redaction_key_file)
    return declared


def _executable(url: str) -> str:
    path = url.removeprefix(OWN_SERVER)
    if not Path(path).is_absolute() or shutil.which(path) is None:
        raise ConfigurationError(f"MCP_SERVER_URL={url}: {path or 'the path'} is not the absolute path of an executable file")
    return path
