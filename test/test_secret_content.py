"""What may be said about a value without saying anything of it; certificates, their chain and their keys."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certificate_authority import issue
from mcp_tools.certificates import chain_trouble, pem_content
from mcp_tools.secret_content import content_of

ROOT = issue("root", authority=True)
MIDDLE = issue("middle", ROOT, authority=True)
LEAF = issue("web", MIDDLE, names=("web.example", "*.web.example"))
OTHER = issue("other", ROOT)
AUTH = base64.b64encode(b"bob:pw").decode()


def docker(**auths: object) -> bytes:
    return json.dumps({"auths": auths}).encode()


def jwt(claims: object) -> bytes:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "none"}, claims)]
    return b".".join([*parts, b"c2ln"])


def pem(label: str, raw: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n{base64.b64encode(raw).decode()}\n-----END {label}-----".encode()


@pytest.mark.parametrize(
    ("key", "value", "content", "notes"),
    [
        ("password", b"correct horse", "text", ()),
        ("password", b"hunter2\n", "text", ("ends in a line break",)),
        ("password", b" hunter2", "text", ("begins or ends with white space",)),
        ("password", base64.b64encode(b"correct horse"), "text", ("is base64 of text: perhaps encoded twice",)),
        ("password", b"", "empty", ("there is nothing in it",)),
        ("password", b" \n", "white space", ("there is nothing in it",)),
        ("password", None, "not base64", ("the API server sent something that is no base64",)),
        ("key", bytes(range(256)), "binary", ()),
        ("config.json", b'{"a": 1}', "JSON object", ()),
        ("config.json", b'{"a": 1', "text", ("begins like JSON and is none",)),
        ("config.json", b"hello", "text", ("its name says JSON, and it is none",)),
        ("list", b"[1]", "JSON list", ()),
        ("tls.crt", b"hello", "text", ("its name says PEM, and there is none",)),
        ("tls.crt", LEAF.pem.encode(), "certificate", ()),
        ("ca.crt", (ROOT.pem + MIDDLE.pem).encode(), "2 × certificate", ()),
        ("all.pem", (LEAF.pem + LEAF.key_pem()).encode(), "certificate, private key (EC secp256r1)", ()),
        ("tls.key", LEAF.key_pem(traditional=True).encode(), "private key (EC secp256r1)", ()),
        ("tls.key", LEAF.key_pem(b"x").encode(), "private key (encrypted)", ()),
        ("tls.key", LEAF.key_pem(b"x", traditional=True).encode(), "private key (encrypted)", ()),
        ("tls.crt", LEAF.pem.replace("M", "N").encode(), "PEM", ("1 PEM blocks cannot be read",)),
        ("der", LEAF.der, "certificate (DER)", ()),
        ("pem", b"-----BEGIN HUNTER TWO-----\nAAAA\n-----END HUNTER TWO-----", "PEM block", ()),
        ("token", jwt({"exp": 1_800_000_000}), "JSON Web Token", ()),
        ("store.jks", b"\xfe\xed\xfe\xed\x00\x00", "Java keystore, not opened", ()),
        ("packed", b"\x1f\x8b\x08\x00", "gzip", ()),
        (".dockerconfigjson", docker(**{"r.example": {"auth": AUTH}}), "docker configuration", ()),
        (".dockerconfigjson", b"{", "docker configuration", ("is no JSON",)),
        (".dockerconfigjson", b"{}", "docker configuration", ("has no auths",)),
        (".dockerconfigjson", docker(), "docker configuration", ("has no registry",)),
        (".dockerconfigjson", docker(**{"r.example": {}}), "docker configuration", ("r.example: has no login",)),
        (".dockerconfigjson", docker(r={"auth": "!"}), "docker configuration", ("(no host): its auth is no base64",)),
        (".dockercfg", json.dumps({"r.example": {"auth": AUTH}}).encode(), "docker configuration", ()),
    ],
)  # fmt: skip
def test_a_value_is_named_by_what_it_is(key: str, value: bytes | None, content: str, notes: tuple[str, ...]) -> None:
    found = content_of(key, value)
    assert (found.content, found.notes) == (content, notes)


@pytest.mark.parametrize(
    ("registry", "host"),
    [
        ("https://index.docker.io/v1/", "index.docker.io"),
        ("registry.example:5000", "registry.example:5000"),
        ("https://bob:pw@registry.example/path?token=x", "registry.example"),
        ("localhost:5000", "localhost:5000"),
        ("hunter2", "(no host)"),
        ("https://[::1", "(no host)"),
    ],
)
def test_of_a_registry_only_the_host_is_told(registry: str, host: str) -> None:
    assert content_of(".dockerconfigjson", docker(**{registry: {"auth": AUTH}})).registries == (host,)


def test_a_token_says_when_it_expires() -> None:
    assert content_of("token", jwt({"exp": 1_800_000_000})).expires == 1_800_000_000
    assert content_of("token", jwt({"exp": "soon"})).expires is None
    assert content_of("token", jwt([])).expires is None


def test_certificates_tell_their_names_and_dates() -> None:
    (leaf,) = pem_content(LEAF.pem.encode()).certificates
    assert (leaf.subject, leaf.issuer, leaf.names) == ("CN=web", "CN=middle", ("DNS:web.example", "DNS:*.web.example"))
    assert not leaf.authority
    assert not leaf.self_signed
    (root,) = pem_content(ROOT.pem.encode()).certificates
    assert root.authority
    assert root.self_signed


@pytest.mark.parametrize(
    "value",
    [
        LEAF.pem.encode(),
        json.dumps({"a": {"cert": LEAF.pem}}).encode(),
        b"certificate-authority-data: " + base64.b64encode(LEAF.pem.encode()) + b"\nuser: x\n",
        b"# a comment\r\n" + LEAF.pem.replace("\n", "\r\n").encode(),
    ],
    ids=["plain", "in JSON", "in base64", "with Windows line ends"],
)
def test_certificates_are_found_wherever_they_stand(value: bytes) -> None:
    assert [one.subject for one in pem_content(value).certificates] == ["CN=web"]


def test_a_key_is_known_by_its_public_half() -> None:
    found = pem_content((LEAF.pem + OTHER.pem + LEAF.key_pem()).encode())
    assert found.keys[0].public_key == found.certificates[0].public_key
    assert found.keys[0].public_key != found.certificates[1].public_key


@pytest.mark.parametrize(
    ("chain", "trouble"),
    [
        ((LEAF, MIDDLE, ROOT), ""),
        ((LEAF,), ""),
        ((LEAF, ROOT), "certificate 1 is not signed by certificate 2"),
        ((LEAF, ROOT, MIDDLE), "certificate 1 is not signed by certificate 2"),
    ],
)
def test_a_chain_is_checked_by_its_signatures(chain: tuple[object, ...], trouble: str) -> None:
    found = pem_content("".join(one.pem for one in chain).encode()).certificates  # type: ignore[attr-defined]
    assert chain_trouble(found).startswith(trouble)
    assert bool(chain_trouble(found)) == bool(trouble)


@settings(max_examples=200, deadline=None)
@given(
    key=st.sampled_from(["a", "tls.crt", ".dockerconfigjson", ".dockercfg", "x.json"]),
    value=st.one_of(
        st.binary(max_size=200),
        st.text(max_size=60).map(lambda text: json.dumps({"auths": {text: {"auth": text}}}).encode()),
        st.builds(pem, st.sampled_from(["CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY"]), st.binary(max_size=60)),
    ),
)  # fmt: skip
def test_no_value_is_an_error(key: str, value: bytes) -> None:
    content_of(key, value)
