"""Objects that no one expects, through the whole way from an API server to the database: kept as far as they can be read,
set aside if not at all, counted, and never in the way of the others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cache.cache_manager import CacheManager
from cache.cache_reader import CacheReader
from cache_fixtures import CLUSTER, api_object, scan
from configuration.errors import ClusterError
from kept_server import MakeScannerHere
from kinds.list_query import ListQuery
from kinds.registry import KINDS
from mcp_tools.object_forms import form_of
from scan_fixtures import ScannerProcess, query, stored_versions
from scanner.resource_parser import open_page, parse_objects
from scripted_api import ScriptedApi, scripted_api
from server_fixtures import ToolClient, text_of

MakeScanner = Callable[..., ScannerProcess]
PODS = KINDS["pods"].api_path()
SCRIPTED = "scripted"
FULL = ("--full",)
ODD_METADATA = api_object("pods", "odd", "shop")["metadata"]


# --- what a real API server accepts


@pytest.fixture
def annotated(control_plane: Any, fresh_namespace: str) -> str:
    """A namespace with everything odd that the API server lets in."""
    api, pods = control_plane.api, f"/api/v1/namespaces/{fresh_namespace}/pods"
    note = "网站 مرحبا 🙂 \u200b\u202e " + "x" * (250 * 1024 - 100)
    configmaps = f"/api/v1/namespaces/{fresh_namespace}/configmaps"
    api.post(configmaps, {"metadata": {"name": "noted", "annotations": {"example.com/note": note}}})
    api.post(configmaps, {"metadata": {"name": "huge"}, "data": {f"k{n}": "ü" * 50_000 for n in range(10)}})
    api.post(configmaps, {"metadata": {"name": "binary"}, "binaryData": {"b": "AAECAw=="}, "data": {"nul": "a\u0000b\u0007"}})
    control_plane.pods.create(fresh_namespace, "odd")
    container = {"name": "app", "image": "i", "imageID": "", "ready": False, "restartCount": 3}
    odd = {
        "phase": "Running",
        "reason": "从未见过的原因",
        "message": "مرحبا \u202e",
        "startTime": "2999-01-01T00:00:00Z",
        "conditions": [
            {"type": "example.com/Vibrating", "status": "Unknown", "lastTransitionTime": "0001-01-01T00:00:00Z"},
            {"type": "Ready", "status": "False", "lastTransitionTime": "2999-12-31T23:59:59Z"},
        ],
        "containerStatuses": [container | {"state": {"terminated": {"exitCode": -7, "finishedAt": "1969-12-31T23:59:59Z"}}}],
    }
    api.patch(f"{pods}/odd/status", {"status": odd})
    return fresh_namespace


def test_odd_objects_of_a_real_api_server_are_kept_whole(
    control_plane: Any, annotated: str, scanner_here: MakeScannerHere
) -> None:
    scanner = scanner_here(control_plane.kubeconfig)
    report = scanner.report("--kind", "pods", "--kind", "configmaps")
    assert report["exit_code"] == 0, report["stderr"]
    assert [row["malformed"] for row in report["kinds"]] == [0, 0]
    ((annotations,),) = query(scanner.database, "SELECT annotations FROM configmaps WHERE name = 'noted'")
    assert "网站 مرحبا 🙂" in json.loads(annotations)["example.com/note"]
    sizes = dict(query(scanner.database, "SELECT name, length(manifest) FROM configmaps WHERE namespace = ?", annotated))
    assert {"noted", "huge", "binary"} <= set(sizes)
    columns = "status, reason, message, started_at, healthy"
    ((status, reason, message, started, healthy),) = query(
        scanner.database, f"SELECT {columns} FROM pods WHERE namespace = ? AND name = 'odd'", annotated
    )
    assert (reason, "مرحبا" in message, started > 32_000_000_000, healthy) == ("从未见过的原因", True, True, 0)
    assert status
    ((exit_code,),) = query(scanner.database, "SELECT exit_code FROM containers WHERE namespace = ?", annotated)
    assert exit_code == -7


# --- what it would refuse


def pod(name: str, **parts: Any) -> dict[str, Any]:
    return api_object("pods", name, "shop") | parts


def without(obj: dict[str, Any], *path: str) -> dict[str, Any]:
    """A copy without the field at that path."""
    copy: dict[str, Any] = json.loads(json.dumps(obj))
    place = copy
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return copy


def with_container(name: str, **fields: Any) -> dict[str, Any]:
    first = {"name": "app", "image": "registry.example/app:1"}
    return pod(name, spec={"nodeName": "node-1", "containers": [first | fields, {"name": "proxy", "image": "p"}]})


KEPT = {
    "no status": without(pod("odd"), "status"),
    "a status of null": pod("odd", status=None),
    "a phase that nobody knows": pod("odd", status={"phase": "Levitating"}),
    "negative counters": api_object("pods", "odd", "shop", restarts=-3),
    "a time in the future": pod("odd", status={"phase": "Running", "startTime": "2999-01-01T00:00:00Z"}),
    "an annotation of 1 MB": api_object("pods", "odd", "shop", annotations={"note": "x" * 1_000_000}),
    "a name in another script": pod("网站-1"),
    "a label in another script": api_object("pods", "odd", "shop", labels={"应用": "网站", "x": ""}),
    "fields of the future": pod("odd", spec={"containers": [], "inventedField": {"a": [1, {"b": None}]}}, whatever=7),
    "no resourceVersion": without(pod("odd"), "metadata", "resourceVersion"),
    "control characters": api_object("pods", "odd", "shop", annotations={"note": "a\x00b\x1b[31m\x07"}),
    "a container twice": pod("odd", spec={"containers": [{"name": "app", "image": "a"}, {"name": "app", "image": "b"}]}),
}
"""Name -> pod; everything that is there can be read."""

PARTLY = {
    "a phase of the wrong type": (pod("odd", status={"phase": {"no": "text"}}), "status.phase"),
    "a status that is text": (pod("odd", status="nonsense"), "status"),
    "a status that is a list": (pod("odd", status=[1, 2]), "status"),
    "a spec that is a number": (pod("odd", spec=7), "spec"),
    "a quantity that is none": (
        with_container("odd", resources={"requests": {"memory": "lots", "cpu": "100m"}}),
        "spec.containers[0].resources.requests.memory",
    ),
    "a date that is none": (pod("odd", status={"phase": "Running", "startTime": "yesterday"}), "status.startTime"),
    "a date beyond the calendar": (
        pod("odd", metadata=ODD_METADATA | {"creationTimestamp": "99999-01-01T00:00:00Z"}),
        "metadata.creationTimestamp",
    ),
    "an image of the wrong type": (with_container("odd", image=["i"]), "spec.containers[0].image"),
    "containers that are text": (pod("odd", spec={"containers": "nonsense", "nodeName": "node-1"}), "spec.containers"),
    "a counter beyond 64 bits": (
        pod("odd", status={"containerStatuses": [{"name": "app", "restartCount": 2**63 + 1}]}),
        "status.containerStatuses[0].restartCount",
    ),
    "labels that are a list": (pod("odd", metadata=ODD_METADATA | {"labels": ["a"]}), "metadata.labels"),
    "a label of the wrong type": (pod("odd", metadata=ODD_METADATA | {"labels": {"a": 1}}), "metadata.labels"),
    "an owner that is text": (
        pod("odd", metadata=ODD_METADATA | {"ownerReferences": "me"}),
        "metadata.ownerReferences",
    ),
}
"""Name -> (pod, what of it cannot be read)."""

SET_ASIDE = {
    "no uid": without(pod("odd"), "metadata", "uid"),
    "no name": without(pod("odd"), "metadata", "name"),
    "no metadata": without(pod("odd"), "metadata"),
    "metadata that is a list": pod("odd", metadata=["x"]),
    "a number as uid": pod("odd", metadata={"name": "odd", "uid": 7}),
    "null": None,
    "a list": [pod("inner")],
    "text": "just text",
    "a number": 7,
}
"""Name -> something of which not even the name and the uid can be read."""


@pytest.fixture(scope="module")
def serving() -> Iterator[ScriptedApi]:
    with scripted_api() as serving:
        yield serving


@pytest.fixture(scope="module")
def scripted(serving: ScriptedApi, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kubeconfig of the scripted API server."""
    return serving.kubeconfig(tmp_path_factory.mktemp("scripted"))


