"""`main`: the session, and the one-shot commands. Only typer is imported before a command is known."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configuration.command_line import application
from configuration.errors import ConfigurationError

if TYPE_CHECKING:
    from agent.commands.options import CommandOptions

app = application(
    "Ask about your Kubernetes clusters: from a cache that a scanner keeps fresh, else live. Without a command: an "
    "interactive session, where /pods, /events, /sql and the rest work without any model."
)

Context = Annotated[str | None, typer.Option("--context", help="Kubeconfig context; default: the current one.")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace; default: the context's.")]


class TableFormat(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class TextFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


TextOutput = Annotated[TextFormat, typer.Option("--output", "-o", help="For people, or one JSON document.")]


@app.callback(invoke_without_command=True, epilog="Example: main --context kind-prod -n payments")
def main(
    ctx: typer.Context,
    context: Context = None,
    namespace: Namespace = None,
    env_file: Annotated[Path | None, typer.Option("--env-file", help="Read settings from this file, not from .env.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Log to stderr, and show tracebacks.")] = False,
) -> None:
    from agent.commands.options import CommandOptions

    ctx.obj = CommandOptions(context or "", namespace, env_file, debug)
    if ctx.invoked_subcommand is None:
        raise typer.Exit(_session(ctx.obj))


@app.command(epilog='Example: main ask "Which pods are unhealthy, and why?"')
def ask(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT|-", help="The question, in any language; - reads standard input.")],
    output: TextOutput = TextFormat.TEXT,
    approve: Annotated[
        list[str] | None,
        typer.Option("--approve", metavar="POLICY", help="Allow matching changes without asking; may be repeated."),
    ] = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Ask one question. The answer is signed with its sources and their age.

    A change is asked for at the terminal; without one it needs --approve, else the command ends with 5.
    """
    import asyncio

    from agent.commands.ask import ask as run
    from agent.commands.standard_input import read_text
    from agent.terminal.screen import Screen

    question = read_text(text, what="the question")
    raise typer.Exit(asyncio.run(run(_given(ctx, context, namespace), question, output, approve or [], Screen())))


@app.command(epilog='Example: main query "SELECT namespace, count(*) FROM pods GROUP BY namespace" -o csv')
def query(
    ctx: typer.Context,
    sql: Annotated[str, typer.Argument(metavar="SQL|-", help="One SELECT; - reads standard input.")],
    output: Annotated[TableFormat, typer.Option("--output", "-o", help="How to print the rows.")] = TableFormat.TABLE,
    context: Context = None,
) -> None:
    """Query the cache with read-only SQL.

    The tables are named as the kinds are: pods, containers, nodes, services, deployments, events. Views:
    timeline (what was created, changed, deleted, and when), event_history, helm_releases, pod_workloads.
    Any object by words: SELECT kind, name FROM objects WHERE text MATCH 'payments crashloop'. The age
    of every table that was read goes to stderr, or into the JSON document.
    """
    import asyncio

    from agent.commands.query import query as run
    from agent.commands.standard_input import read_text
    from agent.terminal.screen import Screen

    asyncio.run(run(_given(ctx, context), read_text(sql, what="the query"), output, Screen()))


@app.command(epilog="Example: main tools -o json")
def tools(ctx: typer.Context, output: TextOutput = TextFormat.TEXT) -> None:
    """List the tools that a model may call.

    Says which read and which change the cluster (those ask first), and what the list costs in tokens.
    """
    import asyncio

    from agent.commands.tools import tools as run
    from agent.terminal.screen import Screen

    asyncio.run(run(_given(ctx), output, Screen()))


@app.command(epilog="Example: main doctor --context kind-prod")
def doctor(ctx: typer.Context, output: TextOutput = TextFormat.TEXT, context: Context = None) -> None:
    """Check every part and say what to do.

    One line each for kubeconfig, MCP server, API server, permissions, database, scanner and model: ok, warn or FAIL.
    Ends with 1 when one of them failed.
    """
    import asyncio

    from agent.commands.doctor import doctor as run
    from agent.terminal.screen import Screen

    raise typer.Exit(asyncio.run(run(_given(ctx, context), output, Screen())))


@app.command(epilog="Example: main demo --once -o json")
def demo(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="No session: scan, ask three questions, print, end.")] = False,
    output: TextOutput = TextFormat.TEXT,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed tells the same story.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the simulated API server; 0 takes a free one.")] = 0,
) -> None:
    """Try everything on a simulated cluster.

    Needs no cluster and no key: starts the cluster on loopback, a scanner with a database of its own, and a session. All
    of it is gone when the session ends.
    """
    from agent.commands.demo import demo_once, demo_session

    if once:
        from agent.terminal.screen import Screen

        demo_once(_given(ctx), seed=seed, port=port, output=output, screen=Screen())
        return
    if output is TextFormat.JSON:
        raise ConfigurationError("-o json is for `main demo --once`")
    _require_terminal("main demo --once")
    raise typer.Exit(demo_session(_given(ctx), seed=seed, port=port))


def _given(ctx: typer.Context, context: str | None = None, namespace: str | None = None) -> CommandOptions:
    options: CommandOptions = ctx.obj
    return options.narrowed(context, namespace)


def _session(options: CommandOptions) -> int:
    import asyncio

    from agent.repl.session import ReplSession, SessionOptions
    from configuration.places import state_directory

    _require_terminal("main ask, main query")
    session = SessionOptions(
        load_settings=options.settings, environment=options.environment, context=options.context, namespace=options.namespace,
        history=state_directory() / "history", debug=options.debug,
        greeting="k8s-mcp · /help lists the commands, anything else is a question · Ctrl-D leaves",
    )  # fmt: skip
    return asyncio.run(ReplSession(session).run())


def _require_terminal(instead: str) -> None:
    import sys

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigurationError(f"a session needs a terminal; without one use {instead}")


if __name__ == "__main__":
    app(prog_name="main")
