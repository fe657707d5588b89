"""What a service manager is told: systemd's notify protocol, which is datagrams to a socket named by NOTIFY_SOCKET.

Source: sd_notify(3), sd_watchdog_enabled(3). Without that variable every call does nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

FEEDS_A_PERIOD = 4
"""A watchdog that is to be fed every N seconds is fed this often in them."""


class ServiceManager:
    """`watchdog_seconds`: how often the manager wants to hear WATCHDOG=1; None when it does not care."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        microseconds = environment.get("WATCHDOG_USEC", "")
        is_meant = environment.get("WATCHDOG_PID") in (None, "", str(os.getpid()))
        wanted = bool(self._address) and is_meant and microseconds.isdecimal() and int(microseconds) > 0
        self.watchdog_seconds = int(microseconds) / 1e6 if wanted else None

    def tell(self, **assignments: object) -> None:
        """Send assignments such as `READY=1`. A manager that cannot be reached is logged: the work goes on without it."""
        if not self._address:
            return
        text = "\n".join(f"{name}={' '.join(str(value).split())}" for name, value in assignments.items())
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(text.encode(), address)
        except OSError as error:
            log.warning("the service manager at NOTIFY_SOCKET cannot be told %s: %s", ", ".join(assignments), error)

    async def feed_watchdog(self, progress_at: Callable[[], float]) -> None:
        """Feed the watchdog whenever work has moved since the last look, until cancelled; returns at once when there is none.

        `progress_at` gives when that was, by any clock. This runs on the loop that it watches over: a loop that is blocked
        feeds nothing, and neither does one that turns while the work in it stands still.
        """
        if self.watchdog_seconds is None:
            return
        seen: float | None = None
        while True:
            if (moved := progress_at()) != seen:
                seen = moved
                self.tell(WATCHDOG=1)
            await asyncio.sleep(self.watchdog_seconds / FEEDS_A_PERIOD)
