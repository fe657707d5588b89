"""A database that two users share through a group and a set-gid folder, and a third who is not in it."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo_fixtures import DemoServer
from scan_fixtures import SCANNER
from test_scanner_daemon import wait_for

ROOT = Path(__file__).resolve().parents[1]
GROUP = f"k8smcp{secrets.token_hex(4)}"
"""Another in each run: one that was killed leaves its group and its users behind."""
SCANS, READS, OUTSIDE = f"{GROUP}-a", f"{GROUP}-b", f"{GROUP}-c"
UMASK = 0o027
"""That of the system unit."""


def why_not() -> str:
    if os.geteuid() != 0:
        return "only root can make users"
    if not all(map(shutil.which, ("useradd", "groupadd", "setpriv", "unshare"))):
        return "useradd, setpriv or unshare is not installed"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        return "may not mount: other users cannot be given this Python"
    return ""


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")


def reachable_by_all() -> str:
    """Shell commands that let every user reach this Python and this checkout where a folder above them is closed (as /root is).

    To be run in a mount namespace: the closed folder is covered by one that holds nothing but what is needed.
    """
    commands, covered = ["mount -t tmpfs stash /mnt"], {}
    for tree in dict.fromkeys(map(Path, (sys.base_prefix, sys.prefix, ROOT))):
        closed = next((one for one in reversed(tree.parents) if not one.stat().st_mode & stat.S_IXOTH), None)
        if closed is None:
            continue
        if closed not in covered:
            covered[closed] = f"/mnt/{len(covered)}"
            commands += [f"mkdir {covered[closed]}", f"mount --rbind {shlex.quote(str(closed))} {covered[closed]}"]
            commands += [f"mount -t tmpfs -o mode=755 open {shlex.quote(str(closed))}"]
        inside = shlex.quote(f"{covered[closed]}/{tree.relative_to(closed)}")
        commands += [f"mkdir -p {shlex.quote(str(tree))}", f"mount --bind {inside} {shlex.quote(str(tree))}"]
    return "\n".join(commands)


@dataclass(frozen=True)
class Sharing:
    """`folder` is the set-gid one; each user has a home beside it, with a kubeconfig of their own."""

    folder: Path
    homes: Path

    @property
    def database(self) -> Path:
        return self.folder / "cache.db"

    def command(self, user: str, *command: str | Path) -> list[str]:
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *map(str, command)]
        return ["unshare", "--mount", "sh", "-ec", f"umask 022\n{reachable_by_all()}\numask {UMASK:o}\nexec {shlex.join(become)}"]

    def environment(self, user: str) -> dict[str, str]:
        home = self.homes / user
        own = {"HOME": str(home), "KUBECONFIG": str(home / "kubeconfig"), "REDACTION_KEY_FILE": str(home / "key")}
        return {"PATH": os.environ["PATH"], "CACHE_DB_PATH": str(self.database)} | own

    def run(self, user: str, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(user, *command),
            env=self.environment(user),
            cwd=self.homes / user,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @contextmanager
    def daemon(self, user: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            self.command(user, SCANNER, "run"),
            env=self.environment(user),
            cwd=self.homes / user,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)


@pytest.fixture(scope="module")
def sharing(demo_server: DemoServer) -> Iterator[Sharing]:
    """Two members of a group and one who is none, and a folder that the group shares."""
    homes = Path(tempfile.mkdtemp(prefix="k8s-mcp-shared-"))
    homes.chmod(0o755)
    try:
        run("groupadd", GROUP)
        for user in (SCANS, READS, OUTSIDE):
            run("useradd", "--no-create-home", "--user-group", *(("--groups", GROUP) if user != OUTSIDE else ()), user)
            (homes / user).mkdir(mode=0o700)
            shutil.copyfile(demo_server.kubeconfig, homes / user / "kubeconfig")
            run("chown", "-R", f"{user}:{user}", str(homes / user))
        folder = homes / "shared"
        folder.mkdir()
        run("chgrp", GROUP, str(folder))
        folder.chmod(0o2770)
        yield Sharing(folder, homes)
    finally:
        for user in (SCANS, READS, OUTSIDE):
            subprocess.run(["userdel", user], capture_output=True, check=False)
        subprocess.run(["groupdel", GROUP], capture_output=True, check=False)
        shutil.rmtree(homes)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def filled(sharing: Sharing) -> Sharing:
    """One member has scanned."""
    done = sharing.run(SCANS, SCANNER, "scan")
    assert done.returncode == 0, done.stderr
    return sharing


MAIN = SCANNER.with_name("main")


def pods_of(done: subprocess.CompletedProcess[str]) -> int:
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["rows"][0][0])


def test_everything_beside_the_database_belongs_to_the_group_and_to_nobody_else(filled: Sharing) -> None:
    with filled.daemon(SCANS):
        wait_for(filled.database.with_name("cache.db-wal").exists, "the daemon to open the database", 90)
        files = {file.name: file.stat() for file in filled.folder.iterdir()}
    assert {"cache.db", "cache.db-wal", "cache.db-shm", "cache.db.lock"} <= set(files)
    assert {stat.S_IMODE(one.st_mode) for one in files.values()} == {0o660}
    assert {one.st_gid for one in files.values()} == {filled.folder.stat().st_gid}


def test_another_member_reads_and_queries_what_one_has_scanned(filled: Sharing) -> None:
    count = ("query", "SELECT count(*) AS n FROM pods", "-o", "json")
    alone = pods_of(filled.run(READS, MAIN, *count))
    assert alone > 10
    assert filled.run(READS, SCANNER, "status").returncode == 0
    with filled.daemon(SCANS):
        assert pods_of(filled.run(READS, MAIN, *count)) > 10


def test_a_refresh_that_another_member_asks_for_is_served(filled: Sharing) -> None:
    ask = (
        "import sqlite3, sys, time; from pathlib import Path; from cache.refresh_requests import request_refresh\n"
        "path = Path(sys.argv[1]); asked = time.monotonic()\n"
        "number = request_refresh(path, cluster='demo', kind='services', reason='a test asks')\n"
        "reading = sqlite3.connect(f'file:{path}?mode=ro', uri=True); served = None\n"
        "while served is None and time.monotonic() < asked + 30:\n"
        "    (served,) = reading.execute('SELECT served_at FROM refresh_requests WHERE id = ?', (number,)).fetchone()\n"
        "    time.sleep(0.05)\n"
        "print(served is not None)"
    )
    with filled.daemon(SCANS):
        done = filled.run(READS, Path(sys.executable), "-c", ask, filled.database)
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr


def test_any_member_may_scan_when_nobody_else_does(filled: Sharing) -> None:
    done = filled.run(READS, SCANNER, "scan", "--kind", "services")
    assert done.returncode == 0, done.stderr
    done = filled.run(SCANS, SCANNER, "scan", "--kind", "services")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command",
    [(SCANNER, "status"), (SCANNER, "scan"), (MAIN, "query", "SELECT count(*) FROM pods")],
    ids=["status", "scan", "query"],
)
def test_who_is_not_in_the_group_is_told_so_in_one_line(filled: Sharing, command: tuple[str | Path, ...]) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in filled.folder.iterdir()}
    done = filled.run(OUTSIDE, *command)
    assert done.returncode in (1, 2), (done.stdout, done.stderr)
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert str(filled.folder) in line
    assert "may not" in line
    assert "defect" not in line
    assert {file.name: file.stat().st_mtime_ns for file in filled.folder.iterdir()} == before
