"""`k8s-mcp`: the MCP server over stdio or HTTP."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from configuration.command_line import application

app = application(
    "Serve Kubernetes tools over the Model Context Protocol until stdin closes or SIGTERM arrives.\n\n"
    "Reads KUBECONFIG (several files allowed), K8S_CONTEXTS, REDACTION_KEY_FILE, MCP_ALLOW, MCP_DENY, and over HTTP "
    "MCP_TOKEN_FILE or MCP_TOKEN. Logs go to stderr."
)


class Transport(StrEnum):
    """How clients reach the server."""

    STDIO = "stdio"
    STREAMABLE_HTTP = "streamable-http"


class Profile(StrEnum):
    """See tool_profiles."""

    CORE = "core"
    READ = "read"
    FULL = "full"


class ApprovalMode(StrEnum):
    """See server_policy.Approval."""

    ELICIT = "elicit"
    CLIENT = "client"


_EXAMPLES = (
    "Over HTTP: (umask 077; openssl rand -hex 32 > token); k8s-mcp --transport streamable-http --token-file token\n\n"
    "Example: KUBECONFIG=~/.kube/config k8s-mcp --read-only"
)


@app.callback(invoke_without_command=True, subcommand_metavar="", epilog=_EXAMPLES)
def serve(
    context: typer.Context,
    transport: Transport = typer.Option(
        Transport.STDIO, help="How clients reach the server: over its stdin and stdout, or over HTTP at /mcp."
    ),
    host: str = typer.Option("127.0.0.1", help="HTTP: the address to listen on."),
    port: int = typer.Option(8765, min=0, max=65535, help="HTTP: the port to listen on; 0: a free one, which the log names."),
    token_file: Path | None = typer.Option(
        None, "--token-file", help="HTTP: file with the bearer tokens to accept, instead of MCP_TOKEN_FILE."
    ),
    no_token: bool = typer.Option(False, "--no-token", help="HTTP: let in whoever reaches the port; loopback and reads only."),
    tls_cert: Path | None = typer.Option(None, "--tls-cert", help="HTTP: certificate chain, PEM; TLS 1.2 and later is served."),
    tls_key: Path | None = typer.Option(None, "--tls-key", help="HTTP: its key, PEM, without a password."),
    insecure: bool = typer.Option(
        False, "--insecure", help="HTTP: listen beyond loopback without TLS, which something in front has to speak."
    ),
    allowed_host: list[str] = typer.Option(
        [], "--allowed-host", metavar="NAME", help="HTTP: a further name that clients use for this server. Repeatable."
    ),
    allowed_origin: list[str] = typer.Option(
        [], "--allowed-origin", metavar="ORIGIN", help="HTTP: a browser's origin that may send requests. Repeatable."
    ),
    max_calls: int = typer.Option(
        16, "--max-calls", min=1, max=1000, help="HTTP: calls at once; twice as many wait in line, others get a 503."
    ),
    allow_writes: bool = typer.Option(
        False, "--allow-writes", help="HTTP: offer tools that change clusters, too; which changes are made, --allow says."
    ),
    read_only: bool = typer.Option(False, "--read-only", help="Offer no tool that changes a cluster; over HTTP the default."),
    allow: list[str] = typer.Option(
        [], "--allow", metavar="RULE", help="Make these changes without asking, e.g. tool=k8s_scale,namespace=dev-*. Repeatable."
    ),
    deny: list[str] = typer.Option(
        [], "--deny", metavar="RULE", help="Neither read nor change this, e.g. namespace=payments or kind=secrets. Repeatable."
    ),
    approval: ApprovalMode = typer.Option(
        ApprovalMode.ELICIT, help="Who asks a person before a change: this server through the client, or the client by itself."
    ),
    enable_exec: bool = typer.Option(False, "--enable-exec", help="Offer k8s_exec, which runs commands in containers."),
    profile: Profile | None = typer.Option(
        None, "--profile", help="Tools to offer, instead of MCP_PROFILE: core finds out what is wrong, read changes nothing."
    ),
    debug: bool = typer.Option(False, "--debug", help="Log more, and show tracebacks."),
    env_file: Path | None = typer.Option(None, "--env-file", help="Read settings from this file instead of the project's .env."),
    no_env_file: bool = typer.Option(False, "--no-env-file", help="Read settings from the environment only."),
) -> None:
    """See the help of `app`. A callback, so that the group reports errors; there are no sub-commands."""
    over_http = transport is Transport.STREAMABLE_HTTP
    _refuse_contradictions(context, over_http=over_http)

    from configuration.logs import configure_logging
    from configuration.sources import load
    from mcp_tools.all_tools import ALL_TOOLS
    from mcp_tools.server_policy import policy_of
    from mcp_tools.settings import McpSettings
    from mcp_tools.tool_profiles import of_profile
    from mcp_tools.useless_settings import Start, refuse_useless

    configure_logging(debug=debug)
    settings = load(
        McpSettings, env_file=env_file, read_env_file=not no_env_file, mcp_token_file=token_file,
        mcp_profile=profile and profile.value,
    )  # fmt: skip
    start = Start(over_http, allow_writes, read_only_said=read_only)
    read_only = read_only or (over_http and not allow_writes)
    policy = policy_of(
        settings, [tool.name for tool in ALL_TOOLS], allow=allow, deny=deny, read_only=read_only, enable_exec=enable_exec,
        approval=approval.value,
    )  # fmt: skip
    refuse_useless(start, settings, policy, ALL_TOOLS, [tool.name for tool in of_profile(settings.mcp_profile, ALL_TOOLS)])
    if not over_http:
        from mcp_tools.stdio_service import serve_stdio

        serve_stdio(settings, policy)
        return
    from mcp_tools.http_service import HttpOptions, serve_http

    options = HttpOptions(
        host, port, settings.mcp_token_file, settings.mcp_token.get_secret_value(), no_token=no_token, tls_cert=tls_cert,
        tls_key=tls_key, insecure=insecure, allowed_hosts=tuple(allowed_host), allowed_origins=tuple(allowed_origin),
        max_calls=max_calls, read_only=policy.read_only,
    )  # fmt: skip
    serve_http(settings, policy, options)


_HTTP_ONLY = (
    "host", "port", "token_file", "no_token", "tls_cert", "tls_key", "insecure", "allowed_host", "allowed_origin", "max_calls",
    "allow_writes",
)  # fmt: skip


def _refuse_contradictions(context: typer.Context, *, over_http: bool) -> None:
    """Flags that would do nothing, or the opposite of what another says. Raises ConfigurationError."""
    from configuration.errors import ConfigurationError

    given = context.params
    said = [name for name in given if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    if not over_http and (useless := [name for name in said if name in _HTTP_ONLY]):
        flag = "--" + useless[0].replace("_", "-")
        raise ConfigurationError(f"{flag} is for HTTP only: leave it out, or say --transport streamable-http")
    if over_http and given["approval"] is ApprovalMode.CLIENT:
        raise ConfigurationError(
            "--approval client trusts whoever calls, which over HTTP may be anybody with the token: leave it out and say "
            "--allow-writes with --allow RULE"
        )
    if given["no_env_file"] and given["env_file"]:
        raise ConfigurationError("--no-env-file contradicts --env-file: leave out one of them")
    if given["read_only"] and "approval" in said:
        raise ConfigurationError("--approval is about changes, and --read-only offers none: leave out one of them")
    if given["read_only"] and given["allow_writes"]:
        raise ConfigurationError("--read-only contradicts --allow-writes: leave out one of them")
    for_changes = [flag for flag, value in (("--allow", given["allow"]), ("--enable-exec", given["enable_exec"])) if value]
    without_effect = f"{' and '.join(for_changes)} {'does' if len(for_changes) == 1 else 'do'} nothing"
    if given["read_only"] and for_changes:
        raise ConfigurationError(f"{without_effect} beside --read-only: leave out one or the other")
    if over_http and not given["allow_writes"] and for_changes:
        raise ConfigurationError(f"{without_effect} over HTTP without --allow-writes: say that too, or leave it out")


if __name__ == "__main__":
    app()
