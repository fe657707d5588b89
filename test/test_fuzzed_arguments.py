"""Every tool with arguments made from its own input schema, and with arguments that break it.

Whatever comes: an answer in time, within its budget and its output schema, and no error that nobody foresaw. What breaks the
schema is refused before anything is asked of a cluster.

The examples are the same in every run. By hand, with more of them and new ones each time (a failure prints what to repeat):

    FUZZ_EXAMPLES=500 uv run --no-sync pytest -q -x test/test_fuzzed_arguments.py --timeout 3600 -k k8s_helm
"""

from __future__ import annotations

import asyncio
import json
import os
import reprlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mcp_types import CallToolResult

from argument_strategies import Hints, Values, broken_record, cannot_be_sent, fitting
from controlplane.control_plane import ControlPlane
from demo.server import CONTEXT, kubeconfig_document
from demo.simulated_cluster import SimulatedCluster
from demo_fixtures import START, TOKEN
from likely_arguments import KINDS, LIKELY
from mcp_tools.all_tools import ALL_TOOLS
from mcp_tools.answer_budget import answer_tokens
from mcp_tools.server import ToolGate
from mcp_tools.server_policy import ServerPolicy
from mcp_tools.tool_declaration import ToolAnswer, ToolDeclaration
from mcp_tools.tool_spec import SMALLEST_BUDGET
from server_fixtures import ToolClient, text_of, told_error

NAMESPACE = "fuzzed-arguments"
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
SECONDS = 20
"""Of one call: on the clock, and of computing."""
DEFAULT_TOKENS = 4000
DEFAULT_BYTES = 1024 * 1024
ALLOWED_CONTROLS = "\t\n"
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 300
TOOLS = {tool.name: tool for tool in ALL_TOOLS}
BY_TOOL = pytest.mark.parametrize("name", TOOLS)
REAL_OBJECTS = [{"kind": kind, "name": "ordinary", "namespace": NAMESPACE} for kind in ("configmaps", "serviceaccounts", "pods")]
ON_A_REAL_SERVER = ("k8s_describe", "k8s_list_resources", "k8s_get_pod_logs", "k8s_patch_resource", "k8s_apply_manifest")


