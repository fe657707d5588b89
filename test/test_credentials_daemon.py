"""A daemon whose credentials run out again and again: plugin tokens of 14 seconds, token files and certificates that rotate."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from expiring_proxy import ExpiringProxy, expiring_proxy, kubeconfig_of
from scan_fixtures import ScannerProcess, query

MakeScanner = Callable[..., ScannerProcess]

LIFETIME_SECONDS = 14
EXPIRIES = 3
CURRENT_SECONDS = 20.0
"""By then an object has to be in the cache: the intervals below are 5 s, and the machine may be busy."""
SETTINGS = {
    "K8S_CONTEXTS": "*",
    "SCANNER_DYNAMIC_INTERVAL": "5",
    "SCANNER_STATIC_INTERVAL": "5",
    "CACHE_DYNAMIC_TTL": "15",
    "CACHE_STATIC_TTL": "15",
}
PLUGIN = """#!/bin/sh
now=$(date +%s)
until=$(date -u -d "@$((now + {lifetime}))" +%Y-%m-%dT%H:%M:%SZ)
echo "$now" >> {folder}/{name}.runs
cat <<END
{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
  "status": {{"token": "{name}.$now", "expirationTimestamp": "$until"}}}}
END
"""


def plugin_kubeconfig(folder: Path, proxy: ExpiringProxy, name: str) -> Path:
    script = folder / f"{name}-login"
    script.write_text(PLUGIN.format(folder=folder, name=name, lifetime=LIFETIME_SECONDS))
    script.chmod(0o700)
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": f"./{script.name}", "interactiveMode": "Never"}
    return kubeconfig_of(folder / f"{name}.yaml", name, proxy.url, {"exec": plugin})


def plugin_runs(folder: Path, name: str) -> list[int]:
    """When the plugin was run, epoch seconds."""
    return [int(line) for line in (folder / f"{name}.runs").read_text().split()]


class TokenFile:
    """Rotated as the kubelet does it: a new file takes the old one's place."""

    def __init__(self, folder: Path, proxy: ExpiringProxy) -> None:
        self._path = folder / "rotating.token"
        self.rotate()
        self.kubeconfig = kubeconfig_of(folder / "token-file.yaml", "token-file", proxy.url, {"tokenFile": self._path.name})

    def rotate(self) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(f"token-file.{int(time.time())}")
        new.replace(self._path)


class ClientCertificate:
    """Certificate and key of a cluster admin in one file, each good for LIFETIME_SECONDS."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "client.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clients of a test")])
        self.authority_file = folder / "clients-ca.crt"
        authority = self._certificate(self._authority, self._key.public_key(), datetime.timedelta(days=1))
        authority = authority.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.authority_file.write_bytes(authority.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        self.rotate()

    def kubeconfig(self, folder: Path, control_plane: Any) -> Path:
        user = {"client-certificate": self._path.name, "client-key": self._path.name}
        path = kubeconfig_of(folder / "certificate.yaml", "certificate", control_plane.server, user)
        document = yaml.safe_load(path.read_text())
        document["clusters"][0]["cluster"]["certificate-authority"] = str(control_plane.ca_file)
        path.write_text(yaml.safe_dump(document))
        return path

    def rotate(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"), x509.NameAttribute(NameOID.COMMON_NAME, "tester")]
        )
        builder = self._certificate(subject, key.public_key(), datetime.timedelta(seconds=LIFETIME_SECONDS))
        usage = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = builder.add_extension(usage, critical=False).sign(self._key, hashes.SHA256())
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        new = self._path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
        new.replace(self._path)

    def _certificate(self, subject: x509.Name, key: Any, lifetime: datetime.timedelta) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._authority).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + lifetime)


@contextmanager
def every(seconds: float, *actions: Callable[[], None]) -> Iterator[None]:
    """Does them in a thread, until the block is left."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(seconds):
            for action in actions:
                action()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def expect(scanner: ScannerProcess, name: str, contexts: set[str], seconds: float) -> None:
    """Wait until the cache knows a configmap of that name in each of these contexts."""
    deadline = time.monotonic() + seconds
    while (found := clusters_with(scanner, name)) != contexts:
        assert time.monotonic() < deadline, f"after {seconds:.0f} s {name} is in {sorted(found)} only"
        time.sleep(0.1)


def clusters_with(scanner: ScannerProcess, name: str) -> set[str]:
    """The contexts under which the cache knows a configmap of that name."""
    if not scanner.database.exists():
        return set()
    try:
        return {str(row[0]) for row in query(scanner.database, "SELECT cluster FROM configmaps WHERE name = ?", name)}
    except Exception:  # noqa: BLE001  the file is just being created
        return set()


def test_a_daemon_is_alive_and_current_after_three_expiries_of_every_kind_of_credential(
    control_plane_factory: Callable[..., Any], scanner_process: MakeScanner, tmp_path: Path
) -> None:
    """One daemon follows, one only lists. Certificates are refused by the API server itself, tokens by a door in front."""
    certificate = ClientCertificate(tmp_path)
    control_plane = control_plane_factory(
        controllers=False, audit=False, api_server_flags=(f"--client-ca-file={certificate.authority_file}",)
    )
    path = "/api/v1/namespaces/default/configmaps"
    with expiring_proxy(control_plane, lifetime_seconds=LIFETIME_SECONDS) as proxy:
        tokens = TokenFile(tmp_path, proxy)
        files = [plugin_kubeconfig(tmp_path, proxy, "plugin"), tokens.kubeconfig, certificate.kubeconfig(tmp_path, control_plane)]
        lister_files = [plugin_kubeconfig(tmp_path, proxy, "plugin-of-the-lister")]
        follower = scanner_process(Path(":".join(map(str, files))), **SETTINGS)
        lister = scanner_process(Path(":".join(map(str, lister_files))), SCANNER_FOLLOW="false", **SETTINGS)
        daemons = [follower.start(), lister.start()]
        started = time.time()
        with every(LIFETIME_SECONDS / 2, tokens.rotate, certificate.rotate):
            number, patience, first_seen = 0, 60 + CURRENT_SECONDS, float("inf")
            while time.time() < first_seen + EXPIRIES * LIFETIME_SECONDS + 2:
                name = f"seen-{number}"
                control_plane.api.post(path, {"metadata": {"name": name}, "data": {"n": str(number)}})
                expect(follower, name, {"plugin", "token-file", "certificate"}, patience)
                expect(lister, name, {"plugin-of-the-lister"}, patience)
                number, patience, first_seen = number + 1, CURRENT_SECONDS, min(first_seen, time.time())
                time.sleep(1)
    assert [daemon.poll() for daemon in daemons] == [None, None]
    for scanner in (follower, lister):
        assert "Traceback" not in scanner.log.read_text()
    for name in ("plugin", "plugin-of-the-lister"):
        runs = plugin_runs(tmp_path, name)
        assert len(proxy.tokens[name]) > EXPIRIES, "every token ran out, and a new one was used"
        assert len(runs) <= (time.time() - started) / (LIFETIME_SECONDS / 3), f"{name} was run {len(runs)} times: {runs}"
    assert len(proxy.tokens["token-file"]) > EXPIRIES
