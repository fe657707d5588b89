"""How the database file is opened, and what SQLite's errors mean to a person. Standard library only."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configuration.errors import CacheBusy, CacheCorrupt, CacheError, CacheMissing, ConfigurationError

BUSY_TIMEOUT_SECONDS = 10.0
WAL_CHECKPOINT_PAGES = 4000
"""16 MB: with SQLite's 4 MB the same pages of the database would be written again and again."""
WAL_MOST_PAGES = 4 * WAL_CHECKPOINT_PAGES
"""For a writer of large transactions: it leaves the copying to the pauses between them (`DatabaseFile`), up to here."""
_WAL_KEPT_BYTES = 4096 * WAL_CHECKPOINT_PAGES
_INCREMENTAL = 2
PRIVATE_MODE, SHARED_MODE = 0o600, 0o660


def check_database_path(path: Path, *, create_parent: bool) -> None:
    """Whether a database can be kept at `path`; raises ConfigurationError and writes nothing when it cannot.

    `create_parent` is for the default data folder, which may be created; a folder that the user named must exist.
    """
    folder = path.parent
    if not _is_there(folder):
        if not create_parent:
            raise ConfigurationError(f"database {path}: the folder {folder} does not exist; create it or set CACHE_DB_PATH")
        try:
            folder.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise ConfigurationError(f"database {path}: the folder {folder} cannot be created ({error.strerror})") from None
    if not folder.is_dir():
        raise ConfigurationError(f"database {path}: {folder} is no folder; set CACHE_DB_PATH to a file in a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f"database {path}: the folder {folder} may not be written (SQLite keeps its log there)")
    if path.is_dir():
        raise ConfigurationError(f"database {path}: this is a folder; set CACHE_DB_PATH to a file in it")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise ConfigurationError(f"database {path}: the file may not be read and written by this user")


def require_database(path: Path) -> None:
    """Raises CacheMissing when there is none, and CacheError when this user may not even look."""
    try:
        found = _is_there(path)
    except ConfigurationError as error:
        raise CacheError(str(error)) from None
    if not found:
        raise CacheMissing(f"there is no database at {path}: nothing has been scanned yet; run `scanner scan`")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        raise ConfigurationError(
            f"{path} may not be reached: {path.parent} is closed to this user; join its group, or set CACHE_DB_PATH"
        ) from None


def create_file(path: Path) -> None:
    """Create an empty database file readable by its user alone, or by the group when the folder is set-gid.

    SQLite gives its -wal and -shm files the mode of the database.
    """
    mode = SHARED_MODE if path.parent.stat().st_mode & stat.S_ISGID else PRIVATE_MODE
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)
    except FileExistsError:
        return
    try:
        os.fchmod(descriptor, mode)  # the umask may have taken the group's share away
    finally:
        os.close(descriptor)


def connect_writer(path: Path, *, checkpoint_pages: int = WAL_CHECKPOINT_PAGES) -> sqlite3.Connection:
    """A connection that may write; transactions are begun explicitly. The file must exist.

    A commit that finds more than `checkpoint_pages` in the log copies them into the database.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        timeout=BUSY_TIMEOUT_SECONDS,
        check_same_thread=False,
    )
    if connection.execute("PRAGMA auto_vacuum").fetchone() != (_INCREMENTAL,):
        # takes effect on an empty file only; on one that has it, setting it again would write, and wait for other writers
        connection.execute(f"PRAGMA auto_vacuum={_INCREMENTAL}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA journal_size_limit={_WAL_KEPT_BYTES}")
    connection.execute(f"PRAGMA wal_autocheckpoint={checkpoint_pages}")
    connection.execute("PRAGMA temp_store=FILE")
    connection.execute("PRAGMA cache_size=-16384")
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection. CacheMissing without a file.

    A reader without write access to the folder cannot join SQLite's log. When no log is there, nobody is writing and
    the file is complete by itself, so it is opened as immutable, for this one connection.
    """
    require_database(path)
    try:
        return _open_reader(path, "mode=ro")
    except sqlite3.OperationalError as error:
        code = _primary_code(error)
        wal = path.with_name(f"{path.name}-wal")
        if code not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) or not os.access(path, os.R_OK) or wal.exists():
            raise
        return _open_reader(path, "mode=ro&immutable=1")


def _open_reader(path: Path, parameters: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{parameters}",
        uri=True,
        isolation_level=None,
        timeout=BUSY_TIMEOUT_SECONDS,
        check_same_thread=False,
    )
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the file is opened by the first read
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def immediate(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction. BEGIN IMMEDIATE, because a read that becomes a write fails instead of waiting."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        roll_back(connection)
        raise
    connection.execute("COMMIT")


def roll_back(connection: sqlite3.Connection) -> None:
    """Unless SQLite did so itself, as it does when the disk fails: another error would hide that one."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Statements inside read one state of the database."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        roll_back(connection)


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into the project's, with what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(path, error) from error


def explain(path: Path, error: sqlite3.Error) -> CacheError:
    """The CacheError that says the same."""
    code = _primary_code(error)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return CacheCorrupt(f"database {path} is damaged ({error}); the scanner moves it aside and fills a new one")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return CacheBusy(f"database {path} is held by another process for over {BUSY_TIMEOUT_SECONDS:.0f} s; try again")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return CacheError(f"database {path}: the disk is full or failing ({error}); free some space, nothing was lost")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH):
        return CacheError(f"database {path} may not be opened or written ({error}); check who owns it and its folder")
    return CacheError(f"database {path}: {error}")


def _primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; the extended codes carry it in their lowest byte."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