@pytest.fixture
def api(serving: ScriptedApi) -> ScriptedApi:
    """It holds nothing yet."""
    serving.items.clear()
    serving.objects.clear()
    return serving


def scanned(api: ScriptedApi, scanner: ScannerProcess, *odd: Any) -> dict[str, Any]:
    """The report for pods of a full scan in which `odd` stand between two ordinary pods."""
    api.version += 1
    api.items[PODS] = [pod("a-first"), *odd, pod("z-last")]
    report = scanner.report("--kind", "pods", "--kind", "services", *FULL)
    rows = {row["kind"]: row for row in report["kinds"]}
    assert {kind: row["outcome"] for kind, row in rows.items()} == {"pods": "scanned", "services": "scanned"}, report["stderr"]
    assert {"a-first", "z-last"} <= {name for (name,) in query(scanner.database, "SELECT name FROM pods")}
    row: dict[str, Any] = rows["pods"]
    return row | {"exit_code": report["exit_code"]}


def named(obj: dict[str, Any], name: str) -> dict[str, Any]:
    """The same with a name and a uid of its own, so that many odd ones can be in one list."""
    return obj | {"metadata": obj["metadata"] | {"name": name, "uid": f"uid-of-{name}"}}


def status_of_pods(scanner: ScannerProcess) -> dict[str, Any]:
    (row,) = [row for row in json.loads(scanner.run("status", "-o", "json").stdout)["kinds"] if row["kind"] == "pods"]
    return dict(row)


