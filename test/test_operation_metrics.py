"""SCANNER_METRICS_PORT: what a Prometheus server is told."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cache.cache_manager import CacheManager
from cache.cache_reader import CacheReader
from cache_fixtures import CLUSTER, START, Clock, pods, scan
from configuration.errors import CacheBusy
from kinds.registry import KINDS
from scan_fixtures import ScannerProcess
from scanner.metrics import ScannerMetrics
from scanner.scan_report import KindReport
from test_scanner_daemon import filled, stop, wait_for

MakeScanner = Callable[..., ScannerProcess]
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def samples(metrics: ScannerMetrics) -> Samples:
    return parsed(generate_latest(metrics.registry).decode())


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


def names(found: Samples) -> set[str]:
    return {name for name, _ in found}


def scanned(kind: str, **figures: Any) -> KindReport:
    return KindReport(cluster="prod", kind=kind, outcome="scanned", **figures)


def test_a_scan_counts_with_its_duration_and_what_it_changed() -> None:
    metrics = ScannerMetrics()
    metrics.on_report(scanned("pods", strategy="list", duration_seconds=0.3, added=5, removed=1))
    metrics.on_report(scanned("pods", strategy="catch-up", duration_seconds=0.02))
    found = samples(metrics)
    labels = {"kind": "pods", "strategy": "list"}
    assert value(found, "k8s_mcp_scan_duration_seconds_count", **labels) == 1
    assert value(found, "k8s_mcp_scan_duration_seconds_sum", **labels) == pytest.approx(0.3)
    assert value(found, "k8s_mcp_scan_duration_seconds_bucket", le="0.25", **labels) == 0
    assert value(found, "k8s_mcp_scan_duration_seconds_bucket", le="0.5", **labels) == 1
    assert value(found, "k8s_mcp_changes_total", cluster="prod", kind="pods", change="added") == 5
    assert value(found, "k8s_mcp_changes_total", cluster="prod", kind="pods", change="removed") == 1
    assert value(found, "k8s_mcp_changes_total", cluster="prod", kind="pods", change="changed") is None


def test_a_failed_scan_counts_as_failure_and_one_that_is_not_permitted_does_not() -> None:
    metrics = ScannerMetrics()
    metrics.on_report(KindReport(cluster="prod", kind="pods", outcome="failed", error="nobody home"))
    metrics.on_report(KindReport(cluster="prod", kind="secrets", outcome="not_permitted", error="403"))
    found = samples(metrics)
    assert value(found, "k8s_mcp_scan_failures_total", cluster="prod", kind="pods") == 1
    assert value(found, "k8s_mcp_scan_failures_total", cluster="prod", kind="secrets") is None
    assert "nobody home" not in str(found)


def test_followed_changes_count_with_their_lag() -> None:
    metrics = ScannerMetrics()
    metrics.on_changes("prod", "pods", 1, 2, 3, 0.4)
    metrics.on_changes("prod", "pods", 0, 1, 0, None)
    found = samples(metrics)
    assert value(found, "k8s_mcp_changes_total", cluster="prod", kind="pods", change="changed") == 3
    assert value(found, "k8s_mcp_follow_lag_seconds_count", cluster="prod") == 1
    assert value(found, "k8s_mcp_follow_lag_seconds_bucket", cluster="prod", le="0.5") == 1


def test_the_cost_for_the_api_server_is_counted_by_verb() -> None:
    metrics = ScannerMetrics()
    metrics.on_usage("prod", {"list": (3, 0), "watch": (2, 0), "": (0, 700)}, 28)
    metrics.on_usage("prod", {"list": (1, 50)}, 27)
    found = samples(metrics)
    assert value(found, "k8s_mcp_api_requests_total", cluster="prod", verb="list") == 4
    assert value(found, "k8s_mcp_api_requests_total", cluster="prod", verb="watch") == 2
    assert value(found, "k8s_mcp_api_requests_total", cluster="prod", verb="") is None
    assert value(found, "k8s_mcp_api_received_bytes_total", cluster="prod") == 750
    assert value(found, "k8s_mcp_api_watches", cluster="prod") == 27


def test_a_cluster_that_is_scanned_no_longer_holds_no_watches() -> None:
    metrics = ScannerMetrics()
    for cluster in ("prod", "preview"):
        metrics.on_usage(cluster, {"watch": (2, 0)}, 28)
    metrics.on_tick(["prod"])
    found = samples(metrics)
    assert value(found, "k8s_mcp_api_watches", cluster="prod") == 28
    assert value(found, "k8s_mcp_api_watches", cluster="preview") is None
    assert value(found, "k8s_mcp_api_requests_total", cluster="preview", verb="watch") == 2


def test_ages_and_objects_are_those_of_the_cache_at_the_scrape(manager: CacheManager, reader: CacheReader, clock: Clock) -> None:
    scan(manager, "pods", pods(7))
    scan(manager, "services", [])
    metrics = ScannerMetrics(clock)
    clusters = {CLUSTER}
    metrics.show_cache(reader.freshness_all, lambda: clusters)
    clock.now = START + 301
    manager.record_failure(CLUSTER, KINDS["services"], "nobody home")
    found = samples(metrics)
    of_pods = {"cluster": CLUSTER, "kind": "pods", "namespace": ""}
    assert value(found, "k8s_mcp_age_seconds", **of_pods) == 301
    assert value(found, "k8s_mcp_objects", **of_pods) == 7
    assert value(found, "k8s_mcp_fresh", **of_pods) == 0
    assert value(found, "k8s_mcp_failing", **of_pods) == 0
    assert value(found, "k8s_mcp_fresh", **of_pods | {"kind": "services"}) == 1
    assert value(found, "k8s_mcp_failing", **of_pods | {"kind": "services"}) == 1
    assert value(found, "k8s_mcp_cache_readable") == 1
    clusters.clear()
    assert value(samples(metrics), "k8s_mcp_age_seconds", **of_pods) is None, "a cluster that is scanned no longer"


def test_a_cache_that_cannot_be_read_costs_its_own_metrics_only() -> None:
    def locked() -> list[Any]:
        raise CacheBusy("held by another process")

    metrics = ScannerMetrics()
    metrics.show_cache(locked, lambda: {"prod"})
    metrics.on_changes("prod", "pods", 1, 0, 0, None)
    found = samples(metrics)
    assert value(found, "k8s_mcp_cache_readable") == 0
    assert value(found, "k8s_mcp_changes_total", cluster="prod", kind="pods", change="added") == 1


# --- the daemon


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scrape(port: int, host: str = "127.0.0.1") -> Samples:
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
        return parsed(answer.read().decode())


def own_addresses() -> Iterable[str]:
    """Addresses of this machine that are not loopback."""
    found = {entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    return [str(address) for address in found if not str(address).startswith("127.")]


def test_the_daemon_serves_every_metric_that_is_documented_on_loopback_only(
    control_plane: Any, fresh_namespace: str, scanner_process: MakeScanner
) -> None:
    port = free_port()
    scanner = scanner_process(control_plane.kubeconfig, SCANNER_METRICS_PORT=str(port), CACHE_DYNAMIC_TTL="20")
    process = scanner.start()
    filled(scanner)
    control_plane.api.post(
        f"/api/v1/namespaces/{fresh_namespace}/services", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    )

    def complete() -> Samples:
        found = scrape(port)
        wanted = {"k8s_mcp_follow_lag_seconds_count", "k8s_mcp_api_requests_total"}
        return found if wanted <= names(found) else {}

    found = wait_for(complete, "followed changes and the API's cost among the metrics", 90)
    documented = Path(__file__).resolve().parents[1].joinpath("docs", "operation.md").read_text()
    of_ours = {
        name for name in names(found) if name.startswith("k8s_mcp_") and not name.endswith(("_bucket", "_sum", "_created"))
    }
    assert {name for name in of_ours if name.removesuffix("_count") not in documented} == set()
    served = {kind: value(found, "k8s_mcp_age_seconds", cluster=control_plane.context, kind=kind, namespace="") for kind in KINDS}
    assert {kind for kind, age in served.items() if age is None} <= {name for name, kind in KINDS.items() if kind.optional}
    assert (value(found, "k8s_mcp_api_requests_total", cluster=control_plane.context, verb="list") or 0) >= 20
    assert (value(found, "k8s_mcp_api_received_bytes_total", cluster=control_plane.context) or 0) > 10_000
    assert time.time() - (value(found, "k8s_mcp_last_tick_timestamp_seconds") or 0) < 70
    for address in own_addresses():
        with pytest.raises(urllib.error.URLError):
            scrape(port, address)
    assert stop(process) < 5


def test_a_port_that_is_taken_is_refused_before_anything_is_written(control_plane: Any, scanner_process: MakeScanner) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        scanner = scanner_process(control_plane.kubeconfig, SCANNER_METRICS_PORT=str(port))
        done = scanner.run()
    assert done.returncode == 2
    assert f"SCANNER_METRICS_PORT={port}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not scanner.database.exists()
