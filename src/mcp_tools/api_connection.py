"""A client of the kubernetes package with credentials that are good now.

That package takes a second to import: everything that touches it happens here, at the first request, in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configuration.errors import ConfigurationError
from mcp_tools.collector_pause import spare_what_is_loaded
from mcp_tools.credential_plugin import ToldLines, run_credential_plugin
from mcp_tools.environment_proxy import checked_proxy, proxy_for
from mcp_tools.kubeconfig import FileStamp, KubeConfig, file_stamp
from mcp_tools.probed_socket import probed_socket

RENEW_BEFORE_SECONDS = 30.0
"""A credential of a plugin is renewed this long before it expires, at most: see `renewal_time`."""


class Connection:
    """Retired when newer credentials exist, and closed when the last request that uses it has ended."""

    def __init__(
        self, client: Any, made_for: KubeConfig | None, expires_at: float | None, files: Mapping[Path, FileStamp | None]
    ) -> None:
        self.client = client
        self._files = files
        self._made_for = made_for
        self._renew_at = None if expires_at is None else renewal_time(expires_at, time.time())
        self._in_use = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def is_outdated(self, config: KubeConfig | None) -> bool:
        """True when the kubeconfig or a file that it names has changed since, or the credential is about to expire."""
        if self._renew_at is not None and self._renew_at <= time.time():
            return True
        return self._made_for is not config or any(
            (now := file_stamp(file)) is not None and now != before for file, before in self._files.items()
        )

    @contextmanager
    def used(self) -> Iterator[Any]:
        """The client, kept open for the length of the block."""
        self._in_use += 1
        self._idle.clear()
        try:
            yield self.client
        finally:
            self._in_use -= 1
            if not self._in_use:
                self._idle.set()

    async def retire(self) -> None:
        """Close it once nothing uses it any more; at once when cancelled."""
        try:
            await self._idle.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Close it now."""
        await self.client.close()


def renewal_time(expires_at: float, now: float) -> float:
    """When to run the plugin again for a credential that it has just given: after three quarters of a short life.

    A fixed span before the end would run it for every single request when it hands out shorter ones than that.
    """
    return expires_at - min(RENEW_BEFORE_SECONDS, max(0.0, expires_at - now) / 4)


async def connect(
    config: KubeConfig | None, context: str, environment: Mapping[str, str], user_agent: str, *,
    service_account: Path, told: ToldLines,
) -> Connection:  # fmt: skip
    """Load the credentials of a context (config None: of the service account in that folder), running its credential plugin
    if it has one.

    The proxy is that of the kubeconfig, else of `environment`. Raises ConfigurationError, or Unauthorized when a plugin
    fails. Nothing is sent to the API server yet.
    """
    expires_at, impersonation = None, dict[str, str]()
    files = {file: file_stamp(file) for file in _loaded_files(config, context, service_account)}
    if config is None:
        configuration = await asyncio.to_thread(_in_cluster_configuration, service_account, environment)
    else:
        impersonation = _impersonation(config, context)
        document, expires_at = await _document_of(config, context, environment, told)
        configuration = await _configuration(document, config.origin, context)
    _set_proxy(configuration, context, environment)
    client = await asyncio.to_thread(_new_client, configuration)
    client.user_agent = user_agent
    for header, value in impersonation.items():
        client.set_default_header(header, value)
    return Connection(client, config, expires_at, files)


async def _document_of(
    config: KubeConfig, context: str, environment: Mapping[str, str], told: ToldLines
) -> tuple[dict[str, Any], float | None]:
    """A kubeconfig of this one context, its credential plugin already run."""
    entry = config.context(context)
    cluster = next(item["cluster"] for item in config.document["clusters"] if item["name"] == entry.cluster)
    user = _user_of(config, entry.user)
    expires_at = None
    if user.get("exec"):
        credential = await run_credential_plugin(user["exec"], cluster, environment, user=entry.user, told=told)
        user, expires_at = credential.user, credential.expires_at
    return {
        "current-context": context,
        "contexts": [{"name": context, "context": {"cluster": "cluster", "user": "user"}}],
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
    }, expires_at


def files_of_login(config: KubeConfig | None, context: str, service_account: Path) -> list[Path]:
    """What a login reads or runs: when one of them changes, a login that has failed may succeed. Raises ConfigurationError."""
    loaded = _loaded_files(config, context, service_account)
    if config is None:
        return [*loaded, service_account / "token"]
    plugin = _user_of(config, config.context(context).user).get("exec")
    command = str(plugin.get("command") or "") if isinstance(plugin, dict) else ""
    return [*loaded, Path(command)] if "/" in command else loaded