def examples(count: int) -> settings:
    """So many, always the same; or as many others as the environment says."""
    return settings(
        max_examples=EXAMPLES or count,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


class ComputesForever(BaseException):
    """Raised into a call that keeps the processor."""


class Drawn:
    """Arguments that show themselves in a few words, however long or deep they are, when a test fails."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.arguments = arguments

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name[:50]!r}: {_in_short(value)}" for name, value in self.arguments.items()) + "}"


def _in_short(value: Any) -> str:
    try:
        return SHORT.repr(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        return "something with a huge number"


class Fuzzed:
    """A gate and its event loop, in which the simulated cluster lives too; `asked` counts requests to the cluster."""

    def __init__(self, gate: ToolGate, runner: asyncio.Runner, asked: Callable[[], int]) -> None:
        self.gate = gate
        self.runner = runner
        self.asked = asked

    def call(self, tool: ToolDeclaration, arguments: dict[str, Any]) -> CallToolResult:
        """The answer. A call that waits, or computes, for too long is a failure."""

        def stop(*_: object) -> None:
            raise ComputesForever(f"{tool.name} computes for more than {SECONDS} s")

        before = signal.signal(signal.SIGVTALRM, stop)
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        try:
            answer = self.runner.run(asyncio.wait_for(self.gate.call(tool.name, arguments), SECONDS))
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)
        assert isinstance(answer, CallToolResult)
        return answer


@pytest.fixture(scope="module")
def cluster() -> SimulatedCluster:
    return SimulatedCluster(7, clock=lambda: START, token=TOKEN, moving=False)


@pytest.fixture(scope="module")
def demo(cluster: SimulatedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    """A server for the simulated cluster, which stands still. Its client is trusted to have asked."""
    received: list[str] = []

    @web.middleware
    async def count(request: web.Request, handler: Any) -> web.StreamResponse:
        received.append(request.path_qs)
        response: web.StreamResponse = await handler(request)
        return response

    app = cluster.http.application()
    app.middlewares.append(count)
    with asyncio.Runner() as runner:
        serving, url = runner.run(_serve(app))
        kubeconfig = tmp_path_factory.mktemp("fuzzed") / "kubeconfig"
        kubeconfig.write_text(kubeconfig_document(url, b"", TOKEN))
        kubeconfig.chmod(0o600)
        fuzzed = Fuzzed(gate_of(kubeconfig), runner, lambda: len(received))
        yield fuzzed
        cluster.hub.close()
        runner.run(fuzzed.gate.tools.close())
        runner.run(serving.cleanup())


async def _serve(app: web.Application) -> tuple[web.AppRunner, str]:
    serving = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
    await serving.setup()
    await web.TCPSite(serving, "127.0.0.1", 0).start()
    return serving, f"http://127.0.0.1:{serving.addresses[0][1]}"


def gate_of(kubeconfig: Path) -> ToolGate:
    environment = {name: value for name, value in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"}
    policy = ServerPolicy(enable_exec=True, approval="client")
    return ToolClient(environment | {"KUBECONFIG": str(kubeconfig)}, policy=policy).gate()


@pytest.fixture(scope="module")
def real(control_plane: ControlPlane) -> Iterator[Fuzzed]:
    control_plane.create_namespace(NAMESPACE)
    for kind, name in (("configmaps", "ordinary"), ("serviceaccounts", "ordinary")):
        control_plane.api.post(f"/api/v1/namespaces/{NAMESPACE}/{kind}", {"metadata": {"name": name}})
    gate = gate_of(control_plane.kubeconfig)
    with asyncio.Runner() as runner:
        yield Fuzzed(gate, runner, lambda: sum(sum(api.usage.requests.values()) for api in gate.tools.clusters.used().values()))
        runner.run(gate.tools.close())
    control_plane.delete_namespace(NAMESPACE)


ABOUT = {
    "k8s_get_pod_logs": ("pods",), "k8s_exec": ("pods",), "k8s_node": ("nodes",), "k8s_inspect_secret": ("secrets",),
    "k8s_scale": ("deployments.apps", "statefulsets.apps"), "k8s_rollout": ("deployments.apps", "statefulsets.apps"),
    "k8s_rollout_status": ("deployments.apps", "daemonsets.apps"),
    "k8s_patch_resource": ("deployments.apps", "pods", "configmaps"),
}  # fmt: skip
"""What these tools are about; the others are about any kind."""
SHORT_WAITS = {"wait_seconds": 0.05, "linger_seconds": 0.05}
"""Waiting is what these ask for; a call that waits for a minute as told has not hung."""


def hints(context: str) -> Hints:
    likely = LIKELY | {"context": ("", "", context, "nothing"), "kind": KINDS, "kinds": tuple([kind] for kind in KINDS)}
    waits = {name: st.floats(0, most) for name, most in SHORT_WAITS.items()}
    return {name: st.sampled_from(values) for name, values in likely.items()} | waits


def objects_of(cluster: SimulatedCluster) -> list[dict[str, str]]:
    """What there is in the cluster, as arguments: some of each kind."""
    found = []
    for resource in cluster.table.all:
        for stored in cluster.store.snapshot(resource)[:3]:
            metadata = stored.obj["metadata"]
            found.append({"kind": resource.key, "name": metadata["name"], "namespace": metadata.get("namespace", "")})
    return found


def given_to(tool: ToolDeclaration, context: str, objects: list[dict[str, str]]) -> Values:
    """Arguments that fit the schema. Every second time they are about an object that there is, and all but few are left out:
    with all of them drawn, one that is refused hides what the others do."""
    known = hints(context)
    properties = {name: fitting(one, known, name) for name, one in tool.arguments.items()}
    properties |= {name: known[name] for name in SHORT_WAITS if name in tool.arguments}
    required = {name: known.get(name, properties[name]) for name in tool.required}
    anything_goes = st.fixed_dictionaries(
        {name: properties[name] for name in tool.required},
        optional={name: one for name, one in properties.items() if name not in required},
    )
    kinds = ABOUT.get(tool.name)
    suited = [one for one in objects if kinds is None or one["kind"] in kinds] if "name" in tool.arguments else []

    @st.composite
    def few(draw: st.DrawFn) -> dict[str, Any]:
        arguments = {name: draw(one) for name, one in required.items()} | draw(st.sampled_from(suited or [{}]))
        for name in draw(st.lists(st.sampled_from(sorted(properties) or [""]), max_size=2)):
            arguments |= {name: draw(properties[name])} if name else {}
        return {name: value for name, value in arguments.items() if name in properties}

    made = st.one_of(anything_goes, few())
    return made if tool.read_only else made.map(lambda arguments: arguments | {"dry_run": True})


def must_be_foreseen(tool: ToolDeclaration, arguments: dict[str, Any], result: CallToolResult) -> None:
    """What holds for the answer of every call."""
    text = text_of(result)
    assert "failed unexpectedly" not in text, text
    assert "a defect of this tool" not in text, text
    controls = [char for char in text if ord(char) < 32 and char not in ALLOWED_CONTROLS]
    assert not controls, "control characters reach the client"
    result.model_dump_json(by_alias=True)  # it can be sent
    if result.is_error:
        told_error(result)
    elif tool.output is not None:
        Draft202012Validator(tool.output).validate(result.structured_content)
    if tool.bulk:
        assert len(text.encode()) <= allowed_bytes(arguments)
    else:
        allowed = max(arguments.get("max_tokens", DEFAULT_TOKENS), SMALLEST_BUDGET)
        assert answer_tokens(ToolAnswer(text, result.structured_content)) <= allowed


def allowed_bytes(arguments: dict[str, Any]) -> int:
    """For programs: as many as they allow, and a few for each thing that they ask for."""
    asked = sum(len(value) for value in arguments.values() if isinstance(value, list))
    said_back = 6 * len(json.dumps(arguments))
    return int(arguments.get("max_bytes", DEFAULT_BYTES)) + 1000 * asked + said_back


@BY_TOOL
@given(data=st.data())
@examples(10)
def test_arguments_that_fit_are_answered_in_bounds_or_refused_with_a_reason(
    name: str, demo: Fuzzed, cluster: SimulatedCluster, data: st.DataObject
) -> None:
    tool = TOOLS[name]
    arguments = data.draw(given_to(tool, CONTEXT, objects_of(cluster)).map(Drawn)).arguments
    revision = cluster.store.revision
    result = demo.call(tool, arguments)
    must_be_foreseen(tool, arguments, result)
    assert cannot_be_sent(arguments) or not text_of(result).endswith("Nothing was called."), text_of(result)
    assert cluster.store.revision == revision, "a dry run has changed the cluster"


@BY_TOOL
@given(data=st.data())
@examples(30)
def test_arguments_that_do_not_fit_are_refused_before_anything_is_asked(name: str, demo: Fuzzed, data: st.DataObject) -> None:
    tool = TOOLS[name]
    arguments = data.draw(broken_record(tool.input_schema, hints(CONTEXT)).map(Drawn)).arguments
    before = demo.asked()
    result = demo.call(tool, arguments)
    assert result.is_error, text_of(result)
    assert told_error(result)["type"] == "InvalidArguments", text_of(result)
    assert demo.asked() == before, "a request was made"
    must_be_foreseen(tool, {}, result)


@pytest.mark.parametrize("name", ON_A_REAL_SERVER)
@given(data=st.data())
@examples(5)
def test_a_real_api_server_gets_nothing_that_we_cannot_answer_for(
    name: str, real: Fuzzed, control_plane: ControlPlane, data: st.DataObject
) -> None:
    tool = TOOLS[name]
    arguments = data.draw(given_to(tool, control_plane.context, REAL_OBJECTS).map(Drawn)).arguments
    must_be_foreseen(tool, arguments, real.call(tool, arguments))


def test_a_keyword_that_the_strategies_do_not_know_is_an_error() -> None:
    with pytest.raises(NotImplementedError, match="minLength"):
        fitting({"type": "string", "minLength": 1, "maxLength": 2}, {})
