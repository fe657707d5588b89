"""`main query`: guarded SQL over the cache, as a table, JSON or CSV."""

from __future__ import annotations

import csv
from typing import IO, TYPE_CHECKING, Any

from agent.commands.options import CommandOptions
from agent.terminal.durations import took
from agent.terminal.grid import sql_grid
from agent.terminal.screen import Screen
from mcp_tools.plain_text import plain_text

if TYPE_CHECKING:
    from agent.source_ledger import Sources
    from cache.sql_guard import QueryResult


async def query(options: CommandOptions, sql: str, output: str, screen: Screen) -> None:
    """Run one query and print it. Raises QueryRefused, NeverScanned or another CacheError."""
    settings = options.settings()
    async with options.gateway(settings) as gateway:
        result = await gateway.query(sql)
        sources = gateway.ledger.take()
    if output == "json":
        screen.json(as_json(result))
        return
    if output == "csv":
        _print_csv(result, screen.out.file)
    else:
        screen.table(sql_grid(result.columns, result.rows))
    _sign(result, sources, screen)


def as_json(result: QueryResult) -> dict[str, Any]:
    return {
        "columns": list(result.columns),
        "rows": [[_json_value(value) for value in row] for row in result.rows],
        "freshness": [envelope.as_json() for envelope in result.freshness],
        "truncated": result.truncated,
    }


def _json_value(value: object) -> object:
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else value


def _safe_on_screen(value: object) -> object:
    """A file gets what is stored; a terminal must not obey an escape sequence that a cluster's text contains."""
    return plain_text(value) if isinstance(value, str) else _json_value(value)


def _print_csv(result: QueryResult, out: IO[str]) -> None:
    shown = _safe_on_screen if out.isatty() else _json_value
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(result.columns)
    writer.writerows([shown(value) for value in row] for row in result.rows)
    out.flush()


def _sign(result: QueryResult, sources: Sources, screen: Screen) -> None:
    rows = "1 row" if len(result.rows) == 1 else f"{len(result.rows):,} rows"
    screen.note(f"{rows} · {took(result.elapsed_seconds)}")
    if result.truncated:
        screen.warning("there are more rows than are shown: narrow the query, or add LIMIT and OFFSET")
    screen.note(f"— {sources.text()}" if sources.uses else "— no cluster data was read")
