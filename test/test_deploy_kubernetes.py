"""deploy/kubernetes on a real API server: accepted as it is, and no right more than a scan needs."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.api_client import ApiError
from kept_server import MakeScannerHere
from kinds.registry import KINDS
from scan_fixtures import SCANNER, ScannerProcess, query
from scanner.cli import app
from scanner.settings import ScannerSettings

MakeScanner = Callable[..., ScannerProcess]
FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "kubernetes"
MANIFESTS = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
APPLIED = ("namespace.yaml", "service-account.yaml", "cluster-role.yaml")
NAMESPACE, ACCOUNT = "k8s-mcp", "k8s-mcp-scanner"
SECRETS = {"secrets"} & set(KINDS)


def documents(name: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all((FOLDER / name).read_text()) if document]


def document(name: str, kind: str) -> dict[str, Any]:
    (found,) = [one for one in documents(name) if one["kind"] == kind]
    return found


def granted(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """(group, resource, verb) of rules that name no single objects."""
    return {
        (group, resource, verb)
        for rule in rules
        if "resourceNames" not in rule
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def needed(*, namespaced_only: bool) -> set[tuple[str, str, str]]:
    return {
        (kind.group, getattr(kind, "resource", "") or name, verb)
        for name, kind in KINDS.items()
        if name != "secrets" and (kind.namespaced or not namespaced_only)
        for verb in ("list", "watch")
    }


# --- without a cluster


def test_the_cluster_role_grants_every_kind_but_secrets_and_nothing_else() -> None:
    rules = document("cluster-role.yaml", "ClusterRole")["rules"]
    assert granted(rules) == needed(namespaced_only=False)
    (single,) = [rule for rule in rules if "resourceNames" in rule]
    assert (single["resources"], single["resourceNames"], single["verbs"]) == (["namespaces"], ["kube-system"], ["get"])


def test_the_namespaced_role_grants_every_namespaced_kind_but_secrets() -> None:
    assert granted(document("role-namespaced.yaml", "Role")["rules"]) == needed(namespaced_only=True)


def test_the_role_for_the_clusters_identity_grants_one_object_and_no_more() -> None:
    (single,) = document("role-cluster-identity.yaml", "Role")["rules"]
    assert single == {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}
    assert document("role-cluster-identity.yaml", "Role")["metadata"]["namespace"] == "kube-system"


def test_the_role_for_secrets_stands_apart_and_warns() -> None:
    assert granted(document("cluster-role-secrets.yaml", "ClusterRole")["rules"]) == {
        ("", "secrets", "list"),
        ("", "secrets", "watch"),
    }
    assert "RBAC cannot allow metadata alone" in (FOLDER / "cluster-role-secrets.yaml").read_text()
    assert "cluster-role-secrets.yaml" not in yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]


def test_every_setting_of_the_deployment_is_one() -> None:
    names = document("scanner.yaml", "ConfigMap")["data"]
    assert {name.lower() for name in names} <= set(ScannerSettings.model_fields)


def test_every_command_of_the_deployment_exists() -> None:
    """The command line is read as far as its options: `--help` at its end keeps it from running."""
    from typer.testing import CliRunner

    (container,) = document("scanner.yaml", "Deployment")["spec"]["template"]["spec"]["containers"]
    commands = [
        container["args"],
        *(container[f"{probe}Probe"]["exec"]["command"] for probe in ("startup", "liveness", "readiness")),
    ]
    for program, *arguments in commands:
        assert program == "scanner"
        result = CliRunner().invoke(app, [*arguments, "--help"])
        assert result.exit_code == 0, (arguments, result.output)
        for option in [one for one in arguments if one.startswith("-")]:
            assert option in result.output


# --- on the control plane


def applied(control_plane: Any, *names: str) -> None:
    control_plane.kubectl("apply", *(argument for name in names for argument in ("-f", str(FOLDER / name))))
    control_plane.wait_for_default_account(NAMESPACE)


def removed(control_plane: Any, *names: str) -> None:
    """Waits until they are gone."""
    files = [argument for name in reversed(names) for argument in ("-f", str(FOLDER / name))]
    control_plane.kubectl("delete", "--ignore-not-found", "--wait=true", *files)


def account_kubeconfig(control_plane: Any, folder: Path) -> Path:
    """A kubeconfig with a token of the ServiceAccount that the manifests create."""
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"
    token = control_plane.api.post(path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    config = yaml.safe_load(control_plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    file = folder / "account.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    file.chmod(0o600)
    return file


def test_with_namespaced_roles_the_uid_of_the_cluster_needs_the_role_for_it(
    control_plane: Any, scanner_here: MakeScannerHere, tmp_path: Path
) -> None:
    names = ("namespace.yaml", "service-account.yaml", "role-cluster-identity.yaml")
    applied(control_plane, *names[:2])
    try:
        scanner = scanner_here(account_kubeconfig(control_plane, tmp_path))
        scanner.report("--kind", "pods")
        assert query(scanner.database, "SELECT uid FROM clusters") == [("",)]
        applied(control_plane, names[2])
        scanner.report("--kind", "pods")
        uid = control_plane.api.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
        assert query(scanner.database, "SELECT uid FROM clusters") == [(uid,)]
    finally:
        removed(control_plane, *names)


@pytest.fixture(scope="module")
def deployed(control_plane: Any) -> Iterator[Any]:
    """The control plane with the namespace, the ServiceAccount and its ClusterRole."""
    applied(control_plane, *APPLIED)
    yield control_plane
    removed(control_plane, *APPLIED)


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_api_server_accepts_every_manifest_as_it_is(name: str, deployed: Any) -> None:
    text = (FOLDER / name).read_text().replace("namespace: payments", "namespace: default")
    said = deployed.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
    assert said.count("(server dry run)") == len(documents(name))
    assert "Warning" not in said


def test_the_kustomization_holds_what_is_applied_by_default(deployed: Any) -> None:
    said = deployed.kubectl("apply", "--dry-run=server", "-k", str(FOLDER))
    for kind in (
        "namespace",
        "serviceaccount",
        "clusterrole",
        "clusterrolebinding",
        "configmap",
        "persistentvolumeclaim",
        "deployment",
    ):
        assert any(line.startswith((f"{kind}/", f"{kind}.")) for line in said.splitlines()), (kind, said)
    assert "secrets" not in said


def pod_of_the_deployment() -> dict[str, Any]:
    template = document("scanner.yaml", "Deployment")["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "try", **template["metadata"]},
        "spec": deepcopy(template["spec"]),
    }


@pytest.mark.parametrize(
    ("weaker", "complaint"),
    [
        ({"capabilities": {"drop": []}}, "unrestricted capabilities"),
        ({"allowPrivilegeEscalation": True}, "allowPrivilegeEscalation"),
        ({"runAsNonRoot": False}, "runAsNonRoot"),
        ({"seccompProfile": {"type": "Unconfined"}}, "seccompProfile"),
    ],
)
def test_its_pod_meets_the_restricted_profile_that_its_namespace_enforces(
    weaker: dict[str, Any], complaint: str, deployed: Any
) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All"
    pod = pod_of_the_deployment()
    deployed.api.post(path, pod)
    pod["spec"]["containers"][0]["securityContext"] |= weaker
    with pytest.raises(ApiError, match=complaint):
        deployed.api.post(path, pod)


def test_its_root_file_system_is_read_only() -> None:
    (container,) = pod_of_the_deployment()["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


# --- a scan with exactly these rights


def used_by_the_account(control_plane: Any, mark: int) -> set[tuple[str, str, str, bool]]:
    """(group, resource, verb, allowed) of everything that the ServiceAccount has asked for since the mark."""
    account = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
    asked = control_plane.audit.requests(mark, user=account, where=lambda one: one.resource != "")
    return {(group_of(one.uri), one.resource, one.verb, one.status != 403) for one in asked}


def group_of(uri: str) -> str:
    """The API group of /apis/GROUP/…; "" for /api/…"""
    _, root, group, *_ = uri.split("/")
    return group if root == "apis" else ""


def test_a_scan_with_that_account_reads_every_kind_but_secrets_and_uses_no_other_right(
    deployed: Any, scanner_here: MakeScannerHere, tmp_path: Path
) -> None:
    scanner, mark = scanner_here(account_kubeconfig(deployed, tmp_path)), deployed.audit.mark()
    for _ in range(2):  # the second one catches up
        report = scanner.report()
        refused = {row["kind"] for row in report["kinds"] if row["outcome"] == "not_permitted"}
        failed = {row["kind"]: row["error"] for row in report["kinds"] if row["outcome"] == "failed"}
        assert (refused, failed) == (SECRETS, {})
        assert report["exit_code"] == 0, report["stderr"]
    asked = used_by_the_account(deployed, mark)
    assert {("", "pods", "list", True), ("apps", "deployments", "watch", True)} <= asked
    may = needed(namespaced_only=False) | {("", "namespaces", "get")}
    reviews = {one for one in asked if one[0] == "authorization.k8s.io"}  # everybody may ask what they may do
    beyond = {one[:3] for one in asked - reviews} - may
    assert {resource for _, resource, _ in beyond} <= SECRETS
    assert {one[1] for one in asked - reviews if not one[3]} <= SECRETS
    assert {verb for _, _, verb, _ in asked - reviews} <= {"list", "watch", "get"}


# --- in a pod: the ServiceAccount's own files, at the path where the kubelet puts them, and a root that may not be written

IN_A_POD = """
mount -t tmpfs run /run
mkdir -p /run/secrets/kubernetes.io/serviceaccount
mount --bind {files} /run/secrets/kubernetes.io/serviceaccount
mount --bind {data} {data}
mount -t tmpfs tmp /var/tmp
mount -o remount,bind,ro /
if touch {files}/written 2>/dev/null; then echo "the root can be written" >&2; exit 99; fi
cd {data}
exec {command}
"""


def can_mount() -> bool:
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="may not mount: the path of a pod's credentials cannot be made up")
def test_in_a_pod_the_scanner_uses_the_accounts_token_and_takes_up_a_new_one(
    deployed: Any, scanner_process: MakeScanner, tmp_path: Path
) -> None:
    files = tmp_path / "account"
    files.mkdir()
    config = yaml.safe_load(account_kubeconfig(deployed, tmp_path).read_text())
    (files / "ca.crt").write_bytes(deployed.ca_file.read_bytes())
    (files / "namespace").write_text(NAMESPACE)
    (files / "token").write_text("rotated away")
    host, _, port = deployed.server.removeprefix("https://").partition(":")
    scanner = scanner_process(None, KUBERNETES_SERVICE_HOST=host, KUBERNETES_SERVICE_PORT=port)
    command = [str(SCANNER), "scan", "-o", "json", "--kind", "pods", "--kind", "services"]
    quoted = {"files": shlex.quote(str(files)), "data": shlex.quote(str(scanner.folder)), "command": shlex.join(command)}

    def scan() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["unshare", "--mount", "sh", "-ec", IN_A_POD.format(**quoted)],
            env=scanner.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    refused = scan()
    assert refused.returncode == 2, refused.stderr
    assert "in-cluster" in refused.stderr
    (files / "token").write_text(config["users"][0]["user"]["token"])
    done = scan()
    assert done.returncode == 0, done.stderr
    assert {(row["cluster"], row["outcome"]) for row in json.loads(done.stdout)["kinds"]} == {("in-cluster", "scanned")}
    status = scanner.run("status", "-o", "json")
    assert {row["cluster"] for row in json.loads(status.stdout)["kinds"]} == {"in-cluster"}, "the same cluster is meant"
