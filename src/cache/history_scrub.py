"""History that was stored under other redaction rules loses what may carry text.

Rules that were changed may have let something through before. Stored rows are written again by the next LIST; what is
past cannot be redacted again, so numbers, times and names stay of it and nothing else. A new key alone is no new rule:
its marks differ from the old ones, and neither shows a value.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import orjson
from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.sqlite import insert

from cache.tables import CacheMetadata, Change, DeletedObject, HistoryRules
from cache.text_search import forget_removed_words
from kinds.kind import Column, Kind

logger = logging.getLogger(__name__)

Transaction = Callable[[], AbstractContextManager[Connection]]
BATCH = 500
SCRUBBED = "‹removed: stored under other redaction rules›"
_WITHOUT_TEXT = frozenset({"integer", "real", "boolean", "time"})
_NAMES = frozenset({"namespace", "name", "uid", "resource_version", "owner_uid", "owner_kind", "owner_name"})


def rules_of(redaction: str) -> str:
    """The version of the rules in `version/key`."""
    return redaction.partition("/")[0]


def scrub_outdated(read: Transaction, write: Transaction, kinds: Mapping[str, Kind], only: tuple[str, str] | None = None) -> int:
    """Scrub the history of every kind that has been listed under other rules than its history was; how many entries.

    In small transactions; one that is interrupted is repeated. A kind is left alone until all its scopes were listed.
    `only`: that (cluster, kind), instead of all.
    """
    with read() as connection:
        outdated = _outdated(connection, only)
    scrubbed = 0
    for cluster, name, rules, has_history in outdated:
        for scrub in (_scrub_changes, _scrub_deleted) if has_history else ():
            scrubbed += _in_batches(write, scrub, (cluster, name, kinds.get(name)))
        with write() as connection:
            statement = insert(HistoryRules).values(cluster=cluster, kind=name, rules=rules)
            connection.execute(statement.on_conflict_do_update(index_elements=["cluster", "kind"], set_={"rules": rules}))
    if any(has_history for _, _, _, has_history in outdated):
        with write() as connection:
            forget_removed_words(connection)
    if scrubbed:
        logger.warning("%d entries of the history were stored under other redaction rules; their text was removed", scrubbed)
    return scrubbed


def _outdated(connection: Connection, only: tuple[str, str] | None) -> list[tuple[str, str, str, bool]]:
    """(cluster, kind, rules of its rows now, whether something may be stored by others)."""
    columns = (CacheMetadata.cluster, CacheMetadata.kind)
    known = select(HistoryRules.cluster, HistoryRules.kind, HistoryRules.rules)
    listed = select(*columns, func.group_concat(CacheMetadata.redaction.distinct())).group_by(*columns)
    if only is not None:
        known = known.where(HistoryRules.cluster == only[0], HistoryRules.kind == only[1])
        listed = listed.where(CacheMetadata.cluster == only[0], CacheMetadata.kind == only[1])
    stored = {(cluster, kind): rules for cluster, kind, rules in connection.execute(known)}
    found = []
    for cluster, kind, redactions in connection.execute(listed.where(CacheMetadata.last_full_at.is_not(None))):
        rules = {rules_of(redaction) for redaction in redactions.split(",")}
        if len(rules) == 1 and rules != {stored.get((cluster, kind))}:
            has_history = (cluster, kind) in stored or _has_history(connection, cluster, kind)
            found.append((cluster, kind, rules.pop(), has_history))
    return found


def _has_history(connection: Connection, cluster: str, kind: str) -> bool:
    models = (DeletedObject, Change)
    entries = (select(model.uid).where(model.cluster == cluster, model.kind == kind).limit(1) for model in models)
    return any(connection.execute(entry).first() for entry in entries)


_Target = tuple[str, str, Kind | None]


def _in_batches(write: Transaction, scrub: Callable[[Connection, _Target, Any], tuple[int, Any]], target: _Target) -> int:
    """`scrub` takes the place after which it goes on, and answers how many it did and the next place; None: the end."""
    total, place = 0, ""
    while place is not None:
        with write() as connection:
            done, place = scrub(connection, target, place)
        total += done
    return total


def _scrub_changes(connection: Connection, target: _Target, after: Any) -> tuple[int, Any]:
    cluster, name, kind = target
    rows = connection.execute(
        select(Change.id, Change.field, Change.old, Change.new)
        .where(Change.id > (after or 0), Change.cluster == cluster, Change.kind == name)
        .order_by(Change.id)
        .limit(BATCH)
    ).all()
    ids = [row.id for row in rows if _may_carry_text(row.field, kind) and {row.old, row.new} - {None, SCRUBBED}]
    for column in ("old", "new"):
        scrubbed = update(Change).where(Change.id.in_(ids), getattr(Change, column).is_not(None))
        connection.execute(scrubbed.values({column: SCRUBBED}))
    return len(ids), rows[-1].id if len(rows) == BATCH else None


def _scrub_deleted(connection: Connection, target: _Target, after: Any) -> tuple[int, Any]:
    cluster, name, kind = target
    model = DeletedObject
    rows = connection.execute(
        select(model.uid, model.row)
        .where(model.cluster == cluster, model.kind == name, model.uid > after)
        .order_by(model.uid)
        .limit(BATCH)
    ).all()
    for uid, row in rows:
        this = update(model).where(model.cluster == cluster, model.kind == name, model.uid == uid)
        connection.execute(this.values(manifest=None, row=orjson.dumps(_without_text(orjson.loads(row), kind)).decode()))
    return len(rows), rows[-1].uid if len(rows) == BATCH else None


def _without_text(row: Mapping[str, Any], kind: Kind | None) -> dict[str, Any]:
    kept = _NAMES | _columns_without_text(kind.columns if kind else ())
    plain = {name: value for name, value in row.items() if name in kept}
    for side in kind.side_tables if kind else ():
        columns = {"name"} | _columns_without_text(side.columns)
        plain[side.name] = [{key: inner[key] for key in inner if key in columns} for inner in row.get(side.name, ())]
    return plain


def _may_carry_text(field: str, kind: Kind | None) -> bool:
    """`field` as in `FieldChange`: a column, a key in one, or a row of a side table with or without a column of it."""
    if kind is None:
        return True
    side_name, bracket, rest = field.partition("[")
    side = next((side for side in kind.side_tables if bracket and side.name == side_name), None)
    if side is None:
        return field not in _NAMES | _columns_without_text(kind.columns)
    column = rest.rpartition("].")[2] if "]." in rest else None
    return column is not None and column not in _columns_without_text(side.columns)


def _columns_without_text(columns: Sequence[Column]) -> frozenset[str]:
    return frozenset(column.name for column in columns if column.type in _WITHOUT_TEXT)
