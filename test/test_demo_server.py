"""`python -m demo` as users have it: a process, a kubeconfig, the Python client and a real kubectl."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, watch

from demo_fixtures import SOURCE, DemoServer, start_demo_server

Kubectl = Callable[..., str]


@pytest.fixture
def api_client(demo_server: DemoServer) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(demo_server.kubeconfig)) as made:
        yield made


@pytest.fixture
def kubectl(demo_server: DemoServer, kubectl_path: str, tmp_path: Path) -> Kubectl:
    """kubectl on the session's server; CalledProcessError (with stderr) when it fails."""

    def run(*arguments: str, stdin: str | None = None) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(demo_server.kubeconfig)}
        done = subprocess.run(
            [kubectl_path, *arguments], env=environment, input=stdin, capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    return run


def eventually(check: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.05)


def test_the_kubeconfig_is_private_and_trusts_only_this_server(demo_server: DemoServer) -> None:
    assert stat.S_IMODE(demo_server.kubeconfig.stat().st_mode) == 0o600
    document = yaml.safe_load(demo_server.kubeconfig.read_text())
    assert document["clusters"][0]["cluster"]["server"] == demo_server.url
    assert demo_server.url.startswith("https://127.0.0.1:")
    assert len(document["users"][0]["user"]["token"]) >= 32
    with pytest.raises(OSError, match="certificate verify failed"):
        urllib.request.urlopen(demo_server.url, timeout=5)


def test_requests_without_the_token_get_401(demo_server: DemoServer) -> None:
    unchecked = ssl._create_unverified_context()
    for headers in ({}, {"Authorization": "Bearer guess"}):
        request = urllib.request.Request(f"{demo_server.url}/api/v1/pods", headers=headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=5, context=unchecked)
        assert refused.value.code == 401


def test_the_server_listens_on_loopback_only(demo_server: DemoServer) -> None:
    port = int(demo_server.url.rpartition(":")[2])
    for name in {"127.0.0.2", socket.gethostbyname(socket.gethostname())} - {"127.0.0.1"}:
        with pytest.raises(OSError, match="refused|timed out|unreachable"), socket.create_connection((name, port), timeout=2):
            pass


def test_typed_models_of_the_python_client_read_every_kind(api_client: client.ApiClient) -> None:
    core, apps = client.CoreV1Api(api_client), client.AppsV1Api(api_client)
    pods = core.list_pod_for_all_namespaces(limit=500).items
    waiting = {s.state.waiting.reason for p in pods for s in p.status.container_statuses or () if s.state.waiting}
    assert waiting & {"ImagePullBackOff", "ErrImagePull"}, "it takes turns"
    assert len(core.list_node().items) == 6
    assert core.list_event_for_all_namespaces().items
    assert core.list_persistent_volume_claim_for_all_namespaces().items
    assert {d.metadata.name for d in apps.list_namespaced_deployment("shop").items} >= {"catalog", "checkout"}
    assert apps.list_stateful_set_for_all_namespaces().items
    assert apps.list_daemon_set_for_all_namespaces().items
    assert client.BatchV1Api(api_client).list_cron_job_for_all_namespaces().items
    assert client.NetworkingV1Api(api_client).list_ingress_for_all_namespaces().items
    assert client.DiscoveryV1Api(api_client).list_endpoint_slice_for_all_namespaces().items
    assert client.RbacAuthorizationV1Api(api_client).list_cluster_role().items
    assert client.PolicyV1Api(api_client).list_pod_disruption_budget_for_all_namespaces().items
    assert client.AutoscalingV2Api(api_client).list_horizontal_pod_autoscaler_for_all_namespaces().items
    assert client.StorageV1Api(api_client).list_storage_class().items
    assert client.ApiextensionsV1Api(api_client).list_custom_resource_definition().items
    assert client.AdmissionregistrationV1Api(api_client).list_validating_webhook_configuration().items
    assert client.VersionApi(api_client).get_code().git_version.endswith("+demo")


def test_the_python_client_pages_watches_creates_and_deletes(api_client: client.ApiClient) -> None:
    core = client.CoreV1Api(api_client)
    first = core.list_namespaced_pod("kube-system", limit=5)
    rest = core.list_namespaced_pod("kube-system", limit=500, _continue=first.metadata._continue)
    assert first.metadata.remaining_item_count == len(rest.items)
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="python-client"), data={"a": "1"})
    revision = core.list_namespaced_config_map("shop").metadata.resource_version
    core.create_namespaced_config_map("shop", body)
    core.patch_namespaced_config_map("python-client", "shop", {"data": {"a": "2"}})
    core.delete_namespaced_config_map("python-client", "shop")
    stream = watch.Watch().stream(core.list_namespaced_config_map, "shop", resource_version=revision, timeout_seconds=2)
    seen = [(event["type"], event["object"].data) for event in stream if event["object"].metadata.name == "python-client"]
    assert seen == [("ADDED", {"a": "1"}), ("MODIFIED", {"a": "2"}), ("DELETED", {"a": "2"})]
    with pytest.raises(client.ApiException) as missing:
        core.read_namespaced_config_map("python-client", "shop")
    assert (missing.value.status, json.loads(missing.value.body)["reason"]) == (404, "NotFound")


