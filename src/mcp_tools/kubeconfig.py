"""Kubeconfig files, merged as kubectl merges them: the first file to name a thing wins, `current-context` too.

The kubernetes library merges differently (the last current-context wins) and says little when a file is wrong, so files
are read here and the library gets the merged document, with every path made absolute.
Source of the rules: k8s.io/client-go tools/clientcmd/loader.go.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from configuration.errors import ConfigurationError

IN_CLUSTER = "in-cluster"
"""Context name of a server that runs in a pod and uses its service account."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SERVICE_ACCOUNT_NAMESPACE = SERVICE_ACCOUNT / "namespace"
FileStamp = tuple[int, int, int]

_SECTIONS = ("clusters", "contexts", "users")
_PATHS = {
    "clusters": ("cluster", ("certificate-authority",)),
    "users": ("user", ("client-certificate", "client-key", "tokenFile")),
}


@dataclass(frozen=True, slots=True)
class ContextEntry:
    """One context: which cluster, at which address, as which user entry, and the namespace that kubectl would use."""

    name: str
    cluster: str
    server: str
    user: str
    namespace: str


@dataclass(frozen=True, slots=True)
class KubeConfig:
    """The merged document. It holds credentials: never print or log it."""

    document: dict[str, Any]
    files: tuple[Path, ...]

    def __repr__(self) -> str:
        return f"KubeConfig(files={self.origin})"

    @property
    def origin(self) -> str:
        """The files, for messages."""
        return os.pathsep.join(str(file) for file in self.files)

    @property
    def current(self) -> str:
        """Name of the current context; "" when none is set."""
        return str(self.document.get("current-context") or "")

    def contexts(self) -> list[ContextEntry]:
        """All contexts in the order of the files."""
        servers = {entry["name"]: (entry.get("cluster") or {}).get("server") or "" for entry in self.document["clusters"]}
        found = []
        for entry in self.document["contexts"]:
            context = entry.get("context") or {}
            cluster = str(context.get("cluster") or "")
            found.append(
                ContextEntry(
                    name=str(entry["name"]),
                    cluster=cluster,
                    server=str(servers.get(cluster, "")),
                    user=str(context.get("user") or ""),
                    namespace=str(context.get("namespace") or "default"),
                )
            )
        return found

    def context(self, name: str = "") -> ContextEntry:
        """The named context, or the current one. Raises ConfigurationError with the names that exist."""
        contexts = {entry.name: entry for entry in self.contexts()}
        known = ", ".join(contexts) or "none"
        if not name and not self.current:
            raise ConfigurationError(f"no current-context is set in {self.origin}; name a context, known: {known}")
        entry = contexts.get(name or self.current)
        if entry is None:
            what = "the current-context" if not name else "context"
            raise ConfigurationError(f"{what} {(name or self.current)[:100]!r} does not exist in {self.origin}; known: {known}")
        if not entry.server:
            raise ConfigurationError(
                f"context {entry.name!r} in {self.origin} names cluster {entry.cluster!r}, which has no server address"
            )
        if not _is_address(entry.server):
            raise ConfigurationError(
                f"cluster {entry.cluster!r} in {self.origin} has a server address that cannot be used; "
                "expected is https://HOST:PORT, without user and password"
            )
        return entry


def _is_address(server: str) -> bool:
    try:
        parts = urlsplit(server)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and (parts.port or 1) > 0
    except ValueError:
        return False


def load_kubeconfig(environment: Mapping[str, str]) -> KubeConfig | None:
    """Read the files of KUBECONFIG, else ~/.kube/config. None when there is neither and this runs in a pod.

    Raises ConfigurationError, naming the file, when nothing can be read or what is there is no kubeconfig.
    """
    candidates = kubeconfig_files(environment)
    files = tuple(file for file in candidates if file.exists())
    if not files:
        if not _named_files(environment) and environment.get("KUBERNETES_SERVICE_HOST"):
            return None
        raise ConfigurationError(
            f"there is no kubeconfig at {os.pathsep.join(map(str, candidates))}; set KUBECONFIG or create ~/.kube/config"
        )
    return KubeConfig(_merge([(file, _read(file)) for file in files]), files)


