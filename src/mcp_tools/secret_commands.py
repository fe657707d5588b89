"""Secrets in command lines and in the lines of configuration files, known by the command or directive that takes them."""

from __future__ import annotations

import re
from collections.abc import Callable

from mcp_tools.harmless_values import is_harmless
from mcp_tools.redaction_marks import is_marked
from mcp_tools.secret_names import is_flag_of_secret, is_secret_name

Mark = Callable[[str], str]

_UP_TO = r"[^\n|;]{0,300}?"
_B = r"[ \t]{1,5}"
_ARGUMENT = r"(?P<quote>\\*[\"']?)(?P<secret>[^\s\"'|;\\]+)"
_LONE = r"(?P<quote>\\*[\"']?)(?P<secret>[^\s\"'|;\\-][^\s\"'|;\\]*)"
_MC = rf"\bmc{_B}(?:alias{_B}set|config{_B}host{_B}add){_B}\S+{_B}\S+{_B}\S+{_B}{_LONE}"
_RABBITMQ = rf"\brabbitmqctl\b{_UP_TO}[ \t](?:add_user|change_password|authenticate_user){_B}\S+{_B}{_LONE}"
_HTPASSWD = rf"\bhtpasswd\b{_UP_TO}[ \t]-\w{{0,5}}b\w{{0,5}}[ \t]++(?:[^\s|;>&]++[ \t]++(?=[^\s|;>&]))*+(?P<secret>[^\s|;>&]++)"
_HTTP = rf"\b(?:curl|wget|http)\b{_UP_TO}[ \t](?:-u|--user)[ \t=]{{0,5}}[\"']?[^\s:\"']{{1,100}}:(?P<secret>[^\s\"'|;]+)"
_COMMANDS = tuple(
    (tuple(hints.split()), re.compile(pattern))
    for hints, pattern in (
        ("mysql mariadb", rf"\b(?:mysql|mariadb)[\w-]{{0,20}}+\b{_UP_TO}[ \t]-p{_ARGUMENT}"),
        ("curl wget http", _HTTP),
        ("redis-cli", rf"\bredis-cli\b{_UP_TO}[ \t]-a[ \t]{{0,5}}{_LONE}"),
        ("sshpass", rf"\bsshpass\b{_UP_TO}[ \t]-p[ \t]{{0,5}}{_LONE}"),
        ("login mongo", rf"\b(?:login|mongo\w{{0,20}})\b{_UP_TO}[ \t]-p{_B}{_LONE}"),
        ("ldap", rf"\bldap[a-z]{{1,20}}\b{_UP_TO}[ \t]-w[ \t]{{0,5}}{_LONE}"),
        ("vault", rf"\bvault{_B}login{_B}(?!\w+=){_LONE}"),
        ("mc", _MC),
        ("rabbitmqctl", _RABBITMQ),
        ("htpasswd", _HTPASSWD),
        ("chpasswd", rf"(?<![\w.-])[\w.-]++:(?P<secret>[^\s\"'|]{{1,512}}+)[\"']?(?:{_B})?\|(?:{_B})?(?:sudo{_B})?chpasswd"),
        ("--from-literal", rf"--from-literal(?:=|{_B})[\"']?[\w.-]+=(?P<secret>[^\s\"'|;]+)"),
    )
)
_FLAG = re.compile(r"(?<![\w-])(-{1,2}[\w-]++)([ \t]+)(?!-)(\\*[\"']?)([^\s\"'<>|;&\\]+)")

