"""One scanner per database: a flock, which the kernel lets go of when the process ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from cache.connection import PRIVATE_MODE, SHARED_MODE
from configuration.errors import CacheError, ConfigurationError, LockHeld

logger = logging.getLogger(__name__)

_ATTEMPTS = 5
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ScanLock:
    """Context manager; raises LockHeld at once when another process has it. The file stays, it means nothing by itself.

    Raises CacheError when the file cannot be made or written, on a full disk for example, and then holds nothing new.
    """

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
            with _system_errors(self.path):
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
        try:
            with _system_errors(path):
                locked = _lock_opened(path, descriptor)
        except BaseException:
            os.close(descriptor)  # left open it would hold the lock against ourselves
            raise
        if locked:
            return descriptor
        os.close(descriptor)  # removed between opening and locking: a lock that nobody else would find
    raise LockHeld(f"lock file {path} is removed again and again; find out by whom")


def _lock_opened(path: Path, descriptor: int) -> bool:
    """Lock it and write our pid into it; False when it is not at its path any more."""
    if not _acquire(descriptor):
        holder = _holder(descriptor)
        raise LockHeld(
            f"another scanner{f' (pid {holder})' if holder else ''} holds {path}; "
            "stop it, or let it do the work: `scanner status` shows what it does"
        )
    if not _is_at(path, descriptor):
        return False
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return True


@contextmanager
def _system_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what_next = "free some space" if error.errno in _FULL else "check its folder and who owns it"
        raise CacheError(f"lock file {path} cannot be locked and written ({error.strerror}); {what_next}") from None


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
        if error.errno in _FULL:
            raise CacheError(f"lock file {path} cannot be made ({error.strerror}); free some space") from None
        raise ConfigurationError(
            f"lock file {path} cannot be opened ({error.strerror}); check CACHE_DB_PATH and its folder"
        ) from None
    try:
        with _system_errors(path):
            _share(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _share(path: Path, descriptor: int) -> None:
    shared = path.parent.stat().st_mode & stat.S_ISGID
    if shared and os.fstat(descriptor).st_uid == os.geteuid():
        os.fchmod(descriptor, SHARED_MODE)


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None
