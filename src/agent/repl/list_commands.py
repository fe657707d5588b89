"""/pods, /nodes, /services …: lists through the gateway, from the cache when it is fresh, without any model."""

from __future__ import annotations

from typing import Any

from agent.cache_first_gateway import Answer
from agent.repl.slash_command import SlashCommand, slash_command
from agent.repl.slash_line import ALL_NAMESPACES, LIMIT, LIVE, NAMESPACE, OUTPUT, SELECTOR, Option, SlashLine
from agent.repl.workbench import LastList, Workbench
from agent.terminal.grid import kind_grid
from agent.terminal.object_view import show_object
from configuration.errors import ConfigurationError
from kinds.kind import Kind
from kinds.list_query import DEFAULT_LIMIT, MAX_LIMIT
from kinds.registry import KINDS, find_kind

OBJECT_OUTPUT = Option("output", "o", "FORMAT", "how to print it", ("wide", "json", "yaml"))
_OWN_TOOLS = frozenset({"namespaces", "nodes", "pods", "services"})


def _list_command(kind_name: str, example: str = "") -> SlashCommand:
    kind = KINDS[kind_name]

    async def handler(bench: Workbench, line: SlashLine) -> None:
        await show(bench, kind, line)

    scope = (NAMESPACE, ALL_NAMESPACES) if kind.namespaced else ()
    filters = tuple(kind.filters)
    return SlashCommand(
        name=kind.name,
        help=f"list {kind.name}"
        + (" of the namespace in use, -A of all, or one by name" if kind.namespaced else ", or one by name"),
        handler=handler,
        arguments="[NAME] " + " ".join(f"[{name}=…]" for name in filters),
        options=(*scope, SELECTOR, OBJECT_OUTPUT, LIMIT, LIVE),
        example=example,
        aliases=kind.aliases,
        completes=kind.name,
        filters=filters,
    )


pods = _list_command("pods", "/pods -A healthy=false")
nodes = _list_command("nodes", "/nodes -o wide")
services = _list_command("services", "/services -n shop")
deployments = _list_command("deployments", "/deployments -A -l app=web")
namespaces = _list_command("namespaces")
events = _list_command("events", "/events -A type=Warning")


@slash_command(
    "get",
    "any kind, as kubectl get: a list, or one object with -o yaml",
    arguments="KIND [NAME]",
    options=(NAMESPACE, ALL_NAMESPACES, SELECTOR, OBJECT_OUTPUT, LIMIT, LIVE),
    example="/get deploy web -n shop -o yaml",
    completes="kind",
)
async def get(bench: Workbench, line: SlashLine) -> None:
    if not line.arguments:
        raise ConfigurationError(f"/get needs a kind: {', '.join(KINDS)}")
    kind_name, _, name = line.arguments[0].partition("/")
    rest = ((name,) if name else ()) + line.arguments[1:]
    await show(bench, find_kind(kind_name), SlashLine(rest, line.options, line.rest))


@slash_command("more", "the next rows of the last list", aliases=("m",))
async def more(bench: Workbench, _: SlashLine) -> None:
    last = bench.last_list
    if last is None:
        raise ConfigurationError("the last list was shown completely; there is nothing more")
    answer = await bench.gateway.call(last.tool, last.arguments)
    _print_list(bench, last.kind, answer, last.tool, dict(last.arguments), shown=last.shown, wide=last.wide)


async def show(bench: Workbench, kind: Kind, line: SlashLine) -> None:
    """A list of the kind, or the one object that is named."""
    names = [word for word in line.arguments if "=" not in word]
    if len(names) > 1:
        raise ConfigurationError(f"one name at a time, not {len(names)}: {' '.join(names)[:80]}")
    if names:
        await _show_one(bench, kind, names[0], line)
    else:
        await _show_list(bench, kind, line)


async def _show_one(bench: Workbench, kind: Kind, name: str, line: SlashLine) -> None:
    arguments: dict[str, Any] = {"kind": kind.name, "name": name}
    if kind.namespaced:
        arguments["namespace"] = line.option(NAMESPACE) or bench.gateway.namespace
    answer = await bench.gateway.call("k8s_get_resource", arguments, live=line.has(LIVE))
    show_object(bench.screen, kind, answer.structured or {}, line.option(OBJECT_OUTPUT), now=bench.clock())
    if not line.has(OBJECT_OUTPUT) and kind.name != "events":
        scope = f" -n {arguments['namespace']}" if kind.namespaced else " -A"
        bench.screen.note(f"what happened to it: /events{scope} object_name={name} · as it is stored: -o yaml")
    _say(bench, answer)


