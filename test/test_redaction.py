"""The redactor on its own: what must vanish, what must stay, and the marks."""

from __future__ import annotations

import base64
import copy
import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from configuration.errors import ConfigurationError, InvalidArguments
from mcp_tools.error_answers import described
from mcp_tools.redaction import MARK, Redactor, contains_mark
from mcp_tools.redaction_key import read_or_create_key
from mcp_tools.secret_names import is_secret_name, may_name_secrets
from secret_canaries import OBJECT_FORMS, TEXT_FORMS, Canary, leaks

REDACTOR = Redactor(bytes(range(32)))
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def redacted(obj: dict[str, object]) -> str:
    return json.dumps(Redactor(bytes(range(32))).redact_object(copy.deepcopy(obj)), ensure_ascii=False)


@pytest.mark.parametrize("canary", TEXT_FORMS, ids=lambda canary: canary.form)
def test_a_secret_in_text_is_marked(canary: Canary) -> None:
    assert (
        leaks(canary.text, canary.value)
        or "base64" in canary.form
        or canary.form in ("basic", "docker config", "percent-encoded", "percent-encoded beside a token")
    )
    output = REDACTOR.redact_text(canary.text)
    assert leaks(output, canary.value) == []
    assert MARK.search(output)


@pytest.mark.parametrize("canary", TEXT_FORMS, ids=lambda canary: canary.form)
def test_a_secret_in_a_string_of_any_object_is_marked(canary: Canary) -> None:
    obj = {
        "kind": "Widget",
        "metadata": {"name": "w", "annotations": {"example.com/note": canary.text}},
        "spec": {"script": canary.text, "lines": ["echo", canary.text], "config": json.dumps({"inner": canary.text})},
        "data": {"app.conf": f"# settings\nport=80\n{canary.text}\n"},
        "status": {"conditions": [{"type": "Ready", "message": f"failed:\n{canary.text}"}]},
    }
    assert leaks(redacted(obj), canary.value) == []


@pytest.mark.parametrize("canary", TEXT_FORMS, ids=lambda canary: canary.form)
def test_redacting_twice_changes_nothing_more(canary: Canary) -> None:
    once = REDACTOR.redact_text(canary.text)
    assert REDACTOR.redact_text(once) == once