def _loaded_files(config: KubeConfig | None, context: str, service_account: Path) -> list[Path]:
    """Token, certificate and key files, which others rotate. The library itself reads the token of a service account again."""
    if config is None:
        return [service_account / "ca.crt"]
    entry = config.context(context)
    cluster = next((item.get("cluster") or {} for item in config.document["clusters"] if item["name"] == entry.cluster), {})
    user = _user_of(config, entry.user)
    named = [cluster.get("certificate-authority"), *(user.get(key) for key in ("tokenFile", "client-certificate", "client-key"))]
    return [Path(str(file)) for file in named if file]


def _user_of(config: KubeConfig, name: str) -> dict[str, Any]:
    return next((item.get("user") or {} for item in config.document["users"] if item["name"] == name), {})


def _impersonation(config: KubeConfig, context: str) -> dict[str, str]:
    """Headers for `as` of the user entry, which the kubernetes library ignores: the requests would have the rights of
    whoever impersonates. One value a header is what that library can send, so more is refused."""
    entry = config.context(context)
    user = _user_of(config, entry.user)
    groups = user.get("as-groups") or []
    if user.get("as-user-extra") or len(groups) > 1 or (groups and not user.get("as")):
        raise ConfigurationError(
            f"kubeconfig user {entry.user!r} in {config.origin}: of impersonation, `as`, `as-uid` and one group in `as-groups` "
            "are supported; give that user credentials of its own"
        )
    wanted = {"Impersonate-User": user.get("as"), "Impersonate-Uid": user.get("as-uid"), "Impersonate-Group": "".join(groups)}
    return {header: str(value) for header, value in wanted.items() if value}


async def _configuration(document: dict[str, Any], origin: str, context: str) -> Any:
    kube_config, client = await asyncio.to_thread(import_kubernetes)
    configuration = client.Configuration()
    loader = kube_config.KubeConfigLoader(config_dict=document, config_base_path="")
    try:
        await loader.load_and_set(configuration)
    except (kube_config.ConfigException, OSError, ValueError) as error:
        raise ConfigurationError(
            f"the credentials of context {context!r} in {origin} cannot be loaded ({type(error).__name__}): {error}"
        ) from None
    configuration.disable_strict_ssl_verification = True  # as client-go: cluster CAs often lack key identifiers
    return configuration


def _set_proxy(configuration: Any, context: str, environment: Mapping[str, str]) -> None:
    """That of the kubeconfig, else that of the environment. Raises ConfigurationError."""
    if configuration.proxy:
        checked_proxy(configuration.proxy, f"proxy-url of context {context!r}")
    else:
        configuration.proxy = proxy_for(configuration.host, environment)
    configuration.client_session_kwargs = {"trust_env": False}


def import_kubernetes() -> tuple[Any, Any]:
    """The package's kubeconfig and client modules. Half a second, so never on the event loop."""
    import aiohttp
    from isal import isal_zlib
    from kubernetes.aio import client
    from kubernetes.aio.config import kube_config

    aiohttp.set_zlib_backend(isal_zlib)  # pages come compressed: a third of the time that zlib takes
    return kube_config, client


def load_early() -> None:
    """What the first request would wait half a second for."""
    import_kubernetes()
    spare_what_is_loaded()


def _in_cluster_configuration(service_account: Path, environment: Mapping[str, str]) -> Any:
    _, client = import_kubernetes()
    from kubernetes.aio.config import ConfigException
    from kubernetes.aio.config.incluster_config import InClusterConfigLoader

    configuration = client.Configuration()
    token, authority = str(service_account / "token"), str(service_account / "ca.crt")
    try:
        InClusterConfigLoader(token, authority, environ=environment).load_and_set(configuration)
    except ConfigException as error:
        raise ConfigurationError(f"no kubeconfig, and the pod's service account cannot be used: {error}") from None
    return configuration


def _new_client(configuration: Any) -> Any:
    """In a thread: it loads certificates from disk."""
    import ssl

    from aiohttp import TCPConnector
    from kubernetes.aio import client

    try:
        made = client.ApiClient(configuration)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigurationError(
            f"a certificate or key in the kubeconfig cannot be used: {type(error).__name__}: {error}"
        ) from None
    rest: Any = made.rest_client
    # without limit: each held watch keeps a connection, others must not wait for it
    rest._create_connector = lambda: TCPConnector(limit=0, ssl=rest.ssl_context, socket_factory=probed_socket)
    return made
