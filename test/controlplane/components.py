"""The command line of each process of a cluster. All of them run in the cluster's folder."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import yaml

from controlplane.certificates import write_private
from controlplane.options import ClusterOptions

# The name a process acts under, as the audit log shows it. `admin` is whoever uses the printed kubeconfig;
# the tooling has a name of its own, so that its requests can be told from those of the program under test.
ADMIN = "admin"
TOOLING = "testcluster:tooling"
USERS = (ADMIN, TOOLING, "testcluster:controller-manager", "testcluster:scheduler", "testcluster:kwok")

ISSUER = "https://kubernetes.default.svc"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # All stages stay in: RequestReceived is written before a request is handled, so that nothing
    # whose answer a client has seen can be missing from the log.
    "rules": [{"level": "Metadata"}],
}
SCHEDULER = {
    "apiVersion": "kubescheduler.config.k8s.io/v1",
    "kind": "KubeSchedulerConfiguration",
    "leaderElection": {"leaderElect": False},
    "clientConnection": {"kubeconfig": "testcluster-scheduler.kubeconfig", "qps": 1000, "burst": 2000},
}


def write_configuration(folder: Path, server: str) -> None:
    """Tokens (one per user, all cluster admins), a kubeconfig for each, the audit policy, the scheduler's file."""
    tokens = {user: secrets.token_urlsafe(24) for user in USERS}
    rows = [f'{token},{user},{user},"system:masters"' for user, token in tokens.items()]
    write_private(folder / "tokens.csv", "\n".join(rows) + "\n")
    ca = (folder / "ca.crt").read_bytes()
    for user, token in tokens.items():
        write_private(kubeconfig_path(folder, user), kubeconfig_text(folder.name, server, ca, user, token))
    (folder / "audit-policy.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))
    (folder / "scheduler.yaml").write_text(yaml.safe_dump(SCHEDULER))


def kubeconfig_path(folder: Path, user: str) -> Path:
    name = "kubeconfig" if user == ADMIN else f"{user.replace(':', '-')}.kubeconfig"
    return folder / name


def kubeconfig_text(cluster: str, server: str, ca: bytes, user: str, token: str, namespace: str = "default") -> str:
    """A self-contained kubeconfig whose only context is named ``testcluster-<cluster>``."""

    context = f"testcluster-{cluster}"
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "clusters": [
                {
                    "name": context,
                    "cluster": {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()},
                }
            ],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": user, "namespace": namespace}}],
        },
        sort_keys=False,
    )


def read_token(folder: Path, user: str) -> str:
    for line in (folder / "tokens.csv").read_text().splitlines():
        token, name, _ = line.split(",", 2)
        if name == user:
            return token
    raise KeyError(user)


def etcd() -> list[str]:
    """etcd takes ``unix://host:port`` and makes a socket file of that name: no ports."""
    client, peer = "unix://localhost:2379", "unix://localhost:2380"
    return [
        "--unsafe-no-fsync",
        "--data-dir=etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--backend-batch-interval=10ms",
        "--log-level=warn",
    ]


def api_server(options: ClusterOptions, port: int) -> list[str]:
    flags = [
        "--etcd-servers=unix://localhost:2379",
        "--etcd-compaction-interval=0",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        "--endpoint-reconciler-type=none",
        "--tls-cert-file=server.crt",
        "--tls-private-key-file=server.key",
        "--client-ca-file=ca.crt",
        "--token-auth-file=tokens.csv",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        f"--service-account-issuer={ISSUER}",
        "--service-account-key-file=service-account.pub",
        "--service-account-signing-key-file=service-account.key",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--profiling=false",
    ]
    if options.audit:
        # The size is in MB: no rotation while a cluster lives.
        flags += ["--audit-policy-file=audit-policy.yaml", "--audit-log-path=audit.log", "--audit-log-maxsize=100000"]
    if options.watch_cache_sizes:
        flags.append(f"--watch-cache-sizes={options.watch_cache_sizes}")
    return [*flags, *options.api_server_flags]


def controller_manager() -> list[str]:
    return [
        "--kubeconfig=testcluster-controller-manager.kubeconfig",
        "--leader-elect=false",
        "--secure-port=0",
        "--service-account-private-key-file=service-account.key",
        "--root-ca-file=ca.crt",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
        "--node-monitor-grace-period=1h",
        "--profiling=false",
    ]


def scheduler() -> list[str]:
    return ["--config=scheduler.yaml", "--secure-port=0", "--profiling=false"]


def kwok(port: int) -> list[str]:
    return [
        "--kubeconfig=testcluster-kwok.kubeconfig",
        "--config=stages.yaml",
        "--enable-crds=Logs",
        "--manage-all-nodes=true",
        "--cidr=10.0.0.0/8",
        "--node-ip=127.0.0.1",
        f"--node-port={port}",
        f"--server-address=127.0.0.1:{port}",
        "--tls-cert-file=server.crt",
        "--tls-private-key-file=server.key",
    ]