def test_surprising_objects_are_kept_with_all_that_they_say(
    api: ScriptedApi, scripted: Path, scanner_here: MakeScannerHere
) -> None:
    odd = {case: named(obj, f"网站-{number}") for number, (case, obj) in enumerate(KEPT.items())}
    scanner = scanner_here(scripted)
    report = scanned(api, scanner, *odd.values())
    assert (report["exit_code"], report["malformed"]) == (0, 0), report["malformed_examples"]
    stored = dict(query(scanner.database, "SELECT uid, length(manifest) FROM pods"))
    assert [case for case, obj in odd.items() if not stored.get(obj["metadata"]["uid"])] == []


def test_objects_that_can_be_read_in_part_are_kept_in_part_and_counted(
    api: ScriptedApi, scripted: Path, scanner_here: MakeScannerHere
) -> None:
    odd = [named(obj, f"odd-{number}") for number, (obj, _) in enumerate(PARTLY.values())]
    scanner = scanner_here(scripted)
    report = scanned(api, scanner, *odd)
    assert (report["exit_code"], report["objects"], report["malformed"]) == (0, 2 + len(odd), len(odd))
    sql = "SELECT namespace, name, uid, resource_version FROM pods WHERE name LIKE 'odd-%'"
    assert set(query(scanner.database, sql)) == {
        ("shop", obj["metadata"]["name"], obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]) for obj in odd
    }
    assert status_of_pods(scanner)["malformed"] == len(odd)
    assert "shop/odd-0" in report["malformed_examples"][0]


