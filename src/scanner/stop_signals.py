"""SIGTERM and SIGINT end a scanner by cancelling its main task: everything it holds is then left in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Cancel the current task when a stop signal arrives; it ends as KeyboardInterrupt (exit code 130) outside.

    A second signal kills the process at once, as it would have without this.
    """
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    if task is None:
        raise RuntimeError("stopped_by_signals is used inside a task")
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
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