ORDINARY_TEXT = (
    "registry.example/team/app@sha256:" + "3f2a" * 16,
    "sha256:" + "0b1c" * 16,
    "0f1e2d3c-1234-4567-89ab-0123456789ab",
    "containerd://" + "9a8b" * 16,
    "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "d41d8cd98f00b204e9800998ecf8427e  file.txt",
    "Back-off restarting failed container app in pod web-5d9c7b-x2x4z_shop(0f1e2d3c-1234-4567-89ab-0123456789ab)",
    'Readiness probe failed: Get "http://10.0.0.1:8080/healthz": dial tcp 10.0.0.1:8080: connect: connection refused',
    'MountVolume.SetUp failed for volume "kube-api-access-x" : secret "registry-login" not found',
    'Failed to pull image "registry.example/team/app:v1.2.3": rpc error: code = NotFound',
    "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }",
    "git@git.example:team/app.git",
    "https://git@git.example/team/app.git",
    "https://shop.example:8443/path?mail=bob@shop.example",
    "bob@shop.example",
    "tokens used: 120, max_tokens=4096",
    "password is not set",
    "password authentication failed for user bob",
    "tokenExpirationSeconds: 3607",
    "secretName: registry-login",
    "--tls-private-key-file=/etc/tls/tls.key",
    "--service-account-key-file /etc/sa.pub",
    "password: $(DB_PASSWORD)",
    "export TOKEN=${TOKEN}",
    "2026-01-02T03:04:05.678Z INFO started in 3.2s",
    "/usr/local/lib/python3.11/site-packages/requests/adapters.py",
    "io.k8s.api.core.v1.PodSpec",
    "basic authentication is disabled",
    "The bearer of this certificate",
    "--authentication-kubeconfig=/etc/kubernetes/scheduler.conf",
    "authorization:\n  mode: Webhook\nrotateCertificates: true",
    "authorization:\n  credentials_file: /etc/token",
    "secrets:\n- name: registry-login",
    "\x1b[32mINFO\x1b[0m ready\r\n",
    "auth: oidc",
    "authorization: Webhook",
    "--auth basic",
    "The token is rotated daily by the controller.",
    "when an ExternalSecret is deleted",
    "basicAuth defines the Basic Authentication credentials used by the client",
    'Successfully pulled image "ghcr.example/team/vault-secrets-webhook:v1.2.3" in 2.1s',
    'Get "https://secret-store.vault.svc:8443/healthz": context deadline exceeded',
    "lookup vault-token.shop.svc:8200 on 10.96.0.10:53: no such host",
    "--initial-cluster-token etcd-cluster-1",
    "redis-cli -p 26379 sentinel reset shop",
    "--requirepass $(REDIS_PASSWORD)",
    "PASSWORD=$(cat /run/secrets/password)",
    "clientSecret: $oidc.example.clientSecret",
    "password: {{ .Values.password }}",
    "user:bob@example.com",
    "image app:v1@sha256:" + "0b1c" * 16,
    "from:bob@example.com",
    "00:11:22:33:44:55",
    "time_key time",
    "password ''",
    "password required",
    "token expired",
    "secret mounted\ntoken refreshed\npassword changed",
    "<match **>\n  @type es\n</match>\ntoken expired",
    "[OUTPUT]\n  HTTP_Passwd ${ES_PASSWORD}\n  AWS_Auth On\n  Kube_Token_File /run/token",
    "<match **>\n  password \"#{ENV['ES_PASSWORD']}\"\n</match>",
    "Secret MyApp\nToken TokenReview\nauth SHA512\nsecret-store v1.2.3\nvault-secrets 0.5.1-rc.2\ndb-password 3d20h",
    "proxy_pass app1_backend2;\nauth_request /auth2;\nexternal-secrets ghcr.example/team/app:v1.2",
    "token issued=5m3s\npassword attempt: 3rd",
    "<name>db-password</name><description>a1</description>\n<other><value>b2</value></other>",
    "<property><name>shop.token.ttl</name><value>b2c3d4</value></property>",
    "metadata:\n  name: db-password\nspec:\n  value: b2c3d4\n",
    "- value: b2c3d4\n  other: x\n- name: DB_PASSWORD\n  valueFrom: {}\n",
    'saw {"value":"b2c3d4"},{"name":"DB_PASSWORD"}',
    'saw {"op":"replace","path":"/spec/passwordSecretName","value":"shop-db2"}',
    "- key: token\n  operator: In\n  values: [b2c3d4]\n",
)


@pytest.mark.parametrize(
    "obj",
    [
        {"metadata": {"annotations": {"nginx.ingress.kubernetes.io/auth-secret": "shop/basic-auth"}}},
        {"metadata": {"annotations": {"vault.hashicorp.com/agent-inject-secret-db": "secret/data/shop/db"}}},
        {"metadata": {"annotations": {"secret.reloader.example.com/reload": "shop-db,shop-tls"}}},
        {"spec": {"data": [{"secretKey": "password", "remoteRef": {"key": "shop/db", "property": "password"}}]}},
        {"spec": {"credentials": {"secretName": "shop-db", "key": "password", "name": "db", "optional": True}}},
        {"spec": {"password": {"valueFrom": {"secretKeyRef": {"name": "shop-db", "key": "password"}}}}},
        {"spec": {"auth": {"existingSecret": "shop-db", "secretKeys": {"userPasswordKey": "user-password"}}}},
        {"spec": {"apiTokenSecretRef": {"name": "dns", "key": "api-token"}}},
        {"spec": {"tokenRequests": [{"audience": "vault", "expirationSeconds": 600}]}},
        {"spec": {"privateKey": {"algorithm": "ECDSA", "rotationPolicy": "Always", "encoding": "PKCS1", "size": 256}}},
        {"spec": {"external-secrets": {"image": {"tag": "v1"}, "serviceAccount": {"create": "yes", "name": "eso"}}}},
        {"spec": {"provider": {"gcpSecretsManager": {"projectID": "shop-1"}}}},
        {"spec": {"secrets": [{"name": "registry-login"}, {"name": "shop-db"}]}},
        {"spec": {"auth": "oidc", "authentication": {"type": "basic"}}},
        {"spec": {"image": "registry.example/team/external-secrets:v0.9.1"}},
        {
            "spec": {
                "openAPIV3Schema": {
                    "properties": {
                        "password": {"type": "string", "description": "The password is read from a Secret."},
                        "credentials": {
                            "type": "object",
                            "properties": {"key": {"type": "string", "description": "Of the Secret."}},
                        },
                        "env": {"type": "array", "description": "Variables."},
                    }
                }
            }
        },
    ],
    ids=lambda obj: json.dumps(obj)[10:60],
)
def test_what_only_refers_to_a_secret_stays_readable(obj: dict[str, object]) -> None:
    assert json.loads(redacted({"kind": "Widget", **obj})) == {"kind": "Widget", **obj}


