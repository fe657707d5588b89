"""The readers' side of the cache: lists and objects with their freshness, equal to what a live read gives."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Table, select

from cache import continue_tokens
from cache.engine import open_engine, require_readable, transaction
from cache.freshness import Freshness, combine, envelope, require_scanned
from cache.freshness_rows import ClusterRow, read_clusters, read_freshness
from cache.kind_tables import kind_tables, table_version
from cache.list_statements import page_statement, total_statement
from cache.rows import decode
from cache.tables import KindTable
from configuration.errors import InvalidArguments, NeverScanned
from kinds.envelope import Envelope
from kinds.kind import Kind, present
from kinds.list_query import ListQuery
from kinds.record import sort_key

__all__ = ["CacheReader", "ClusterRow", "Found", "Freshness", "Page"]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of `kind.list_columns`, as `kinds.kind.row` makes them; `continue_token` is "" on the last page."""

    rows: list[dict[str, Any]]
    envelope: Envelope
    continue_token: str


@dataclass(frozen=True, slots=True)
class Found:
    """One object, or None twice: as of the envelope it does not exist. The manifest is redacted."""

    manifest: dict[str, Any] | None
    row: dict[str, Any] | None
    envelope: Envelope


class CacheReader:
    """Read-only. Raises CacheMissing, CacheCorrupt, CacheTooNew or CacheBusy, at opening and at every read.

    Each read is a connection and a snapshot of its own: safe to call from several threads, and never old.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._tables: dict[str, tuple[str, Table]] = {}
        require_readable(path)
        self._engine = open_engine(path, read_only=True)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> CacheReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def clusters(self) -> list[ClusterRow]:
        with transaction(self._engine, self.path) as connection:
            return read_clusters(connection)

    def freshness(self, cluster: str, kind: Kind, namespace: str | None = None) -> Freshness | None:
        """None: no scan was ever tried. One that was tried and failed has `scanned` False and its error."""
        with transaction(self._engine, self.path) as connection:
            return combine(read_freshness(connection, cluster, kind.name), namespace)

    def freshness_all(self, cluster: str | None = None, kind: str | None = None) -> list[Freshness]:
        """Every (cluster, kind, scope) that was tried."""
        with transaction(self._engine, self.path) as connection:
            return read_freshness(connection, cluster, kind)

    def list(self, cluster: str, query: ListQuery) -> Page:
        """One page in name order. Raises NeverScanned, NotPermitted (the scanner never could), InvalidArguments (token)."""
        after = continue_tokens.decode(query, cluster)
        with transaction(self._engine, self.path) as connection:
            freshness = self._require_scanned(connection, cluster, query.kind, query.namespace)
            table = self._table(connection, cluster, query.kind)
            names = query.kind.list_columns
            found = connection.execute(page_statement(table, cluster, query, names, after)).all()
            total = connection.execute(total_statement(table, cluster, query)).scalar_one()
        rows, more = found[: query.limit], len(found) > query.limit
        token = continue_tokens.encode(query, cluster, rows[-1][-1]) if more and rows else ""
        answer = [_row(query.kind, names, values[:-1]) for values in rows]
        made = envelope(freshness, self._clock(), total=total, shown=len(answer), more=more)
        return Page(answer, replace(made, asked=query.asked), token)

    def get(self, cluster: str, kind: Kind, namespace: str | None, name: str) -> Found:
        """One object by name. Raises NeverScanned, NotPermitted, and InvalidArguments when the namespace is missing."""
        if kind.namespaced and not namespace:
            raise InvalidArguments(f"{kind.name} are namespaced: say in which namespace {name!r} is")
        with transaction(self._engine, self.path) as connection:
            freshness = self._require_scanned(connection, cluster, kind, namespace)
            table = self._table(connection, cluster, kind)
            key = sort_key(namespace if kind.namespaced else None, name)
            columns = [table.c[column] for column in kind.list_columns]
            wanted = select(*columns, table.c.manifest).where(table.c.cluster == cluster, table.c.sort_key == key)
            values = connection.execute(wanted).first()
        found = envelope(freshness, self._clock(), total=int(values is not None), shown=int(values is not None), more=False)
        if values is None:
            return Found(None, None, found)
        return Found(orjson.loads(zlib.decompress(values[-1])), _row(kind, kind.list_columns, values[:-1]), found)

    def _require_scanned(self, connection: Connection, cluster: str, kind: Kind, namespace: str | None) -> Freshness:
        freshness = combine(read_freshness(connection, cluster, kind.name), namespace)
        if freshness is not None and freshness.scanned:
            return freshness
        return require_scanned(freshness, cluster, kind.name, [row.cluster for row in read_clusters(connection)])

    def _table(self, connection: Connection, cluster: str, kind: Kind) -> Table:
        """The kind's table, when the file has it in the form that this program knows."""
        stored = connection.execute(select(KindTable.declaration_hash).where(KindTable.name == kind.name)).scalar()
        if stored != table_version(kind):
            raise NeverScanned(
                f"the table of {kind.name} was written by another version of the scanner; "
                f"restart the scanner, it reads {kind.name} of {cluster} anew"
            )
        if kind.name not in self._tables or self._tables[kind.name][0] != stored:
            self._tables[kind.name] = (stored, kind_tables(kind).main)
        return self._tables[kind.name][1]


def _row(kind: Kind, names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    columns = [kind.columns_by_name[name] for name in names]
    return {column.name: present(column, decode(column, value)) for column, value in zip(columns, values, strict=True)}
