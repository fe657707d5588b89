"""Prometheus metrics of the daemon, on a loopback port of its own (`SCANNER_METRICS_PORT`).

What the daemon does is counted as it happens; what the cache holds (ages, objects, errors) is read from it at each scrape.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cache.freshness import Freshness
from configuration.errors import ConfigurationError, K8sMcpError
from scanner.scan_report import KindReport

LOOPBACK = "127.0.0.1"
SCAN_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
LAG_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60)

ReadFreshness = Callable[[], Sequence[Freshness]]


class ScannerMetrics:
    """Every metric of one scanner, in a registry of its own. The methods are what the coordinator calls."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._scans = Histogram(
            "k8s_mcp_scan_duration_seconds",
            "Scans that worked: by LIST, catch-up or check.",
            ("kind", "strategy"),
            buckets=SCAN_BUCKETS,
            registry=self.registry,
        )
        self._failures = _counter(self.registry, "scan_failures", "Scans that failed; what was cached stayed.", "cluster", "kind")
        self._changes = _counter(
            self.registry, "changes", "Objects written to the cache, by what happened to them.", "cluster", "kind", "change"
        )
        self._lag = Histogram(
            "k8s_mcp_follow_lag_seconds",
            "From when the API server was heard to when the change was stored.",
            ("cluster",),
            buckets=LAG_BUCKETS,
            registry=self.registry,
        )
        self._requests = _counter(self.registry, "api_requests", "Requests to the Kubernetes API.", "cluster", "verb")
        self._bytes = _counter(self.registry, "api_received_bytes", "Bytes from the Kubernetes API, compressed.", "cluster")
        self._watches = Gauge("k8s_mcp_api_watches", "Watches held now.", ("cluster",), registry=self.registry)
        self._watched: set[str] = set()
        self._ticked = Gauge("k8s_mcp_last_tick_timestamp_seconds", "When work was last handed out.", registry=self.registry)
        ProcessCollector(registry=self.registry)

    def on_report(self, report: KindReport) -> None:
        """A scan has ended."""
        if report.outcome == "failed":
            self._failures.labels(report.cluster, report.kind).inc()
        elif report.outcome == "scanned":
            self._scans.labels(report.kind, report.strategy).observe(report.duration_seconds)
            self._count_changes(report.cluster, report.kind, report.added, report.changed, report.removed)

    def on_changes(self, cluster: str, kind: str, added: int, changed: int, removed: int, lag_seconds: float | None) -> None:
        """A batch of followed changes has been stored."""
        self._count_changes(cluster, kind, added, changed, removed)
        if lag_seconds is not None:
            self._lag.labels(cluster).observe(max(0.0, lag_seconds))

    def on_usage(self, cluster: str, usage: Mapping[str, tuple[int, int]], watches_held: int) -> None:
        """What an API server was asked for since the last time: verb -> (requests, bytes)."""
        for verb, (requests, _) in usage.items():
            if requests:
                self._requests.labels(cluster, verb).inc(requests)
        self._bytes.labels(cluster).inc(sum(size for _, size in usage.values()))
        self._watches.labels(cluster).set(watches_held)
        self._watched.add(cluster)

    def on_tick(self, clusters: Collection[str]) -> None:
        """The daemon's minute has come round; `clusters` are those that are scanned now."""
        self._ticked.set(self._clock())
        for gone in self._watched.difference(clusters):
            self._watches.remove(gone)
        self._watched.intersection_update(clusters)

    def show_cache(self, freshness: ReadFreshness, clusters: Callable[[], Collection[str]]) -> None:
        """Read the cache at each scrape; only what is known of `clusters`, those that are scanned now."""
        self.registry.register(CacheCollector(freshness, clusters, self._clock))

    def _count_changes(self, cluster: str, kind: str, added: int, changed: int, removed: int) -> None:
        for change, count in (("added", added), ("changed", changed), ("removed", removed)):
            if count:
                self._changes.labels(cluster, kind, change).inc(count)


class CacheCollector(Collector):
    """Gauges for each (cluster, kind), from `cache_metadata`. Called in the thread that serves the scrape."""

    def __init__(self, freshness: ReadFreshness, clusters: Callable[[], Collection[str]], clock: Callable[[], float]) -> None:
        self._freshness = freshness
        self._clusters = clusters
        self._clock = clock

    def describe(self) -> Sequence[GaugeMetricFamily]:
        """Nothing in advance: registering would read the cache."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        readable = GaugeMetricFamily("k8s_mcp_cache_readable", "1 when the cache could be read for this scrape.")
        labels = ("cluster", "kind", "namespace")
        age = GaugeMetricFamily("k8s_mcp_age_seconds", "Since the cache was last known to equal the cluster.", labels=labels)
        objects = GaugeMetricFamily("k8s_mcp_objects", "Objects in the cache.", labels=labels)
        fresh = GaugeMetricFamily("k8s_mcp_fresh", "1 while the age is within the time to live.", labels=labels)
        failing = GaugeMetricFamily("k8s_mcp_failing", "1 while the last look at it has failed.", labels=labels)
        now = self._clock()
        try:
            rows = self._freshness()
        except K8sMcpError:
            rows = ()
            readable.add_metric((), 0)
        else:
            readable.add_metric((), 1)
        wanted = set(self._clusters())
        for row in rows:
            target = (row.cluster, row.kind, row.scope)
            if row.cluster not in wanted or (row.permitted is False and not row.scanned):
                continue
            failing.add_metric(target, bool(row.last_error) and row.permitted is not False)
            if row.last_checked_at is not None:
                age.add_metric(target, max(0.0, now - row.last_checked_at))
                objects.add_metric(target, row.item_count)
                fresh.add_metric(target, row.is_fresh(now))
        yield from (readable, age, objects, fresh, failing)


class MetricsServer:
    """Serves a registry until closed. Raises ConfigurationError when the port is taken."""

    def __init__(self, port: int, registry: CollectorRegistry) -> None:
        from prometheus_client import start_http_server

        try:
            self._server, self._thread = start_http_server(port, addr=LOOPBACK, registry=registry)
        except OSError as error:
            raise ConfigurationError(
                f"SCANNER_METRICS_PORT={port}: {LOOPBACK}:{port} cannot be listened on ({error.strerror}); choose another, or 0"
            ) from None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=2)


def _counter(registry: CollectorRegistry, name: str, help_text: str, *labels: str) -> Counter:
    return Counter(f"k8s_mcp_{name}", help_text, labels, registry=registry)