def test_a_default_in_a_schema_is_marked_under_a_secret_name() -> None:
    schema = {"properties": {"password": {"type": "string", "default": "cnry-default"}, "mode": {"default": "fast"}}}
    output = redacted({"kind": "CustomResourceDefinition", "spec": {"openAPIV3Schema": schema}})
    assert "cnry-default" not in output
    assert "fast" in output


SECRET_WORDS = (
    "passwd", "passphrase", "passcode", "pwd", "secret", "token", "credential", "apikey", "privatekey", "masterkey",
    "connectionstring", "connstring", "dockerconfig", "dockercfg", "htpasswd", "authorization", "masterauth", "requirepass",
    "pass", "pw", "creds", "cred", "auth", "cookie", "jwt", "otp", "psk", "pin", "bearer", "sas", "pat", "kubeconfig",
    "secret_id", "x.key", "x.p12", "x.jks", "x.kdbx", "x.ovpn", "x_rsa", "x_ed25519", "id_dsa", "netrc", "userlist.txt",
)  # fmt: skip
BETWEEN = st.sampled_from(["", "", "", "", "_", "-", ".", "/", " ", "$", "é", "İ", "\ud800"])


@st.composite
def spelt(draw: st.DrawFn) -> str:
    """A word that makes a name secret, with any capitals, anything between its letters, and other letters around it."""
    letters = [draw(BETWEEN) + (char.upper() if draw(st.booleans()) else char) for char in draw(st.sampled_from(SECRET_WORDS))]
    return draw(st.sampled_from(["", "db", "db_", "X"])) + "".join(letters) + draw(st.sampled_from(["", "2", "_DATA", "X", "é"]))


@given(
    st.text(alphabet="abcdefghikmnopqrstuwyACKPST_-.jJ1/ ", max_size=24)
    | st.sampled_from(SECRET_WORDS).map(str.upper)
    | st.sampled_from(SECRET_WORDS).map(str.title)
    | spelt()
)
@example("P_wd")
@example("x_r\u017fa")
@settings(max_examples=500, deadline=None)
def test_the_cheap_test_for_names_misses_no_secret_name(name: str) -> None:
    if is_secret_name(name):
        assert may_name_secrets(name)
        assert may_name_secrets(f"ordinary: {name} = 1")


@pytest.mark.parametrize("word", SECRET_WORDS)
def test_each_word_that_makes_a_name_secret_is_found_by_both_tests(word: str) -> None:
    for name in (word, word.title()):
        assert is_secret_name(name)
        assert may_name_secrets(name)


@pytest.mark.parametrize("text", ORDINARY_TEXT)
def test_ordinary_text_stays_readable(text: str) -> None:
    assert REDACTOR.redact_text(text) == text
    assert Redactor(b"k" * 32).redact_object({"kind": "Event", "message": text})["message"] == text


