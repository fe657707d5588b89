"""A small Kubernetes HTTP client for the test tooling: JSON in, JSON out, safe to share between threads."""

from __future__ import annotations

import json
import os
import socket
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import urllib3

Object = dict[str, Any]
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


class ApiError(Exception):
    """The API server refused a request; ``status`` is the HTTP code, ``reason`` Kubernetes' own word for it."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {}
        self.status = status
        self.reason: str = answer.get("reason", "") if isinstance(answer, dict) else ""
        message = answer.get("message", body) if isinstance(answer, dict) else body
        super().__init__(f"{method} {path}: HTTP {status} {self.reason}: {message[:500]}")


class ApiUnreachable(Exception):
    """No answer from the API server: it is stopped, paused or not up yet."""


class ApiClient:
    """Requests as one user. Never retries, so that a test sees each failure."""

    def __init__(self, server: str, ca_file: Path, token: str, *, timeout_seconds: float = 30) -> None:
        self.server = server
        self._pool = urllib3.PoolManager(
            maxsize=16,
            ca_certs=str(ca_file),
            retries=False,
            timeout=timeout_seconds,
            headers={"Authorization": f"Bearer {token}", "User-Agent": "testcluster"},
        )

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", accept: str = "application/json"
    ) -> Any:
        """The decoded JSON answer (text where it is no JSON). Raises ApiError or ApiUnreachable."""
        headers = {**self._pool.headers, "Accept": f"{accept}, */*"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = content_type
        try:
            response = self._pool.request(method, self.server + path, body=data, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise ApiUnreachable(f"{method} {self.server}{path}: {type(error).__name__}: {error}") from error
        text = response.data.decode(errors="replace")
        if response.status >= 400:
            raise ApiError(method, path, response.status, text)
        return json.loads(text) if "json" in response.headers.get("Content-Type", "") else text

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def get_table(self, path: str) -> Any:
        """What kubectl prints of it: a Table whose rows hold the cells and the whole object that they were made from."""
        separator = "&" if "?" in path else "?"
        return self.request("GET", f"{path}{separator}includeObject=Object", accept=TABLE)

    def post(self, path: str, body: Object) -> Any:
        return self.request("POST", path, body)

    def put(self, path: str, body: Object) -> Any:
        return self.request("PUT", path, body)

    def delete(self, path: str) -> Any:
        return self.request("DELETE", path)

    def patch(self, path: str, body: Any, kind: str = "merge") -> Any:
        """``kind`` is merge, strategic, json or apply (which needs fieldManager in the path's query)."""
        return self.request("PATCH", path, body, PATCH_TYPES[kind])

    def create_or_replace(self, collection: str, body: Object) -> Any:
        try:
            return self.post(collection, body)
        except ApiError as error:
            if error.status != 409:
                raise
        path = f"{collection}/{body['metadata']['name']}"
        current = self.get(path)
        metadata = {**body["metadata"], "resourceVersion": current["metadata"]["resourceVersion"]}
        return self.put(path, {**body, "metadata": metadata})


def post_to_unix_socket(socket_file: Path, path: str, body: Object, *, timeout_seconds: float = 10) -> Any:
    """POSTs JSON to an HTTP server on a Unix socket (etcd's gateway) and decodes its answer."""

    class UnixConnection(HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout_seconds)
            connect_unix(self.sock, socket_file)

    connection = UnixConnection("localhost")
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    if response.status >= 400:
        raise ApiError("POST", path, response.status, text)
    return json.loads(text)


def connect_unix(connection: socket.socket, socket_file: Path) -> None:
    """Connects through the folder's file descriptor: an address may hold no more than 107 bytes."""
    folder = os.open(socket_file.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{socket_file.name}")
    finally:
        os.close(folder)
