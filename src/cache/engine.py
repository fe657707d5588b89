"""SQLAlchemy engines over the connections of `cache.connection`, and the transactions on them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event
from sqlalchemy.exc import DBAPIError

from cache.connection import connect_reader, connect_writer, database_errors, explain
from cache.migrations.runner import require_current


def open_engine(path: Path, *, read_only: bool, keep: bool = False) -> Engine:
    """An engine on an existing file. A writer's transactions begin IMMEDIATE.

    Writers keep a pool, since closing the last connection would checkpoint and delete the log each time. Readers
    connect anew for each read, so that they read what is at this path now, unless they `keep` their connections: to
    open one means to parse the whole schema, which takes some 4 ms.
    """
    if read_only:
        pool = QueuePool if keep else NullPool
        engine = create_engine("sqlite://", creator=lambda: connect_reader(path), poolclass=pool)
    else:
        engine = create_engine("sqlite://", creator=lambda: connect_writer(path), poolclass=QueuePool)
    statement = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    return engine


@contextmanager
def transaction(engine: Engine, path: Path) -> Iterator[Connection]:
    """One transaction (a consistent snapshot for a reader), committed unless an exception leaves it."""
    try:
        with database_errors(path), engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        if not isinstance(error.orig, sqlite3.Error):
            raise
        raise explain(path, error.orig) from error


def require_readable(path: Path) -> None:
    """Raises CacheMissing, CacheCorrupt, CacheTooNew or CacheBusy unless this program can read the file."""
    with database_errors(path), closing(connect_reader(path)) as connection:
        require_current(connection, path)
