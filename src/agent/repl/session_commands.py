"""/help, /status, /sql, /logs and what steers the session itself."""

from __future__ import annotations

from typing import Any

from agent.repl.slash_command import SlashCommand, slash_command
from agent.repl.slash_line import NAMESPACE, Option, SlashLine
from agent.repl.workbench import Workbench
from agent.terminal.durations import parse_duration, took
from agent.terminal.freshness_table import freshness_grid
from agent.terminal.grid import Grid, sql_grid
from agent.terminal.safe_text import safe_line
from agent.terminal.tool_list import tool_grid
from configuration.errors import CacheError, ConfigurationError

CONTAINER = Option("container", "c", "NAME", "container, when the pod has several")
PREVIOUS = Option("previous", "p", help="of the run before the last restart")
TAIL = Option("tail", value="N", help="lines from the end (200)")
SINCE = Option("since", value="TIME", help="not older than 5m, 2h …")
GREP = Option("grep", value="TEXT", help="only lines that contain it")


@slash_command("help", "this list, or one command in detail", arguments="[COMMAND]", aliases=("h", "?"), completes="command")
async def help_(bench: Workbench, line: SlashLine) -> None:
    from agent.repl.all_commands import slash_commands
    from agent.repl.slash_command import find_command

    commands = slash_commands()
    if line.arguments:
        _show_help(bench, find_command(commands, line.arguments[0].removeprefix("/")))
        return
    bench.screen.pairs([(f"/{command.name}", command.help) for command in commands.values()])
    bench.screen.note(
        "\nLists come from the cache while it is fresh, else live; -n -A -l -o are kubectl's, --live asks the API server.\n"
        "Anything else is a question to the model, in any language.\n"
        "Esc or Ctrl-C stops an answer · Esc Enter or a trailing \\ starts a new line · Ctrl-R searches history · Ctrl-D leaves"
    )


def _show_help(bench: Workbench, command: SlashCommand) -> None:
    pairs = [("usage", command.usage)]
    pairs += [
        (option.spelling, option.help + (f": {', '.join(option.choices)}" if option.choices else ""))
        for option in command.options
    ]
    if command.aliases:
        pairs.append(("also", ", ".join(f"/{alias}" for alias in command.aliases)))
    if command.example:
        pairs.append(("example", command.example))
    bench.screen.text(command.help)
    bench.screen.pairs(pairs)


@slash_command("status", "cluster, cache, model and what this session has used")
async def status(bench: Workbench, _: SlashLine) -> None:
    gateway = bench.gateway
    bench.screen.pairs(
        [
            ("cluster", gateway.cluster or "none"),
            ("namespace", gateway.namespace),
            ("model", bench.model.problem.partition(": ")[0] or bench.model.name),
            ("session", f"{bench.session.questions} questions · {bench.usage.text()}"),
            ("cache", str(bench.settings.cache_db_path)),
        ]
    )
    if gateway.cluster_problem:
        bench.screen.warning(gateway.cluster_problem)
    try:
        found = await gateway.freshness()
    except CacheError as error:
        bench.screen.warning(str(error))
        return
    if not found:
        bench.screen.warning(f"nothing of {gateway.cluster or 'any cluster'} is in the cache; `scanner scan` fills it")
        return
    bench.screen.table(freshness_grid(found, bench.clock()))


@slash_command("sql", "a query over the cache; the tables are named as the kinds are", arguments="SELECT …", raw=True,
               example="/sql SELECT status, count(*) FROM pods GROUP BY status")  # fmt: skip
async def sql(bench: Workbench, line: SlashLine) -> None:
    if not line.rest:
        raise ConfigurationError("/sql needs a query, for example: SELECT status, count(*) FROM pods GROUP BY status")
    result = await bench.gateway.query(line.rest)
    bench.screen.table(sql_grid(result.columns, result.rows))
    rows = f"{len(result.rows):,} rows" if len(result.rows) != 1 else "1 row"
    bench.screen.note(
        rows + (" (there are more: narrow the query)" if result.truncated else "") + f" · {took(result.elapsed_seconds)}"
    )


