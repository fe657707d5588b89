"""The database's file while a scanner uses it: made, migrated, replaced by somebody, found to be damaged."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine

from cache.connection import check_database_path, connect_writer, create_file, database_errors, explain, immediate
from cache.engine import open_engine, transaction
from cache.migrations.runner import migrate
from cache.own_connections import OwnConnections
from cache.scan_lock import ScanLock
from cache.write_turns import WriteTurns
from configuration.errors import CacheCorrupt, CacheError

logger = logging.getLogger(__name__)


class DatabaseFile:
    """`make_tables` brings the kinds' tables up to date on a connection to a migrated file; `clock` gives epoch seconds.

    Raises ConfigurationError for a path that cannot be used, CacheTooNew, CacheBusy. `moved_aside` names the damaged
    file that a new one has replaced. `lock` is made sure of before each write, which raises LockHeld when it was lost.
    """

    def __init__(
        self,
        path: Path,
        make_tables: Callable[[sqlite3.Connection], None],
        clock: Callable[[], float],
        lock: ScanLock | None = None,
    ) -> None:
        self.path = path
        self._lock = lock
        self.moved_aside: Path | None = None
        self._make_tables = make_tables
        self._clock = clock
        self._turns = WriteTurns(pause=self._pause)
        self._own = OwnConnections(path)
        self._identity: tuple[int, int] | None = None
        check_database_path(path, create_parent=False)
        try:
            self._prepare()
        except CacheCorrupt:
            self._move_aside()
            self._prepare()
        self._writing: Engine = open_engine(path, read_only=False)
        self._reading: Engine = open_engine(path, read_only=True, keep=True)

    def close(self) -> None:
        self._reading.dispose()
        self._own.close()
        self._writing.dispose()

    # --- transactions

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent snapshot."""
        with transaction(self._reading, self.path) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction."""
        with self._turn(), transaction(self._writing, self.path) as connection:
            yield connection

    @contextmanager
    def write_on(self, connection: sqlite3.Connection) -> Iterator[None]:
        """One write transaction on a connection of one's own (`own_connection`), which has TEMP tables to write from."""
        with self._turn(), immediate(connection):
            yield

    def own_connection(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection that nobody else uses meanwhile; its TEMP tables are gone afterwards."""
        return self._own.connection()

    @contextmanager
    def exclusive(self) -> Iterator[sqlite3.Connection]:
        """A connection while no other thread of this process writes, for statements that are no transaction."""
        with self._turn(), self.own_connection() as connection:
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._turns.turn():
            self._hold()
            yield

    def _pause(self, seconds: float) -> None:
        """Leave the lock to others for so long, and copy the log into the database meanwhile: that needs no write lock.

        What fails then fails again where it matters, in the next transaction.
        """
        started = time.monotonic()
        if self._identity == _identity(self.path):
            with suppress(sqlite3.Error), self.own_connection() as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        time.sleep(max(0.0, started + seconds - time.monotonic()))

    def _hold(self) -> None:
        if self._lock is not None:
            self._lock.hold()

    # --- what can go wrong with the file

    def reopen_if_replaced(self) -> bool:
        """Whether somebody removed or replaced the file meanwhile; then what is there now is used, or a new one.

        So is a file that could not be prepared the last time, on a disk that was full for example. Connections to a
        removed file are closed before anything is written, the lock included: until then its space is not free.
        """
        with self.errors(), self._turns.turn():
            if self._identity is not None and self._identity == _identity(self.path):
                self._hold()
                return False
            self._let_go()
            self._hold()
            logger.warning("database %s was removed or replaced; what is missing in it is scanned anew", self.path)
            self._prepare()
            return True

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Around everything: SQLite's errors become the project's, and a damaged file makes room for a new one."""
        try:
            with database_errors(self.path):
                yield
        except CacheCorrupt as error:
            aside = self._move_aside_if_damaged()
            if aside is None:
                raise
            raise CacheCorrupt(f"{error}; it is now at {aside}, and a new one takes its place") from error

    def _let_go(self) -> None:
        """Close the connections to the file that was there before. A later file may have the same inode."""
        self._identity = None
        self._reading.dispose()
        self._own.close()
        self._writing.dispose()

    def _prepare(self) -> None:
        """Make the file what connections expect. One that could not be is none of ours: the next `reopen_if_replaced` tries."""
        self._identity = None
        try:
            create_file(self.path)
        except OSError as error:
            raise CacheError(f"database {self.path} cannot be created ({error.strerror}); check its folder") from None
        identity = _identity(self.path)
        with database_errors(self.path), closing(connect_writer(self.path)) as connection:
            migrate(connection, self.path)
            self._make_tables(connection)
        self._identity = identity

    def _move_aside_if_damaged(self) -> Path | None:
        """Whether the file itself is damaged, and not a TEMP table or a connection: then it makes room for a new one."""
        with self._turns.turn():
            try:
                with closing(connect_writer(self.path)) as connection:
                    sound = connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
            except sqlite3.DatabaseError as error:
                sound = not isinstance(explain(self.path, error), CacheCorrupt)
            if sound:
                return None
            aside = self._move_aside()
            self._let_go()
            self._prepare()
            return aside

    def _move_aside(self) -> Path:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        aside = _unused(self.path.with_name(f"{self.path.name}.corrupt-{stamp}"))
        for suffix in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        self.moved_aside = aside
        logger.error("database %s is damaged; it was moved to %s, and a new one is filled by the next scan", self.path, aside)
        return aside


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file this is; None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _unused(path: Path) -> Path:
    number, candidate = 1, path
    while candidate.exists():
        number, candidate = number + 1, path.with_name(f"{path.name}-{number}")
    return candidate
