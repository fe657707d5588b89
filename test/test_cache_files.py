"""The database as a file: who may open it, and what is done about a damaged, newer, full or locked one."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cache import connection as cache_connection
from cache.cache_manager import CacheManager, ClusterIdentity
from cache.cache_reader import CacheReader
from cache.connection import check_database_path
from cache.freshness import FIELDS
from cache.migrations.runner import SCHEMA_VERSION
from cache.refresh_requests import request_refresh
from cache.scan_lock import ScanLock, lock_holder
from cache.sql_guard import run_query
from cache.tables import Base
from cache.ttl_manager import TtlPolicy
from cache_fixtures import CLUSTER, Clock, api_object, count, delta, pods, scan, staged
from configuration.errors import (
    CacheBusy,
    CacheCorrupt,
    CacheError,
    CacheMissing,
    CacheTooNew,
    ConfigurationError,
    LockHeld,
    NeverScanned,
)
from kinds.kind import columns_of
from kinds.list_query import ListQuery
from kinds.pods import PodRecord
from kinds.record import column, record
from kinds.registry import KINDS

PODS = KINDS["pods"]
IDENTITY = ClusterIdentity(cluster=CLUSTER, uid="uid-of-kube-system")
NOBODY = 65534
PAGE = 4096
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_file_is_private_to_its_user(manager: CacheManager) -> None:
    scan(manager, "pods", pods(1))
    assert {mode(part) for part in manager.path.parent.iterdir()} == {0o600}


def test_in_a_set_gid_folder_the_group_shares_it(tmp_path: Path, open_manager: Callable[..., CacheManager]) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o2770)
    previous = os.umask(0o077)
    try:
        scan(open_manager(folder / "cache.db"), "pods", pods(1))
    finally:
        os.umask(previous)
    assert {mode(part) for part in folder.iterdir()} == {0o660}


def test_a_path_in_a_folder_that_does_not_exist_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "cache.db"
    with pytest.raises(ConfigurationError, match="does not exist"):
        check_database_path(path, create_parent=False)
    with pytest.raises(ConfigurationError, match="does not exist"):
        CacheManager(path, policy=TtlPolicy())
    assert list(tmp_path.iterdir()) == []


def test_the_default_folder_is_created(tmp_path: Path) -> None:
    check_database_path(tmp_path / "state" / "data" / "cache.db", create_parent=True)
    assert mode(tmp_path / "state" / "data") == 0o700


def test_a_path_that_is_a_folder_or_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "cache.db"):
        with pytest.raises(ConfigurationError, match=r"CACHE_DB_PATH"):
            check_database_path(path, create_parent=True)


@needs_root
def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    done = as_nobody(lambda path: check_database_path(path, create_parent=False), tmp_path / "cache.db")
    assert "ConfigurationError" in done
    assert "may not be written" in done


@needs_root
@pytest.mark.parametrize("writer_is_open", [True, False], ids=["scanner running", "scanner stopped"])
def test_a_reader_without_write_access_reads_and_cannot_ask_for_a_scan(writer_is_open: bool, manager: CacheManager) -> None:
    scan(manager, "pods", pods(3))
    if not writer_is_open:
        manager.close()
    for part in manager.path.parent.iterdir():
        part.chmod(0o644)
    assert as_nobody(lambda path: count(CacheReader(path), PODS), manager.path) == "3"
    assert as_nobody(lambda path: run_query(path, "SELECT count(*) FROM pods", cluster=CLUSTER).rows, manager.path) == "[(3,)]"
    asked = as_nobody(lambda path: request_refresh(path, cluster=CLUSTER, kind="pods"), manager.path)
    assert "may not be opened or written" in asked


@needs_root
def test_a_private_database_cannot_be_read_by_somebody_else(manager: CacheManager) -> None:
    scan(manager, "pods", pods(3))
    assert "may not be opened" in as_nobody(CacheReader, manager.path)


def as_nobody(work: Callable[[Path], object], path: Path) -> str:
    """Do it as another user, `path` being the database: what it returned, or its error.

    In a fork, since that user may not be able to read this interpreter; everything is imported already.
    """
    for folder in (path.parent, *path.parent.parents):
        if folder != folder.parent and mode(folder) & 0o005 != 0o005:
            folder.chmod(mode(folder) | 0o055)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            text = str(work(path))
        except BaseException as error:  # noqa: BLE001  -- whatever it is, the parent is told
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def test_no_file_is_missing_and_an_empty_one_too(tmp_path: Path) -> None:
    with pytest.raises(CacheMissing, match="scanner scan"):
        CacheReader(tmp_path / "cache.db")
    with pytest.raises(CacheMissing, match="scanner scan"):
        request_refresh(tmp_path / "cache.db", cluster="c", kind="pods")
    assert not (tmp_path / "cache.db").exists()
    (tmp_path / "empty.db").touch()
    with pytest.raises(CacheMissing, match="scanner scan"):
        CacheReader(tmp_path / "empty.db")


@pytest.mark.parametrize("content", [b"this is no database, but long enough to have a header" * 50, "torn"], ids=["text", "torn"])
def test_a_damaged_file_is_moved_aside_by_the_scanner_and_said_by_a_reader(
    content: bytes | str,
    database: Path,
    open_manager: Callable[..., CacheManager],
    caplog: pytest.LogCaptureFixture,
) -> None:
    if isinstance(content, str):
        first = open_manager()
        scan(first, "pods", pods(300))
        first.close()
        content = database.read_bytes()
        content = content[:PAGE] + b"\xff" * (len(content) - PAGE)
    database.write_bytes(content)
    with pytest.raises(CacheCorrupt, match="moves it aside"):
        CacheReader(database)
    manager = open_manager()
    assert manager.moved_aside is not None
    assert manager.moved_aside.read_bytes() == content
    assert manager.moved_aside.name.startswith("cache.db.corrupt-20")
    assert "moved to" in caplog.text
    assert scan(manager, "pods", pods(2)).total == 2


@pytest.mark.parametrize("work", ["a list", "events"])
def test_damage_found_in_the_middle_of_the_work_moves_the_file_aside(
    work: str, manager: CacheManager, open_manager: Callable[..., CacheManager]
) -> None:
    scan(manager, "pods", pods(300))
    manager.close()
    with closing(sqlite3.connect(manager.path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'pods'").fetchone()
    with manager.path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xa5" * PAGE)
    again = open_manager()
    event = ("MODIFIED", api_object("pods", "web-00000", "team-0", version=2))
    with pytest.raises(CacheCorrupt, match="a new one takes its place"):
        scan(again, "pods", [], version="2") if work == "a list" else again.apply(CLUSTER, [delta("pods", event)])
    assert again.moved_aside is not None
    again.register_cluster(IDENTITY)
    assert scan(again, "pods", pods(1)).total == 1


def test_a_file_that_is_removed_while_the_scanner_runs_is_made_anew(manager: CacheManager, reader: CacheReader) -> None:
    scan(manager, "pods", pods(3))
    assert not manager.reopen_if_replaced()
    manager.path.unlink()
    assert manager.reopen_if_replaced()
    manager.register_cluster(IDENTITY)
    assert scan(manager, "pods", pods(2)).added == 2
    assert reader.list(CLUSTER, ListQuery(PODS)).envelope.total == 2
    assert not manager.reopen_if_replaced()


def test_a_folder_that_is_removed_while_the_scanner_runs_is_said(
    tmp_path: Path, open_manager: Callable[..., CacheManager]
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    manager = CacheManager(folder / "cache.db", policy=TtlPolicy())
    shutil.rmtree(folder)
    with pytest.raises(CacheError, match="cannot be created"):
        manager.reopen_if_replaced()
    manager.close()


def test_a_newer_schema_is_refused_by_everybody_and_left_alone(
    manager: CacheManager, open_manager: Callable[..., CacheManager]
) -> None:
    with closing(sqlite3.connect(manager.path)) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    with pytest.raises(CacheTooNew, match="newer version"):
        open_manager()
    with pytest.raises(CacheTooNew, match="newer version"):
        CacheReader(manager.path)
    with pytest.raises(CacheTooNew, match="newer version"):
        run_query(manager.path, "SELECT 1", cluster=CLUSTER)


def test_a_database_locked_for_too_long_is_said_and_works_again_afterwards(
    manager: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_connection, "BUSY_TIMEOUT_SECONDS", 0.2)
    with manager.stage(CLUSTER, PODS) as staging, closing(sqlite3.connect(manager.path, isolation_level=None)) as other:
        staging.add(pods(2))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CacheBusy, match="another process"):
            staging.finish(resource_version="1")
    assert scan(manager, "pods", pods(2)).total == 2


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """What SQLite and the lock meet on a full disk: they may make files, and cannot write beyond this many bytes."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def test_a_full_disk_is_said_and_the_old_state_stays(manager: CacheManager, reader: CacheReader) -> None:
    scan(manager, "pods", pods(5))
    size = max(part.stat().st_size for part in manager.path.parent.iterdir())
    with manager.stage(CLUSTER, PODS) as staging:
        staging.add(pods(2000, version=2))
        with no_file_larger_than(size + 100_000), pytest.raises(CacheError, match="disk is full"):
            staging.finish(resource_version="1")
    assert reader.list(CLUSTER, ListQuery(PODS)).envelope.total == 5
    assert scan(manager, "pods", pods(2000, version=2)).total == 2000


