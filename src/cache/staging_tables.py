"""The TEMP tables of one scan. They belong to one connection and vanish with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from enum import IntEnum

from cache.kind_tables import owner_column
from kinds.kind import Kind

STAGED = "temp.staged"
CHANGES = "temp.staged_changes"
REMOVED = "temp.staged_removed"


class State(IntEnum):
    """How a staged object compares with the stored one of the same uid."""

    SAME = 0
    """Only uid and name are staged: the stored row stays untouched."""
    CHANGED = 1
    NEW = 2


def staged_side(name: str) -> str:
    return f"temp.staged_{name}"


def create(connection: sqlite3.Connection, kind: Kind) -> None:
    """Rows keep the order in which they came (rowid); a later one replaces an earlier of the same uid or name."""
    connection.execute("PRAGMA temp.journal_mode=MEMORY")
    connection.execute("PRAGMA temp.cache_size=-8192")
    others = [f"{quoted(column.name)}" for column in kind.columns if column.name != "uid"]
    connection.execute(
        f"CREATE TABLE {STAGED} (position INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, sort_key BLOB NOT NULL UNIQUE, "
        f"state INTEGER NOT NULL, {', '.join(others)}, manifest BLOB)"
    )
    for side in kind.side_tables:
        names = [owner_column(kind), "position", *(column.name for column in side.columns)]
        connection.execute(f"CREATE TABLE {staged_side(side.name)} ({', '.join(map(quoted, names))})")
        connection.execute(f"CREATE INDEX {staged_side(side.name)}_by_owner ON staged_{side.name} ({quoted(names[0])})")
    connection.execute(f"CREATE TABLE {CHANGES} (uid TEXT NOT NULL, field TEXT NOT NULL, old TEXT, new TEXT)")
    connection.execute("CREATE INDEX temp.staged_changes_by_uid ON staged_changes (uid)")
    connection.execute(f"CREATE TABLE {REMOVED} (uid TEXT NOT NULL PRIMARY KEY, row TEXT NOT NULL)")


def insert(table: str, names: Sequence[str], *, replace: bool = False) -> str:
    """An INSERT with one placeholder for each column."""
    verb = "INSERT OR REPLACE" if replace else "INSERT"
    return f"{verb} INTO {table} ({', '.join(map(quoted, names))}) VALUES ({', '.join('?' * len(names))})"


def quoted(name: str) -> str:
    """A column's name as SQL, whatever word it is."""
    return f'"{name}"'
