"""SIGTERM and SIGINT end a scanner by cancelling its main task: everything it holds is then left in order.

What does not end within a few seconds is left as kill -9 would leave it: a thread that waits for a locked database.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

ORDERLY_STOP_SECONDS = 4.0


@contextmanager
def stopped_by_signals(exit_code: int) -> Iterator[None]:
    """Cancel the current task when a stop signal arrives; it ends as KeyboardInterrupt outside.

    A process that still runs ORDERLY_STOP_SECONDS later is ended with `exit_code`; the database stands that at any instant.

    A second signal kills the process at once, as it would have without this.
    """
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    if task is None:
        raise RuntimeError("stopped_by_signals is used inside a task")
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        _end_later(exit_code)
        loop.remove_signal_handler(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    except asyncio.CancelledError:
        if not received:
            raise
        task.uncancel()
        raise KeyboardInterrupt from None
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _end_later(exit_code: int) -> None:
    def end() -> None:
        log.error("stopped while something still waited, most likely for a locked database; nothing was lost")
        os._exit(exit_code)

    timer = threading.Timer(ORDERLY_STOP_SECONDS, end)
    timer.daemon = True
    timer.start()
