"""`k8s-mcp`: the MCP server over stdio."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from configuration.command_line import application

app = application(
    "Serve Kubernetes tools over the Model Context Protocol until stdin closes or SIGTERM arrives.\n\n"
    "Reads KUBECONFIG (several files allowed), K8S_CONTEXTS and REDACTION_KEY_FILE. Logs go to stderr."
)


class Transport(StrEnum):
    """How clients reach the server."""

    STDIO = "stdio"


class ApprovalMode(StrEnum):
    """See server_policy.Approval."""

    ELICIT = "elicit"
    CLIENT = "client"


@app.callback(invoke_without_command=True, subcommand_metavar="", epilog="Example: KUBECONFIG=~/.kube/config k8s-mcp --read-only")
def serve(
    transport: Transport = typer.Option(Transport.STDIO, help="How clients reach the server: over its stdin and stdout."),
    read_only: bool = typer.Option(False, "--read-only", help="Offer no tool that changes a cluster."),
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
    debug: bool = typer.Option(False, "--debug", help="Log more, and show tracebacks."),
    env_file: Path | None = typer.Option(None, "--env-file", help="Read settings from this file instead of the project's .env."),
) -> None:
    """See the help of `app`. A callback, so that the group reports errors; there are no sub-commands."""
    from configuration.logs import configure_logging
    from configuration.sources import load
    from mcp_tools.all_tools import ALL_TOOLS
    from mcp_tools.server_policy import policy_of
    from mcp_tools.settings import McpSettings

    configure_logging(debug=debug)
    settings = load(McpSettings, env_file=env_file)
    policy = policy_of(
        settings, [tool.name for tool in ALL_TOOLS], allow=allow, deny=deny, read_only=read_only, enable_exec=enable_exec,
        approval=approval.value,
    )  # fmt: skip
    assert transport is Transport.STDIO  # noqa: S101 (the only one so far)
    from mcp_tools.stdio_service import serve_stdio

    serve_stdio(settings, policy)


if __name__ == "__main__":
    app()
