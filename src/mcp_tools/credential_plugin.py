"""Credential plugins of a kubeconfig (`users[].user.exec`): run one, read the ExecCredential that it prints.

The kubernetes library's own runner has no time limit, swallows the plugin's failure and never runs it again when the
token expires. Protocol: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from configuration.errors import ConfigurationError, Unauthorized

TIMEOUT_SECONDS = 60.0
"""Cloud CLIs start slowly and may refresh a login over the network."""


@dataclass(frozen=True, slots=True)
class PluginCredential:
    """`user` is a kubeconfig user entry with the credential written out; `expires_at` epoch seconds or None."""

    user: dict[str, Any]
    expires_at: float | None

    def __repr__(self) -> str:
        return f"PluginCredential(expires_at={self.expires_at})"


async def run_credential_plugin(
    plugin: Mapping[str, Any], cluster: Mapping[str, Any], environment: Mapping[str, str], *, user: str
) -> PluginCredential:
    """Run the plugin of one user entry. Its stderr goes to ours, as with kubectl; its stdout is never shown.

    Raises ConfigurationError when it cannot be started or is malformed, Unauthorized when it fails.
    """
    _expect_well_formed(plugin, user)
    command, api_version = str(plugin.get("command") or ""), str(plugin.get("apiVersion") or "")
    if not command or not api_version:
        raise ConfigurationError(f"kubeconfig user {user!r}: exec needs command and apiVersion")
    what = f"the credential plugin {Path(command).name!r} of kubeconfig user {user!r}"
    arguments = [str(argument) for argument in plugin.get("args") or []]
    declared = {str(item["name"]): str(item["value"]) for item in plugin.get("env") or []}
    info = {"KUBERNETES_EXEC_INFO": json.dumps(_exec_info(plugin, cluster, api_version))}
    try:
        process = await asyncio.create_subprocess_exec(
            command, *arguments,
            env={**environment, **declared, **info},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise ConfigurationError(
            f"{what} cannot be started: {error.strerror}; {plugin.get('installHint') or 'install it'}"
        ) from None
    try:
        output, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_SECONDS)
    except TimeoutError:
        raise Unauthorized(f"{what} gave no answer in {TIMEOUT_SECONDS:.0f} s; log in again, or run it by hand") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise Unauthorized(f"{what} failed with exit code {process.returncode}; log in again, or run it by hand")
    return _read_credential(output, api_version, what)


def _expect_well_formed(plugin: object, user: str) -> None:
    if isinstance(plugin, Mapping):
        variables = plugin.get("env") or []
        named = isinstance(variables, list) and all(
            isinstance(item, dict) and {"name", "value"} <= set(item) for item in variables
        )
        if named and isinstance(plugin.get("args") or [], list):
            return
    raise ConfigurationError(
        f"kubeconfig user {user!r}: exec must be a mapping with command, apiVersion, args (a list) "
        "and env (a list of name and value)"
    )


def _exec_info(plugin: Mapping[str, Any], cluster: Mapping[str, Any], api_version: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        spec["cluster"] = {key: value for key, value in cluster.items() if key != "extensions"}
    return {"apiVersion": api_version, "kind": "ExecCredential", "spec": spec}


def _read_credential(output: bytes, api_version: str, what: str) -> PluginCredential:
    try:
        document = json.loads(output)
        status = document["status"]
        expires_at = _expiry(status.get("expirationTimestamp"))
        given_version = document["apiVersion"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unauthorized(f"{what} printed no ExecCredential with a status") from None
    if given_version != api_version:
        raise ConfigurationError(f"{what} speaks {str(given_version)[:60]}, the kubeconfig asks for {api_version}")
    user: dict[str, Any] = {}
    if status.get("token"):
        user["token"] = str(status["token"])
    if status.get("clientCertificateData") and status.get("clientKeyData"):
        user["client-certificate-data"] = _base64(status["clientCertificateData"])
        user["client-key-data"] = _base64(status["clientKeyData"])
    if not user:
        raise Unauthorized(f"{what} printed neither a token nor a client certificate with its key")
    return PluginCredential(user, expires_at)


def _expiry(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None


def _base64(text: str) -> str:
    return base64.b64encode(str(text).encode()).decode()
