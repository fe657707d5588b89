"""One scanner per database: a flock, which the kernel lets go of when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import threading
import time
from pathlib import Path
from types import TracebackType

from cache.connection import PRIVATE_MODE, SHARED_MODE
from configuration.errors import ConfigurationError, LockHeld

logger = logging.getLogger(__name__)

_ATTEMPTS = 5


class ScanLock:
    """Context manager; raises LockHeld at once when another process has it. The file stays, it means nothing by itself."""

    def __init__(self, database: Path) -> None:
        self.path = lock_path(database)
        self._descriptor: int | None = None
        self._given_back = False
        self._turn = threading.Lock()

    def __enter__(self) -> ScanLock:
        self._descriptor = _lock(self.path)
        self._given_back = False
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._turn:
            self._given_back = True
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def hold(self) -> None:
        """Make sure that the lock which others would find is this one; to be called before each write.

        Somebody may have removed the file, together with the database for example. Then it is made and locked anew;
        raises LockHeld when another scanner was faster: it works on what is at this path now. Also after the lock was
        given back: a thread that was cut off in its work would write beside the next scanner.
        """
        with self._turn:
            if self._given_back:
                raise LockHeld(f"the lock {self.path} was given back; nothing more is written by this scan")
            descriptor = self._descriptor
            if descriptor is None or _is_at(self.path, descriptor):
                return
            logger.warning("lock file %s was removed; it is made anew", self.path)
            self._descriptor = _lock(self.path)
            os.close(descriptor)


def lock_path(database: Path) -> Path:
    return database.with_name(f"{database.name}.lock")


def lock_holder(database: Path) -> int | None:
    """The pid of the scanner that holds the lock right now; None when nobody does."""
    try:
        descriptor = os.open(lock_path(database), os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor) or 0
    else:
        return None
    finally:
        os.close(descriptor)


def _lock(path: Path) -> int:
    """The descriptor that holds the lock, until it is closed."""
    for _ in range(_ATTEMPTS):
        descriptor = _open(path)
        if not _acquire(descriptor):
            holder = _holder(descriptor)
            os.close(descriptor)
            raise LockHeld(
                f"another scanner{f' (pid {holder})' if holder else ''} holds {path}; "
                "stop it, or let it do the work: `scanner status` shows what it does"
            )
        if _is_at(path, descriptor):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return descriptor
        os.close(descriptor)  # removed between opening and locking: a lock that nobody else would find
    raise LockHeld(f"lock file {path} is removed again and again; find out by whom")


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)


def _acquire(descriptor: int) -> bool:
    """Tried for a tenth of a second: `lock_holder` of some other process may have it for an instant."""
    for _ in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1 / _ATTEMPTS)
        else:
            return True
    return False


def _open(path: Path) -> int:
    """Not inherited by child processes (Python opens with O_CLOEXEC), so a child that lives on holds nothing."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, PRIVATE_MODE)
    except OSError as error:
        raise ConfigurationError(
            f"lock file {path} cannot be opened ({error.strerror}); check CACHE_DB_PATH and its folder"
        ) from None
    shared = path.parent.stat().st_mode & stat.S_ISGID
    if shared and os.fstat(descriptor).st_uid == os.geteuid():
        os.fchmod(descriptor, SHARED_MODE)
    return descriptor


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None
