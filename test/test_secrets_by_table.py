"""A whole life of the scanner in front of a recording proxy: no request asks for what is in a Secret, and a value that an
annotation repeats gets no further than the MCP server."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from controlplane.polling import wait_until
from fault_proxy import FaultProxy, Recorded
from kept_server import KeptServers, ScannerHere
from mcp_tools.k8s_api import METADATA_LIST, TABLE
from scan_fixtures import ScannerProcess, query

NAMESPACE = "secrets-by-table"
CANARY = "cnry-by-table-"
_ORDINARY_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
SECRETS = re.compile(r"/api/v1/(?:namespaces/[^/]+/)?secrets(?:/.*)?")


def applied(step: str) -> dict[str, Any]:
    """Its last-applied annotation repeats both values."""
    data = {"token": base64.b64encode(f"{CANARY}data-{step}".encode()).decode()}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "applied", "namespace": NAMESPACE}}
    return body | {"stringData": {"password": f"{CANARY}text-{step}"}, "data": data}


@pytest.fixture(scope="module")
def planted(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    control_plane.create_namespace(NAMESPACE)
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(applied("first")))
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets"
    control_plane.api.post(path, {"metadata": {"name": "posted"}, "stringData": {"password": f"{CANARY}posted"}})
    release = {
        "name": "sh.helm.release.v1.shop.v1",
        "labels": {"owner": "helm", "name": "shop", "version": "1", "status": "deployed"},
    }
    payload = {"release": f"{CANARY}release"}
    control_plane.api.post(path, {"metadata": release, "type": "helm.sh/release.v1", "stringData": payload})
    yield control_plane
    control_plane.delete_namespace(NAMESPACE)


@pytest.fixture(scope="module")
def proxy(planted: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    with FaultProxy(planted.kubeconfig, tmp_path_factory.mktemp("proxy"), longest_seconds=300) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def lived(
    planted: ControlPlane, proxy: FaultProxy, kept_servers: KeptServers, tmp_path_factory: pytest.TempPathFactory
) -> ScannerProcess:
    """A first scan, a catch-up, a full scan and a daemon that follows; the Secret changes before each."""
    folder, server = tmp_path_factory.mktemp("scanner"), kept_servers(proxy.kubeconfig)
    scanner = ScannerHere(folder, proxy.kubeconfig, folder / "cache.db", {"REDACTION_KEY_FILE": str(server.key)}, server=server)
    said = []
    try:
        planted.kubectl("apply", "-f", "-", stdin=json.dumps(applied("first")))
        done = scanner.run("scan", "-o", "json", "--debug")
        assert done.returncode == 0, done.stderr
        said += [done.stdout, done.stderr]
        for step, arguments in (("caught-up", []), ("listed", ["--full"])):
            planted.kubectl("apply", "-f", "-", stdin=json.dumps(applied(step)))
            report = scanner.report(*arguments)
            assert report["exit_code"] == 0, report["stderr"]
            said.append(json.dumps(report))
        daemon = scanner.start("run", "--debug", SCANNER_FOLLOW="true")
        wait_until(lambda: "watch" in {one.verb for one in of_secrets(proxy)}, "a watch", timeout_seconds=60)
        planted.kubectl("apply", "-f", "-", stdin=json.dumps(applied("followed")))
        version = planted.api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/applied")["metadata"]["resourceVersion"]
        wait_until(lambda: version in versions(scanner.database), "the cache to have followed", timeout_seconds=60)
        daemon.terminate()
        daemon.wait(30)
        said.append(scanner.run("status").stdout)
    finally:
        scanner.end()
    (folder / "said.txt").write_text("\n".join(said))
    return scanner


def versions(database: Path) -> set[str]:
    return {version for (version,) in query(database, "SELECT resource_version FROM secrets WHERE name = 'applied'")}


def of_secrets(proxy: FaultProxy) -> list[Recorded]:
    return [one for one in proxy.requests if SECRETS.fullmatch(one.path)]


def test_every_request_for_secrets_asks_for_a_table_without_objects_or_for_metadata(
    lived: ScannerProcess, proxy: FaultProxy
) -> None:
    asked = of_secrets(proxy)
    assert {one.verb for one in asked} == {"list", "watch"}
    for one in asked:
        assert one.accept in (TABLE, METADATA_LIST), one
        assert one.accept == METADATA_LIST or "includeObject=Metadata" in one.query, one


def test_no_request_asks_for_secrets_in_any_other_way(lived: ScannerProcess, proxy: FaultProxy) -> None:
    """By another group's path, through a proxy subresource, or as a part of another resource."""
    others = [one.path for one in proxy.requests if "secret" in one.path.lower() and not SECRETS.fullmatch(one.path)]
    assert others == []
    assert not [one for one in proxy.requests if "/proxy" in one.path]


def test_the_cache_knows_the_secrets_by_name_type_and_keys(lived: ScannerProcess) -> None:
    rows = query(
        lived.database, "SELECT name, type, key_count, key_names FROM secrets WHERE namespace = ? ORDER BY name", NAMESPACE
    )
    assert rows == [
        ("applied", "Opaque", 2, '["password","token"]'),
        ("posted", "Opaque", 1, '["password"]'),
        ("sh.helm.release.v1.shop.v1", "helm.sh/release.v1", 1, '["release"]'),
    ]


def everything_in(database: Path) -> str:
    """All rows of all tables, decompressed. (Virtual tables keep theirs in ordinary ones.)"""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in connection.execute(_ORDINARY_TABLES)]
        return "\n".join(
            _text(cell) for table in tables for row in connection.execute(f'SELECT * FROM "{table}"') for cell in row
        )
    finally:
        connection.close()


def _text(cell: object) -> str:
    if not isinstance(cell, bytes):
        return str(cell)
    try:
        return zlib.decompress(cell).decode(errors="replace")
    except zlib.error:
        return cell.decode(errors="replace")


def forms(value: str) -> Iterator[str]:
    """As text, and as base64 in each alignment, without the characters at the ends that depend on neighbours."""
    yield value
    for shift in range(3):
        yield base64.b64encode(b"x" * shift + value.encode()).decode()[4:-4]


def test_no_value_is_in_a_row_a_manifest_a_log_or_a_report(lived: ScannerProcess) -> None:
    text = everything_in(lived.database) + lived.log.read_text() + (lived.folder / "said.txt").read_text()
    assert "secrets-by-table" in text
    assert "‹redacted:" in text  # of the annotation: it is there, and its value is not
    assert [form for form in forms(CANARY) if form in text] == []
    raw = b"".join(path.read_bytes() for path in lived.folder.iterdir() if path.is_file())
    assert [form for form in forms(CANARY) if form.encode() in raw] == []


def test_a_question_to_the_cache_shows_no_value(lived: ScannerProcess) -> None:
    main = Path(sys.executable).with_name("main")
    sql = f"SELECT * FROM secrets WHERE namespace = '{NAMESPACE}'"
    done = subprocess.run(
        [str(main), "query", sql, "-o", "json"],
        env=lived.environment,
        cwd=lived.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "applied" in done.stdout
    assert CANARY not in done.stdout + done.stderr
