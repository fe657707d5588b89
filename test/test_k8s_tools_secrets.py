"""k8s_inspect_secret: everything that helps about a Secret, and none of its values on any way out."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from certificate_authority import NOW, issue
from configuration.errors import NotPermitted
from controlplane.control_plane import ControlPlane
from controlplane.users import rule
from mcp_tools.answer_budget import answer_tokens
from mcp_tools.k8s_api import JSON, TABLE, Clusters
from mcp_tools.k8s_tools.secrets import inspect_secret
from mcp_tools.redaction import Redactor
from mcp_tools.secret_access import SecretAccess
from mcp_tools.tool_declaration import ToolAnswer, ToolContext
from scripted_api import scripted_api
from secret_canaries import leaks
from server_fixtures import KEY, ToolClient, text_of
from test_k8s_tools_canaries import NoRedactor

NAMESPACE = "inspect-secret"
ROOT = issue("root", authority=True, days=3650)
OTHER_ROOT = issue("root", authority=True)
LEAF = issue("web", ROOT, names=("web.example",), days=20)
OTHER = issue("other", ROOT)
PASSWORD = "cnry-inspect-password-1"
LOGIN = base64.b64encode(b"bob:cnry-inspect-login-2").decode()
DOCKER = json.dumps({"auths": {"https://bob:cnry-inspect-url-3@registry.example/v1/": {"auth": LOGIN}}})
JSON_SECRET = json.dumps({"cnry-inspect-name-4": "cnry-inspect-member-5"})
KEY_LINE = LEAF.key_pem().splitlines()[1]
VALUES = [PASSWORD, LOGIN, "cnry-inspect-login-2", "cnry-inspect-url-3", "cnry-inspect-name-4", "cnry-inspect-member-5", KEY_LINE]


def encoded(**values: str) -> dict[str, str]:
    return {key.replace("__", "."): base64.b64encode(value.encode()).decode() for key, value in values.items()}


@pytest.fixture(scope="module")
def planted(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    control_plane.create_namespace(NAMESPACE)
    tls = "kubernetes.io/tls"
    secrets = {
        "mixed": ("Opaque", encoded(password=PASSWORD + "\n", same=PASSWORD + "\n", other="x", config__json=JSON_SECRET)),
        "good": (tls, encoded(tls__crt=LEAF.pem, tls__key=LEAF.key_pem(), ca__crt=ROOT.pem)),
        "wrong-key": (tls, encoded(tls__crt=LEAF.pem, tls__key=OTHER.key_pem())),
        "wrong-ca": (tls, encoded(tls__crt=LEAF.pem, tls__key=LEAF.key_pem(), ca__crt=OTHER_ROOT.pem)),
        "registry": ("kubernetes.io/dockerconfigjson", {".dockerconfigjson": base64.b64encode(DOCKER.encode()).decode()}),
        "bundle": ("Opaque", encoded(roots=ROOT.pem * 150)),
        "many": ("Opaque", encoded(**{f"k{number}": str(number) for number in range(500)})),
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets"
    for name, (type_, data) in secrets.items():
        control_plane.api.post(path, {"metadata": {"name": name}, "type": type_, "data": data})
    control_plane.kubectl(
        "apply", "-n", NAMESPACE, "-f", "-",
        stdin=json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "applied"}, "stringData": {"p": PASSWORD}}),
    )  # fmt: skip
    yield control_plane
    control_plane.delete_namespace(NAMESPACE)


@pytest.fixture
def at_noon(planted: ControlPlane) -> Callable[[str], dict[str, Any]]:
    """The tool at the certificates' own time."""

    def call(name: str) -> dict[str, Any]:
        async def run() -> ToolAnswer:
            clusters = Clusters({"KUBECONFIG": str(planted.kubeconfig)})
            tools = ToolContext(clusters, Redactor(KEY), clock=NOW.timestamp)
            try:
                return await inspect_secret.run(tools, name=name, namespace=NAMESPACE)
            finally:
                await tools.close()

        answer = asyncio.run(run())
        assert answer.structured is not None
        return answer.structured | {"text": answer.text}

    return call


def by_key(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in answer["keys"]}


