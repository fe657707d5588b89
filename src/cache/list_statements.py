"""A ListQuery as SQL over the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, collate, exists, func, select
from sqlalchemy import Table as SqlTable

from cache.tables import Label
from kinds.label_selector import Requirement
from kinds.list_query import ListQuery


def conditions(table: SqlTable, cluster: str, query: ListQuery) -> list[ColumnElement[bool]]:
    """What a row has to meet, page and order left aside."""
    found: list[ColumnElement[bool]] = [table.c.cluster == cluster]
    if query.namespace and query.kind.namespaced:
        # All keys of a namespace begin with "namespace/"; the character after the slash ends the range.
        prefix = query.namespace.encode()
        found += [table.c.sort_key > prefix + b"/", table.c.sort_key < prefix + b"0"]
    found += [_holds(table, cluster, query, name) for name in query.filters]
    found += [_meets(table, query.kind.name, requirement) for requirement in query.requirements]
    return found


def _holds(table: SqlTable, cluster: str, query: ListQuery, name: str) -> ColumnElement[bool]:
    """A filter, as `ListQuery.holds` does it. The spellings that there are come first: so the column's own index still serves."""
    column, wanted = table.c[query.kind.filters[name]], query.filters[name]
    if not (query.minds_no_case(name) and isinstance(wanted, str)):
        return column == wanted
    there = table.alias()
    spelt = there.c[column.name]
    return column.in_(select(spelt).where(there.c.cluster == cluster, collate(spelt, "NOCASE") == wanted).distinct())


def page_statement(table: SqlTable, cluster: str, query: ListQuery, names: Sequence[str], after: bytes | None) -> Select[Any]:
    """One row more than the limit, in name order; the last column is the sort key."""
    statement = select(*(table.c[name] for name in names), table.c.sort_key).where(*conditions(table, cluster, query))
    if after is not None:
        statement = statement.where(table.c.sort_key > after)
    return statement.order_by(table.c.sort_key).limit(query.limit + 1)


def total_statement(table: SqlTable, cluster: str, query: ListQuery) -> Select[int]:
    return select(func.count()).select_from(table).where(*conditions(table, cluster, query))


def _meets(table: SqlTable, kind: str, requirement: Requirement) -> ColumnElement[bool]:
    labelled = and_(Label.cluster == table.c.cluster, Label.kind == kind, Label.uid == table.c.uid, Label.key == requirement.key)
    if requirement.operator in ("in", "notin"):
        labelled = and_(labelled, Label.value.in_(requirement.values))
    found = exists().where(labelled)
    return ~found if requirement.operator in ("absent", "notin") else found
