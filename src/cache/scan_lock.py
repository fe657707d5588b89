"""One scanner per database: a flock, which the kernel lets go of when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path
from types import TracebackType

from cache.connection import PRIVATE_MODE, SHARED_MODE
from configuration.errors import ConfigurationError, LockHeld

_ATTEMPTS = 5


class ScanLock:
    """Context manager; raises LockHeld at once when another process has it. The file stays, it means nothing by itself."""

    def __init__(self, database: Path) -> None:
        self.path = lock_path(database)
        self._descriptor: int | None = None

    def __enter__(self) -> ScanLock:
        descriptor = _open(self.path)
        if not _acquire(descriptor):
            holder = _holder(descriptor)
            os.close(descriptor)
            raise LockHeld(
                f"another scanner{f' (pid {holder})' if holder else ''} holds {self.path}; "
                "stop it, or let it do the work: `scanner status` shows what it does"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


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