def test_a_disk_that_fails_when_a_scan_begins_is_said(manager: CacheManager) -> None:
    scan(manager, "pods", pods(500))
    os.truncate(manager.path.with_name(f"{manager.path.name}-wal"), PAGE)
    with pytest.raises(CacheError, match="the disk is full or failing"):
        manager.stage(CLUSTER, PODS)


def test_a_disk_that_fails_when_changes_are_applied_is_said(manager: CacheManager) -> None:
    scan(manager, "pods", pods(500))
    os.truncate(manager.path.with_name(f"{manager.path.name}-wal"), PAGE)
    with pytest.raises(CacheError, match="the disk is full or failing"):
        manager.apply(CLUSTER, [delta("pods", ("ADDED", api_object("pods", "web-new")))])


@pytest.mark.parametrize("size", [0, 2 * PAGE, 20 * PAGE])
def test_a_database_that_could_not_be_replaced_on_a_full_disk_is_replaced_once_there_is_space(
    size: int, manager: CacheManager, reader: CacheReader
) -> None:
    scan(manager, "pods", pods(5))
    for part in manager.path.parent.iterdir():
        part.unlink()
    with no_file_larger_than(size):
        for _ in range(2):
            with pytest.raises(CacheError, match="disk is full"):
                manager.reopen_if_replaced()
    assert manager.path.exists()
    assert manager.reopen_if_replaced()
    assert not manager.reopen_if_replaced()
    manager.register_cluster(IDENTITY)
    assert scan(manager, "pods", pods(3)).added == 3
    assert count(reader, PODS) == 3


