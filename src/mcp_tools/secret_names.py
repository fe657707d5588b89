"""Which names (keys, variables, flags, headers) say that their value is a secret."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_PARTS = re.compile(
    r"passw|passwd|passphrase|passcode|pwd|secret|token|credential|apikey|privatekey|accesskey|accountkey|authkey|masterkey"
    r"|signingkey|encryptionkey|sharedkey|sshkey|connectionstring|connstring|dockerconfig|dockercfg|htpasswd|authorization|masterauth"
)
_SECRET_WORDS = frozenset(
    {"pass", "pw", "creds", "cred", "auth", "cookie", "jwt", "otp", "psk", "pin", "bearer", "sas", "pat", "kubeconfig",
     "rootpw", "bindpw"}
)  # fmt: skip
_NOT_PASS = ("bypass", "compass", "surpass", "trespass", "overpass", "underpass", "multipass", "encompass")
_KEY_QUALIFIERS = frozenset(
    {"api", "access", "private", "secret", "encryption", "signing", "master", "account", "shared", "ssh", "client", "auth",
     "license", "hmac", "aes", "rsa", "session", "service", "storage", "deploy", "webhook", "app", "application", "host",
     "crypt", "cipher", "unseal", "root", "cookie", "csrf", "admin", "integration", "routing", "sec"}
)  # fmt: skip
_NEVER = frozenset({"checksum", "digest", "sha", "md", "fingerprint", "tokenizer", "tokenize", "public", "author", "pub"})
_NEVER_NAMES = frozenset({"PWD", "OLDPWD", "initial-cluster-token", "initialClusterToken", "ETCD_INITIAL_CLUSTER_TOKEN"})
"""What etcd calls a token is the name of a cluster."""
_REFERENCE_ENDS = frozenset(
    {"name", "names", "ref", "refs", "reference", "references", "namespace", "path", "paths", "file", "files", "filename", "dir",
     "directory", "mount", "type", "types", "kind", "class", "version", "id", "ids", "ttl", "second", "seconds", "expiration",
     "expiry", "expires", "expire", "timeout", "period", "interval", "length", "size", "count", "limit", "max", "min", "enabled",
     "disabled", "enable", "disable", "optional", "required", "policy", "policies", "provider", "providers", "url", "uri",
     "endpoint", "issuer", "audience", "audiences", "algorithm", "selector", "store", "backend", "template", "labels",
     "annotations", "status", "rotation", "duration", "age", "mode", "format", "header", "field", "scope", "scopes", "strategy",
     "generation", "method", "methods", "at", "created", "updated", "by", "per", "used", "total", "minutes", "hours", "days",
     "manager", "controller", "operator", "server", "service", "host", "port", "usage", "usages", "reviews", "reviewer",
     "keyring",
     "engine", "role", "roles", "headers", "realm", "signin", "signout", "samesite", "description", "location", "pattern",
     "regex",
     "characters", "symbols", "visibility", "encoding", "region", "zone", "user", "username", "usernames", "groups", "requests",
     "encryption", "secure", "httponly", "label", "placeholder", "hint", "title"}
)  # fmt: skip
_EVEN_NUMBERS = re.compile(r"pass|pwd|\bpw\b|\bpin\b|secret|otp|credential")
_PRIVATE_FILE = re.compile(
    r"(?:\.(?:key|p12|pfx|jks|keystore|ppk|htpasswd|pgpass|netrc|dockercfg|dockerconfigjson|kdbx|ovpn)|_key|_rsa|_ed25519|_ecdsa|_dsa)$"
    r"|^(?:id_rsa|id_ed25519|id_ecdsa|id_dsa|htpasswd|pgpass|netrc|userlist\.txt|krb5\.keytab|.*\.keytab)$",
    re.IGNORECASE | re.ASCII,
)
_DOMAIN = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+/(?=.)")
"""Whom an annotation belongs to (`secret.reloader.example/reload`) says nothing about its value."""

_COLLECTION_ENDS = frozenset(
    {"credential", "credentials", "cred", "creds", "password", "passwords", "passwd", "passwds", "passphrase", "passphrases",
     "pwd", "pwds", "token", "tokens", "secret", "secrets", "apikey", "apikeys"}
)  # fmt: skip
_PRODUCTS = frozenset({"external", "sealed"})
_COLLECTIONS = re.compile(r"secret|credential|password|token|apikey|privatekey", re.IGNORECASE)
_PLAIN_MEMBERS = frozenset(
    {"key", "kind", "apiVersion", "apiGroup", "namespace", "name", "operator", "effect", "user", "username", "reason", "message",
     "property", "version", "account", "project", "tenant", "organization", "org", "domain", "cluster", "bucket", "email",
     "prefix", "suffix", "address", "hostname", "db_name", "dbname", "level", "resource", "resources", "alg",
     "verbs", "annotations",
     "labels", "image", "tag", "repository", "protocol", "audience", "client_id", "title", "comment", "items"}
)  # fmt: skip
"""Names inside a collection whose values name or describe something."""
_VALUE_MEMBERS = frozenset({"value", "literal", "inline", "plain", "plaintext", "plainText", "stringValue", "content", "raw"})


_OWN_TOOLS = frozenset({"k8s_auth_can_i", "k8s_inspect_secret"})


_HINTS = (
    "pass", "secret", "token", "key", "auth", "cred", "pwd", "cookie", "bearer", "kubeconfig", "dockerc", "netrc", "userlist",
    "connectionstring", "connstring",
)  # fmt: skip
_FILE_HINTS = ("_rsa", "_dsa", "_ecdsa", "_ed25519", ".p12", ".pfx", ".jks", ".ppk", ".kdbx", ".ovpn")
_SHORT_HINTS = tuple(
    (word, tuple(re.compile(f"{form}(?![a-z])" if form[-1].islower() else form) for form in (word, word.title(), word.upper())))
    for word in ("pw", "jwt", "otp", "psk", "pin", "sas", "pat")
)
_IN_LOWER_CASE = bytes(range(256)).lower()
_BETWEEN_WORDS = bytes(byte for byte in range(256) if byte > 127 or not chr(byte).isalnum())


def may_name_secrets(text: str) -> bool:
    """Whether any name in a text can be a secret one: a cheap test before the text is looked through for names.

    True for every text that holds a name for which is_secret_name is true, and for some others.
    """
    # like is_secret_name, which finds a password in P_WD: without what stands between the words of a name
    joined = text.encode("utf-8", "surrogatepass").translate(_IN_LOWER_CASE, _BETWEEN_WORDS).decode()
    for hint in _HINTS:
        if hint in joined:
            return True
    lowered = text.lower()
    for hint in _FILE_HINTS:
        if hint in lowered:
            return True
    return any(word in lowered and any(form.search(text) for form in forms) for word, forms in _SHORT_HINTS)


@lru_cache(maxsize=20_000)
def is_secret_name(name: str) -> bool:
    """`dbPassword`, `AWS_SECRET_ACCESS_KEY`, `tls.key` are; `secretName`, `tokenExpirationSeconds`, `checksum/secret` are not."""
    if name in _OWN_TOOLS:  # their errors begin with them: `k8s_inspect_secret: argument …`
        return False
    if len(name) > 300:
        return is_secret_name(name[-300:])
    if owner := _DOMAIN.match(name):
        name = name[owner.end() :]
    if _PRIVATE_FILE.search(name) and "public" not in name.lower():
        return True
    words = _words(name)
    if not words or name in _NEVER_NAMES or (not _NEVER.isdisjoint(words) and "pass" not in name.lower()):
        return False
    if words[-2:] == ["secret", "id"]:  # the half of a Vault AppRole that must not be known
        return True
    if words[-1] in _REFERENCE_ENDS or (words[-1] == "hash" and "pass" not in name.lower()):
        return False
    joined = "".join(words)
    if _SECRET_PARTS.search(joined) or not _SECRET_WORDS.isdisjoint(words):
        return True
    if any(word.endswith("pass") and word not in _NOT_PASS for word in words):  # requirepass, storepass
        return True
    return words[-1] == "key" and not _KEY_QUALIFIERS.isdisjoint(words[:-1]) and "label" not in words


def _words(name: str) -> list[str]:
    """Of a name in any spelling, in lower case, without endings that say nothing (`_DATA`, `2`)."""
    words = [word.lower() for word in _WORD.findall(name)]
    while len(words) > 1 and (words[-1].isdigit() or words[-1] in ("data", "value", "val", "env", "b")):
        words.pop()
    return words


@lru_cache(maxsize=20_000)
def is_flag_of_secret(argument: str) -> bool:
    """`--db-password`, whose value is the next argument."""
    return (
        argument.startswith("-")
        and "=" not in argument
        and " " not in argument
        and argument.lstrip("-") not in _NEVER_NAMES
        and is_secret_name(argument.lstrip("-"))
    )


@lru_cache(maxsize=20_000)
def is_collection(name: str) -> bool:
    """A mapping or list whose own members are secrets: `credentials: {…}`, `tokens: […]`, `secretsConfig: {…}`."""
    return is_secret_name(name) and _COLLECTIONS.search(name) is not None


@lru_cache(maxsize=20_000)
def holds_secrets_throughout(name: str) -> bool:
    """Whether everything below a name is secret, however deep: `credentials`, `dbPasswords`, but not `external-secrets`."""
    words = _words(name)
    if not words or not is_secret_name(name):
        return False
    if not _PRODUCTS.isdisjoint(words[:-1]):
        return False
    return words[-1] in _COLLECTION_ENDS or (words[-1] == "keys" and not _KEY_QUALIFIERS.isdisjoint(words[:-1]))


@lru_cache(maxsize=20_000)
def is_plain_member(name: str) -> bool:
    """Inside a collection: a name that refers to a secret or describes it, such as `secretName`, `host`, `role`."""
    return name in _PLAIN_MEMBERS or not (is_secret_name(name) or is_secret_name(f"password {name}"))


@lru_cache(maxsize=20_000)
def name_in_path(name: str) -> str:
    """What a JSON pointer (`/data/password`, `/spec/credentials/main`) says that is there; any other name as it is."""
    if not name.startswith("/"):
        return name
    *above, last = [part.replace("~1", "/") for part in name.rstrip("/0123456789-").split("/")]
    if not is_secret_name(last) and not is_plain_member(last):
        return next((part for part in above if holds_secrets_throughout(part)), last)
    return last


def is_value_member(name: str) -> bool:
    """`{value: …}`, `{literal: …}`: what a mapping under a secret name is about."""
    return name in _VALUE_MEMBERS


@lru_cache(maxsize=20_000)
def numbers_are_secret(name: str) -> bool:
    """A number under `password` or `pin` is a secret; under `tokens` it is a count."""
    return _EVEN_NUMBERS.search(name.lower()) is not None
