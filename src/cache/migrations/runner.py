"""Bring a database to this program's schema, or say why not."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from cache.connection import immediate
from cache.migrations.steps import MIGRATIONS
from configuration.errors import CacheMissing, CacheTooNew

SCHEMA_VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply the steps that are missing, each in its own transaction. Raises CacheTooNew."""
    while schema_version(connection, path) < SCHEMA_VERSION:
        with immediate(connection):
            version = schema_version(connection, path)  # another process may have been faster
            if version < SCHEMA_VERSION:
                for statement in MIGRATIONS[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={version + 1}")


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """The number of steps that the database has. Raises CacheTooNew when that is more than this program knows."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise CacheTooNew(
            f"database {path} has schema {version}; this program knows up to {SCHEMA_VERSION}: "
            "install a newer version of it, or set CACHE_DB_PATH to another file"
        )
    return version


def require_current(connection: sqlite3.Connection, path: Path) -> None:
    """For readers, which cannot migrate. Raises CacheTooNew, or CacheMissing when the scanner has to run first."""
    version = schema_version(connection, path)
    if version < SCHEMA_VERSION:
        what = "is empty" if version == 0 else f"has the older schema {version}"
        raise CacheMissing(f"database {path} {what}; run `scanner scan`, which prepares it")