ORDINARY_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web-5d9c7b-x2x4z",
        "uid": "0f1e2d3c-1234-4567-89ab-0123456789ab",
        "resourceVersion": "123456",
        "labels": {"app": "web", "pod-template-hash": "5d9c7b", "secret-reader": "yes"},
        "annotations": {"checksum/secret": "ab12" * 16, "prometheus.io/scrape": "true", "cni.example/ips": '["10.0.0.1"]'},
    },
    "spec": {
        "automountServiceAccountToken": False,
        "imagePullSecrets": [{"name": "registry-login"}],
        "volumes": [
            {"name": "tls", "secret": {"secretName": "web-tls", "items": [{"key": "tls.crt", "path": "tls.crt"}]}},
            {"name": "api", "projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}]}},
        ],
        "containers": [
            {
                "name": "app",
                "image": "registry.example/web@sha256:" + "3f2a" * 16,
                "args": ["--listen=:8080", "--log-level", "info"],
                "env": [
                    {"name": "LOG_LEVEL", "value": "debug"},
                    {"name": "REPLICAS", "value": "3"},
                    {"name": "TIMEOUT", "value": "1m30s"},
                    {"name": "CACHE_SIZE", "value": "512Mi"},
                    {"name": "ENABLED", "value": "true"},
                    {"name": "DB_URL", "value": "$(DB_URL_FROM_SECRET)"},
                    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
                ],
                "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
            }
        ],
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
    },
    "status": {
        "podIP": "10.0.0.1",
        "containerStatuses": [
            {"containerID": "containerd://" + "9a8b" * 16, "imageID": "registry.example/web@sha256:" + "3f2a" * 16}
        ],
    },
}


def test_an_ordinary_pod_comes_out_as_it_went_in() -> None:
    assert json.loads(redacted(ORDINARY_POD)) == ORDINARY_POD


def test_every_value_of_a_secret_is_marked_whatever_its_key() -> None:
    secret = {
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"a": base64.b64encode(b"cnry-data").decode(), "empty": "", "replicas": base64.b64encode(b"3").decode()},
        "stringData": {"b": "cnry-string"},
    }
    output = json.loads(redacted(secret))
    assert all(MARK.fullmatch(value) for field in ("data", "stringData") for value in output[field].values())
    assert list(output["data"]) == ["a", "empty", "replicas"]


@pytest.mark.parametrize("wrap", ["items of a SecretList", "items of a List", "inside another object"])
def test_a_secret_inside_something_else_is_marked(wrap: str) -> None:
    data = {"data": {"a": base64.b64encode(b"cnry-nested").decode()}}
    obj = {
        "items of a SecretList": {"kind": "SecretList", "items": [{"metadata": {"name": "s"}} | data]},
        "items of a List": {"kind": "List", "items": [{"kind": "Secret"} | data]},
        "inside another object": {"kind": "Template", "spec": {"template": {"kind": "Secret"} | data}},
    }[wrap]
    assert leaks(redacted(obj), "cnry-nested") == []


@pytest.mark.parametrize(
    "annotation",
    [
        LAST_APPLIED,
        "objectset.rio.cattle.io/applied",
        "kapp.k14s.io/original",
        "banzaicloud.com/last-applied",
        "kopf.zalando.org/last-handled-configuration",
        "example.com/any-other-copy",
    ],
)
def test_every_copy_of_an_applied_manifest_is_marked_even_when_it_is_cut_off(annotation: str) -> None:
    copy_ = json.dumps({"apiVersion": "v1", "kind": "Secret", "stringData": {"x": "cnry-applied"}})
    obj = {
        "kind": "Widget",
        "metadata": {"annotations": {annotation: copy_}},
        "spec": {"template": {"metadata": {"annotations": {annotation: copy_}}}},
    }
    assert leaks(redacted(obj), "cnry-applied") == []
    if "any-other" not in annotation:
        obj["metadata"]["annotations"][annotation] = copy_[:-3]
        assert leaks(redacted(obj), "cnry-applied") == []


