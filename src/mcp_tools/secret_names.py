"""Which names (keys, variables, flags, headers) say that their value is a secret, and which values are none anyway."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_PARTS = re.compile(
    r"passw|passwd|passphrase|passcode|pwd|secret|token|credential|apikey|privatekey|accesskey|accountkey|authkey|masterkey"
    r"|signingkey|encryptionkey|sharedkey|sshkey|connectionstring|connstring|dockerconfig|dockercfg|htpasswd|authorization|masterauth"
)
_SECRET_WORDS = frozenset(
    {"pass", "pw", "creds", "cred", "auth", "cookie", "jwt", "otp", "psk", "pin", "bearer", "sas", "pat", "kubeconfig"}
)
_NOT_PASS = ("bypass", "compass", "surpass", "trespass", "overpass", "underpass", "multipass", "encompass")
_KEY_QUALIFIERS = frozenset(
    {"api", "access", "private", "secret", "encryption", "signing", "master", "account", "shared", "ssh", "client", "auth",
     "license", "hmac", "aes", "rsa", "session", "service", "storage", "deploy", "webhook", "app", "application", "host",
     "crypt", "cipher", "unseal", "root", "cookie", "csrf", "admin", "integration", "routing"}
)  # fmt: skip
_NEVER = frozenset({"checksum", "digest", "sha", "md", "fingerprint", "tokenizer", "tokenize", "public", "author", "pub"})
_REFERENCE_ENDS = frozenset(
    {"name", "names", "ref", "refs", "reference", "namespace", "path", "paths", "file", "files", "filename", "dir", "directory",
     "mount", "type", "kind", "class", "version", "id", "ids", "ttl", "second", "seconds", "expiration", "expiry", "expires",
     "expire", "timeout", "period", "interval", "length", "size", "count", "limit", "max", "min", "enabled", "disabled",
     "enable", "disable", "optional", "required", "policy", "provider", "url", "uri", "endpoint", "issuer", "audience",
     "audiences", "algorithm", "selector", "store", "backend", "template", "labels", "annotations", "status", "rotation",
     "duration", "age", "mode", "format", "header", "field", "scope", "scopes", "strategy", "generation", "method", "methods",
     "at", "created", "updated", "by", "per", "used", "total", "minutes", "hours", "days", "manager", "controller", "operator",
     "server", "service", "host", "port", "usage", "reviews", "reviewer", "keyring", "engine", "role", "headers", "realm",
     "signin", "signout", "samesite"}
)  # fmt: skip
_EVEN_NUMBERS = re.compile(r"pass|pwd|\bpw\b|\bpin\b|secret|otp|credential")
_PRIVATE_FILE = re.compile(
    r"(?:\.(?:key|p12|pfx|jks|keystore|ppk|htpasswd|pgpass|netrc|dockercfg|dockerconfigjson|kdbx|ovpn)|_key|_rsa|_ed25519|_ecdsa|_dsa)$"
    r"|^(?:id_rsa|id_ed25519|id_ecdsa|id_dsa|htpasswd|pgpass|netrc|krb5\.keytab|.*\.keytab)$",
    re.IGNORECASE,
)

_REFERENCE = re.compile(
    r"\$\([A-Za-z_][\w.-]*\)|\$\{[A-Za-z_][\w.]*\}|\$[A-Z_][A-Z0-9_]*"  # $(VAR), ${VAR}, $VAR
    r"|\*+|x{3,}|<[a-z -]{1,40}>|\[?(?:REDACTED|redacted|MASKED|masked)\]?"  # what somebody else has masked already
)
_BOOLEAN = re.compile(r"(?:true|false|yes|no|on|off|none|null|nil|enabled|disabled)?", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d{1,12}(?:\.\d{1,6})?%?")
_MEASURE = re.compile(
    r"[+-]?\d+(?:\.\d+)?(?:n|u|m|k|[KMGTPE]i?[Bb]?|[kmgtpe]i?b|[kmgtpe])"  # sizes and quantities
    r"|(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))+"  # durations
)
_PATH = re.compile(r"[~.]?(?:/[\w.-]{1,100}){1,20}")
_LOG_LEVEL = re.compile(r"trace|debug|info|information|notice|warn|warning|error|critical|fatal|panic|verbose", re.IGNORECASE)


_OWN_TOOLS = frozenset({"k8s_auth_can_i", "k8s_inspect_secret"})


@lru_cache(maxsize=20_000)
def is_secret_name(name: str) -> bool:
    """`dbPassword`, `AWS_SECRET_ACCESS_KEY`, `tls.key` are; `secretName`, `tokenExpirationSeconds`, `checksum/secret` are not."""
    if name in _OWN_TOOLS:  # their errors begin with them: `k8s_inspect_secret: argument …`
        return False
    if len(name) > 300:
        return is_secret_name(name[-300:])
    if _PRIVATE_FILE.search(name) and "public" not in name.lower():
        return True
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or name in ("PWD", "OLDPWD") or (not _NEVER.isdisjoint(words) and "pass" not in name.lower()):
        return False
    while len(words) > 1 and (words[-1].isdigit() or words[-1] in ("data", "value", "val", "env", "b")):
        words.pop()
    if words[-2:] == ["secret", "id"]:  # the half of a Vault AppRole that must not be known
        return True
    if words[-1] in _REFERENCE_ENDS or (words[-1] == "hash" and "pass" not in name.lower()):
        return False
    joined = "".join(words)
    if _SECRET_PARTS.search(joined) or not _SECRET_WORDS.isdisjoint(words):
        return True
    if any(word.endswith("pass") and word not in _NOT_PASS for word in words):  # requirepass, storepass
        return True
    return words[-1] == "key" and not _KEY_QUALIFIERS.isdisjoint(words[:-1])


@lru_cache(maxsize=20_000)
def is_flag_of_secret(argument: str) -> bool:
    """`--db-password`, whose value is the next argument."""
    return argument.startswith("-") and "=" not in argument and " " not in argument and is_secret_name(argument.lstrip("-"))


def is_harmless(name: str, value: str) -> bool:
    """Whether a value under a secret name is none: empty, a boolean, a reference such as `$(VAR)`, or a number that counts."""
    if _BOOLEAN.fullmatch(value) or _REFERENCE.fullmatch(value):
        return True
    if _PATH.fullmatch(value) and "kubeconfig" in name.lower():  # --kubeconfig=/etc/kubernetes/scheduler.conf
        return True
    return _NUMBER.fullmatch(value) is not None and not numbers_are_secret(name)


@lru_cache(maxsize=20_000)
def numbers_are_secret(name: str) -> bool:
    """A number under `password` or `pin` is a secret; under `tokens` it is a count."""
    return _EVEN_NUMBERS.search(name.lower()) is not None


def is_safe_literal(value: str) -> bool:
    """Environment values that may be shown: booleans, numbers, durations, sizes, log levels, references to other variables."""
    return any(rule.fullmatch(value) is not None for rule in (_BOOLEAN, _NUMBER, _MEASURE, _LOG_LEVEL, _REFERENCE))