def test_keys_are_told_with_size_fingerprint_and_kind(tools: ToolClient, planted: ControlPlane) -> None:
    answer = tools("k8s_inspect_secret", name="mixed", namespace=NAMESPACE)
    rows = by_key(answer)
    assert rows["password"]["bytes"] == len(PASSWORD) + 1
    assert rows["password"]["notes"] == ["ends in a line break"]
    assert rows["config.json"]["content"] == "JSON object"
    assert rows["password"]["fingerprint"] == rows["same"]["fingerprint"] != rows["other"]["fingerprint"]
    assert (answer["type"], answer["immutable"], answer["key_matches"], answer["chain"]) == ("Opaque", False, None, "")


def test_a_fingerprint_is_that_of_the_same_value_elsewhere(tools: ToolClient, planted: ControlPlane) -> None:
    planted.api.post(
        f"/api/v1/namespaces/{NAMESPACE}/configmaps", {"metadata": {"name": "copy"}, "data": {"password": "cnry-same-value"}}
    )
    planted.api.post(
        f"/api/v1/namespaces/{NAMESPACE}/secrets", {"metadata": {"name": "copy"}, "data": encoded(p="cnry-same-value")}
    )
    mark = tools("k8s_get_resource", kind="configmaps", name="copy", namespace=NAMESPACE)["manifest"]["data"]["password"]
    (row,) = tools("k8s_inspect_secret", name="copy", namespace=NAMESPACE)["keys"]
    assert mark == f"‹redacted:{row['fingerprint']}›"


def test_a_certificate_is_told_with_its_chain_its_key_and_when_it_ends(at_noon: Callable[[str], dict[str, Any]]) -> None:
    answer = at_noon("good")
    first = answer["certificates"][0]
    assert (first["key"], first["subject"], first["issuer"], first["names"]) == (
        "tls.crt",
        "CN=web",
        "CN=root",
        ["DNS:web.example"],
    )
    assert (first["not_after"], first["days_left"]) == ("2026-06-21T00:00:00Z", 20)
    assert answer["key_matches"] is True
    assert answer["chain"] == "1 certificate; the last is signed by one in ca.crt"
    assert answer["findings"] == ["CN=web in tls.crt expires in 20 days"]
    assert "fits the certificate" in answer["text"]


def test_a_key_of_another_certificate_is_found(at_noon: Callable[[str], dict[str, Any]]) -> None:
    answer = at_noon("wrong-key")
    assert answer["key_matches"] is False
    assert answer["findings"][0] == "the private key does not fit the certificate"


def test_an_authority_of_the_same_name_that_did_not_sign_is_found(at_noon: Callable[[str], dict[str, Any]]) -> None:
    assert "ca.crt did not sign the certificate" in at_noon("wrong-ca")["findings"]


def test_an_expired_certificate_is_found(tools: ToolClient, planted: ControlPlane) -> None:
    """By the server's own clock: it is later than the certificate's end."""
    (finding,) = tools("k8s_inspect_secret", name="good", namespace=NAMESPACE)["findings"]
    assert finding.startswith("CN=web in tls.crt expired ")


def test_of_a_registry_login_the_host_is_told(tools: ToolClient, planted: ControlPlane) -> None:
    (row,) = tools("k8s_inspect_secret", name="registry", namespace=NAMESPACE)["keys"]
    assert (row["content"], row["registries"]) == ("docker configuration", ["registry.example"])
    assert "notes" not in row


@pytest.mark.parametrize("name", ["bundle", "many", "mixed"])
@pytest.mark.parametrize("max_tokens", [1000, 4000])
def test_a_large_secret_keeps_the_budget(tools: ToolClient, planted: ControlPlane, name: str, max_tokens: int) -> None:
    result = tools.result("k8s_inspect_secret", name=name, namespace=NAMESPACE, max_tokens=max_tokens)
    answer = result.structured_content
    assert answer is not None
    assert answer_tokens(ToolAnswer(text_of(result), answer)) <= max_tokens
    if name != "mixed":
        assert " certificates shown; raise max_tokens" in answer["note"]
        assert answer["note"] in text_of(result)