@pytest.mark.parametrize("depth", [300, 900, 100_000])
def test_json_nested_too_deep_to_look_into_costs_its_own_value_only(depth: int) -> None:
    odd = '{"a":' * depth + '{"password":"cnry-deep"}' + "}" * depth
    output = redacted({"kind": "ConfigMap", "data": {"odd": odd, "plain": "readable"}})
    assert "cnry-deep" not in output
    assert "readable" in output


def test_a_packed_annotation_is_marked() -> None:
    import gzip

    packed = base64.b64encode(gzip.compress(b'{"password": "cnry-packed"}', mtime=0)).decode()
    assert packed not in redacted({"kind": "Widget", "metadata": {"annotations": {"example.com/state": packed}}})


@pytest.mark.parametrize(
    ("obj", "value"),
    [
        ({"env": [{"name": "MODE", "value": "cnry-literal"}]}, "cnry-literal"),
        ({"env": [{"name": "DB_PASSWORD", "value": "12345"}]}, "12345"),
        ({"extraEnv": {"MODE": "cnry-literal"}}, "cnry-literal"),
        ({"anything": [{"name": "DB_PASSWORD", "value": "cnry-pair"}]}, "cnry-pair"),
        ({"anything": {"key": "api-token", "value": "cnry-pair"}}, "cnry-pair"),
        ({"httpHeaders": [{"name": "Authorization", "value": "cnry-header"}]}, "cnry-header"),
        ({"password": "cnry-key"}, "cnry-key"),
        ({"password": 12345678}, "12345678"),
        ({"auth": {"adminPassword": "cnry-key"}}, "cnry-key"),
        ({"credentials": {"db": "cnry-member"}}, "cnry-member"),
        ({"tokens": ["cnry-list"]}, "cnry-list"),
        ({"command": ["app", "--api-token", "cnry-flag"]}, "cnry-flag"),
        ({"args": ["--password=cnry-flag"]}, "cnry-flag"),
        ({"note": {LAST_APPLIED: '{"data":{"foo":"cnry-copy"}}'}}, "cnry-copy"),
        ({"command": ["redis-server", "--requirepass", "cnry-flag"]}, "cnry-flag"),
        ({"command": ["mysql", "-uroot", "-pcnry-argument"]}, "cnry-argument"),
        ({"command": ["redis-cli", "-a", "cnry-argument", "ping"]}, "cnry-argument"),
        ({"command": ["curl", "-u", "bob:cnry-argument", "https://x.example"]}, "cnry-argument"),
        ({"password": "‹redacted:0123456789ab›cnry-mark"}, "cnry-mark"),
        ({"credentials": {"db": "‹redacted:cnry-mark"}}, "cnry-mark"),
        ({"x": [{"name": "DB_PASSWORD", "value": "‹redacted:cnry-mark"}]}, "cnry-mark"),
        ({"x": [{"name": "DB_PASSWORD", "value": "cnry-pair postgres://u:p@h/db"}]}, "cnry-pair"),
        ({"x": [{"name": "DB_PASSWORD", "value": 12345678}]}, "12345678"),
        ({"passwords": [12345678]}, "12345678"),
        ({"environmentVariables": [{"name": "MODE", "value": "cnry-literal"}]}, "cnry-literal"),
        ({"data": {"VAULT_SECRET_ID": "cnry-approle"}}, "cnry-approle"),
        (
            {"data": {"secret.json": json.dumps({"kind": "Secret", "data": {"a": base64.b64encode(b"cnry-json").decode()}})}},
            "cnry-json",
        ),
        ({"binaryData": {"blob": base64.b64encode(b"cnry-binary").decode()}}, "cnry-binary"),
        ({"data": {"id_rsa": "cnry-file"}}, "cnry-file"),
        ({"data": {"tls.key": "cnry-file"}}, "cnry-file"),
        ({"data": {"config.json": '{"db":{"password":"cnry-json"}}'}}, "cnry-json"),
        ({"data": {"config.json": '{"env":[{"name":"MODE","value":"cnry-json"}]}'}}, "cnry-json"),
        ({"spec": {"values": {"postgresql": {"auth": {"postgresPassword": "cnry-helm"}}}}}, "cnry-helm"),
    ],
)
def test_a_value_is_marked_for_the_name_it_has_in_the_object(obj: dict[str, object], value: str) -> None:
    output = redacted({"kind": "Widget", **obj})
    assert leaks(output, value) == []
    assert MARK.search(output)