def test_after_a_full_disk_a_scanner_locks_and_fills_a_database_that_was_removed_with_its_lock(
    database: Path, clock: Clock
) -> None:
    with ScanLock(database) as lock, CacheManager(database, policy=TtlPolicy(), clock=clock, lock=lock) as manager:
        manager.register_cluster(IDENTITY)
        scan(manager, "pods", pods(5))
        for part in database.parent.iterdir():
            part.unlink()
        with no_file_larger_than(0):
            for _ in range(2):
                with pytest.raises(CacheError, match=r"lock file .*free some space"):
                    manager.reopen_if_replaced()
        assert not open_files(database), "the space of the removed database is not free before it is closed"
        assert manager.reopen_if_replaced()
        assert lock_holder(database) == os.getpid()
        manager.register_cluster(IDENTITY)
        assert scan(manager, "pods", pods(3)).added == 3
        with pytest.raises(LockHeld), ScanLock(database):
            pass
    assert lock_holder(database) is None


def open_files(database: Path) -> list[str]:
    """The files of a database, removed or not, that this process has open; not its lock."""
    links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [link.name for link in links if link.parent == database.parent and ".lock" not in link.name]


def test_a_lock_that_cannot_be_written_on_a_full_disk_is_not_held(database: Path) -> None:
    with no_file_larger_than(0), pytest.raises(CacheError, match=r"lock file .*free some space"), ScanLock(database):
        pass
    assert lock_holder(database) is None
    with ScanLock(database):
        assert lock_holder(database) == os.getpid()


