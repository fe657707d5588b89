"""What SQLite's planner is told of the indexes: as many rows as a large cluster has, before there are any.

Without it the planner takes a cluster's name, by which every index begins, for as telling as a node's or an image's, and a
query reads every row of the cluster. Fixed numbers, unlike those of ANALYZE, give the same plans on every database and need
no upkeep. Format: https://www.sqlite.org/fileformat2.html#stat1tab
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

_ROWS = 100_000
_FEW = 100
"""Rows with the same value of an ordinary column: pods of a node, containers of an image."""
_ROWS_WITH_ONE_VALUE: Mapping[str, int] = {
    "cluster": _ROWS, "kind": 20_000, "healthy": 50_000, "status": 20_000, "type": 20_000, "reason": 2000, "last_reason": 2000,
    "role": 50_000, "key": 10_000, "value": 500, "namespace": 2000, "object_name": 10, "name": 2, "pod": 2, "pod_ip": 1, "uid": 1,
    "sort_key": 1, "position": 1,
}  # fmt: skip


def state_statistics(connection: sqlite3.Connection, table: str) -> None:
    """For every index of the table, within a transaction. They count from the next connection on."""
    connection.execute("ANALYZE clusters")  # makes the table of statistics, which no other statement can
    connection.execute("DELETE FROM sqlite_stat1 WHERE tbl = ?", (table,))
    for (index,) in connection.execute("SELECT name FROM pragma_index_list(?)", (table,)).fetchall():
        columns = [row[0] for row in connection.execute("SELECT name FROM pragma_index_info(?) ORDER BY seqno", (index,))]
        found = [_ROWS]
        for column in columns:
            found.append(min(found[-1], _ROWS_WITH_ONE_VALUE.get(column, _FEW)))
        connection.execute(
            "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", (table, index, " ".join(map(str, found)))
        )