@pytest.mark.parametrize(("fields", "value"), [form[1:] for form in OBJECT_FORMS], ids=[form[0] for form in OBJECT_FORMS])
def test_a_secret_is_marked_wherever_it_hides_in_an_object(fields: dict[str, object], value: str) -> None:
    assert leaks(json.dumps(fields), value) or "blob" in fields
    output = redacted({"kind": "Widget", "spec": fields, "metadata": {"annotations": {"example.com/copy": json.dumps(fields)}}})
    assert leaks(output, value) == []
    assert output.count("redacted:") >= 2


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("dbPassword", True), ("AWS_SECRET_ACCESS_KEY", True), ("tls.key", True), ("client-key-data", True), ("REDIS_PW", True),
        ("clientSecret", True), ("x-api-key", True), ("password_hash", True), (".dockerconfigjson", True), ("PGPASSWORD", True),
        ("secretName", False), ("tokenExpirationSeconds", False), ("checksum/secret", False), ("publicKey", False),
        ("author", False), ("bypass", False), ("monkey", False), ("hotkey", False), ("secretKeyRef", False), ("OLDPWD", False),
        ("service-account.uid", False), ("mapping", False), ("keyFile", False), ("key", False),
    ],
)  # fmt: skip
def test_names_say_whether_their_value_is_secret(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


def test_equal_values_have_equal_marks_and_the_key_decides_them() -> None:
    other = Redactor(b"o" * 32)
    assert REDACTOR.redact_text("password=a1b2") == REDACTOR.redact_text("password=a1b2")
    assert REDACTOR.redact_text("password=a1b2") != REDACTOR.redact_text("password=a1b3")
    assert REDACTOR.redact_text("password=a1b2") != other.redact_text("password=a1b2")
    assert REDACTOR.key_id != other.key_id
    assert REDACTOR.key_id not in REDACTOR.redact_text("password=a1b2")


def test_a_value_has_the_same_mark_whatever_it_looks_like_and_wherever_it_stands() -> None:
    url = "postgres://u:p@h/db"
    env = REDACTOR.redact_object({"env": [{"name": "PASSWORD", "value": url}]})["env"][0]["value"]
    pair = REDACTOR.redact_object({"x": [{"name": "PASSWORD", "value": url}]})["x"][0]["value"]
    assert env == pair == REDACTOR.redact_object({"password": url})["password"]


def test_a_secrets_data_and_the_same_text_elsewhere_have_the_same_mark() -> None:
    data = REDACTOR.redact_object({"kind": "Secret", "data": {"p": base64.b64encode(b"cnry-same").decode()}})["data"]["p"]
    assert REDACTOR.redact_text("password=cnry-same") == f"password={data}"


@pytest.mark.parametrize(
    "value",
    [
        "‹redacted:0123456789ab›",
        "x ‹redacted:0123456789ab› y",
        "\\u2039redacted:0123456789ab\\u203a",
        "%E2%80%B9redacted:0123456789ab%E2%80%BA",
        "<redacted:0123456789ab>",
    ],
)
def test_a_mark_is_found_wherever_and_however_it_is_written(value: str) -> None:
    manifest = {"spec": {"env": [{"name": "A", "value": "ok"}, {"name": "B", "value": value}]}}
    assert contains_mark(manifest) == ["spec.env[1].value"]
    assert contains_mark({value: 1}) == [value]
    assert contains_mark({"a": "the word redacted: is fine"}) == []


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_text_survives_and_redacting_is_stable(text: str) -> None:
    once = REDACTOR.redact_text(text)
    assert REDACTOR.redact_text(once) == once


KEYS = st.sampled_from(["env", "data", "kind", "password", "value", "name", "items"]) | st.text(max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
NESTED = LEAVES | st.lists(LEAVES, max_size=4) | st.dictionaries(KEYS, LEAVES, max_size=4)
JSON = NESTED | st.lists(NESTED, max_size=4) | st.dictionaries(KEYS, NESTED, max_size=4)


@given(st.dictionaries(st.sampled_from(["kind", "data", "metadata", "items", "spec", "stringData"]), JSON, max_size=5))
@settings(max_examples=300, deadline=None)
def test_an_object_of_any_shape_is_survived_with_its_shape_kept(obj: dict[str, object]) -> None:
    output = Redactor(b"k" * 32).redact_object(copy.deepcopy(obj))
    assert list(output) == list(obj)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "a" * 200_000 + "; x=1",
        json.dumps({"blob": "b" * 1_000_000}),
        "a/" * 100_000 + "; x=1",
        "a.b-" * 50_000 + ":x@",
        ("A" * 20 + "\n") * 10_000 + "PRIVATE KEY",
        "mysql " * 40_000 + " -",
        "curl -u " * 30_000,
        "a" * 1_000_000 + "%41",
        "password" * 30_000,
        "x=" * 100_000,
        "eyJ" * 60_000,
        "://" * 60_000,
        "-p" * 90_000,
        '\\"' * 90_000,
        "name: a\n" * 30_000,
        "</a>" * 60_000,
        "%41" * 60_000,
        "-----BEGIN RSA PRIVATE KEY-----" * 6_000,
        "password: |\n " * 15_000,
    ],
    ids=lambda text: ascii(text[:6] + text[-6:]),
)
def test_hostile_text_does_not_hang_the_redactor(text: str) -> None:
    assert isinstance(REDACTOR.redact_text(text), str)


