"""How much of the past is kept: for CACHE_HISTORY_RETENTION, and no more of it than CACHE_HISTORY_MAX_MB."""

# ruff: noqa: S608  -- the names put into SQL are those of declared tables and columns; values are always bound
from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Connection, text

from cache.tables import ApiUsage, Change, ClusterModel, DeletedObject

logger = logging.getLogger(__name__)

Transaction = Callable[[], AbstractContextManager[Connection]]
BATCH = 500
SAMPLED_RUNS, RUN = 1024, 8
"""A larger table's size is estimated from so many runs of so many neighbouring rows, spread evenly over it."""
KEPT_PART = 0.95
"""Of the limit, once it is exceeded: else the next estimate, a little larger, would forget a little more each time."""
_SCATTER = 2_654_435_761
_DAY, _HOUR = 86_400, 3600

_RECORDS = (
    (ApiUsage.__tablename__, ApiUsage.hour.name),
    (Change.__tablename__, Change.seen_at.name),
    (DeletedObject.__tablename__, DeletedObject.deleted_at.name),
    (ClusterModel.__tablename__, ClusterModel.registered_at.name),
)
"""Tables and times that tell when a scanner was at work. What each scan overwrites tells nothing of the time before it."""


@dataclass(frozen=True, slots=True)
class _HistoryTable:
    """`size` is an SQL expression: about how many bytes a row takes in the file, with its entries in the indexes."""

    name: str
    time: str
    size: str


def _text_size(*columns: str) -> str:
    return " + ".join(f"coalesce(length(CAST({column} AS BLOB)), 0)" for column in columns)


def _in_pages(row: str) -> str:
    """Rows do not cross pages: what is left of one stays empty, and a row larger than a page takes whole ones."""
    return f"CASE WHEN {row} < {_PAGE} THEN {_PAGE} / ({_PAGE} / ({row})) ELSE ({row} + {_PAGE} - 1) / {_PAGE} * {_PAGE} END"


_PAGE = 4096
_CHANGES = _HistoryTable(
    Change.__tablename__,
    "seen_at",
    f"{_text_size('namespace', 'name', 'field', 'old', 'new', 'resource_version', 'manager')} "
    f"+ 2 * ({_text_size('cluster', 'kind', 'uid')}) + 60",
)
_DELETED_ROW = (
    f"({_text_size('row', 'resource_version', 'cluster', 'kind', 'namespace', 'name', 'uid')} "
    "+ coalesce(length(manifest), 0) + 40)"
)
_DELETED = _HistoryTable(
    DeletedObject.__tablename__,
    "deleted_at",
    f"{_in_pages(_DELETED_ROW)} + 2 * ({_text_size('cluster', 'kind')}) + {_text_size('namespace', 'name', 'uid')} + 80",
)