@pytest.mark.parametrize("redactor", [Redactor(KEY), NoRedactor()], ids=["redacting", "not redacting"])
def test_no_value_leaves_on_any_way(
    planted: ControlPlane, tool_client: Callable[..., ToolClient], redactor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even without the redactor: it gives the fingerprints, it is not what keeps the values back."""
    caplog.set_level(logging.DEBUG)
    tools = tool_client(planted.kubeconfig, redactor=redactor)
    said = ""
    for name in ("mixed", "good", "wrong-key", "registry", "applied", "nothing", PASSWORD):
        result = tools.result("k8s_inspect_secret", name=name, namespace=NAMESPACE)
        if name != PASSWORD:
            said += json.dumps(result.structured_content, ensure_ascii=False) + text_of(result)
    said += caplog.text
    assert "registry.example" in said
    assert [form for value in VALUES for form in leaks(said, value)] == []


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "Pod", "data": {"a": "Y25yeS1vZGQtOQ=="}},
        {"kind": "Secret", "data": ["cnry-odd-9"]},
        {"kind": "Secret", "data": "cnry-odd-9"},
        ["cnry-odd-9"],
        "cnry-odd-9",
    ],
)
def test_an_odd_answer_is_an_error_that_quotes_nothing(
    tmp_path: Path, tool_client: Callable[..., ToolClient], body: object
) -> None:
    with scripted_api(objects={"/api/v1/namespaces/y/secrets/x": body}) as api:
        error = tool_client(api.kubeconfig(tmp_path)).error("k8s_inspect_secret", name="x", namespace="y")
    assert "is not a Secret" in error["message"]
    assert not leaks(str(error), "cnry-odd-9")


def test_who_may_not_read_the_secret_is_told_so(planted: ControlPlane, tool_client: Callable[..., ToolClient]) -> None:
    user = planted.users.create(NAMESPACE, "lister", rules=[rule("configmaps")])
    error = tool_client(user.kubeconfig).error("k8s_inspect_secret", name="good", namespace=NAMESPACE)
    assert error["type"] == "NotPermitted"
    assert "read Secret inspect-secret/good" in error["message"]


# --- nobody else ---


@pytest.mark.parametrize("why", SecretAccess)
@pytest.mark.parametrize(
    ("path", "query", "accept"),
    [
        ("/api/v1/secrets", (), JSON),
        ("/api/v1/namespaces/x/secrets", (), JSON),
        ("/api/v1/namespaces/x/secrets/", (), JSON),
        ("/api/v1/namespaces/x/secrets/s/status", (), JSON),
        ("/api/v1/namespaces/x/secrets/s/../t", (), JSON),
        ("/api/v1/namespaces/x/secrets/s%2F", (), JSON),
        ("/api/v1/namespaces/x/secrets/s\n", (), JSON),
        ("/api/v1/watch/namespaces/x/secrets/s", (), JSON),
        ("/api/v1/namespaces/x/secrets/s", (("watch", "true"),), JSON),
        ("/api/v1/namespaces/x/secrets/s", (), "application/yaml"),
        ("/apis/example.org/v1/namespaces/x/secrets/s", (), JSON),
        ("/api/v1/namespaces/x/services/s/proxy/secrets/s", (), JSON),
    ],
)
def test_a_stated_reason_opens_one_secret_by_its_name_and_nothing_else(
    tmp_path: Path, control_plane: ControlPlane, why: SecretAccess, path: str, query: Any, accept: str
) -> None:
    api = Clusters({"KUBECONFIG": str(control_plane.kubeconfig)}).api()
    with pytest.raises(NotPermitted, match="never fetches the payload of Secrets"):
        asyncio.run(api.get(path, doing="read", query=query, accept=accept, secret=why))
    assert TABLE != JSON


def test_the_reason_of_a_release_opens_releases_only() -> None:
    path = "/api/v1/namespaces/x/secrets/"
    assert SecretAccess.RELEASE.covers(f"{path}sh.helm.release.v1.shop.v1", (), JSON)
    assert not SecretAccess.RELEASE.covers(f"{path}password", (), JSON)
    assert SecretAccess.INSPECT.covers(f"{path}password", (), JSON)


READERS = {
    "mcp_tools/secret_access.py": "declares it",
    "mcp_tools/k8s_api.py": "asks it",
    "mcp_tools/secret_payloads.py": "hands it on",
    "mcp_tools/k8s_tools/secrets.py": "shows no values",
    "mcp_tools/helm_releases.py": "reads releases, which are redacted",
    "mcp_tools/helm_drift.py": "compares what is redacted",
}


def test_only_the_readers_on_the_list_can_ask_for_a_payload() -> None:
    """Whoever wants to read Secrets has to import the reason, or the module that uses it: these do, and nobody else."""
    source = Path(__file__).parents[1] / "src"
    wanted = re.compile(r"\b(?:secret_access|secret_payloads|SecretAccess)\b|\bread_secret")
    texts = {file: file.read_text() for file in source.rglob("*.py")}
    found = {file.relative_to(source).as_posix() for file, text in texts.items() if wanted.search(text)}
    assert found == set(READERS)
