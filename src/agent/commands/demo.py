"""`main demo`: the whole product on a simulated cluster, with nothing installed and no key."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agent.commands.demo_cluster import CONTEXT, DemoCluster, child, demo_cluster
from agent.commands.options import CommandOptions
from agent.commands.query import as_json
from configuration.errors import CacheError, K8sMcpError

if TYPE_CHECKING:
    from agent.settings import AgentSettings
    from agent.terminal.screen import Screen
    from cache.sql_guard import QueryResult

FIRST_SCAN_SECONDS = 20.0
SCAN_SECONDS = 120.0
GREETING = """\
k8s-mcp on a simulated cluster: about 60 pods, some of them in trouble, and it moves while you watch.
A scanner keeps the cache fresh in the background; everything goes away when you leave (Ctrl-D).

Try:
{trials}
With a model key (LLM_API_KEY):  Why is checkout failing?  ·  哪些 Pod 不健康，为什么？
"""
TRIALS = (
    ("/pods -A healthy=false", "what is broken, from the cache"),
    ("/events -A type=Warning", "what Kubernetes says about it"),
    ("/logs {pod} -n {namespace}", "why it crashes, live"),
    ("/sql SELECT reason, count(*) FROM containers GROUP BY reason", "any question, in SQL"),
    ("/status", "how old everything is"),
)
QUERIES = (
    (
        "Which pods are in trouble?",
        "SELECT namespace, name, status, restarts FROM pods WHERE NOT healthy ORDER BY namespace, name",
    ),
    (
        "How many pods does each node run?",
        "SELECT coalesce(node, '(none)') AS node, count(*) AS pods FROM pods GROUP BY node ORDER BY node",
    ),
    (
        "Why are containers not running?",
        "SELECT namespace, pod, name AS container, reason, last_reason, exit_code, image FROM containers "
        "WHERE state <> 'running' AND reason <> 'Completed' ORDER BY reason, pod",
    ),
)


@dataclass(frozen=True)
class Scanned:
    """What one scan of the demo reported: kind -> objects and seconds; `seconds` is the whole process, from start to end."""

    kinds: dict[str, dict[str, float]]
    seconds: float


def demo_once(options: CommandOptions, *, seed: int | None, port: int, output: str, screen: Screen) -> None:
    """Start, scan, ask three questions, print, clean up."""
    started = time.monotonic()
    with demo_cluster(seed=seed, port=port) as cluster:
        up = time.monotonic() - started
        scanned = _scan(cluster)
        here = replace(options, environment=cluster.environment, context=CONTEXT)
        results = asyncio.run(_ask(here, settings_for(here, cluster)))
    total = time.monotonic() - started
    report = _report(scanned, results, {"cluster_started": up, "scan": scanned.seconds, "total": total})
    if output == "json":
        screen.json(report)
    else:
        _print(report, screen)


def demo_session(options: CommandOptions, *, seed: int | None, port: int) -> int:
    """The simulated cluster with a REPL on it. Returns the exit code."""
    from agent.repl.session import ReplSession, SessionOptions

    with demo_cluster(seed=seed, port=port) as cluster:
        here = replace(options, environment=cluster.environment, context=CONTEXT)
        settings = settings_for(here, cluster)
        with cluster.scanner_log.open("wb") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            with child(cluster.scanner(["run"]), cluster.environment, **streams) as scanner:
                words = _wait_for_first_scan(cluster, scanner)
                session = SessionOptions(
                    load_settings=lambda: settings, environment=cluster.environment, context=CONTEXT,
                    namespace=here.namespace, greeting=words, debug=here.debug,
                )  # fmt: skip
                return asyncio.run(ReplSession(session).run())


def settings_for(options: CommandOptions, cluster: DemoCluster) -> AgentSettings:
    """The person's settings for models; the demo's own for everything else."""
    return options.settings(
        cache_db_path=cluster.database, redaction_key_file=cluster.folder / "redaction.key",
        mcp_server_url="stdio://", mcp_server_type="stdio", k8s_contexts=CONTEXT,
    )  # fmt: skip


def _scan(cluster: DemoCluster) -> Scanned:
    """One `scanner scan -o json`. Raises K8sMcpError with what it said."""
    started = time.monotonic()
    done = subprocess.run(
        cluster.scanner(["scan", "-o", "json"]),
        env=dict(cluster.environment),
        capture_output=True,
        timeout=SCAN_SECONDS,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        raise K8sMcpError(f"the scan of the simulated cluster ended with {done.returncode}: {said[0][:500]}")
    report = json.loads(done.stdout)
    kinds = {kind["kind"]: {"objects": kind["objects"], "seconds": kind["duration_seconds"]} for kind in report["kinds"]}
    return Scanned(kinds, time.monotonic() - started)


async def _ask(options: CommandOptions, settings: AgentSettings) -> list[QueryResult]:
    async with options.gateway(settings) as gateway:
        return [await gateway.query(sql) for _, sql in QUERIES]


def _report(scanned: Scanned, results: list[QueryResult], seconds: dict[str, float]) -> dict[str, Any]:
    asked = [
        {"question": question, "sql": sql, **as_json(result), "seconds": round(result.elapsed_seconds, 4)}
        for (question, sql), result in zip(QUERIES, results, strict=True)
    ]
    return {"kinds": scanned.kinds, "seconds": {name: round(value, 3) for name, value in seconds.items()}, "queries": asked}


def _print(report: dict[str, Any], screen: Screen) -> None:
    from agent.terminal.grid import sql_grid

    kinds = [(name, kind["objects"], kind["seconds"]) for name, kind in report["kinds"].items()]
    screen.table(sql_grid(("KIND", "OBJECTS", "SECONDS"), kinds))
    for asked in report["queries"]:
        screen.text(f"\n{asked['question']}\n  {asked['sql']}")
        screen.table(sql_grid(asked["columns"], asked["rows"]))
        ages = ", ".join(f"{e['kind']} {e['age_seconds']} s old" for e in asked["freshness"])
        screen.note(f"— cache · {ages}")
    screen.note("\n" + " · ".join(f"{name.replace('_', ' ')} {value:.1f} s" for name, value in report["seconds"].items()))


def _wait_for_first_scan(cluster: DemoCluster, scanner: subprocess.Popen[bytes]) -> str:
    """Wait until the cache answers, so that the first command does; returns the greeting."""
    print("starting the simulated cluster and the scanner …", file=sys.stderr, flush=True)
    deadline = time.monotonic() + FIRST_SCAN_SECONDS
    while time.monotonic() < deadline:
        if scanner.poll() is not None:
            said = cluster.scanner_log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
            print(f"the scanner ended ({said[0][:300]}); answers come live", file=sys.stderr)
            break
        crashing = _crashing_pod(cluster)
        if crashing is not None:
            return greeting(*crashing)
        time.sleep(0.2)
    return greeting("shop", "POD")


def greeting(namespace: str, pod: str) -> str:
    """What to try first; the log that is proposed is that of a pod which does crash."""
    trials = [(line.format(pod=pod, namespace=namespace), why) for line, why in TRIALS]
    width = max(len(line) for line, _ in trials)
    return GREETING.format(trials="\n".join(f"  {line:<{width}}  {why}" for line, why in trials))


def _crashing_pod(cluster: DemoCluster) -> tuple[str, str] | None:
    """A pod whose log tells a story, once everything that was read first is there."""
    from cache.sql_guard import run_query

    sql = "SELECT namespace, name FROM pods WHERE status = 'CrashLoopBackOff' ORDER BY restarts DESC, name LIMIT 1"
    try:
        run_query(cluster.database, "SELECT count(*) FROM events", cluster=CONTEXT)
        rows = run_query(cluster.database, sql, cluster=CONTEXT).rows
    except CacheError:
        return None
    return (str(rows[0][0]), str(rows[0][1])) if rows else None