def oldest_kept(connection: Connection, now: float, retention: int) -> int:
    """The epoch second before which history is to be forgotten: `retention` seconds ago, but for a clock that just jumped.

    After a gap in what the cache has recorded it counts back from the moment before the gap, until the clock has gone on
    for a quarter of the retention (an hour at least, a day at most). The clock may have been set to a wrong time: what
    is forgotten by it would not come back with the right one. Also after a pause that was real, history is kept for as
    much longer; the limit of its size holds at all times.
    """
    settled = min(_DAY, max(_HOUR, retention // 4))
    newest = " UNION ALL ".join(f"SELECT max({time}) AS at FROM {name} WHERE {time} <= :before" for name, time in _RECORDS)
    recorded = connection.execute(text(f"SELECT max(at) FROM ({newest})"), {"before": int(now) - settled}).scalar()
    if recorded is None or now - recorded <= 2 * settled:
        return int(now) - retention
    return int(recorded) - retention


def forget_beyond(read: Transaction, write: Transaction, limit_bytes: int) -> dict[str, int]:
    """Forget the oldest changes and deleted objects once both together exceed the limit, down to 95 % of it: rows by table.

    Sizes are estimates (`history_bytes`), read without keeping anybody from writing.
    """
    removed = {_CHANGES.name: 0, _DELETED.name: 0}
    with read() as connection:
        if _used_bytes(connection) <= limit_bytes:
            return removed  # the whole file is smaller
        size = history_bytes(connection)
    excess = size - int(KEPT_PART * limit_bytes) if size > limit_bytes else 0
    while excess > 0:
        with write() as connection:
            table = _older(connection)
            rows, forgotten = _forget_oldest(connection, table, excess) if table else (0, 0)
        if table is None or not rows:
            break
        removed[table.name] += rows
        excess -= forgotten
    if any(removed.values()):
        logger.info("history is larger than CACHE_HISTORY_MAX_MB: the oldest is forgotten (%s)", removed)
    return removed


def history_bytes(connection: Connection) -> int:
    """About how much of the file is history.

    Up to 16,384 rows of a table are measured one by one; of a larger one half as many, the same ones until it changes. The
    sum of these is within some 5 % where no few rows outweigh the rest: a row of 1 MB among thousands of 1 KB is seen or
    missed as a whole, which makes it 25 % at worst.
    """
    return sum(_size(connection, table) for table in (_CHANGES, _DELETED))


def _size(connection: Connection, table: _HistoryTable) -> int:
    first, last = connection.execute(text(f"SELECT (SELECT min(rowid) FROM {table.name}), max(rowid) FROM {table.name}")).one()
    if first is None:
        return 0
    span = last - first + 1
    if span <= 2 * SAMPLED_RUNS * RUN:
        return int(connection.execute(text(f"SELECT sum({table.size}) FROM {table.name}")).scalar_one())
    return int(_sampled_size(connection, table, first, span) * span / (SAMPLED_RUNS * RUN))


def _sampled_size(connection: Connection, table: _HistoryTable, first: int, span: int) -> int:
    """The size of one run of row ids out of each of as many equal parts; scattered, since what is stored may repeat itself.

    Ids that no row has any more count as nothing, so that gaps make the estimate no larger.
    """
    runs = f"""WITH RECURSIVE runs(number, at) AS (
        SELECT 0, :first UNION ALL
        SELECT number + 1, :first + (number + 1) * :span / :runs + (number + 1) * {_SCATTER} % (:span / :runs - :run + 1)
        FROM runs WHERE number + 1 < :runs)
        SELECT coalesce(sum({table.size}), 0) FROM runs CROSS JOIN {table.name}
        WHERE {table.name}.rowid BETWEEN runs.at AND runs.at + :run - 1"""
    return int(connection.execute(text(runs), {"first": first, "span": span, "runs": SAMPLED_RUNS, "run": RUN}).scalar_one())


def _used_bytes(connection: Connection) -> int:
    pages, free, size = (
        int(connection.execute(text(f"PRAGMA {name}")).scalar_one()) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _older(connection: Connection) -> _HistoryTable | None:
    """The table that holds the oldest entry."""
    oldest = [
        (at, table)
        for table in (_CHANGES, _DELETED)
        if (at := connection.execute(text(f"SELECT min({table.time}) FROM {table.name}")).scalar()) is not None
    ]
    return min(oldest, key=lambda found: found[0])[1] if oldest else None


def _forget_oldest(connection: Connection, table: _HistoryTable, excess: int) -> tuple[int, int]:
    """Delete some of the oldest rows of a table, up to this size: how many, and their size."""
    found = connection.execute(
        text(f"SELECT rowid, {table.size} FROM {table.name} ORDER BY {table.time}, rowid LIMIT {BATCH}")
    ).all()
    ids, size = [], 0
    for rowid, row_size in found:
        if size >= excess:
            break
        ids.append(rowid)
        size += row_size
    connection.execute(text(f"DELETE FROM {table.name} WHERE rowid = :id"), [{"id": rowid} for rowid in ids])
    return len(ids), size