async def _show_list(bench: Workbench, kind: Kind, line: SlashLine) -> None:
    if line.option(OBJECT_OUTPUT) == "yaml":
        raise ConfigurationError("-o yaml shows one object: give its name")
    tool, arguments = list_call(kind, line, bench.gateway.namespace)
    answer = await bench.gateway.call(tool, arguments, live=line.has(LIVE))
    if line.option(OUTPUT) == "json":
        bench.screen.json(answer.structured)
        _say(bench, answer)
        return
    _print_list(bench, kind, answer, tool, arguments, shown=0, wide=line.option(OUTPUT) == "wide")


def list_call(kind: Kind, line: SlashLine, namespace: str) -> tuple[str, dict[str, Any]]:
    """The tool and the arguments that a slash line means."""
    arguments: dict[str, Any] = {"limit": _limit(line)}
    if kind.namespaced and not line.has(ALL_NAMESPACES):
        arguments["namespace"] = line.option(NAMESPACE) or namespace
    if line.has(SELECTOR):
        arguments["label_selector"] = line.option(SELECTOR)
    filters = dict(_filter(kind, word) for word in line.arguments)
    if kind.name in _OWN_TOOLS:
        return f"k8s_list_{kind.name}", arguments | filters
    return "k8s_list_resources", {"kind": kind.name} | arguments | ({"filters": filters} if filters else {})


def _limit(line: SlashLine) -> int:
    text = line.option(LIMIT)
    if not text:
        return DEFAULT_LIMIT
    if not text.isdigit() or not 1 <= int(text) <= MAX_LIMIT:
        raise ConfigurationError(f"--limit is a number from 1 to {MAX_LIMIT}, not {text[:20]!r}")
    return int(text)


def _filter(kind: Kind, word: str) -> tuple[str, str | bool]:
    name, _, value = word.partition("=")
    if name not in kind.filters:
        known = ", ".join(f"{known}=…" for known in kind.filters) or "none"
        raise ConfigurationError(
            f"{kind.name} cannot be filtered by {name[:40]!r}; filters: {known}; labels go to -l {word[:60]}"
        )
    if kind.columns_by_name[kind.filters[name]].type != "boolean":
        return name, value
    if value not in ("true", "false"):
        raise ConfigurationError(f"{name} is true or false, not {value[:40]!r}")
    return name, value == "true"


def _print_list(
    bench: Workbench, kind: Kind, answer: Answer, tool: str, arguments: dict[str, Any], *, shown: int, wide: bool
) -> None:
    rows = answer.rows
    everywhere = kind.namespaced and "namespace" not in arguments
    if rows:
        left_out = bench.screen.table(kind_grid(kind, rows, now=bench.clock(), namespace=everywhere), wide=wide)
        if left_out:
            bench.screen.note(f"left out for lack of space: {', '.join(left_out)} (-o wide shows them)")
    total = answer.envelope.total if answer.envelope else None
    bench.screen.note(_count(kind, len(rows), shown, total, more=bool(answer.continue_token), arguments=arguments))
    bench.last_list = None
    if answer.continue_token:
        following = arguments | {"continue_token": answer.continue_token}
        bench.last_list = LastList(kind, tool, following, shown + len(rows), wide)
    _say(bench, answer)


def _count(kind: Kind, rows: int, before: int, total: int | None, *, more: bool, arguments: dict[str, Any]) -> str:
    """`50 of 412 pods · /more shows the next`, or where else to look when there are none."""
    if not rows and not before:
        namespace = arguments.get("namespace")
        where = f" in namespace {namespace}" if namespace else ""
        narrowed = " that match" if "label_selector" in arguments or set(arguments) & ({"filters"} | set(kind.filters)) else ""
        return f"no {kind.name}{narrowed}{where}" + (" · -A looks in every namespace" if namespace else "")
    seen = f"{before + 1}-{before + rows}" if before else str(rows)
    noun = kind.name if rows != 1 or before or (total or 1) > 1 else kind.kind.lower()
    return f"{seen}{f' of {total:,}' if total is not None and total > rows else ''} {noun}" + (
        " · /more shows the next" if more else ""
    )


def _say(bench: Workbench, answer: Answer) -> None:
    if answer.note:
        bench.screen.warning(answer.note)