def test_kubectl_get_shows_the_story(kubectl: Kubectl) -> None:
    pods = kubectl("get", "pods", "-A", "-o", "wide")
    assert "NOMINATED NODE" in pods.splitlines()[0]
    assert {"ImagePullBackOff", "ErrImagePull"} & set(pods.split()), "it takes turns"
    for status in ("Pending", "Terminating", "Completed"):
        assert f" {status} " in pods, status
    nodes = kubectl("get", "nodes")
    assert nodes.count(" NotReady ") == 1
    assert kubectl("get", "endpoints", "inventory", "-n", "shop").splitlines()[1].split()[1] == "<none>"
    assert "cpu: <unknown>/70%" in kubectl("get", "hpa", "-A")
    resources = kubectl("api-resources", "--no-headers")
    assert "certificates" in resources
    everything = kubectl("get", "all", "-n", "shop", "-o", "name").split()
    assert "deployment.apps/catalog" in everything
    assert kubectl("get", "pods", "-A", "--chunk-size=3", "-o", "name").count("pod/") >= 55


def test_kubectl_describe_and_logs_explain_the_crash(kubectl: Kubectl) -> None:
    name = kubectl("get", "pods", "-n", "shop", "-l", "app.kubernetes.io/name=checkout", "-o", "name").strip()
    described = kubectl("describe", name, "-n", "shop")
    assert "Back-off restarting failed container checkout" in described
    assert "Exit Code:    1" in described
    assert "5432 by default" in kubectl("logs", name, "-n", "shop", "--previous", "--tail=1")
    assert "NodeStatusUnknown" in kubectl("describe", "node", "worker-4")
    assert "Insufficient cpu" in kubectl("describe", "pods", "-n", "payments", "-l", "app.kubernetes.io/name=fraud-scorer")
    for kind in ("deployment", "service", "ingress", "hpa", "pdb"):
        assert "Name:" in kubectl("describe", kind, "-n", "shop"), kind
    assert kubectl("logs", "statefulset/redis", "-n", "data", "--tail=2").count("\n") == 2


def test_kubectl_creates_scales_rolls_out_and_deletes(kubectl: Kubectl) -> None:
    assert "created" in kubectl("create", "deployment", "web", "--image=nginx:1.29", "--replicas=2", "-n", "ci")
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", "-n", "ci", "--timeout=30s")
    kubectl("scale", "deploy/web", "--replicas=3", "-n", "ci")
    kubectl("wait", "--for=jsonpath={.status.availableReplicas}=3", "deploy/web", "-n", "ci", "--timeout=30s")
    kubectl("set", "image", "deploy/web", "nginx=nginx:missing", "-n", "ci")
    eventually(lambda: "ImagePullBackOff" in kubectl("get", "pods", "-n", "ci"))
    kubectl("rollout", "undo", "deploy/web", "-n", "ci")
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", "-n", "ci", "--timeout=30s")
    kubectl("patch", "deploy/web", "-n", "ci", "-p", '{"metadata":{"labels":{"tier":"front"}}}')
    assert "front" in kubectl("get", "deploy/web", "-n", "ci", "--show-labels")
    assert "deleted" in kubectl("delete", "deploy/web", "-n", "ci", "--cascade=foreground", "--timeout=30s")
    eventually(lambda: "web-" not in kubectl("get", "pods,rs", "-n", "ci"))


MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: applied, namespace: ci}
data: {a: "1"}
"""


def test_kubectl_applies_and_dry_runs(kubectl: Kubectl) -> None:
    assert "created" in kubectl("apply", "-f", "-", stdin=MANIFEST)
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=MANIFEST)
    assert "configured" in kubectl("apply", "-f", "-", stdin=MANIFEST.replace('"1"', '"2"'))
    assert "(server dry run)" in kubectl("apply", "-f", "-", "--dry-run=server", stdin=MANIFEST)
    assert kubectl("get", "cm", "applied", "-n", "ci", "-o", "jsonpath={.data.a}") == "2"
    assert "serverside-applied" in kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=MANIFEST)
    kubectl("delete", "cm", "applied", "-n", "ci", "--dry-run=server")
    kubectl("delete", "cm", "applied", "-n", "ci")
    with pytest.raises(AssertionError, match=r'configmaps "applied" not found'):
        kubectl("get", "cm", "applied", "-n", "ci")


def test_kubectl_commands_that_send_protobuf(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "team")
    made: list[tuple[str, ...]] = [
        ("configmap", "cm", "--from-literal=a=b"), ("secret", "generic", "s", "--from-literal=x=y"), ("serviceaccount", "sa"),
        ("job", "j", "--image=busybox", "--", "true"), ("cronjob", "c", "--image=busybox", "--schedule=0 3 * * *"),
        ("service", "clusterip", "svc", "--tcp=80:8080"), ("quota", "q", "--hard=pods=3,requests.cpu=2"),
        ("poddisruptionbudget", "p", "--selector=a=b", "--min-available=1"), ("role", "r", "--verb=get", "--resource=pods"),
        ("rolebinding", "rb", "--role=r", "--serviceaccount=team:sa"), ("ingress", "i", "--rule=a.example.com/*=svc:80"),
    ]  # fmt: skip
    for arguments in made:
        assert "created" in kubectl("create", "-n", "team", *arguments)
    assert kubectl("get", "secret", "s", "-n", "team", "-o", "jsonpath={.data.x}") == "eQ=="
    assert kubectl("get", "svc", "svc", "-n", "team", "-o", "jsonpath={.spec.ports[0].targetPort}") == "8080"
    assert kubectl("get", "pdb", "p", "-n", "team", "-o", "jsonpath={.spec.minAvailable}") == "1"
    assert kubectl("get", "quota", "q", "-n", "team", "-o", "jsonpath={.spec.hard['requests\\.cpu']}") == "2"
    kubectl("wait", "--for=condition=complete", "job/j", "-n", "team", "--timeout=30s")
    assert kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    kubectl("delete", "namespace", "team", "--timeout=30s")


def test_kubectl_watches_and_drains(kubectl: Kubectl, demo_server: DemoServer, kubectl_path: str, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(demo_server.kubeconfig)}
    command = [kubectl_path, "get", "pods", "-A", "-w", "--no-headers"]
    watching = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        kubectl("drain", "worker-5", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=50s")
        assert "SchedulingDisabled" in kubectl("get", "node", "worker-5")
        assert watching.stdout is not None
        for line in watching.stdout:
            if "Terminating" in line and "redis-2" not in line and "storefront" not in line:
                break
    finally:
        watching.terminate()
        watching.wait(10)
        kubectl("uncordon", "worker-5")


@pytest.mark.parametrize("how", ["stdin", "SIGTERM", "SIGINT"])
def test_the_server_ends_cleanly(how: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = start_demo_server(stack, tmp_path, "--speed", "0")
        with config.new_client_from_config(str(server.kubeconfig)) as api_client:
            held = client.CoreV1Api(api_client).list_pod_for_all_namespaces(watch=True, _preload_content=False)
            started = time.monotonic()
            if how == "stdin":
                assert server.process.stdin is not None
                server.process.stdin.close()
            else:
                server.process.send_signal(getattr(signal, how))
            assert server.process.wait(10) == 0
            assert time.monotonic() - started < 5, "an open watch does not hold the server"
            held.close()


def test_a_frozen_server_does_not_move(tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = start_demo_server(stack, tmp_path, "--speed", "0")
        with config.new_client_from_config(str(server.kubeconfig)) as api_client:
            core = client.CoreV1Api(api_client)
            before = core.list_pod_for_all_namespaces().metadata.resource_version
            core.delete_namespaced_pod("redis-0", "data")
            with pytest.raises(client.ApiException):
                core.read_namespaced_pod("redis-0", "data")
            assert int(core.list_pod_for_all_namespaces().metadata.resource_version) == int(before) + 1


def run_demo(*arguments: str) -> Any:
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-P", "-m", "demo", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)


def test_help_ends_in_an_example() -> None:
    shown = run_demo("--help")
    assert shown.returncode == 0
    assert "Example:" in shown.stdout.rstrip().rpartition("\n\n")[2]


@pytest.mark.parametrize("arguments", [["--port", "99999"], ["--speed", "-1"], ["--pods", "x"], ["--nonsense"]])
def test_bad_arguments_are_usage_errors(arguments: list[str]) -> None:
    assert run_demo(*arguments).returncode == 2


def test_a_kubeconfig_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    failed = run_demo("--kubeconfig", str(tmp_path / "file" / "kubeconfig"))
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "cannot serve" in failed.stderr


def test_a_taken_port_is_one_line(demo_server: DemoServer, tmp_path: Path) -> None:
    port = demo_server.url.rpartition(":")[2]
    failed = run_demo("--port", port, "--kubeconfig", str(tmp_path / "kubeconfig"))
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert not (tmp_path / "kubeconfig").exists()
