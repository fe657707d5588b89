"""Which values are no secrets although their name says so: booleans, counts, references to where the secret is, methods."""

from __future__ import annotations

import re

from mcp_tools.secret_names import is_secret_name, numbers_are_secret

_REFERENCE = re.compile(
    r"\$\([A-Za-z_][\w.-]*\)|\$\{[A-Za-z_][\w.]*(?::-)?\}|\$[A-Z_][A-Z0-9_]*"  # $(VAR), ${VAR}, ${VAR:-}, $VAR
    r"|\"?\$\((?:cat|printenv|<)[ \t]+[\w./${}-]+\)\"?"  # the output of a command
    r"|\{\{[^{}\"'`]*\}\}"  # a template that holds no text of its own
    r"|\*+|x{3,}|<[a-z -]{1,40}>|\[?(?:REDACTED|redacted|MASKED|masked)\]?"  # what somebody else has masked already
    r"|[^\w‹›]{1,5}"  # punctuation
)
_NAMED_REFERENCE = re.compile(r"\$([a-z][\w.-]*)")  # $oidc.clientSecret, $slack-token: a member of a Secret
_BOOLEAN = re.compile(r"(?:true|false|yes|no|on|off|none|null|nil|enabled|disabled)?", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d{1,12}(?:\.\d{1,6})?%?")
_MEASURE = re.compile(
    r"[+-]?\d+(?:\.\d+)?(?:n|u|m|k|[KMGTPE]i?[Bb]?|[kmgtpe]i?b|[kmgtpe])"  # sizes and quantities
    r"|(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))+"  # durations
)
_PATH = re.compile(r"[~.]?(?:/[\w.-]{1,100}){1,20}")
_FILE = re.compile(
    r"[~.]{0,2}(?:/[\w.-]{1,100}){1,20}\.(?:txt|json|ya?ml|toml|ini|conf|cfg|properties|env|key|pem|crt|pub|p12|jks)"
)
_LOG_LEVEL = re.compile(r"trace|debug|info|information|notice|warn|warning|error|critical|fatal|panic|verbose", re.IGNORECASE)
_METHODS = frozenset(
    {"oidc", "oauth", "oauth2", "basic", "digest", "ldap", "ldaps", "saml", "mtls", "tls", "iam", "irsa", "ntlm", "kerberos",
     "gssapi", "spnego", "bearer", "token", "jwt", "cert", "certificate", "x509", "webhook", "rbac", "rbac,node", "node,rbac",
     "md5", "scram-sha-256", "scram-sha-512", "trust", "peer", "ident", "reject", "plain", "login", "anonymous", "external",
     "internal", "native", "static", "github", "gitlab", "google", "keycloak", "dex", "proxy", "forward", "serviceaccount",
     "service-account", "kubernetes", "approle", "workload-identity", "managed-identity", "optional", "required", "always",
     "never", "alwaysallow", "allow", "deny", "all", "any", "default", "strict", "permissive", "unset"}
)  # fmt: skip
_METHOD_NAMES = re.compile(r"(?:auth|authorization|kerberos|sasl)$", re.IGNORECASE)
_OBJECT = re.compile(r"(?:[a-z0-9][a-z0-9-]{0,62}/)?[a-z](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_OBJECT_NAMES = re.compile(
    r"(?:[eE]xisting|[pP]ull|[tT]ls|TLS|[sS]sl|[cC]a|CA|[cC]ert|[cC]ertificate|[cC]redentials?|[pP]assword|[dD]ocker|[rR]egistry)"
    r"(?:-s|S)ecrets?$|/(?:auth|auth-tls|proxy-ssl)-secret$"
)
_MADE_UP = re.compile(r"(?<![a-z0-9])(?=[a-z]*+\d)[a-z0-9]{12,}")
"""`existingSecret: db`, `nginx.ingress.kubernetes.io/auth-secret: shop/basic`: the Secret's name."""
_KEY_NAMES = re.compile(r"(?:password|username|user|token|credentials?)[_-]?key$", re.IGNORECASE)
_KEY_OF_SECRET = re.compile(r"[A-Za-z]+(?:[._-][A-Za-z]+)*")
_WORDS_OF_KEYS = re.compile(r"pass|token|secret|key|user|cred|pw", re.IGNORECASE)
_INJECTED = re.compile(r"(?:^|/)agent-(?:inject|pre|service|copy|configmap|extra|ca)")
_PUBLIC_PEM = (
    "-----BEGIN CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----",
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0t",  # the same in base64
    "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0",
)
_PRIVATE_PEM = ("PRIVATE", "UFJJVkFURSB", "SVZBVEU", "UklWQVRFIEt")  # and in base64, by alignment


def is_harmless(name: str, value: str) -> bool:
    """Whether a value under a secret name is none: empty, a boolean, a reference such as `$(VAR)`, or a number that counts."""
    if _BOOLEAN.fullmatch(value) or _REFERENCE.fullmatch(value):
        return True
    if _NUMBER.fullmatch(value):
        return not numbers_are_secret(name)
    return names_something(name, value) or is_public_pem(value)


def names_something(name: str, value: str) -> bool:
    """A reference by what the name says that it holds."""
    if len(value) > 300:
        return False
    if _FILE.fullmatch(value):  # --from-file=password=./password.txt
        return True
    if _PATH.fullmatch(value):  # --kubeconfig=/etc/kubernetes/scheduler.conf; agent-inject-secret-db: /secret/data/db
        return "kubeconfig" in name.lower() or _INJECTED.search(name) is not None
    if value.lower() in _METHODS and _METHOD_NAMES.search(name):
        return True
    if found := _NAMED_REFERENCE.fullmatch(value):
        return is_secret_name(found[1]) or found[1].endswith(("username", "Reference"))
    if _OBJECT.fullmatch(value) and not _MADE_UP.search(value) and (_OBJECT_NAMES.search(name) or _INJECTED.search(name)):
        return True
    if _INJECTED.search(name) and "/" in value and re.fullmatch(r"[\w./-]+", value):
        return True
    return bool(_KEY_NAMES.search(name) and _KEY_OF_SECRET.fullmatch(value) and _WORDS_OF_KEYS.search(value))


def is_plain_setting(value: str) -> bool:
    """What may be shown inside `credentials: {…}`, whatever its name: all safe literals but bare numbers."""
    return is_safe_literal(value) and not value.isdigit()


def is_public_pem(value: str) -> bool:
    """Certificates and public keys, alone: what they are for is to be shown."""
    text = value.lstrip()
    if not text.startswith(_PUBLIC_PEM):
        return False
    return not any(private in text for private in _PRIVATE_PEM)


def is_safe_literal(value: str) -> bool:
    """Environment values that may be shown: booleans, numbers, durations, sizes, log levels, references to other variables."""
    return any(rule.fullmatch(value) is not None for rule in (_BOOLEAN, _NUMBER, _MEASURE, _LOG_LEVEL, _REFERENCE))