@slash_command("logs", "log of a pod's container, live", arguments="POD",
               options=(NAMESPACE, CONTAINER, PREVIOUS, TAIL, SINCE, GREP),
               example="/logs api-0 -n payments --since 10m --grep ERROR", completes="pods")  # fmt: skip
async def logs(bench: Workbench, line: SlashLine) -> None:
    if len(line.arguments) != 1:
        raise ConfigurationError("/logs needs one pod: /logs POD [-n NS] [-c CONTAINER]")
    arguments: dict[str, Any] = {
        "name": line.arguments[0].removeprefix("pod/"),
        "namespace": line.option(NAMESPACE) or bench.gateway.namespace,
        "previous": line.has(PREVIOUS),
        "fold": False,
        "max_tokens": 100_000,  # a screen costs the model nothing
    }
    if line.has(CONTAINER):
        arguments["container"] = line.option(CONTAINER)
    if line.has(GREP):
        arguments["grep"] = line.option(GREP)
    try:
        if line.has(TAIL):
            arguments["tail_lines"] = int(line.option(TAIL))
        if line.has(SINCE):
            arguments["since_seconds"] = parse_duration(line.option(SINCE))
    except ValueError as error:
        raise ConfigurationError(f"/logs: {error}") from None
    answer = await bench.gateway.call("k8s_get_pod_logs", arguments)
    structured = answer.structured or {}
    lines = answer.text.rstrip("\n").split("\n")
    shown = structured.get("text_lines", len(lines))  # the heading before them is the model's
    bench.screen.text("\n".join(lines[len(lines) - shown :]) or "(no lines)")
    if structured.get("truncated"):
        bench.screen.note("the log is longer: --tail, --since and --grep choose another part")


PATIENCE_SECONDS = 3.0
"""Of `/tools` with servers of MCP_SERVERS_FILE that are starting: it can be asked again."""


@slash_command("tools", "what the model may call: reads, and changes that ask first")
async def tools(bench: Workbench, _: SlashLine) -> None:
    missing = await bench.gateway.missing_servers(PATIENCE_SECONDS)
    bench.screen.table(tool_grid(await bench.gateway.tools()))
    for problem in missing:
        bench.screen.note(f"left out: {safe_line(problem)}")


@slash_command(
    "model", "the model in use, or another one from now on", arguments="[NAME]", example="/model anthropic/claude-sonnet-4.5"
)
async def model(bench: Workbench, line: SlashLine) -> None:
    if line.arguments:
        bench.use_model(line.arguments[0])
    bench.screen.text(f"{bench.model.name}" + (f"\n{bench.model.problem}" if bench.model.problem else ""))


@slash_command("context", "the contexts of the kubeconfig, or work on another one", arguments="[NAME]", completes="context")
async def context(bench: Workbench, line: SlashLine) -> None:
    from mcp_tools.kubeconfig import load_kubeconfig

    if line.arguments:
        await bench.use_context(line.arguments[0])
        bench.screen.text(f"working on {bench.gateway.cluster}, namespace {bench.gateway.namespace}")
        return
    kubeconfig = load_kubeconfig(bench.environment)
    if kubeconfig is None:
        bench.screen.text("no kubeconfig: the service account of this pod is used")
        return
    cells = tuple(
        ("*" if entry.name == bench.gateway.cluster else "", entry.name, entry.server, entry.namespace)
        for entry in kubeconfig.contexts()
    )
    bench.screen.table(Grid(("", "CONTEXT", "SERVER", "NAMESPACE"), cells))


@slash_command("namespace", "the namespace in use, or another one from now on", arguments="[NS]", aliases=("n",),
               completes="namespace")  # fmt: skip
async def namespace(bench: Workbench, line: SlashLine) -> None:
    if line.arguments:
        bench.gateway.use_namespace(line.arguments[0])
    bench.screen.text(f"namespace {bench.gateway.namespace}")


@slash_command("clear", "forget the conversation and start with an empty screen")
async def clear(bench: Workbench, _: SlashLine) -> None:
    bench.session.clear()
    bench.last_list = None
    bench.screen.out.clear()


@slash_command("exit", "leave (Ctrl-D)", aliases=("quit", "q"))
async def exit_(bench: Workbench, _: SlashLine) -> None:
    bench.leaving = True