def kubeconfig_files(environment: Mapping[str, str]) -> list[Path]:
    """Where a kubeconfig is looked for, whether there is one or not."""
    return _named_files(environment) or [Path(environment.get("HOME") or "~").expanduser() / ".kube" / "config"]


def _named_files(environment: Mapping[str, str]) -> list[Path]:
    return [Path(part).expanduser() for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (both are safe)
    except OSError as error:
        raise ConfigurationError(f"kubeconfig {file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)  # the message itself can quote a credential
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise ConfigurationError(f"kubeconfig {file} is not valid YAML{where}") from None
    if document is None:
        raise ConfigurationError(f"kubeconfig {file} is empty; correct it, or take it out of KUBECONFIG")
    if not isinstance(document, dict):
        raise ConfigurationError(f"kubeconfig {file} is not a kubeconfig, which is a mapping with clusters, contexts and users")
    return document


def _merge(documents: list[tuple[Path, dict[str, Any]]]) -> dict[str, Any]:
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "users": []}
    for file, document in documents:
        if not merged.get("current-context") and document.get("current-context"):
            merged["current-context"] = document["current-context"]
        for section in _SECTIONS:
            seen = {entry["name"] for entry in merged[section]}
            for entry in _entries(file, document, section):
                if entry["name"] not in seen:
                    seen.add(entry["name"])
                    merged[section].append(_absolute(entry, section, file.parent))
    return merged


def _entries(file: Path, document: dict[str, Any], section: str) -> list[dict[str, Any]]:
    entries = document.get(section) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and entry.get("name") for entry in entries):
        raise ConfigurationError(f"kubeconfig {file}: {section} must be a list of entries that have a name")
    body_key = section.removesuffix("s")
    for entry in entries:
        if not isinstance(entry.get(body_key) or {}, dict):
            raise ConfigurationError(
                f"kubeconfig {file}: `{body_key}` of {str(entry['name'])[:100]!r} in {section} must be a mapping"
            )
    return entries


def _absolute(entry: dict[str, Any], section: str, folder: Path) -> dict[str, Any]:
    """Paths in a kubeconfig are relative to its folder; so is the command of a credential plugin that contains a slash."""
    if section not in _PATHS:
        return entry
    body_key, path_keys = _PATHS[section]
    body = dict(entry.get(body_key) or {})
    for key in path_keys:
        if body.get(key):
            body[key] = str((folder / str(body[key])).absolute())
    plugin = body.get("exec")
    if isinstance(plugin, dict) and "/" in str(plugin.get("command") or ""):
        body["exec"] = plugin | {"command": str((folder / str(plugin["command"])).absolute())}
    return entry | {body_key: body}


def service_account_namespace(file: Path = SERVICE_ACCOUNT_NAMESPACE) -> str:
    """The namespace of the pod that this runs in."""
    try:
        return file.read_text().strip() or "default"
    except OSError:
        return "default"


class KubeConfigSource:
    """The kubeconfig as it is on disk now, read again when a file changes, appears or goes away."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._files = kubeconfig_files(environment)
        self._loaded: tuple[object, KubeConfig | None] | None = None

    def current(self) -> KubeConfig | None:
        """None: in-cluster. Raises ConfigurationError."""
        stamp = tuple(file_stamp(file) for file in self._files)  # before reading: what is written meanwhile differs from it
        if self._loaded is None or self._loaded[0] != stamp:
            self._loaded = (stamp, load_kubeconfig(self._environment))
        return self._loaded[1]


def file_stamp(file: Path) -> FileStamp | None:
    """What differs when a file was written or replaced; None without one."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
