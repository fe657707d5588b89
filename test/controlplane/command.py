"""The command line of script/testcluster."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from controlplane.api_client import ApiError, ApiUnreachable
from controlplane.binaries import BuildError, ensure_binaries
from controlplane.clusters import RunningCluster, find_cluster, running_clusters, start_cluster
from controlplane.control_plane import ControlPlane
from controlplane.options import ClusterError, ClusterOptions

EXAMPLES = """examples:
  script/testcluster up
  export KUBECONFIG=$(script/testcluster status --kubeconfig)
  script/testcluster kubectl -- get pods -A
  script/testcluster api-server stop     # ... and `start`, to see what a program does without it
  script/testcluster down
"""


def main(arguments: list[str], description: str | None) -> int:
    """Exit codes: 0 done, 1 failed, 2 usage."""
    options = _parser(description).parse_args(arguments)
    try:
        code: int = options.run(options)
    except (BuildError, ClusterError, ApiError, ApiUnreachable, TimeoutError) as error:
        print(f"testcluster: {error}", file=sys.stderr)
        return 1
    return code


def _parser(description: str | None) -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("testcluster", description=description, epilog=EXAMPLES, formatter_class=raw)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add_parser(name: str, summary: str, example: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=summary, description=summary, epilog=f"example: script/testcluster {example}", formatter_class=raw
        )

    _add_up(add_parser)

    down = add_parser("down", "end a cluster: no process and no file stays", "down --all")
    down.add_argument("--name", default="default", help="which cluster (default: default)")
    down.add_argument("--all", action="store_true", help="every running cluster of this user, also those of running tests")
    down.set_defaults(run=_down)

    status = add_parser("status", "list the running clusters", "status -o json")
    status.add_argument("--name", help="only this one; exit code 1 when it is not running")
    form = status.add_mutually_exclusive_group()
    form.add_argument("-o", "--output", choices=["table", "json"], default="table", help="(default: table)")
    form.add_argument("--kubeconfig", action="store_true", help="print the kubeconfig's path only (of --name, or default)")
    status.set_defaults(run=_status)

    kubectl = add_parser("kubectl", "run the kubectl of this build", "kubectl -- get nodes -o wide")
    kubectl.add_argument("--name", default="default", help="which cluster (default: default)")
    kubectl.add_argument("arguments", nargs="*", help="after --, everything goes to kubectl")
    kubectl.set_defaults(run=_kubectl)

    api_server = add_parser(
        "api-server", "stop, start, freeze or resume the API server; its port and data stay", "api-server pause"
    )
    api_server.add_argument("action", choices=["stop", "start", "pause", "resume"])
    api_server.add_argument("--name", default="default", help="which cluster (default: default)")
    api_server.set_defaults(run=_api_server)

    build = add_parser("build", "only build the binaries (5 minutes cold, else nothing)", "build --discard-go-cache")
    build.add_argument("--discard-go-cache", action="store_true", help="compile into a temporary GOCACHE (saves 3 GB of disk)")
    build.set_defaults(run=_build)
    return parser


def _add_up(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    up = add_parser(
        "up", "start a cluster and print how to use it", "up --name scale --nodes 100 --pods 10000 --only-api-server --gogc 400"
    )
    up.add_argument("--name", default="default", help="several can run at once (default: default)")
    up.add_argument("--nodes", type=_count, default=2, metavar="K", help="nodes to create (default: 2)")
    up.add_argument(
        "--pods", type=_count, default=0, metavar="N", help="bare pods to create, spread over 50 namespaces (default: 0)"
    )
    up.add_argument(
        "--only-api-server", action="store_true", help="etcd and the API server alone: no controllers, no scheduler, no KWOK"
    )
    up.add_argument(
        "--watch-cache-sizes",
        default="",
        metavar="KIND#N",
        help="passed on; pods#0 lets old resource versions get 410 Gone after compaction",
    )
    up.add_argument(
        "--api-server-flag",
        action="append",
        default=[],
        metavar="FLAG",
        help="one more flag for kube-apiserver, e.g. --api-server-flag=--v=2 (repeatable)",
    )
    up.add_argument(
        "--gogc", type=_count, default=100, help="GOGC of the API server; 400 suits many thousand pods (default: 100)"
    )
    up.add_argument("--no-audit", action="store_true", help="no audit log")
    up.set_defaults(run=_up)


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("not below 0")
    return number


def _up(options: argparse.Namespace) -> int:
    binaries = ensure_binaries()
    started = time.monotonic()
    chosen = ClusterOptions(
        name=options.name,
        controllers=not options.only_api_server,
        audit=not options.no_audit,
        watch_cache_sizes=options.watch_cache_sizes,
        api_server_flags=tuple(options.api_server_flag),
        gogc=options.gogc,
    )
    control_plane = ControlPlane(start_cluster(chosen, binaries, detached=True), binaries)
    try:
        control_plane.populate(nodes=options.nodes, pods=options.pods)
    except (ApiError, ApiUnreachable, TimeoutError, KeyboardInterrupt):
        control_plane.stop()
        raise
    print(
        f"cluster {options.name} is up after {time.monotonic() - started:.1f} s: "
        f"{control_plane.server}, Kubernetes {binaries.kubernetes_version}"
    )
    print(f"  export KUBECONFIG={control_plane.kubeconfig}")
    print(f"  {binaries.kubectl} get nodes")
    print(f"  script/testcluster down --name {options.name}")
    return 0


def _down(options: argparse.Namespace) -> int:
    for cluster in running_clusters() if options.all else [find_cluster(options.name)]:
        cluster.stop()
        print(f"cluster {cluster.name} is gone")
    return 0


def _status(options: argparse.Namespace) -> int:
    if options.kubeconfig:
        print(find_cluster(options.name or "default").kubeconfig)
        return 0
    clusters = [find_cluster(options.name)] if options.name else running_clusters()
    described = [_describe(cluster) for cluster in clusters]
    if options.output == "json":
        print(json.dumps(described, indent=2))
        return 0
    for about in described:
        states = ", ".join(f"{name} {component['state']}" for name, component in about["components"].items())
        print(f"{about['name']}\t{about['server']}\t{about['kubeconfig']}\n  {states}")
    if not described:
        print("no cluster is running; script/testcluster up", file=sys.stderr)
    return 0


def _describe(cluster: RunningCluster) -> dict[str, Any]:
    return {
        "name": cluster.name,
        "server": cluster.server,
        "kubeconfig": str(cluster.kubeconfig),
        "folder": str(cluster.folder),
        "supervisor_pid": cluster.supervisor_pid,
        "components": cluster.ask("status")["components"],
    }


def _kubectl(options: argparse.Namespace) -> int:
    control_plane = ControlPlane(find_cluster(options.name), ensure_binaries())
    kubectl = str(control_plane.binaries.kubectl)
    os.execve(kubectl, [kubectl, *options.arguments], {**os.environ, **control_plane.kubectl_environment()})


def _api_server(options: argparse.Namespace) -> int:
    find_cluster(options.name).ask(options.action, "kube-apiserver")
    return 0


def _build(options: argparse.Namespace) -> int:
    print(ensure_binaries(discard_go_cache=options.discard_go_cache).folder)
    return 0
