"""The `scanner` command: what it imports, what it refuses, and what it ends with."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cache.scan_lock import lock_path
from controlplane.users import rule
from kept_server import MakeScannerHere
from kinds.kind import Kind
from kinds.registry import KINDS
from scan_fixtures import SCANNER, ScannerProcess, query

MakeScanner = Callable[..., ScannerProcess]
ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ((), ("run",), ("scan",), ("status",), ("cleanup",))

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: here, context: {cluster: c, user: u}}, {name: there, context: {cluster: c, user: u}}]
"""


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two contexts, of a cluster where nobody listens."""
    path = tmp_path_factory.mktemp("nowhere") / "kubeconfig"
    path.write_text(KUBECONFIG)
    return path


@contextmanager
def held_lock(database: Path) -> Iterator[None]:
    with lock_path(database).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("4242")
        file.flush()
        yield


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "scanner")
def test_every_help_ends_in_an_example(command: tuple[str, ...]) -> None:
    done = subprocess.run([str(SCANNER), *command, "--help"], capture_output=True, text=True, check=True)
    text, _, options = done.stdout.partition("Options:")
    assert "Example: " in text
    assert "scanner" in text.rsplit("Example: ", 1)[1]
    assert options


def test_help_imports_none_of_the_heavy_libraries() -> None:
    program = (
        "import sys; sys.argv = ['scanner', '--help']\n"
        "from scanner.cli import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "print(','.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines()[-1].split(","))
    assert not imported & {"mcp", "kubernetes", "sqlalchemy", "litellm", "rich", "pydantic", "apscheduler", "msgspec", "orjson"}


def test_a_scan_never_imports_litellm(kubeconfig: Path, scanner_process: MakeScanner) -> None:
    program = (
        "import sys; sys.argv = ['scanner', 'scan']\n"
        "from scanner.cli import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "sys.exit('litellm' in sys.modules)"
    )
    scanner = scanner_process(kubeconfig)
    subprocess.run([sys.executable, "-c", program], env=scanner.environment, capture_output=True, check=True)


# --- bad input: one line, exit 2, nothing written


def refused(scanner: ScannerProcess, *arguments: str, **settings: str) -> str:
    done = scanner.run(*arguments, **settings)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert not scanner.database.exists()
    assert not lock_path(scanner.database).exists()
    return lines[0]


@pytest.mark.parametrize("command", ["scan", "run"])
@pytest.mark.parametrize(
    ("text", "words"),
    [("", "kubeconfig"), ("{nonsense", "kubeconfig"), ("apiVersion: v1\nkind: Config\n", "context")],
    ids=["empty", "no YAML", "no contexts"],
)
def test_a_kubeconfig_that_says_nothing_is_refused(
    tmp_path: Path, scanner_process: MakeScanner, command: str, text: str, words: str
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    line = refused(scanner_process(path), command)
    assert words in line
    assert str(path) in line


def test_a_kubeconfig_that_does_not_exist_is_refused(tmp_path: Path, scanner_process: MakeScanner) -> None:
    assert str(tmp_path / "none") in refused(scanner_process(tmp_path / "none"), "scan")


def test_a_context_that_does_not_exist_is_refused_with_those_that_do(kubeconfig: Path, scanner_process: MakeScanner) -> None:
    line = refused(scanner_process(kubeconfig), "scan", "--context", "nowhere")
    assert "nowhere" in line
    assert "here, there" in line
    assert "nowhere" in refused(scanner_process(kubeconfig), "run", K8S_CONTEXTS="nowhere")


def test_a_folder_that_does_not_exist_is_refused(kubeconfig: Path, scanner_process: MakeScanner) -> None:
    scanner = scanner_process(kubeconfig)
    scanner.database = scanner.folder / "missing" / "cache.db"
    assert str(scanner.folder / "missing") in refused(scanner, "scan")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_refused(kubeconfig: Path, scanner_process: MakeScanner) -> None:
    scanner = scanner_process(kubeconfig)
    closed = scanner.folder / "closed"
    closed.mkdir(mode=0o500)
    scanner.database = closed / "cache.db"
    assert str(closed) in refused(scanner, "scan")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCANNER_DYNAMIC_INTERVAL", "soon"),
        ("SCANNER_STATIC_INTERVAL", "-1"),
        ("SCANNER_TIMEOUT", "0"),
        ("SCANNER_BATCH_SIZE", "0"),
        ("SCANNER_CONCURRENT_LIMIT", "many"),
        ("CACHE_DYNAMIC_TTL", "-5"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(kubeconfig: Path, scanner_process: MakeScanner, name: str, value: str) -> None:
    line = refused(scanner_process(kubeconfig), "scan", **{name: value})
    assert name in line
    assert value in line


def test_an_unknown_kind_is_refused_with_those_that_are_known(kubeconfig: Path, scanner_process: MakeScanner) -> None:
    line = refused(scanner_process(kubeconfig), "scan", "--kind", "unicorns")
    assert "unicorns" in line
    assert "pods" in line


def test_a_kind_of_the_other_class_is_refused(kubeconfig: Path, scanner_process: MakeScanner) -> None:
    assert "services" in refused(scanner_process(kubeconfig), "scan", "--dynamic", "--kind", "services")


def test_static_and_dynamic_exclude_each_other(kubeconfig: Path, scanner_process: MakeScanner) -> None:
    done = scanner_process(kubeconfig).run("scan", "--static", "--dynamic")
    assert done.returncode == 2
    assert "exclude each other" in done.stderr


# --- one scanner at a time


@pytest.mark.parametrize("command", ["scan", "run", "cleanup"])
def test_a_second_scanner_ends_with_4_at_once(kubeconfig: Path, scanner_process: MakeScanner, command: str) -> None:
    scanner = scanner_process(kubeconfig)
    scanner.database.touch()
    with held_lock(scanner.database):
        started = time.monotonic()
        done = scanner.run(command)
    assert done.returncode == 4, done.stderr
    assert "4242" in done.stderr
    assert time.monotonic() - started < 10
    assert scanner.database.read_bytes() == b"", "the database of the other one is not touched"


# --- an API server where nobody listens


def test_all_contexts_are_scanned_and_each_failure_is_named(kubeconfig: Path, scanner_process: MakeScanner) -> None:
    report = scanner_process(kubeconfig).report("--context", "*")
    assert report["exit_code"] == 1
    assert {row["cluster"] for row in report["kinds"]} == {"here", "there"}
    assert "here" in report["stderr"]
    assert "there" in report["stderr"]


@pytest.mark.parametrize(
    ("contexts", "clusters"), [("", {"here"}), ("there", {"there"}), ("here, there", {"here", "there"}), ("*", {"here", "there"})]
)
def test_which_contexts_are_scanned(kubeconfig: Path, scanner_here: MakeScannerHere, contexts: str, clusters: set[str]) -> None:
    report = scanner_here(kubeconfig).report("--kind", "pods", K8S_CONTEXTS=contexts)
    assert {row["cluster"] for row in report["kinds"]} == clusters


def test_the_option_outweighs_the_setting_of_contexts(kubeconfig: Path, scanner_process: MakeScanner) -> None:
    report = scanner_process(kubeconfig).report("--context", "there", "--kind", "pods", K8S_CONTEXTS="here")
    assert {row["cluster"] for row in report["kinds"]} == {"there"}


def test_static_and_dynamic_choose_kinds(kubeconfig: Path, scanner_here: MakeScannerHere) -> None:
    for flag, dynamic in (("--static", False), ("--dynamic", True)):
        report = scanner_here(kubeconfig).report(flag)
        assert {row["kind"] for row in report["kinds"]} == {name for name, kind in KINDS.items() if kind.dynamic == dynamic}


def test_the_timeout_gives_up_on_an_api_server_that_does_not_answer(
    control_plane_factory: Callable[..., Any], scanner_process: MakeScanner
) -> None:
    control_plane = control_plane_factory(controllers=False)
    scanner = scanner_process(control_plane.kubeconfig, SCANNER_TIMEOUT="2")
    with control_plane.api_server.paused():
        started = time.monotonic()
        report = scanner.report("--kind", "pods")
        assert time.monotonic() - started < 25
    assert report["exit_code"] == 1


# --- status


def test_status_without_a_database_says_what_to_do(kubeconfig: Path, scanner_process: MakeScanner) -> None:
    done = scanner_process(kubeconfig).run("status")
    assert done.returncode == 1
    assert "scanner scan" in done.stderr


def test_status_tells_fresh_from_stale_and_running_from_stopped(control_plane: Any, scanner_here: MakeScannerHere) -> None:
    scanner = scanner_here(control_plane.kubeconfig)
    scanner.report()
    done = scanner.run("status", "-o", "json")
    status = json.loads(done.stdout)
    assert done.returncode == 0, "a cache that cron keeps fresh needs no daemon"
    assert status["scanner"] == {"running": False, "pid": None, "died": False}
    assert {row["kind"]: row["state"] for row in status["kinds"]} == {name: served(kind) for name, kind in KINDS.items()}
    assert {row["strategy"] for row in status["kinds"] if row["state"] == "fresh"} == {"list"}
    write(scanner.database, "UPDATE scanner SET mode = 'daemon', stopped_at = NULL")
    done = scanner.run("status")
    assert (done.returncode, "died" in done.stderr) == (1, True)
    with held_lock(scanner.database):
        assert scanner.run("status").returncode == 0
        set_back = "UPDATE cache_metadata SET last_checked_at = last_checked_at - 400, expires_at = expires_at - 400"
        write(scanner.database, set_back)
        done = scanner.run("status", "-o", "json")
    assert done.returncode == 1
    states = {row["kind"]: row["state"] for row in json.loads(done.stdout)["kinds"]}
    assert states == {name: "stale" if kind.dynamic else served(kind) for name, kind in KINDS.items()}
    assert "stale" in done.stderr


def served(kind: Kind) -> str:
    """The state of a kind that all is well with; the control plane has no Gateway API."""
    return "not served" if kind.optional else "fresh"


def test_status_says_what_the_api_server_was_asked_for(control_plane: Any, scanner_here: MakeScannerHere) -> None:
    scanner = scanner_here(control_plane.kubeconfig)
    scanner.report()
    (cluster,) = json.loads(scanner.run("status", "-o", "json").stdout)["clusters"]
    assert cluster["cluster"] == control_plane.context
    cost = cluster["last_hour"]
    assert cost["requests"]["list"] >= len([kind for kind in KINDS.values() if not kind.optional])
    assert set(cost["requests"]) <= {"list", "get", "watch", "create"}
    assert cost["bytes"] > 10_000
    assert cost["watches_held"] == 0, "no scanner runs"
    text = scanner.run("status").stdout
    assert f"{cost['requests']['list']} list" in text
    assert "0 watches held" in text


def test_status_judges_the_clusters_that_the_settings_name_and_no_other(
    kubeconfig: Path, control_plane: Any, scanner_here: MakeScannerHere
) -> None:
    scanner = scanner_here(control_plane.kubeconfig)
    scanner.report("--kind", "pods")
    here = control_plane.context

    def judged(**settings: str) -> tuple[set[str], list[str]]:
        status = json.loads(scanner.run("status", "-o", "json", **settings).stdout)
        return {row["cluster"] for row in status["kinds"]}, status["other_clusters"]

    assert judged() == ({here}, [])
    write(scanner.database, f"UPDATE cache_metadata SET cluster = 'left-behind' WHERE cluster = '{here}'")
    assert judged() == ({here}, ["left-behind"])
    assert "left-behind" in scanner.run("status").stdout
    assert judged(K8S_CONTEXTS="left-behind") == ({"left-behind"}, [here])
    assert judged(K8S_CONTEXTS="*") == ({here}, ["left-behind"])
    assert judged(KUBECONFIG=str(kubeconfig), K8S_CONTEXTS="*")[0] == {"here", "there"}
    assert judged(KUBECONFIG="/nowhere")[0] == {here, "left-behind"}, "all that are known, when nothing else can be told"


def test_status_tells_what_may_be_read_in_part_from_what_may_not(
    control_plane: Any, fresh_namespace: str, scanner_here: MakeScannerHere
) -> None:
    someone = control_plane.users.create(fresh_namespace, "someone", rules=[rule("pods", "services")])
    scanner = scanner_here(someone.kubeconfig)
    scanner.report()
    done = scanner.run("status", "-o", "json")
    rows = {row["kind"]: row for row in json.loads(done.stdout)["kinds"]}
    assert (rows["pods"]["state"], rows["pods"]["namespaces"]) == ("partly permitted", 1)
    assert (rows["nodes"]["state"], rows["nodes"]["namespaces"]) == ("not permitted", None)
    assert done.returncode == 0, done.stderr


def test_a_liveness_probe_asks_for_the_daemon_and_not_for_the_cluster(kubeconfig: Path, scanner_here: MakeScannerHere) -> None:
    scanner = scanner_here(kubeconfig)
    assert scanner.run("status", "--alive").returncode == 1, "there is no database"
    scanner.report()
    assert "no scanner works" in scanner.run("status", "--alive").stderr
    write(scanner.database, "UPDATE scanner SET mode = 'daemon', stopped_at = NULL")
    with held_lock(scanner.database):
        done = scanner.run("status", "--alive")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), "that no cluster answers is not its fault"
        write(scanner.database, "UPDATE scanner SET last_tick_at = last_tick_at - 300")
        done = scanner.run("status", "--alive")
    assert done.returncode == 1
    assert "no sign for" in done.stderr


def test_status_names_what_failed_and_what_was_never_scanned(control_plane: Any, scanner_here: MakeScannerHere) -> None:
    scanner = scanner_here(control_plane.kubeconfig)
    scanner.report("--kind", "pods", "--kind", "services")
    write(scanner.database, "UPDATE cache_metadata SET last_error = 'nobody home' WHERE kind = 'services'")
    with held_lock(scanner.database):
        done = scanner.run("status", "-o", "json")
    assert done.returncode == 1
    states = {row["kind"]: row["state"] for row in json.loads(done.stdout)["kinds"]}
    assert (states["pods"], states["services"], states["nodes"]) == ("fresh", "failed", "never scanned")
    assert "nobody home" in done.stdout


def test_status_tells_what_is_no_longer_served_from_what_never_was(control_plane: Any, scanner_here: MakeScannerHere) -> None:
    scanner = scanner_here(control_plane.kubeconfig)
    scanner.report()
    assert scanner.run("status").returncode == 0
    gone = "UPDATE cache_metadata SET last_error = '', last_error_at = 1800000000 WHERE kind = 'namespaces'"
    write(scanner.database, gone)
    done = scanner.run("status", "-o", "json")
    rows = {row["kind"]: row for row in json.loads(done.stdout)["kinds"]}
    assert rows["namespaces"]["state"] == "no longer served"
    assert rows["namespaces"]["objects"] > 0
    assert "not served at 2027-01-15T08:00:00Z" in rows["namespaces"]["error"]
    assert (rows["httproutes"]["state"], rows["httproutes"]["error"]) == ("not served", "")
    assert done.returncode == 1, "objects are in the cache of which nobody can say whether they exist"
    assert "no longer served: " in done.stderr
    write(scanner.database, "UPDATE cache_metadata SET item_count = 0 WHERE kind = 'namespaces'")
    assert scanner.run("status").returncode == 0, "nothing is in the cache that could be wrong"


def test_status_does_not_call_a_cluster_healthy_of_which_nothing_may_be_read(
    control_plane: Any, fresh_namespace: str, scanner_here: MakeScannerHere
) -> None:
    nobody = control_plane.users.create(fresh_namespace, "nobody", rules=[])
    scanner = scanner_here(nobody.kubeconfig)
    scanner.report()
    done = scanner.run("status", "-o", "json")
    assert {kind["state"] for kind in json.loads(done.stdout)["kinds"]} == {"not permitted"}
    assert done.returncode == 1
    assert "may be listed with these credentials" in done.stderr


def test_cleanup_forgets_what_is_older_than_the_retention(control_plane: Any, scanner_here: MakeScannerHere) -> None:
    scanner = scanner_here(control_plane.kubeconfig)
    assert scanner.run("cleanup").returncode == 1, "there is no database yet"
    scanner.report("--kind", "services")
    write(
        scanner.database,
        "INSERT INTO changes (cluster, kind, name, uid, field, seen_at, resource_version) "
        "VALUES ('c', 'pods', 'p', 'u', 'f', 1, '1')",
    )
    done = scanner.run("cleanup", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["changes"] == 1
    assert query(scanner.database, "SELECT count(*) FROM changes") == [(0,)]


PAST_GRACE = "last_full_at = last_full_at - 200000, last_checked_at = last_checked_at - 200000, expires_at = expires_at - 200000"
ROWS = "SELECT (SELECT count(*) FROM namespaces), (SELECT count(*) FROM services)"


def test_cleanup_removes_rows_past_their_grace_while_the_cluster_answers(
    control_plane: Any, scanner_here: MakeScannerHere
) -> None:
    scanner = scanner_here(control_plane.kubeconfig)
    scanner.report("--kind", "namespaces", "--kind", "services")
    write(scanner.database, f"UPDATE cache_metadata SET {PAST_GRACE} WHERE kind = 'services'")
    write(scanner.database, "UPDATE clusters SET last_success_at = last_success_at - 700")
    assert json.loads(scanner.run("cleanup", "-o", "json").stdout)["purged"] == []
    write(scanner.database, "UPDATE clusters SET last_success_at = last_success_at + 700")
    done = json.loads(scanner.run("cleanup", "-o", "json").stdout)
    assert done["purged"] == [[control_plane.context, "services", ""]]
    assert done["rows"] > 0
    ((namespaces, services),) = query(scanner.database, ROWS)
    assert namespaces > 0
    assert services == 0


def test_a_scan_cleans_up_at_its_end_but_purges_only_what_it_had_an_answer_about(
    control_plane: Any, fresh_namespace: str, scanner_here: MakeScannerHere
) -> None:
    scanner = scanner_here(control_plane.kubeconfig)
    scanner.report("--kind", "namespaces", "--kind", "services", "--kind", "nodes")
    for seen_at in (1, int(time.time()) - 100_000):  # the second says that time has passed, and no clock was set
        write(
            scanner.database,
            "INSERT INTO changes (cluster, kind, name, uid, field, seen_at, resource_version) "
            f"VALUES ('c', 'pods', 'p', 'u', 'f', {seen_at}, '1')",
        )
    write(scanner.database, f"UPDATE cache_metadata SET {PAST_GRACE}")
    user = control_plane.users.create(
        fresh_namespace, "no-services", rules=[], cluster_rules=[rule("namespaces", verbs=("list", "get", "watch"))]
    )
    done = scanner.run("scan", "--kind", "namespaces", "--kind", "services", KUBECONFIG=str(user.kubeconfig))
    assert done.returncode == 3, "services are not permitted"
    kinds = {kind for (kind,) in query(scanner.database, "SELECT kind FROM cache_metadata WHERE last_checked_at IS NOT NULL")}
    assert kinds == {"namespaces", "nodes"}, "nodes were not asked for"
    assert query(scanner.database, "SELECT min(seen_at) > 1, count(*) FROM changes WHERE cluster = 'c'") == [(1, 1)]
    ((namespaces, services),) = query(scanner.database, ROWS)
    assert namespaces > 0
    assert services == 0


def test_cleanup_forgets_a_cluster_by_name(control_plane: Any, scanner_here: MakeScannerHere) -> None:
    scanner = scanner_here(control_plane.kubeconfig)
    scanner.report("--kind", "namespaces")
    wrong = scanner.run("cleanup", "--forget", "old")
    assert wrong.returncode == 2
    assert f"those that it holds: {control_plane.context}" in wrong.stderr
    done = json.loads(scanner.run("cleanup", "--forget", control_plane.context, "-o", "json").stdout)
    assert done["forgotten"][control_plane.context] > 0
    assert query(scanner.database, ROWS) == [(0, 0)]
    assert query(scanner.database, "SELECT count(*) FROM clusters") == [(0,)]


def test_cleanup_gives_the_gaps_in_the_file_back_when_asked_to(kubeconfig: Path, scanner_here: MakeScannerHere) -> None:
    scanner = scanner_here(kubeconfig)
    scanner.report()
    row = "'c', 'pods', 'p', 'u', hex(randomblob(2000)), 1, '1'"
    columns = "cluster, kind, name, uid, field, seen_at, resource_version"
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
    write(scanner.database, f"INSERT INTO changes ({columns}) {numbers} SELECT {row} FROM n")
    kept = json.loads(scanner.run("cleanup", "-o", "json").stdout)
    assert kept["changes"] == 20_000
    done = json.loads(scanner.run("cleanup", "--vacuum", "-o", "json").stdout)
    assert done["bytes_after"] < done["bytes_before"] / 4
    assert scanner.database.stat().st_size == done["bytes_after"]
    assert query(scanner.database, "PRAGMA integrity_check") == [("ok",)]
    assert "rewritten" in scanner.run("cleanup", "--vacuum").stdout


def write(path: Path, sql: str) -> None:
    import sqlite3

    connection = sqlite3.connect(path)
    with connection:
        connection.execute(sql)
    connection.close()


# --- the older ways in


@pytest.mark.parametrize("wrapper", ["src/scanner/scanner_demo.py", "script/run-scanner-demo.py"])
def test_the_older_entry_points_still_scan(wrapper: str, kubeconfig: Path, scanner_process: MakeScanner) -> None:
    scanner = scanner_process(kubeconfig)
    done = subprocess.run(
        [sys.executable, str(ROOT / wrapper), "--kind", "pods", "-o", "json"],
        env=scanner.environment,
        cwd=scanner.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert [row["kind"] for row in json.loads(done.stdout)["kinds"]] == ["pods"]
