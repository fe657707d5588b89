"""Reads the API server's audit log: which requests arrived, from whom, since when."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.api_client import ApiClient, ApiUnreachable
from controlplane.polling import wait_until

# The cluster's own processes, and this tooling.
OWN_USERS = ("testcluster:", "system:apiserver")
UNAUTHORIZED = 401
# How long a request may stay unanswered before it is listed without its status.
ANSWER_SECONDS = 1.0
Entry = dict[str, Any]
MUTATING = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True)
class AuditedRequest:
    """One request. ``status`` is the HTTP code, None while there is no answer yet."""

    verb: str
    uri: str
    user: str
    user_agent: str
    status: int | None
    resource: str
    namespace: str
    name: str
    dry_run: bool

    @property
    def long_running(self) -> bool:
        return self.verb in ("watch", "connect") or "follow=true" in self.uri

    @property
    def mutating(self) -> bool:
        """Whether it could have changed anything: no dry run, and no question put as a POST (access reviews)."""
        return self.verb in MUTATING and not self.dry_run and not self.resource.endswith("reviews")


class AuditLog:
    """Counts what happened between a mark and now."""

    def __init__(self, path: Path, api: ApiClient) -> None:
        self._path = path
        self._api = api

    def mark(self) -> int:
        """A position in the log that comes after every request answered so far."""
        return self._flushed()

    def requests(
        self,
        since: int = 0,
        *,
        user: str | None = None,
        user_agent: str | None = None,
        verb: str | None = None,
        where: Callable[[AuditedRequest], bool] = lambda _: True,
    ) -> list[AuditedRequest]:
        """The requests that arrived since a mark, oldest first, without those of the cluster itself.

        ``user`` is the exact name (``admin`` for the printed kubeconfig), ``user_agent`` a part of it.
        Every request whose answer has been seen is in the list, refused ones included.
        """
        end = self._flushed()
        deadline = time.monotonic() + ANSWER_SECONDS
        found = self._read(since, end)
        while any(one.status is None and not one.long_running for one in found) and time.monotonic() < deadline:
            time.sleep(0.01)  # a client can have its answer before the log has its second entry
            found = self._read(since, end)
        return [
            request
            for request in found
            if (request.user == user if user else not request.user.startswith(OWN_USERS))
            and (user_agent is None or user_agent in request.user_agent)
            and (verb is None or request.verb == verb)
            and where(request)
        ]

    def _read(self, since: int, end: int) -> list[AuditedRequest]:
        """The requests that arrived between two positions; how they were answered may be written after the second."""
        with self._path.open("rb") as log:
            log.seek(since)
            lines = log.read(end - since).splitlines()
            later = log.read().split(b"\n")[:-1]
        return _merge_stages([json.loads(line) for line in lines], [json.loads(line) for line in later])

    def _flushed(self) -> int:
        """Sends a request of its own and waits until the log shows it; returns the log's length then.

        Entries are written in the order of arrival, before a request is handled, so everything earlier is there.
        With the API server stopped nothing is under way and the file is complete as it is.
        """
        if not self._path.exists():
            raise FileNotFoundError(f"{self._path}: this cluster was started without an audit log")
        mark = uuid.uuid4().hex
        start = self._path.stat().st_size
        try:
            self._api.get(f"/version?mark={mark}")
        except ApiUnreachable:
            return start

        def shown() -> int:
            with self._path.open("rb") as log:
                log.seek(start)
                tail = log.read()
            complete = tail.rfind(b"\n") + 1
            return start + complete if mark.encode() in tail[:complete] else 0

        return wait_until(shown, "the audit log to be written")


def _merge_stages(entries: list[Entry], later: list[Entry]) -> list[AuditedRequest]:
    """One request per audit id: it is logged when it arrives and again when it has been answered.

    A failed authentication has the second entry only. Answers to requests from before are left out.
    """
    by_id: dict[str, Entry] = {}
    for entry in entries:
        if entry["auditID"] in by_id:
            by_id[entry["auditID"]].update(entry)
        elif entry["stage"] == "RequestReceived" or entry.get("responseStatus", {}).get("code") == UNAUTHORIZED:
            by_id[entry["auditID"]] = entry
    for entry in later:
        if entry["auditID"] in by_id:
            by_id[entry["auditID"]].update(entry)
    return [_request(entry) for entry in by_id.values()]


def _request(entry: Entry) -> AuditedRequest:
    target = entry.get("objectRef", {})
    return AuditedRequest(
        verb=entry["verb"],
        uri=entry["requestURI"],
        user=entry.get("user", {}).get("username", ""),
        user_agent=entry.get("userAgent", ""),
        status=entry.get("responseStatus", {}).get("code"),
        resource=target.get("resource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        dry_run="dryRun=" in entry["requestURI"],
    )
