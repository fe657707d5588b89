"""Writing connections that one thread at a time has for itself, kept for the next one that needs one.

To open a connection means to parse the whole schema: 4 ms for some 500 tables, indexes and triggers.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cache.connection import WAL_MOST_PAGES, connect_writer

KEPT = 3
"""As many as there are scans at the same time, unless SCANNER_CONCURRENT_LIMIT says otherwise."""
_TEMP_PAGES_KEPT = 256
"""A larger TEMP file is given back to the disk, by closing the connection that it belongs to."""


class OwnConnections:
    """Safe to use from several threads. After `close` the connections that are out are closed when they come back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._generation = 0
        self._turn = threading.Lock()

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """One connection without TEMP tables. After an error it is not used again."""
        with self._turn:
            generation = self._generation
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = connect_writer(self._path, checkpoint_pages=WAL_MOST_PAGES)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._give_back(connection, generation)

    def close(self) -> None:
        with self._turn:
            self._generation += 1
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _give_back(self, connection: sqlite3.Connection, generation: int) -> None:
        if not _cleaned(connection):
            connection.close()
            return
        with self._turn:
            if generation == self._generation and len(self._idle) < KEPT:
                self._idle.append(connection)
                return
        connection.close()


def _cleaned(connection: sqlite3.Connection) -> bool:
    """Whether the next user finds it as if it were new."""
    try:
        if connection.in_transaction:
            return False
        (pages,) = connection.execute("PRAGMA temp.page_count").fetchone()
        if pages > _TEMP_PAGES_KEPT:
            return False
        for (table,) in connection.execute("SELECT name FROM sqlite_temp_master WHERE type = 'table'").fetchall():
            connection.execute(f'DROP TABLE temp."{table}"')
        connection.execute("PRAGMA shrink_memory")
    except sqlite3.Error:
        return False
    return True