@pytest.mark.parametrize("case", PARTLY)
def test_what_cannot_be_read_of_an_object_is_named_and_nothing_else_is_lost(case: str) -> None:
    odd, place = PARTLY[case]
    (raw,) = open_page(json.dumps({"resource_version": "1", "objects": [odd]})).objects
    page = parse_objects([raw], KINDS["pods"])
    (malformed,), (staged,) = page.malformed, page.staged
    assert place in malformed.reason
    assert json.loads(staged.manifest) == odd, "the manifest is what arrived"
    ordinary = KINDS["pods"].read(pod("odd"))
    assert (staged.record.name, staged.record.uid, staged.record.namespace) == ("odd", ordinary.uid, "shop")


def test_of_several_unreadable_parts_each_is_left_out_by_itself() -> None:
    lots = {"requests": {"memory": "lots", "cpu": "250m"}, "limits": {"memory": "128Mi"}}
    odd = pod("odd", spec={"nodeName": "n", "containers": [{"name": name, "image": "i", "resources": lots} for name in "ab"]})
    (raw,) = open_page(json.dumps({"resource_version": "1", "objects": [odd]})).objects
    page = parse_objects([raw], KINDS["pods"])
    record: Any = page.staged[0].record
    assert record.node == "n"
    requests = [(one.memory_request, one.cpu_request_millicores, one.memory_limit_bytes) for one in record.containers]
    assert requests == [(None, 250, 128 * 2**20)] * 2
    assert "spec.containers[0].resources.requests.memory, spec.containers[1]" in page.malformed[0].reason


def test_an_object_with_thousands_of_unreadable_parts_is_given_up_on_soon() -> None:
    containers = [{"name": f"c{number}", "image": ["no text"]} for number in range(5_000)]
    (raw,) = open_page(json.dumps({"resource_version": "1", "objects": [pod("odd", spec={"containers": containers})]})).objects
    started = time.perf_counter()
    page = parse_objects([raw], KINDS["pods"])
    assert [staged.record.name for staged in page.staged] == ["odd"]
    assert time.perf_counter() - started < 20


def test_things_of_which_nothing_can_be_read_are_set_aside_and_counted(
    api: ScriptedApi, scripted: Path, scanner_here: MakeScannerHere
) -> None:
    scanner = scanner_here(scripted)
    report = scanned(api, scanner, *SET_ASIDE.values())
    assert (report["exit_code"], report["objects"], report["malformed"]) == (0, 2, len(SET_ASIDE))
    assert status_of_pods(scanner)["malformed"] == len(SET_ASIDE)


def test_json_that_python_does_not_take_costs_only_its_object(
    api: ScriptedApi, scripted: Path, scanner_here: MakeScannerHere
) -> None:
    """Half a surrogate pair, a number beyond every type, and nesting beyond every stack."""
    good = json.dumps(pod("odd")).encode()
    scanner = scanner_here(scripted)
    for old, new in (
        (b'"odd"', b'"odd", "annotations2": "\\ud800"'),
        (b'"annotations": {}', b'"annotations": {"note": "half \\udc00 pair"}'),
        (b'"phase": "Running"', b'"phase": "Running", "observedGeneration": ' + b"9" * 400),
        (b'"phase": "Running"', b'"phase": "Running", "deep": ' + b"[" * 20_000 + b"]" * 20_000),
        (b'"phase": "Running"', b'"phase": "Running", "latin": "\xe9\xff"'),
    ):
        assert old in good
        report = scanned(api, scanner, good.replace(old, new, 1))
        assert report["exit_code"] == 0, new
        assert report["objects"] >= 2, new


def test_an_object_that_becomes_unreadable_is_not_taken_to_be_deleted(
    api: ScriptedApi, scripted: Path, scanner_here: MakeScannerHere
) -> None:
    scanner = scanner_here(scripted)
    scanned(api, scanner, pod("odd"))
    before = stored_versions(scanner.database, "pods", SCRIPTED)
    broken = pod("odd") | {"metadata": ODD_METADATA | {"name": 7}}
    report = scanned(api, scanner, broken)
    assert report["malformed"] == 1
    assert stored_versions(scanner.database, "pods", SCRIPTED) == before
    assert query(scanner.database, "SELECT count(*) FROM deleted_objects") == [(0,)]