def test_a_kind_whose_declaration_changed_is_rebuilt_and_counts_as_never_scanned(
    open_manager: Callable[..., CacheManager], clock: Clock
) -> None:
    @record
    class LargerRecord(PodRecord):
        colour: str | None = column("a new column")

    def read(obj: dict[str, object]) -> LargerRecord:
        old = PODS.read(obj)
        return LargerRecord(**{name: getattr(old, name) for name in PodRecord.__dataclass_fields__}, colour="red")

    manager = open_manager()
    scan(manager, "pods", pods(2))
    scan(manager, "nodes", staged("nodes", api_object("nodes", "node-1")))
    manager.close()
    larger = replace(PODS, record=LargerRecord, read=read)
    assert larger.declaration_hash != PODS.declaration_hash
    with CacheReader(manager.path, clock=clock) as old_reader:
        open_manager(kinds={**KINDS, "pods": larger})
        with pytest.raises(NeverScanned):
            old_reader.list(CLUSTER, ListQuery(PODS))
        with pytest.raises(NeverScanned):
            old_reader.list(CLUSTER, ListQuery(larger))
        assert count(old_reader, KINDS["nodes"]) == 1
    with closing(sqlite3.connect(manager.path)) as connection:
        assert "colour" in [row[1] for row in connection.execute("PRAGMA table_info(pods)")]
        assert connection.execute("SELECT count(*) FROM labels WHERE kind = 'pods'").fetchone() == (0,)


def test_a_table_of_another_version_is_not_read_as_if_it_fitted(manager: CacheManager, reader: CacheReader) -> None:
    scan(manager, "pods", pods(2))
    with pytest.raises(NeverScanned, match="another version"):
        reader.list(CLUSTER, ListQuery(replace(PODS, revision=PODS.revision + 1)))


def test_the_models_are_what_the_migrations_make(manager: CacheManager) -> None:
    affinity = {"VARCHAR": "TEXT", "INTEGER": "INTEGER", "BLOB": "BLOB"}
    with closing(sqlite3.connect(manager.path)) as connection:
        for table in Base.metadata.sorted_tables:
            stored = {row[1]: (row[2], bool(row[3])) for row in connection.execute(f"PRAGMA table_info({table.name})")}
            declared = {found.name: (affinity[str(found.type)], not found.nullable) for found in table.columns}
            assert stored == declared, table.name
        metadata = {row[1] for row in connection.execute("PRAGMA table_info(cache_metadata)")}
    assert set(FIELDS) <= metadata


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_has_a_table_with_its_columns(kind, manager: CacheManager) -> None:
    with closing(sqlite3.connect(manager.path)) as connection:
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({kind.name})")]
        assert names == ["row_id", "cluster", *(found.name for found in kind.columns), "first_seen_at", "sort_key", "manifest"]
        for side in kind.side_tables:
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({side.name})")]
            owner = f"{kind.kind.lower()}_uid"
            assert names == ["cluster", owner, "position", *(found.name for found in columns_of(side.record))]
