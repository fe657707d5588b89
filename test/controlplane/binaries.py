"""Finds the control plane's binaries, or builds them from the Go modules pinned beside this file.

They lie outside the checkout, in a folder named after what they were built from:
``~/.cache/k8s-mcp/testcluster/<hash>/`` (``XDG_CACHE_HOME`` is honoured, and
``K8S_MCP_TESTCLUSTER_CACHE`` names another root). A folder with that name is complete:
it is built beside its place under a file lock and renamed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MODULE_FOLDER = Path(__file__).resolve().parent
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
# Bumped when the same modules have to be built again: other flags, other files beside them.
RECIPE = "1"
KWOK_FILES = (
    "kustomize/stage/node/fast/node-initialize.yaml",
    "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "kustomize/stage/pod/fast/pod-complete.yaml",
    "kustomize/stage/pod/fast/pod-delete.yaml",
    "kustomize/crd/bases/kwok.x-k8s.io_logs.yaml",
)


class BuildError(Exception):
    """The binaries are missing and could not be built; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """A complete folder of binaries; KWOK's stock stages and CRD lie in ``kwok-files/``."""

    folder: Path
    kubernetes_version: str

    def path(self, name: str) -> Path:
        return self.folder / name

    @property
    def kubectl(self) -> Path:
        return self.folder / "kubectl"

    def kwok_file(self, stem: str) -> str:
        """The text of one of KWOK_FILES, by its name without .yaml."""
        return (self.folder / "kwok-files" / f"{stem}.yaml").read_text()


def cache_root(environ: Mapping[str, str]) -> Path:
    if explicit := environ.get("K8S_MCP_TESTCLUSTER_CACHE"):
        return Path(explicit)
    base = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "k8s-mcp" / "testcluster"


def fingerprint() -> str:
    """Names the build: go.mod, go.sum, the recipe and the machine's architecture."""
    digest = hashlib.sha256(f"{RECIPE} {platform.machine()}".encode())
    for name in ("go.mod", "go.sum"):
        digest.update((MODULE_FOLDER / name).read_bytes())
    return digest.hexdigest()[:16]


def module_version(module: str) -> str:
    """The version go.mod pins, with its v: ``module_version("k8s.io/kubernetes")`` is v1.36.3."""
    text = (MODULE_FOLDER / "go.mod").read_text()
    found = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if not found:
        raise BuildError(f"{MODULE_FOLDER / 'go.mod'} names no version of {module}")
    return found[1]


def cached_binaries(environ: Mapping[str, str] = os.environ) -> Binaries | None:
    """The binaries of this go.mod if they have been built; builds nothing."""
    folder = cache_root(environ) / fingerprint()
    return Binaries(folder, module_version("k8s.io/kubernetes")) if folder.is_dir() else None


def go_command() -> str | None:
    return shutil.which("go")


def ensure_binaries(environ: Mapping[str, str] = os.environ, *, discard_go_cache: bool = False) -> Binaries:
    """The binaries, built first if need be (about 5 minutes on 2 cores; output goes to stderr).

    ``discard_go_cache`` compiles into a temporary GOCACHE, which saves 3 GB of disk afterwards.
    Raises BuildError.
    """
    if found := cached_binaries(environ):
        return found
    root = cache_root(environ)
    root.mkdir(parents=True, exist_ok=True)
    with _exclusive(root / f"{fingerprint()}.lock"):
        if found := cached_binaries(environ):  # another process built them while we waited
            return found
        return _build(root, environ, discard_go_cache)


@contextlib.contextmanager
def _exclusive(lock_file: Path) -> Iterator[None]:
    with lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(root: Path, environ: Mapping[str, str], discard_go_cache: bool) -> Binaries:
    if go_command() is None:
        raise BuildError(
            "the control plane's binaries are not built and there is no `go` on PATH; "
            "script/bootstrap-go installs it, then run script/testcluster build"
        )
    print("testcluster: building the control plane, about 5 minutes the first time", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=root, prefix="building-") as scratch:
        out = Path(scratch) / "out"
        out.mkdir()
        env = {**environ, "CGO_ENABLED": "0"}
        if discard_go_cache:
            env["GOCACHE"] = f"{scratch}/go-cache"
        _go(env, "build", "-trimpath", "-o", f"{out}/", "-ldflags", _ldflags(), "tool")
        (out / "server").rename(out / "etcd")
        _copy_kwok_files(env, out / "kwok-files")
        final = root / fingerprint()
        out.rename(final)
    return Binaries(final, module_version("k8s.io/kubernetes"))


def _ldflags() -> str:
    """Without these the API server reports v0.0.0 and kubectl an unknown version."""
    kubernetes = module_version("k8s.io/kubernetes")
    major, minor = kubernetes.removeprefix("v").split(".")[:2]
    version = "k8s.io/component-base/version"
    return (
        f"-s -w -X {version}.gitVersion={kubernetes} -X {version}.gitMajor={major} -X {version}.gitMinor={minor} "
        f"-X sigs.k8s.io/kwok/pkg/consts.Version={module_version('sigs.k8s.io/kwok')}"
    )


def _copy_kwok_files(env: Mapping[str, str], target: Path) -> None:
    """Keeps what KWOK reads at run time, so that cached binaries work without its module."""
    module = _go(env, "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok").strip()
    target.mkdir()
    for name in KWOK_FILES:
        # copyfile: the module cache is read-only, the copy must be removable
        shutil.copyfile(Path(module) / name, target / Path(name).name)


def _go(env: Mapping[str, str], *arguments: str) -> str:
    command = ["go", *arguments]
    done = subprocess.run(command, cwd=MODULE_FOLDER, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(
            f"`go {arguments[0]}` failed in {MODULE_FOLDER} (exit {done.returncode}, its messages are above); "
            "it needs Go 1.26 or newer (script/bootstrap-go) and the Go module proxy"
        )
    return done.stdout
