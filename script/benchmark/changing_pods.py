"""Changes pods of a benchmark's cluster, and remembers when each change was made."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

THREADS = 8


@dataclass(frozen=True, slots=True)
class Change:
    """The API server answered at `made_at` (monotonic seconds)."""

    uid: str
    resource_version: str
    made_at: float


class ChangingPods:
    """Sets a label of one pod after the other, each as seldom as possible."""

    def __init__(self, control_plane: Any) -> None:
        self._api = control_plane.api
        self._paths = itertools.cycle(_paths(control_plane.api))
        self._numbers = itertools.count(time.time_ns())  # never a value that a pod has already: that would change nothing
        self.changes: list[Change] = []
        self.late_seconds = 0.0
        """How far behind its pace `at_a_rate` was at most."""

    def change(self) -> Change:
        """One change."""
        body = {"metadata": {"labels": {"benchmark": str(next(self._numbers))}}}
        metadata = self._api.patch(next(self._paths), body)["metadata"]
        made = Change(metadata["uid"], metadata["resourceVersion"], time.monotonic())
        self.changes.append(made)
        return made

    def change_many(self, count: int) -> None:
        """So many, as fast as it goes."""
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda _: self.change(), range(count)))

    @contextmanager
    def at_a_rate(self, per_second: float) -> Iterator[None]:
        """Change at this pace in a thread, until the block is left."""
        stop = threading.Event()

        def work() -> None:
            started = time.monotonic()
            for number in itertools.count():
                pause = started + number / per_second - time.monotonic()
                self.late_seconds = max(self.late_seconds, -pause)
                if stop.wait(max(0.0, pause)):
                    return
                self.change()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _paths(api: Any) -> list[str]:
    found, token = [], ""
    while True:
        page = api.get(f"/api/v1/pods?limit=500&continue={token}")
        found += [f"/api/v1/namespaces/{i['metadata']['namespace']}/pods/{i['metadata']['name']}" for i in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            return found