_QUOTED = r"(?P<quote>\\*+[\"']?)(?P<secret>[^\s\"';]+)"
_SCHEME = r"(?:(?:[bB]earer|[bB]asic|[tT]oken)[ \t]+)?"
_SETTERS = r"SetEnv|\w{1,12}_param|\w{1,20}_header|(?:Request)?Header[ \t]+(?:always[ \t]+)?(?:set|add|append)|[dD]efine"
_CALL = rf"\([ \t]*[\"'](?P<name>[\w.-]+)[\"'][ \t]*,[ \t]*[\"']{_SCHEME}(?P<secret>[^\"'\n]+)"
_DEFAULT = r"\bvariable[ \t]+\"(?P<name>[\w.-]+)\"[ \t]*\{[^{}]{0,400}?\bdefault[ \t]*=[ \t]*\"(?P<secret>[^\"\n]+)"
_DOTTED = r"(?P<name>[a-z][a-zA-Z0-9]*(?:\.[a-zA-Z0-9_-]+)+)"
_NAMED_DIRECTIVES = tuple(
    (tuple(hints.split("|")), re.compile(pattern, re.MULTILINE))
    for hints, pattern in (
        (
            "SetEnv|_param |_header |Header |define |Define ",
            rf"^[ \t]*(?:{_SETTERS})[ \t]+(?P<name>[\w.-]+)[ \t]+(?P<quote>\\*[\"']?){_SCHEME}(?P<secret>[^\s\"';]+)",
        ),
        (
            "ENV |setx |set ",
            rf"^[ \t]*(?:ENV|setx|set(?:[ \t]+-\w{{1,3}}){{0,2}})[ \t]+\$?(?P<name>[A-Za-z_][\w.-]*)[ \t]+{_QUOTED}",
        ),
        ("(", _CALL),
        ("default", _DEFAULT),
        (".", rf"^[ \t]*{_DOTTED}[ \t]+(?![=:|&<>;]){_QUOTED}[ \t]*$"),
    )
)
_SQL = r"(?i:PASSWORD(?:[ \t]+FOR[ \t]+\S+)?|IDENTIFIED(?:[ \t]+WITH[ \t]+\S+)?[ \t]+BY)"
_CHPASSWD = (
    r"chpasswd:[^\n]{0,200}+\n(?:[ \t]+(?!list)\w+:[^\n]{0,200}+\n){0,20}[ \t]+list:[ \t]*[|>]?-?[ \t]*\n"
    r"[ \t]+(?P<secret>\S+:\S+(?:\n[ \t]+\S+:\S+)*)"
)
_DIRECTIVES = tuple(
    (hint, re.compile(pattern, re.MULTILINE))
    for hint, pattern in (
        ("requirepass", r"^[ \t]*requirepass[ \t]+[\"']?(?P<secret>[^\s\"']+)"),  # redis.conf
        ("masterauth", r"^[ \t]*masterauth[ \t]+[\"']?(?P<secret>[^\s\"']+)"),
        (">", r"\buser[ \t]+\S+[ \t]+(?:on|off)\b[^\n>]{0,200}[ \t]>(?P<secret>[^\s>]+)"),
        ("'", rf"\b{_SQL}[ \t]+(?:=[ \t]*)?'(?P<secret>[^'\n]+)"),  # SQL
        ("FOR ", r"\b(?i:SET[ \t]+PASSWORD[ \t]+FOR)[ \t]+\S+[ \t]*=[ \t]*(?i:PASSWORD\()?[\"'](?P<secret>[^\"'\n]+)"),
        ("insecure-password", r"\binsecure-password[ \t]+(?P<secret>\S+)"),  # haproxy
        (" auth ", r"^[ \t]*(?:stats|http)[ \t]+auth[ \t]+[\w.@-]+:(?P<secret>\S+)"),
        ("login=", r"\blogin=[\w.@-]+:(?P<secret>[^\s;]+)"),  # squid
        ("PSK", r"\bPSK[ \t]+\"(?P<secret>[^\"\n]+)"),  # ipsec.secrets
        ("community", r"^[ \t]*r[ow]community6?[ \t]+(?P<secret>\S+)"),  # snmpd.conf
        ("secret", r"\bsecret[ \t]+\"(?P<secret>[^\"\n]+)\"[ \t]*;"),  # named.conf
        ("login", r"\blogin[ \t]+\S+\s+(?:account[ \t]+\S+\s+)?password[ \t]+(?P<secret>\S+)"),  # .netrc
        (":", r"^(?![0-9a-fA-F:]+$)[\w.*-]+:(?:\d{2,5}|\*):[\w.*-]+:[\w.*@-]+:(?P<secret>\S+)$"),  # .pgpass
        ("jdbc:oracle", r"jdbc:oracle:\w{1,20}:[^/\s]{1,200}+/(?P<secret>[^@\s]{1,300}+)@"),
        ("Credentials(", r"Credentials\((?:\s*\"[^\"\n]*\"\s*,){3}\s*\"(?P<secret>[^\"\n]+)"),  # sbt
        ("/bot", r"/bot\d{6,12}:(?P<secret>[\w-]{8,})"),
        ("chpasswd:", _CHPASSWD),
        ("password", r"^[ \t]*\?[ \t]+password[ \t]*\n[ \t]*:[ \t]+(?P<secret>\S[^\n]*)"),  # YAML's other way to write a key
    )
)
_WITHOUT_FLAGS = ("vault login", "rabbitmqctl", "mc alias", "mc config")
"""Commands that take a password as an argument of its own."""


def mark_commands(text: str, mark: Mark, *, flags: bool = True) -> str:
    """Values of `flags` that are named after a secret, and the passwords that common clients take."""
    if " -" in text or text.startswith("-"):
        if flags:
            text = _FLAG.sub(lambda found: _flag(found, mark), text)
        return _clients(text, mark)
    for command in _WITHOUT_FLAGS:
        if command in text:
            return _clients(text, mark)
    return text


def mark_directives(text: str, mark: Mark) -> str:
    """Lines that set a secret without `=` or `:` between its name and its value."""
    for hint, directive in _DIRECTIVES:
        if hint in text:
            text = directive.sub(lambda found: _marked(found, mark), text)
    return text


def mark_named_directives(text: str, mark: Mark) -> str:
    """The same where the name of a variable or header says what the value is."""
    for hints, directive in _NAMED_DIRECTIVES:
        if any(hint in text for hint in hints):
            text = directive.sub(lambda found: _marked(found, mark) if is_secret_name(found["name"]) else found[0], text)
    return text


def redact_arguments(arguments: list[str], mark: Mark) -> list[str]:
    """A command line as a list: `["mysql", "-uroot", "-pSECRET"]`. What one argument says by itself is not looked at here."""
    line = "\t".join(arguments)
    if line.count("\t") != len(arguments) - 1 or "\n" in line:
        return arguments
    return _clients(line, mark).split("\t")


def _clients(text: str, mark: Mark) -> str:
    for hints, command in _COMMANDS:
        for hint in hints:
            if hint in text:
                text = command.sub(lambda found: _marked(found, mark), text)
                break
    return text


def _marked(found: re.Match[str], mark: Mark) -> str:
    start, end = (place - found.start() for place in found.span("secret"))
    value, whole = found["secret"], found[0]
    name = found["name"] if "name" in found.re.groupindex else "password"
    if is_marked(value) or is_harmless(name, value):
        return whole
    return whole[:start] + mark(value) + whole[end:]


def _flag(found: re.Match[str], mark: Mark) -> str:
    name, value = found[1], found[4]
    if not is_flag_of_secret(name) or is_marked(value) or is_harmless(name, value):
        return found[0]
    return name + found[2] + found[3] + mark(value)
