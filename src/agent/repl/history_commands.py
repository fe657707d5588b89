"""/changes: what was created, changed and deleted, also of objects that are gone, from the cache and without any model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agent.repl.slash_command import slash_command
from agent.repl.slash_line import ALL_NAMESPACES, LIMIT, NAMESPACE, Option, SlashLine
from agent.repl.workbench import Workbench
from agent.terminal.durations import took
from agent.terminal.grid import Grid, cell, list_cell
from agent.terminal.moments import local_time, of_one_day, parse_moment
from configuration.errors import ConfigurationError
from kinds.registry import KINDS, find_kind

if TYPE_CHECKING:
    from cache.sql_guard import QueryResult

SINCE = Option("since", value="TIME", help="from then on: 2h (ago, if nothing is said: 1h), 14:00, 2026-11-21T14:00")
UNTIL = Option("until", value="TIME", help="up to then: 14:20, 30m (ago)")
KIND = Option("kind", value="KIND", help="only objects of this kind")

_SHOWN = 50
_MOST_SHOWN = 900
_VALUE = 60
"""Characters of a value; the whole is in `main query`."""
_COLUMNS = ("at", "what", "kind", "namespace", "name", "field", "old", "new", "manager")
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9.:_*-]")


@slash_command(
    "changes",
    "what was created, changed and deleted, also of objects that are gone",
    arguments="[NAME|KIND/NAME]",
    options=(NAMESPACE, ALL_NAMESPACES, SINCE, UNTIL, KIND, LIMIT),
    example="/changes -n payments --since 14:00 --until 14:20",
)
async def changes(bench: Workbench, line: SlashLine) -> None:
    since, until = _window(line, bench.clock())
    limit = _limit(line)
    sql = changes_sql(line, bench.gateway.namespace, since, until, limit + 1)
    result = await bench.gateway.query(sql)
    rows = result.rows[:limit][::-1]
    where = "" if line.has(ALL_NAMESPACES) else f" in namespace {line.option(NAMESPACE) or bench.gateway.namespace}"
    window = f"{local_time(since)} – {local_time(until)}"
    if not rows:
        elsewhere = " · -A looks in every namespace" if where else ""
        bench.screen.note(f"nothing changed{where}: {window}{elsewhere}")
        return
    bench.screen.table(_grid(rows, namespace=line.has(ALL_NAMESPACES)))
    bench.screen.note(_count(result, len(rows), limit) + f"{where}: {window} · {took(result.elapsed_seconds)}")


def changes_sql(line: SlashLine, namespace: str, since: int, until: int, limit: int) -> str:
    """The query over view `timeline` that a slash line means, newest first."""
    conditions = [f"at BETWEEN {since} AND {until}"]
    if not line.has(ALL_NAMESPACES):
        conditions.append(f"namespace = {_quoted(line.option(NAMESPACE) or namespace)}")
    kind, name = _object(line)
    if kind:
        conditions.append(f"kind = {_quoted(find_kind(kind).name)}")
    if name:
        conditions.append(f"name {'GLOB' if '*' in name else '='} {_quoted(name)}")
    return f"SELECT {', '.join(_COLUMNS)} FROM timeline WHERE {' AND '.join(conditions)} ORDER BY at DESC LIMIT {limit}"  # noqa: S608  -- numbers, and names that _quoted has checked


def _object(line: SlashLine) -> tuple[str, str]:
    """-> (kind or "", name or "")."""
    if len(line.arguments) > 1:
        raise ConfigurationError(f"one object at a time, not {len(line.arguments)}; * stands for any part of a name: web-*")
    kind, slash, name = (line.arguments or ("",))[0].rpartition("/")
    if slash and line.has(KIND):
        raise ConfigurationError(f"the kind is said twice: {kind}/ and --kind {line.option(KIND)}")
    return kind or line.option(KIND), name


def _quoted(name: str) -> str:
    if _NOT_A_NAME.search(name):
        raise ConfigurationError(f"{name[:60]!r} is no name of an object or a namespace")
    return f"'{name}'"


def _window(line: SlashLine, now: float) -> tuple[int, int]:
    try:
        since = parse_moment(line.option(SINCE) or "1h", now)
        until = parse_moment(line.option(UNTIL), now, after=since) if line.has(UNTIL) else int(now)
    except ValueError as error:
        raise ConfigurationError(f"/changes: {error}") from None
    if until < since:
        raise ConfigurationError(
            f"/changes: --until {line.option(UNTIL)} is before --since: {local_time(until)}, {local_time(since)}"
        )
    return since, until


def _limit(line: SlashLine) -> int:
    text = line.option(LIMIT) or str(_SHOWN)
    if not text.isdigit() or not 1 <= int(text) <= _MOST_SHOWN:
        raise ConfigurationError(f"--limit is a number from 1 to {_MOST_SHOWN}, not {text[:20]!r}")
    return int(text)


def _grid(rows: Sequence[tuple[Any, ...]], *, namespace: bool) -> Grid:
    date = not of_one_day([row[0] for row in rows])
    headers = ("TIME", "WHAT", "KIND", *(("NAMESPACE",) if namespace else ()), "NAME", "CHANGE", "BY")
    cells = []
    for at, what, kind, where, name, field, old, new, manager in rows:
        place = (list_cell(where),) if namespace else ()
        change = f"{field}: {shown_value(kind, field, old)} → {shown_value(kind, field, new)}" if field else ""
        cells.append((local_time(at, date=date), what, cell(kind), *place, cell(name), cell(change), list_cell(manager)))
    return Grid(headers, tuple(cells))


def shown_value(kind: str, field: str, value: str | None) -> str:
    """A value of the history on one line; a moment in local time."""
    if value is None:
        return "–"
    if value.isdigit() and _is_time(kind, field):
        return local_time(int(value))
    return value if len(value) <= _VALUE else f"{value[: _VALUE - 1]}…"


def _is_time(kind: str, field: str) -> bool:
    """`field` is a column, or one of a row of a side table: `containers[app].state_since`."""
    declared = KINDS.get(kind)
    if declared is None:
        return False
    side, _, rest = field.partition("[")
    columns = next((one.columns for one in declared.side_tables if one.name == side), ()) if rest else declared.columns
    name = rest.rpartition("].")[2] or field
    return any(column.name == name and column.type == "time" for column in columns)


def _count(result: QueryResult, shown: int, limit: int) -> str:
    if len(result.rows) > limit:
        return f"the newest {shown}, there are more (--limit, or a shorter time)"
    return "1 entry" if shown == 1 else f"{shown} entries"