def test_the_key_file_is_made_once_and_only_for_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    key = read_or_create_key(None)
    file = tmp_path / "k8s-mcp" / "redaction.key"
    assert read_or_create_key(file) == key
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["redaction.key"]


def test_a_key_file_in_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file or directory; name a file in a folder"):
        read_or_create_key(tmp_path / "gone" / "redaction.key")
    assert not (tmp_path / "gone").exists()


def test_a_named_key_file_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "redaction.key"
    key = read_or_create_key(file)
    assert len(key) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_or_create_key(file) == key
    assert [path.name for path in file.parent.iterdir()] == ["redaction.key"]


@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [("short", 0o600, "does not hold a key"), ("ab" * 32, 0o644, "chmod 600"), ("", 0o600, "does not hold a key")],
)
def test_a_key_file_that_cannot_be_trusted_is_refused(tmp_path: Path, content: str, mode: int, complaint: str) -> None:
    file = tmp_path / "redaction.key"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match=re.escape(str(file))) as caught:
        read_or_create_key(file)
    assert complaint in str(caught.value)
    assert "ab" * 32 not in str(caught.value)


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:", "x" * 100])
@pytest.mark.parametrize("form", ["‹redacted:0123456789ab›", "<redacted:0123456789ab>", "\\u2039redacted:0123456789ab"])
def test_a_mark_is_found_inside_of_base64_wherever_it_begins(before: str, form: str) -> None:
    encoded = base64.b64encode(f"{before}{form} and more".encode()).decode()
    assert contains_mark({"data": {"password": encoded}}) == ["data.password"]
    assert contains_mark({"data": {"password": f"key: {encoded}"}}) == ["data.password"]
    assert contains_mark({"data": base64.b64encode(f"{before}the word redacted: alone".encode()).decode()}) == []


