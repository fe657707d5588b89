"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(check: Callable[[], T | None], what: str, *, timeout_seconds: float = 15, interval_seconds: float = 0.03) -> T:
    """Calls ``check`` until it returns something true, and returns that. Raises TimeoutError naming ``what``."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        if answer := check():
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_seconds:g} s for {what}")
        time.sleep(interval_seconds)
