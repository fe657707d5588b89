"""script/testcluster and the fixtures of the control plane do what the other tests rely on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import urllib3

from control_plane_fixtures import ControlPlaneFactory
from controlplane import stages
from controlplane.api_client import ApiClient, ApiError, ApiUnreachable, Object
from controlplane.binaries import Binaries, fingerprint
from controlplane.clusters import running_clusters
from controlplane.control_plane import ControlPlane
from controlplane.options import ClusterError, ClusterOptions
from controlplane.pods import failing
from controlplane.polling import wait_until
from controlplane.processes import is_alive
from controlplane.users import User, rule

ROOT = Path(__file__).resolve().parent.parent
TESTCLUSTER = ROOT / "script" / "testcluster"

# What kubectl prints, where that is not the state's own name.
PRINTED = {"NotReady": "Running"}


def run(*arguments: str, root: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TESTCLUSTER, *arguments],
        env={**os.environ, "K8S_MCP_TESTCLUSTER_RUN": str(root), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def processes_in(folder: Path) -> list[int]:
    """The processes that work in a folder, or in one that has been removed under them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            working_folder = str((process / "cwd").readlink())
        except OSError:
            continue
        if working_folder.removesuffix(" (deleted)").startswith(str(folder)) and is_alive(int(process.name)):
            found.append(int(process.name))
    return found


def client_of(control_plane: ControlPlane, user: User) -> ApiClient:
    return ApiClient(control_plane.server, control_plane.ca_file, user.token)


def status_of(client: ApiClient, path: str) -> int:
    """The HTTP status of a GET: 200 or what ApiError carries."""
    try:
        client.get(path)
    except ApiError as error:
        return error.status
    return 200


# The command