def test_two_objects_with_one_uid_or_one_name_do_not_stop_a_scan(
    api: ScriptedApi, scripted: Path, scanner_here: MakeScannerHere
) -> None:
    scanner = scanner_here(scripted)
    first = pod("odd")
    for second in (
        first,
        first | {"metadata": first["metadata"] | {"name": "another"}},
        first | {"metadata": first["metadata"] | {"uid": "another"}},
    ):
        api.items[PODS] = [pod("a-first"), first, second, pod("z-last")]
        report = scanner.report("--kind", "pods", *FULL)
        assert report["exit_code"] == 0, report["stderr"]
        assert {"a-first", "z-last"} <= {name for (name,) in query(scanner.database, "SELECT name FROM pods")}


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"text"', b'{"items": {}}', b'{"items": [', b"<html>", b'{"kind": "Status"}', b'{"error": "later"}'],
)
def test_an_answer_that_is_no_list_is_an_error_and_no_empty_list(body: bytes) -> None:
    for kind in ("pods", "secrets"):
        with pytest.raises(ClusterError, match="cannot list"):
            form_of(KINDS[kind]).page(body, "list")


def test_an_answer_that_is_no_list_deletes_nothing(
    api: ScriptedApi, scripted: Path, scanner_here: MakeScannerHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = scanner_here(scripted)
    scanned(api, scanner, pod("odd"))
    before = stored_versions(scanner.database, "pods", SCRIPTED)
    monkeypatch.setattr(api, "_list", lambda _: b'{"kind": "Status", "status": "Success"}')
    report = scanner.report("--kind", "pods", *FULL)
    assert [row["outcome"] for row in report["kinds"]] == ["failed"], report
    assert stored_versions(scanner.database, "pods", SCRIPTED) == before
    assert query(scanner.database, "SELECT count(*) FROM deleted_objects") == [(0,)]


def test_a_live_list_shows_the_same_rows_of_odd_objects_as_the_cache(
    api: ScriptedApi, scripted: Path, manager: CacheManager, reader: CacheReader, tool_client: Callable[..., ToolClient]
) -> None:
    kind = KINDS["pods"]
    cases = [*KEPT.values(), *(obj for obj, _ in PARTLY.values())]
    odd = [named(obj, f"odd-{number:03}") for number, obj in enumerate(cases)]
    api.items[PODS] = [*odd, *SET_ASIDE.values()]
    tools = tool_client(scripted)
    live = tools("k8s_list_pods", limit=500)
    page = open_page(text_of(tools.result("k8s_export_page", kind="pods")))
    scan(manager, kind, parse_objects(page.objects, kind).staged)
    cached = reader.list(CLUSTER, ListQuery(kind, limit=500)).rows
    assert sorted(live["rows"], key=lambda one: str(one["name"])) == sorted(cached, key=lambda one: str(one["name"]))
    assert len(cached) == len(odd)
    assert f"{len(SET_ASIDE)} objects could not be read and are left out" in live["envelope"]["note"]
    assert f"{len(PARTLY)} objects could be read in part only" in live["envelope"]["note"]


def test_an_odd_object_can_be_got_with_as_much_of_its_row_as_can_be_read(
    api: ScriptedApi, scripted: Path, tool_client: Callable[..., ToolClient]
) -> None:
    odd, place = PARTLY["a phase of the wrong type"]
    api.objects["/api/v1/namespaces/default/pods/odd"] = odd
    answer = tool_client(scripted)("k8s_get_resource", kind="pods", name="odd", namespace="default")
    assert (answer["row"]["name"], answer["manifest"]["status"]) == ("odd", odd["status"])
    assert place in answer["envelope"]["note"]
