"""k8s_explain: fields from the API server's own schemas, of built-in and of custom kinds, inside a budget."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from controlplane.polling import wait_until
from custom_resources import definition, installed
from kinds.registry import KINDS
from mcp_tools.answer_budget import answer_tokens
from mcp_tools.k8s_api import Clusters
from mcp_tools.openapi_schemas import KEPT_SECONDS, OpenApiSchemas
from mcp_tools.schema_fields import fields_of, tree
from mcp_tools.tool_declaration import ToolAnswer
from server_fixtures import ToolClient, text_of

GROUP = "explain.example.com"


@pytest.fixture(scope="module")
def widgets(control_plane: ControlPlane) -> Iterator[None]:
    spec = {
        "type": "object",
        "required": ["size"],
        "properties": {
            "size": {"type": "string", "enum": ["small", "large"], "description": "How large.\nAdmin password=cnry-explain-1"},
            "ports": {"type": "array", "items": {"type": "object", "properties": {"number": {"type": "integer"}}}},
            "limits": {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True}},
        },
    }
    one = definition("widgets", GROUP, "Widget")
    one["spec"]["versions"][0]["schema"] = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    with installed(control_plane.api, one):
        wait_until(lambda: f"apis/{GROUP}/v1" in str(control_plane.api.get("/openapi/v3")), "its schema to be published")
        yield


def by_name(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in answer["fields"]}


def test_one_level_is_told_with_types_and_what_is_required(tools: ToolClient) -> None:
    answer = tools("k8s_explain", path="pods.spec.containers")
    fields = by_name(answer)
    assert (answer["kind"], answer["api_version"], answer["type"]) == ("Pod", "v1", "[]Container")
    assert fields["name"]["required"]
    assert not fields["image"]["required"]
    assert (fields["ports"]["type"], fields["env"]["type"], fields["tty"]["type"]) == ("[]ContainerPort", "[]EnvVar", "boolean")
    assert "Container image name" in fields["image"]["description"]
    assert answer["shown"] == answer["total"] == len(fields) > 20


@pytest.mark.parametrize(
    ("path", "type_", "some"),
    [
        ("pods", "Pod", {"spec": "PodSpec", "metadata": "ObjectMeta"}),
        ("deploy.spec", "DeploymentSpec", {"replicas": "integer", "template": "PodTemplateSpec"}),
        ("deployments.apps.spec.strategy.rollingUpdate", "RollingUpdateDeployment", {"maxSurge": "IntOrString"}),
        ("pods.spec.containers[0].resources", "ResourceRequirements", {"limits": "map[string]Quantity"}),
        ("Ingress.spec.rules[].http.paths", "[]HTTPIngressPath", {"pathType": "string"}),
        ("configmaps.data.anything", "string", {}),
        ("pods.metadata.creationTimestamp", "Time", {}),
        ("pods.spec.restartPolicy", "string", {}),
    ],
)
def test_paths_are_followed_as_kubectl_follows_them(tools: ToolClient, path: str, type_: str, some: dict[str, str]) -> None:
    answer = tools("k8s_explain", path=path)
    assert answer["type"] == type_
    assert some.items() <= {name: field["type"] for name, field in by_name(answer).items()}.items()
    if not some:
        assert answer["fields"] == []
        assert answer["description"] or path == "configmaps.data.anything"  # the values of a map have no words of their own


def test_a_custom_kind_is_explained_by_its_definition(tools: ToolClient, widgets: None) -> None:
    for path in ("widgets.spec", f"widgets.{GROUP}.spec", "Widget.spec"):
        answer = tools("k8s_explain", path=path)
        fields = by_name(answer)
        assert answer["api_version"] == f"{GROUP}/v1"
        assert fields["size"]["required"]
        assert fields["size"]["values"] == ["small", "large"]
        assert {name: field["type"] for name, field in fields.items()} == {
            "size": "string",
            "ports": "[]object",
            "limits": "map[string]IntOrString",
        }
    assert by_name(tools("k8s_explain", path="widgets.spec.ports"))["number"]["type"] == "integer"


def test_words_of_a_definition_are_redacted_like_everything_else(tools: ToolClient, widgets: None) -> None:
    for path in ("widgets.spec", "widgets.spec.size"):
        said = str(tools.result("k8s_explain", path=path))
        assert "How large." in said
        assert "cnry-explain-1" not in said


def test_all_levels_show_names_and_types(tools: ToolClient, widgets: None) -> None:
    text = text_of(tools.result("k8s_explain", path="widgets.spec", recursive=True))
    assert text.splitlines()[1:] == [
        "limits <map[string]IntOrString>",
        "ports <[]object>",
        "  number <integer>",
        "size <string> required",
    ]


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("max_tokens", [1000, 4000, 20000])
@pytest.mark.parametrize("path", ["pods", "pods.spec", "customresourcedefinitions.spec.versions.schema", "statefulsets"])
def test_an_answer_keeps_its_budget_and_says_what_it_left_out(
    tools: ToolClient, path: str, max_tokens: int, recursive: bool
) -> None:
    result = tools.result("k8s_explain", path=path, recursive=recursive, max_tokens=max_tokens)
    answer = result.structured_content
    assert answer is not None
    tokens = answer_tokens(ToolAnswer(text_of(result), answer))
    assert tokens <= max_tokens or answer["shown"] == 0
    if answer["shown"] < answer["total"]:
        assert f"{answer['shown']} of {answer['total']} fields shown" in answer["note"]
        assert answer["note"] in text_of(result)


def test_a_pods_spec_fits_the_default_budget_with_all_its_fields(tools: ToolClient) -> None:
    answer = tools("k8s_explain", path="pods.spec")
    assert answer["shown"] == answer["total"] > 35
    assert all(field["type"] for field in answer["fields"])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("pods.spec.cotainers", "pods.spec has no field 'cotainers' in v1; it has: .*containers"),
        ("nothings.spec", "unknown kind 'nothings'"),
        ("pods..spec", "has an empty part"),
        ("", "has an empty part"),
        ("../../api/v1/secrets", "has an empty part|unknown kind"),
        ("pods\r\nX-Evil: 1", "unknown kind"),
        ("things.nowhere.example.com.spec", "unknown kind 'things'"),
    ],
)
def test_a_path_that_leads_nowhere_is_an_error_that_says_what_there_is(tools: ToolClient, path: str, words: str) -> None:
    message = tools.error("k8s_explain", path=path)["message"]
    assert re.search(words, message), message
    assert "\r" not in message


def test_documents_are_asked_for_once_in_five_minutes_and_kept_within_a_bound(control_plane: ControlPlane) -> None:
    now = [0.0]

    async def ask() -> tuple[int, int]:
        clusters = Clusters({"KUBECONFIG": str(control_plane.kubeconfig)})
        kept = OpenApiSchemas(clock=lambda: now[0], kept_bytes=1)
        api = clusters.api()
        try:
            first = await kept.of(api, KINDS["deployments"])
            assert await kept.of(api, KINDS["statefulsets"]) is first
            await kept.of(api, KINDS["jobs"])
            sizes = kept.size
            now[0] = KEPT_SECONDS + 1
            assert await kept.of(api, KINDS["deployments"]) is not first
            return first.size, sizes
        finally:
            await clusters.close()

    first, kept = asyncio.run(ask())
    assert 10_000 < first < 2_000_000
    assert kept < first, "the document of apps was dropped for the one of batch"


def test_a_type_inside_itself_ends(control_plane: ControlPlane) -> None:
    async def ask() -> Any:
        clusters = Clusters({"KUBECONFIG": str(control_plane.kubeconfig)})
        try:
            return await OpenApiSchemas().of(clusters.api(), KINDS["customresourcedefinitions"])
        finally:
            await clusters.close()

    schemas = asyncio.run(ask())
    root = schemas.schema(schemas.kinds["CustomResourceDefinition"])
    found = list(tree(schemas, root, levels=30, most=100_000))
    assert 100 < len(found) < 5000
    assert fields_of(schemas, {"$ref": "#/components/schemas/none"}) == []


def test_a_server_without_schemas_is_said_to_have_none(demo_server: Any, tool_client: Any) -> None:
    error = tool_client(demo_server.kubeconfig).error("k8s_explain", path="pods.spec")
    assert error["type"] == "KindNotServed"
    assert "publishes no schema" in error["message"]
