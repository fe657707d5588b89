"""Secrets that are known by their shape alone. One line each: a text that must occur, and the pattern of the secret."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """`pattern` has a group `secret`; it is tried only on texts that contain `hint`, which costs next to nothing."""

    hint: str
    pattern: re.Pattern[str]


def _shape(hint: str, pattern: str, before: str = r"(?<![A-Za-z0-9])") -> Shape:
    """`pattern` as the whole secret, at the start of a word unless `before` says otherwise."""
    return Shape(hint, re.compile(before + (pattern if "(?P<secret>" in pattern else f"(?P<secret>{pattern})")))


_KEY_LINE = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"

URL_USERINFO = re.compile(
    r"://(?!git@)(?P<secret>[^\s\"'<>/?#\\]+"  # user:password, also with @ inside
    r"|[^\s\"'<>/?#\\@:‹›]*:(?!\d{1,5}[/?#])[^\s\"'<>@]{1,200})"  # a password with / ? or #
    r"@(?=[\w\[$%*-])"
)

SHAPES = (
    _shape("PRIVATE KEY", rf"-----BEGIN {_KEY_LINE}[\s\S]*?(?:-----END {_KEY_LINE}|\Z)", ""),
    _shape(
        "PRIVATE KEY",  # a log that begins inside a key; as many lines as the largest keys have
        rf"(?:[A-Za-z0-9+/=]{{16,200}}+(?:\s|\\n){{1,8}}+){{1,150}}+-----END {_KEY_LINE}",
        r"(?:(?<![A-Za-z0-9+/=])|(?<=\\n))",
    ),
    _shape("LS0tLS1CRUdJTi", r"LS0tLS1CRUdJTi[\w+/]{2,4000}+=*(?:\s+[\w+/]{16,}=*)+"),  # base64 of PEM over several lines
    _shape("eyJ", r"eyJ[\w-]{8,4000}+\.[\w-]{4,}(?:\.[\w-]*)*"),  # JSON Web Token
    _shape("AKIA", r"AKIA[A-Z0-9]{12,}"),
    _shape("ASIA", r"ASIA[A-Z0-9]{12,}"),
    _shape("AIza", r"AIza[\w-]{30,}"),
    _shape("ya29.", r"ya29\.[\w-]{20,}"),
    _shape("GOCSPX-", r"GOCSPX-[\w-]{20,}"),
    _shape("gh", r"gh[pousr]_[A-Za-z0-9]{20,}"),
    _shape("github_pat_", r"github_pat_\w{20,}"),
    _shape("gl", r"gl(?:pat|dt|rt|ptt|oas|soat|cbt|ft|imt|agent|ffct)-[\w.-]{16,}"),
    _shape("gls", r"glsa_\w{20,}"),
    _shape("glc_", r"glc_[\w=+/]{20,}"),
    _shape("xox", r"xox[a-z]-[\w-]{10,}|xoxe\.[\w.-]{10,}"),
    _shape("xapp-", r"xapp-[\w-]{10,}"),
    _shape("hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<secret>[\w/-]+)"),
    _shape("webhook", r"(?:discord(?:app)?\.com/api/webhooks|webhook\.office\.com/webhookb2)/(?P<secret>[\w/@.-]+)"),
    _shape("k_", r"[srp]k_(?:live|test)_\w{10,}"),
    _shape("whsec_", r"whsec_[\w+/=]{16,}"),
    _shape("sk-", r"sk-[A-Za-z0-9_-]{16,}"),  # several language model providers
    _shape("hf_", r"hf_[A-Za-z0-9]{20,}"),
    _shape("npm_", r"npm_[A-Za-z0-9]{20,}"),
    _shape("pypi-", r"pypi-[\w-]{16,}"),
    _shape("_v1_", r"do[oprt]_v1_[0-9a-f]{20,}"),
    _shape("dckr_", r"dckr_(?:pat|oat)_[\w-]{16,}"),
    _shape("dapi", r"dapi[0-9a-f]{30,}"),
    _shape("dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{20,}"),
    _shape("hv", r"hv[sbr]\.[\w-]{16,}"),
    _shape("SG.", r"SG\.[\w-]{16,}\.[\w-]{16,}"),
    _shape("SK", r"SK[0-9a-f]{32}(?![0-9a-f])"),
    _shape("key-", r"key-[0-9a-f]{32}(?![0-9a-f])"),
    _shape("NRAK-", r"NRAK-[A-Z0-9]{20,}"),
    _shape("lin_api_", r"lin_api_\w{20,}"),
    _shape("shp", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{20,}"),
    _shape(":AA", r"\d{8,10}:AA[\w-]{30,}"),
    _shape("AGE-SECRET-KEY-", r"AGE-SECRET-KEY-1[A-Z0-9]{20,}"),
    _shape(".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{40,}"),
    _shape("nvapi-", r"nvapi-[\w-]{20,}"),
    _shape("gsk_", r"gsk_\w{20,}"),
    _shape("xai-", r"xai-\w{20,}"),
    _shape("ATATT3", r"ATATT3[\w=-]{20,}"),
    _shape("sq0", r"sq0[a-z]{3}-[\w-]{20,}"),
    _shape("$", r"\$(?:apr1|2[abxy]|[1567]|y|argon2\w{1,2}|scrypt|pbkdf2[\w-]*)\$[\w./$+=,:-]{8,}", ""),  # password hashes
    _shape("earer", r"[bB]earer[ \t]+(?P<secret>(?=[^\s]*[0-9A-Z._~+/=-])[\w.~+/=-]{8,})"),
    _shape("BEARER", r"BEARER[ \t]+(?P<secret>[\w.~+/=-]{8,})"),
    _shape("asic ", r"[bB]asic[ \t]+(?P<secret>(?=[^\s]*(?:[0-9=]|[a-z][A-Z]))[A-Za-z0-9+/_-]{8,}={0,2})"),
    _shape("ignature=", r"[?&][\w-]*[sS]ignature=(?P<secret>[\w%+/=.-]{6,})", ""),
    _shape("sig=", r"[?&;](?:sv_)?sig=(?P<secret>[\w%+/=.-]{6,})", ""),
    _shape("key=", r"[?&]key=(?P<secret>(?=[^?&\s\"']*\d)(?=[^?&\s\"']*[A-Za-z])[\w%.~+/-]{8,})", ""),
    _shape("code=", r"[?&]code=(?P<secret>(?=[^?&\s\"']*\d)[\w%.~+/=-]{8,})", ""),
    _shape("}", r"\{S{0,2}(?:SHA|MD5|CRYPT|PBKDF2|ARGON2)[\w-]{0,10}\}(?P<secret>[\w./+$=,-]{8,})", ""),
    _shape("SCRAM-SHA-", r"SCRAM-SHA-\d+\$(?P<secret>[\w:+/=$]{20,})"),
    _shape("md5", r"\"md5(?P<secret>[0-9a-f]{32})\"", ""),  # pgbouncer
    _shape("Credential=", r"Signature=(?P<secret>[0-9a-f]{16,})"),
    _shape("@", r"[\w.-]{1,100}:(?P<secret>[^\s@/:\"'‹›]{1,300}+)@(?=(?:tcp|unix|udp)\()", r"(?<![\w.-])"),
)  # fmt: skip