@pytest.mark.parametrize(
    "written",
    ["redacted:0123456789ab", "[redacted:0123456789ab]", "«redacted:0123456789ab»", "'redacted: 0123456789ab'",
     "&lsaquo;redacted:0123456789ab&rsaquo;", "&#8249;redacted&#58;0123456789ab&#8250;", r"\xe2\x80\xb9redacted:0123456789ab",
     "‹ redacted : 0123456789ab ›", "‹redac\u200bted\u2060:0123\ufeff456789ab›", "REDACTED:0123456789AB",
     "redacted%3A0123456789ab", "{{redacted:0123456789ab}}"],
)  # fmt: skip
def test_a_mark_is_found_whatever_became_of_its_brackets(written: str) -> None:
    assert contains_mark({"data": {"password": written}}) == ["data.password"]
    assert contains_mark({"data": {"password": f"key: {written}, and more"}}) == ["data.password"]


def test_looking_for_marks_takes_a_moment_however_long_the_text_is() -> None:
    assert contains_mark({"data": "QUJD" * 500_000}) == []
    assert contains_mark({"data": base64.b64encode(b"redacted: " * 50_000).decode()}) == []


VALUE = "bare-passphrase-here"
QUOTED_BY_THE_API_SERVER = (
    f'Db "x" is invalid: spec.password: Invalid value: "{VALUE}": should match \'^[a-z]{{30}}$\'',
    f'spec.credentials.password: Unsupported value: "{VALUE}": supported values: "a", "b"',
    f'{{"message":"spec.apiKey: Duplicate value: \\"{VALUE}\\": bad"}}',
    f'spec.password: Invalid value: {{"a":[{{"b":"}}","c":"{VALUE}"}}]}}: field is immutable',
    f'spec.tokens: Invalid value: []string{{"a", "{VALUE}"}}: too many',
    f'spec.password: Too long: "{VALUE}": may not be longer than 5',
    f'Forbidden: core.PodSpec{{Env:[]core.EnvVar{{core.EnvVar{{Name:"GREETING", Value:"{VALUE}", ValueFrom:(nil)}}}}',
    f'spec: Invalid value: {{"containers":[{{"env":[{{"name":"A","value":"1"}},{{"name":"B","value":"{VALUE}"}}]}}]}}',
    f'{{"message":"Invalid value: {{\\"env\\":[{{\\"name\\":\\"A\\",\\"value\\":\\"{VALUE}\\"}}]}}"',
)


@pytest.mark.parametrize("text", QUOTED_BY_THE_API_SERVER)
def test_what_an_api_server_quotes_of_an_object_in_its_complaint_is_marked(text: str) -> None:
    output = REDACTOR.redact_text(text)
    assert VALUE not in output
    assert MARK.search(output)
    assert REDACTOR.redact_text(output) == output


@pytest.mark.parametrize(
    "text",
    [
        "spec.password: Required value: must be set",
        "spec.tokens: Forbidden: field is immutable",
        'metadata.name: Invalid value: "A": must be lower case',
        'EnvVar{Name:"WORKERS", Value:"4"}',
    ],
)
def test_a_complaint_that_quotes_no_secret_stays_readable(text: str) -> None:
    assert REDACTOR.redact_text(text) == text


def test_text_that_quotes_the_caller_has_fingerprints_of_its_own() -> None:
    guess = "password=demo-passphrase-9f31"
    redactor = Redactor(bytes(range(32)))
    told = described(InvalidArguments(guess), redactor)["message"]
    assert MARK.fullmatch(told.removeprefix("password="))
    assert told == redactor.redact_echo(guess) != redactor.redact_text(guess)
    assert told == described(InvalidArguments(guess), Redactor(bytes(range(32))))["message"]
    assert redactor.redact_echo(redactor.redact_text(guess)) == redactor.redact_text(guess), "marks that are there stay"


def test_an_error_is_cut_before_it_is_redacted_and_in_the_middle_of_no_word() -> None:
    told = described(InvalidArguments("password=" + "x" * 3_960 + " --token " + "y" * 1_000_000), Redactor(bytes(range(32))))
    assert len(told["message"]) < 4_100
    assert "yy" not in told["message"]
    assert "… (cut, " in told["message"]
    assert len(described(InvalidArguments("z" * 1_000_000), Redactor(bytes(range(32))))["message"]) < 4_100
