"""Gives pods logs, which ``kubectl logs`` then prints: KWOK serves them from files."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from controlplane.api_client import ApiClient, ApiError, Object
from controlplane.polling import wait_until


class PodLogs:
    """The logs of one cluster's pods. A pod without any answers HTTP 400, as before its first start."""

    def __init__(self, api: ApiClient, folder: Path) -> None:
        self._api = api
        self._folder = folder

    def set(self, namespace: str, pod: str, text: str, *, previous: str | None = None, container: str = "app") -> None:
        """Makes ``text`` the container's log and ``previous`` that of its last run; returns when it is served.

        Other containers of the pod keep theirs. Each line is stamped with the current time, a millisecond apart.
        Without ``previous``, asking for it is refused.
        """
        folder = self._folder / namespace / pod
        folder.mkdir(parents=True, exist_ok=True)
        self._file(namespace, pod, container).write_text(cri_lines(text.splitlines()))
        last_run = folder / f"{container}.previous.log"
        last_run.unlink(missing_ok=True)
        if previous is not None:
            last_run.write_text(cri_lines(previous.splitlines()))
        self._api.create_or_replace(f"/apis/kwok.x-k8s.io/v1alpha1/namespaces/{namespace}/logs", self._object(folder))
        wait_until(lambda: self._is_served(namespace, pod, container), f"the log of {namespace}/{pod} to be served")

    def append(self, namespace: str, pod: str, text: str, *, container: str = "app") -> None:
        """Adds lines to a log that was set; whoever follows it sees them at once."""
        with self._file(namespace, pod, container).open("a") as log:
            log.write(cri_lines(text.splitlines()))

    def remove(self, namespace: str, pod: str) -> None:
        """Takes all logs of the pod away."""
        self._api.delete(f"/apis/kwok.x-k8s.io/v1alpha1/namespaces/{namespace}/logs/{pod}")
        shutil.rmtree(self._folder / namespace / pod, ignore_errors=True)

    def read(self, namespace: str, pod: str, *, container: str = "app", query: str = "") -> str:
        """The log as the API server gives it. Raises ApiError."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log?container={quote(container)}&{query}"
        return str(self._api.get(path))

    def _file(self, namespace: str, pod: str, container: str) -> Path:
        return self._folder / namespace / pod / f"{container}.log"

    def _object(self, folder: Path) -> Object:
        containers = sorted(path.stem for path in folder.glob("*.log") if not path.stem.endswith(".previous"))
        logs = [
            {
                "containers": [container],
                "logsFile": str(folder / f"{container}.log"),
                "previousLogsFile": str(folder / f"{container}.previous.log"),
            }
            for container in containers
        ]
        return {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "Logs",
            "metadata": {"name": folder.name, "namespace": folder.parent.name},
            "spec": {"logs": logs},
        }

    def _is_served(self, namespace: str, pod: str, container: str) -> bool:
        try:
            self.read(namespace, pod, container=container, query="tailLines=1")
        except ApiError as error:
            if error.status == 404:  # no such pod: nothing to wait for
                raise
            return False
        return True


def cri_lines(lines: Iterable[str], start: datetime.datetime | None = None) -> str:
    """Lines in the format of a container runtime: ``<time> stdout F <text>``."""
    moment = start or datetime.datetime.now(datetime.UTC)
    stamped = []
    for number, line in enumerate(lines):
        time = moment + datetime.timedelta(milliseconds=number)
        stamped.append(f"{time.strftime('%Y-%m-%dT%H:%M:%S.%f')}000Z stdout F {line}\n")
    return "".join(stamped)
