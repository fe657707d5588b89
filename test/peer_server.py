"""kubernetes-mcp-server, another one's Kubernetes MCP server: the real binary, from the npm packages pinned in test/peers."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

PINS = Path(__file__).with_name("peers")
VERSION = "0.0.67"
PACKAGE = "kubernetes-mcp-server-linux-amd64"
"""Elsewhere npm refuses to install it."""


class PeerMissing(Exception):
    """It is not installed and cannot be."""


def peer_binary() -> Path:
    """Its executable, installed once into the user's cache folder. Raises PeerMissing with what to do."""
    folder = _folder()
    binary = _binary(folder)
    if not binary.exists():
        _install(folder)
    return binary


def _folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    pins = b"".join((PINS / name).read_bytes() for name in ("package.json", "package-lock.json"))
    return cache / "k8s-mcp" / "peers" / hashlib.sha256(pins).hexdigest()[:16]


def _binary(folder: Path) -> Path:
    return folder / "node_modules" / PACKAGE / "bin" / PACKAGE


def _install(folder: Path) -> None:
    """`npm ci` checks what it fetches against the lock file's hashes, and runs no script of a package."""
    npm = shutil.which("npm")
    if npm is None:
        raise PeerMissing("kubernetes-mcp-server is not installed and there is no npm; install nodejs and npm")
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.copytree(PINS, partial, dirs_exist_ok=True)
    try:
        done = subprocess.run([npm, "ci"], cwd=partial, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise PeerMissing(f"kubernetes-mcp-server cannot be installed: {done.stderr.strip()[-500:]}")
        if not folder.exists():
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
