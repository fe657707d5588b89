"""Credential plugins of a kubeconfig (`users[].user.exec`): run one, read the ExecCredential that it prints.

The kubernetes library's own runner has no time limit, swallows the plugin's failure and never runs it again when the
token expires. Protocol: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from configuration.errors import ConfigurationError, Unauthorized
from mcp_tools.plain_text import plain_text

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0
"""Cloud CLIs start slowly and may refresh a login over the network."""
STDERR_SECONDS = 0.5
"""How long its stderr is read once it has ended: something that it left running may keep that open."""
LINE_BYTES = 2000
MOST_LINES = 100
"""Of different text, until the plugin succeeds."""


@dataclass(frozen=True, slots=True)
class PluginCredential:
    """`user` is a kubeconfig user entry with the credential written out; `expires_at` epoch seconds or None."""

    user: dict[str, Any]
    expires_at: float | None

    def __repr__(self) -> str:
        return f"PluginCredential(expires_at={self.expires_at})"


class ToldLines:
    """What the plugin of a context has said on stderr since it last succeeded: the same complaint is logged once."""

    def __init__(self) -> None:
        self._told: set[bytes] = set()

    def tell(self, what: str, line: bytes) -> None:
        """Log it, unless it has been."""
        line = line.strip()
        if not line or line in self._told or len(self._told) > MOST_LINES:
            return
        self._told.add(line)
        if len(self._told) > MOST_LINES:
            log.warning("%s says more, which is not shown until it has succeeded", what)
        else:
            log.warning("%s says: %s", what, plain_text(line[:LINE_BYTES].decode(errors="replace")))

    def forget(self) -> None:
        """It succeeded."""
        self._told.clear()


async def run_credential_plugin(
    plugin: Mapping[str, Any], cluster: Mapping[str, Any], environment: Mapping[str, str], *, user: str, told: ToldLines
) -> PluginCredential:
    """Run the plugin of one user entry. Its stderr goes to the log as it comes; its stdout is never shown.

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
        async with _logged_stderr(what, told) as stderr:
            process = await asyncio.create_subprocess_exec(
                command, *arguments,
                env={**environment, **declared, **info},
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=stderr,
            )  # fmt: skip
            stderr.close()  # so that it ends with the plugin
            output = await _output(process, what)
    except OSError as error:
        raise ConfigurationError(
            f"{what} cannot be started: {error.strerror}; {plugin.get('installHint') or 'install it'}"
        ) from None
    if process.returncode:
        raise Unauthorized(f"{what} failed with exit code {process.returncode}; log in again, or run it by hand")
    credential = _read_credential(output, api_version, what)
    told.forget()
    return credential


async def _output(process: asyncio.subprocess.Process, what: str) -> bytes:
    try:
        return (await asyncio.wait_for(process.communicate(), TIMEOUT_SECONDS))[0]
    except TimeoutError:
        raise Unauthorized(f"{what} gave no answer in {TIMEOUT_SECONDS:.0f} s; log in again, or run it by hand") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@asynccontextmanager
async def _logged_stderr(what: str, told: ToldLines) -> AsyncIterator[IO[bytes]]:
    """The end to write to. Not a pipe of the process: waiting for that one would wait for whoever still has its stderr."""
    ours, theirs = (os.fdopen(end, mode, buffering=0) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True))
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), ours)
    telling = asyncio.create_task(_tell(reader, what, told))
    try:
        with theirs:
            yield theirs
        await asyncio.wait({telling}, timeout=STDERR_SECONDS)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        transport.close()


async def _tell(stderr: asyncio.StreamReader, what: str, told: ToldLines) -> None:
    rest = b""
    try:
        while piece := await stderr.read(LINE_BYTES):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                told.tell(what, line)
            if len(rest) > LINE_BYTES:
                told.tell(what, rest)
                rest = b""
    finally:
        told.tell(what, rest)


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