def test_two_clusters_run_side_by_side_and_leave_nothing_behind(control_plane_binaries: Binaries, tmp_path: Path) -> None:
    up = [run("up", "--only-api-server", "--nodes", "1", "--name", name, root=tmp_path) for name in ("one", "two")]
    assert [done.returncode for done in up] == [0, 0], up[0].stderr + up[1].stderr
    kubeconfig = tmp_path / "one" / "kubeconfig"
    assert str(kubeconfig) in up[0].stdout
    assert kubeconfig.stat().st_mode & 0o777 == 0o600

    described = json.loads(run("status", "-o", "json", root=tmp_path).stdout)
    assert [cluster["name"] for cluster in described] == ["one", "two"]
    assert {component["state"] for cluster in described for component in cluster["components"].values()} == {"running"}
    assert described[0]["server"] != described[1]["server"]
    assert "node-0" in run("kubectl", "--name", "two", "--", "get", "nodes", root=tmp_path).stdout
    assert len(processes_in(tmp_path)) == 6, "a supervisor, etcd and an API server each"

    assert run("down", "--name", "one", root=tmp_path).returncode == 0
    assert [cluster["name"] for cluster in json.loads(run("status", "-o", "json", root=tmp_path).stdout)] == ["two"]
    assert run("down", "--all", root=tmp_path).returncode == 0
    assert processes_in(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_killed_supervisor_takes_every_process_along(control_plane_binaries: Binaries, tmp_path: Path) -> None:
    assert run("up", "--only-api-server", "--nodes", "0", root=tmp_path).returncode == 0
    [cluster] = json.loads(run("status", "-o", "json", root=tmp_path).stdout)
    os.kill(cluster["supervisor_pid"], signal.SIGKILL)
    wait_until(lambda: processes_in(tmp_path) == [], "all processes to be gone", timeout_seconds=5)
    assert json.loads(run("status", "-o", "json", root=tmp_path).stdout) == []
    assert not Path(cluster["folder"]).exists(), "status sweeps up"


def test_a_cluster_of_a_test_run_ends_when_the_run_is_killed(control_plane_binaries: Binaries, tmp_path: Path) -> None:
    program = """
        from control_plane_fixtures import launch
        from controlplane.binaries import ensure_binaries
        import time
        launch(ensure_binaries(), nodes=0, controllers=False)
        print("up", flush=True)
        time.sleep(600)
    """
    env = {**os.environ, "K8S_MCP_TESTCLUSTER_RUN": str(tmp_path), "PYTHONPATH": str(ROOT / "test")}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        assert processes_in(tmp_path)
        owner.kill()
    wait_until(lambda: processes_in(tmp_path) == [], "all processes to be gone", timeout_seconds=5)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_name_is_given_once(control_plane: ControlPlane) -> None:
    assert control_plane.name in [cluster.name for cluster in running_clusters()]
    taken = run("up", "--name", control_plane.name, root=control_plane.folder.parent)
    assert taken.returncode == 1
    assert "is already running" in taken.stderr
    with pytest.raises(ClusterError, match="a cluster's name"):
        ClusterOptions(name="../elsewhere")


def test_a_component_that_refuses_to_start_is_named_with_its_last_words(
    control_plane_factory: ControlPlaneFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K8S_MCP_TESTCLUSTER_RUN", str(tmp_path))
    with pytest.raises(ClusterError, match=r"(?s)kube-apiserver exited.*unknown flag: --no-such-flag"):
        control_plane_factory(controllers=False, api_server_flags=("--no-such-flag",))
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_commands_say_what_is_missing(tmp_path: Path) -> None:
    down = run("down", "--name", "nowhere", root=tmp_path)
    assert (down.returncode, "no cluster nowhere is running" in down.stderr) == (1, True)
    assert run("status", root=tmp_path).stdout == ""
    built = run("build", root=tmp_path, PATH=str(tmp_path), K8S_MCP_TESTCLUSTER_CACHE=str(tmp_path / "empty"))
    assert (built.returncode, "script/bootstrap-go" in built.stderr) == (1, True)


@pytest.mark.parametrize("command", ["", "up", "down", "status", "kubectl", "api-server", "build"])
def test_help_ends_in_an_example(command: str, tmp_path: Path) -> None:
    shown = run(*command.split(), "--help", root=tmp_path).stdout.strip().splitlines()
    assert shown[-1].removeprefix("example: ").strip().startswith("script/testcluster")


def test_folders_of_others_are_never_swept_up(tmp_path: Path) -> None:
    (tmp_path / "holiday-photos").mkdir()
    assert run("status", root=tmp_path).returncode == 0
    assert run("down", "--all", root=tmp_path).returncode == 0
    assert (tmp_path / "holiday-photos").is_dir()
    tmp_path.chmod(0o777)
    refused = run("status", root=tmp_path)
    assert (refused.returncode, "others can write" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("ci", "outcome", "line"),
    [
        ("", "1 passed, 1 skipped", "SKIPPED 1 tests of the real control plane"),
        ("true", "1 passed, 1 error", "BuildError: the control plane's binaries are not built"),
    ],
)
def test_without_go_tests_are_skipped_loudly_and_in_ci_they_fail(tmp_path: Path, ci: str, outcome: str, line: str) -> None:
    (tmp_path / "test_any.py").write_text("def test_real(control_plane): ...\ndef test_other(): ...\n")
    env = os.environ | {"PATH": "", "CI": ci, "K8S_MCP_TESTCLUSTER_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT / "test")}
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "-p", "control_plane_fixtures", "test_any.py"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert outcome in done.stdout
    assert line in done.stdout


def test_two_builders_build_once(tmp_path: Path) -> None:
    """With a `go` that counts: the second builder waits for the first and takes what it has built."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    module = tmp_path / "kwok"
    fake = f"""\
        #!{sys.executable}
        import sys, pathlib, controlplane.binaries as b
        if sys.argv[1] == "list":
            for name in b.KWOK_FILES:
                file = pathlib.Path({str(module)!r}, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("")
            print({str(module)!r})
        else:
            pathlib.Path(sys.argv[sys.argv.index("-o") + 1], "server").write_text("")
            with open({str(tmp_path / "builds")!r}, "a") as builds:
                builds.write("built\\n")
    """
    go.write_text(textwrap.dedent(fake))
    go.chmod(0o755)
    settings = {"PATH": str(go.parent), "K8S_MCP_TESTCLUSTER_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT / "test")}
    results = []
    builders = [threading.Thread(target=lambda: results.append(run("build", root=tmp_path, **settings))) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert [done.returncode for done in results] == [0, 0], results[0].stderr
    assert {done.stdout.strip() for done in results} == {str(tmp_path / "cache" / fingerprint())}
    assert (tmp_path / "builds").read_text() == "built\n"
    assert sorted(path.name for path in (tmp_path / "cache" / fingerprint()).iterdir()) == ["etcd", "kwok-files"]


def test_bootstrap_go_takes_the_go_that_is_there(control_plane_binaries: Binaries) -> None:
    done = subprocess.run([ROOT / "script" / "bootstrap-go"], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip(), "go").exists()
    assert done.stderr == ""


# Pods


@pytest.mark.parametrize("state", stages.FAILING_STATES)
def test_a_pod_shows_the_state_it_was_given(control_plane: ControlPlane, fresh_namespace: str, state: str) -> None:
    control_plane.pods.create(fresh_namespace, "one", state)
    columns = control_plane.kubectl("get", "pod", "one", "-n", fresh_namespace, "--no-headers").split()
    assert columns[2] == PRINTED.get(state, state)
    assert columns[1] == ("1/1" if state == "Running" else "0/1")


def test_a_crash_loop_keeps_restarting_and_tells_why(control_plane: ControlPlane, fresh_namespace: str) -> None:
    pod = control_plane.pods.create(
        fresh_namespace, "sick", "CrashLoopBackOff", restarts=7, reason="OOMKilled", exit_code=137, restart_every="100ms"
    )
    [status] = pod["status"]["containerStatuses"]
    assert status["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert status["lastState"]["terminated"]["exitCode"] == 137
    assert status["restartCount"] >= 7
    control_plane.pods.wait(fresh_namespace, "sick", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] >= 10)


def test_one_container_fails_and_the_others_run(control_plane: ControlPlane, fresh_namespace: str) -> None:
    spec = {"containers": [{"name": "app", "image": "a"}, {"name": "sidecar", "image": "b"}]}
    pod = control_plane.pods.create(fresh_namespace, "half", "CrashLoopBackOff", only_container="sidecar", spec=spec)
    assert [status["ready"] for status in pod["status"]["containerStatuses"]] == [True, False]


def test_unschedulable_and_terminating_pods_stay_that_way(control_plane: ControlPlane, fresh_namespace: str) -> None:
    control_plane.pods.create_unschedulable(fresh_namespace, "nowhere")
    control_plane.pods.create_terminating(fresh_namespace, "leaving")
    shown = control_plane.kubectl("get", "pods", "-n", fresh_namespace, "--no-headers")
    assert {line.split()[0]: line.split()[2] for line in shown.splitlines()} == {"nowhere": "Pending", "leaving": "Terminating"}

    def events() -> bool:
        return "FailedScheduling" in control_plane.kubectl("get", "events", "-n", fresh_namespace)

    wait_until(events, "a FailedScheduling event")
    control_plane.pods.release(fresh_namespace, "leaving")
    path = f"/api/v1/namespaces/{fresh_namespace}/pods/leaving"
    wait_until(lambda: status_of(control_plane.api, path) == 404, "the pod to be gone")


def test_workloads_run_and_fail_through_their_template(control_plane: ControlPlane, fresh_namespace: str) -> None:
    def pod_template(name: str, fate: dict[str, str]) -> Object:
        spec = {"containers": [{"name": "app", "image": "a"}]}
        return {"metadata": {"labels": {"app": name}, "annotations": fate}, "spec": spec}

    for name, fate in (("well", {}), ("bad", failing("ImagePullBackOff"))):
        spec = {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": pod_template(name, fate)}
        deployments = f"/apis/apps/v1/namespaces/{fresh_namespace}/deployments"
        control_plane.api.post(deployments, {"metadata": {"name": name}, "spec": spec})
    job = pod_template("once", {})
    job["spec"]["restartPolicy"] = "Never"
    jobs = f"/apis/batch/v1/namespaces/{fresh_namespace}/jobs"
    control_plane.api.post(jobs, {"metadata": {"name": "once"}, "spec": {"template": job}})

    def ready(name: str) -> int:
        return int(control_plane.api.get(f"{deployments}/{name}")["status"].get("readyReplicas", 0))

    wait_until(lambda: ready("well") == 2, "the deployment to be ready")
    wait_until(lambda: control_plane.api.get(f"{jobs}/once")["status"].get("succeeded") == 1, "the job to complete")
    assert ready("bad") == 0


def test_many_pods_run_without_any_controller(control_plane_factory: ControlPlaneFactory) -> None:
    control_plane = control_plane_factory(nodes=3, controllers=False)
    namespace = control_plane.create_namespace("many")
    names = [f"node-{number}" for number in range(3)]
    control_plane.pods.create_many(60, namespaces=[namespace], nodes=names, patch_status=True)
    assert control_plane.pods.count() == control_plane.pods.count(phase="Running") == 60


# Logs


def test_logs_are_served_with_tail_previous_and_follow(control_plane: ControlPlane, fresh_namespace: str) -> None:
    control_plane.pods.create(fresh_namespace, "talks")
    control_plane.logs.set(fresh_namespace, "talks", "starting\nready", previous="panic: no disk")
    logs = ("logs", "talks", "-n", fresh_namespace)
    assert control_plane.kubectl(*logs) == "starting\nready\n"
    assert control_plane.kubectl(*logs, "--tail=1") == "ready\n"
    assert control_plane.kubectl(*logs, "-p") == "panic: no disk\n"

    environment = control_plane.kubectl_environment()
    command = [str(control_plane.binaries.kubectl), *logs, "--follow"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert [follower.stdout.readline() for _ in range(2)] == ["starting\n", "ready\n"]
        control_plane.logs.append(fresh_namespace, "talks", "one more")
        assert follower.stdout.readline() == "one more\n"
        follower.kill()


def test_a_pod_without_logs_or_an_earlier_run_says_so(control_plane: ControlPlane, fresh_namespace: str) -> None:
    control_plane.pods.create(fresh_namespace, "silent")
    with pytest.raises(ApiError, match="no logs found") as refused:
        control_plane.logs.read(fresh_namespace, "silent")
    assert refused.value.status == 400
    control_plane.logs.set(fresh_namespace, "silent", "first", previous="old")
    control_plane.logs.set(fresh_namespace, "silent", "first")
    with pytest.raises(ApiError):
        control_plane.logs.read(fresh_namespace, "silent", query="previous=true")


# Users


def test_a_restricted_user_may_do_what_its_rules_say(control_plane: ControlPlane, fresh_namespace: str) -> None:
    user = control_plane.users.create(fresh_namespace, "reader", rules=[rule("pods")], cluster_rules=[rule("nodes")])
    assert user.kubeconfig.stat().st_mode & 0o777 == 0o600
    client = client_of(control_plane, user)
    allowed = (f"/api/v1/namespaces/{fresh_namespace}/pods", "/api/v1/nodes")
    refused = (f"/api/v1/namespaces/{fresh_namespace}/secrets", "/api/v1/pods", "/api/v1/namespaces/default/pods")
    assert [status_of(client, path) for path in (*allowed, *refused)] == [200, 200, 403, 403, 403]
    assert control_plane.kubectl("auth", "can-i", "list", "pods", kubeconfig=user.kubeconfig) == "yes\n"


def test_bad_and_expired_tokens_get_401(control_plane: ControlPlane) -> None:
    for user in (control_plane.users.with_bad_token(), control_plane.users.with_expired_token()):
        assert status_of(client_of(control_plane, user), "/api/v1/namespaces") == 401
        mark = control_plane.audit.mark()
        assert status_of(client_of(control_plane, user), "/api/v1/nodes") == 401
        assert [(one.uri, one.status) for one in control_plane.audit.requests(mark)] == [("/api/v1/nodes", 401)]
        with pytest.raises(subprocess.CalledProcessError) as failed:
            control_plane.kubectl("get", "pods", kubeconfig=user.kubeconfig)
        assert "Unauthorized" in failed.value.stderr or "logged in" in failed.value.stderr


def test_only_its_age_is_wrong_with_an_expired_token(control_plane: ControlPlane) -> None:
    users = [control_plane.users.with_expired_token(expires_in_seconds=seconds) for seconds in (60, -60)]
    assert [status_of(client_of(control_plane, user), "/api/v1/namespaces") for user in users] == [403, 401]


# Audit


def test_the_audit_log_counts_one_users_requests(control_plane: ControlPlane, fresh_namespace: str) -> None:
    user = control_plane.users.create(fresh_namespace, "counted", rules=[rule("configmaps", verbs=("list", "create"))])
    client = client_of(control_plane, user)
    collection = f"/api/v1/namespaces/{fresh_namespace}/configmaps"
    mark = control_plane.audit.mark()
    assert control_plane.audit.requests(mark, user=user.name) == []

    client.get(collection)
    status_of(client, f"/api/v1/namespaces/{fresh_namespace}/secrets")
    client.post(f"{collection}?dryRun=All", {"metadata": {"name": "tried"}})
    seen = control_plane.audit.requests(mark, user=user.name)
    assert [(one.verb, one.status) for one in seen] == [("list", 200), ("list", 403), ("create", 201)]
    assert not any(one.mutating for one in seen), "a dry run changes nothing"
    client.post(collection, {"metadata": {"name": "made"}})
    assert [one.name for one in control_plane.audit.requests(mark, user=user.name, where=lambda one: one.mutating)] == ["made"]


def test_the_audit_log_leaves_the_tooling_out(control_plane: ControlPlane) -> None:
    mark = control_plane.audit.mark()
    control_plane.kubectl("get", "pods")
    control_plane.api.get("/api/v1/nodes")
    assert control_plane.audit.requests(mark) == []
    control_plane.kubectl("get", "pods", kubeconfig=control_plane.kubeconfig)
    assert {request.user for request in control_plane.audit.requests(mark)} == {"admin"}
    assert control_plane.audit.requests(mark, user_agent="kubectl", verb="list")


# Taking the API server away


def test_the_api_server_stops_and_comes_back_with_its_data(control_plane_factory: ControlPlaneFactory) -> None:
    control_plane = control_plane_factory(controllers=False)
    control_plane.create_namespace("kept")
    with control_plane.api_server.stopped():
        with pytest.raises(ApiUnreachable, match="refused"):
            control_plane.api.get("/version")
        assert isinstance(control_plane.audit.requests(), list)
    assert control_plane.api.get("/api/v1/namespaces/kept")["metadata"]["name"] == "kept"

    hurried = ApiClient(control_plane.server, control_plane.ca_file, control_plane.admin_token, timeout_seconds=0.3)
    with control_plane.api_server.paused(), pytest.raises(ApiUnreachable, match="timed out"):
        hurried.get("/version")
    assert hurried.get("/version")["gitVersion"] == control_plane.binaries.kubernetes_version


def test_old_continue_tokens_and_watches_get_410_on_demand(control_plane_factory: ControlPlaneFactory) -> None:
    control_plane = control_plane_factory(controllers=False, watch_cache_sizes="configmaps#0")
    collection = f"/api/v1/namespaces/{control_plane.create_namespace('history')}/configmaps"
    for name in ("a", "b", "c"):
        control_plane.api.post(collection, {"metadata": {"name": name}})
    page = control_plane.api.get(f"{collection}?limit=1")["metadata"]
    assert status_of(control_plane.api, f"{collection}?limit=1&continue={page['continue']}") == 200

    control_plane.expire_history()
    assert status_of(control_plane.api, f"{collection}?limit=1&continue={page['continue']}") == 410
    version = page["resourceVersion"]
    watched = control_plane.api.get(f"{collection}?watch=true&resourceVersion={version}&timeoutSeconds=5")
    event = watched if isinstance(watched, dict) else json.loads(watched)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert status_of(control_plane.api, collection) == 200


def test_the_certificates_pass_strict_checks(control_plane: ControlPlane) -> None:
    """Python 3.13 turns these checks on by default."""
    import ssl

    context = ssl.create_default_context(cafile=str(control_plane.ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    answer = urllib3.PoolManager(ssl_context=context).request("GET", f"{control_plane.server}/livez")
    assert answer.status == 200
