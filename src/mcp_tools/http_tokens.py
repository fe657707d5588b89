"""The bearer tokens that a server over HTTP accepts: from a file, read again when it changes, or from a variable.

A token is never taken from a flag: command lines are shown to every user of a machine.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
from pathlib import Path

from configuration.errors import ConfigurationError

log = logging.getLogger(__name__)

MIN_TOKEN_CHARACTERS = 32
MAX_TOKENS = 16
MAX_FILE_BYTES = 16 * 1024
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")
"""RFC 6750 section 2.1; anything else cannot be sent as a bearer token."""
MAKE_ONE = "openssl rand -hex 32"

_Stamp = tuple[int, int, int, int]


class AcceptedTokens:
    """Whether a token is one of those that count now. Keeps digests only."""

    def __init__(self, *, file: Path | None = None, value: str = "") -> None:
        """Raises ConfigurationError when there is no usable token at the start."""
        self._file = file
        self._stamp: _Stamp | None = None
        self._digests: tuple[bytes, ...] = ()
        self._name_key = secrets.token_bytes(32)
        if file is not None:
            self._read(file)
        else:
            self._digests = (_digest(_checked(value, "MCP_TOKEN")),)

    def accepts(self, token: bytes) -> bool:
        """Whether it is one of them, see `client_of`."""
        return bool(self.client_of(token))

    def client_of(self, token: bytes) -> str:
        """A name for whoever holds this token, the same as long as this process lives; "" for a token that is not accepted.

        Compares with every accepted token in constant time. A file that has become unusable lets nobody in.
        """
        if self._file is not None:
            self._read_again(self._file)
        offered = hashlib.sha256(token).digest()
        matches = [hmac.compare_digest(offered, accepted) for accepted in self._digests]  # all of them: no early end
        return hmac.digest(self._name_key, offered, "sha256").hex() if any(matches) else ""

    def _read_again(self, file: Path) -> None:
        try:
            if self._stamp == _stamp(file.stat()):
                return
        except OSError:
            if self._stamp is None:
                return
        try:
            self._read(file)
            log.info("the token file was read again: %d accepted", len(self._digests))
        except ConfigurationError as error:
            self._digests = ()
            log.error("%s; until then nobody is let in", error)

    def _read(self, file: Path) -> None:
        self._stamp = None
        content, status = _content(file)
        self._stamp = _stamp(status)
        _refuse_open_file(file, status)
        tokens = _lines(content)
        if not 1 <= len(tokens) <= MAX_TOKENS or len(content) > MAX_FILE_BYTES:
            raise ConfigurationError(f"token file {file} must hold 1 to {MAX_TOKENS} tokens, one a line; make one: {MAKE_ONE}")
        self._digests = tuple(_digest(_checked(token, f"token file {file}")) for token in tokens)


class TokenOfServer:
    """The token that we send to a server: the first in the file, read again when it changes, else the variable's."""

    def __init__(self, file: Path | None, value: str) -> None:
        """Raises ConfigurationError when what is there at the start is no token."""
        self._file = file
        self._stamp: _Stamp | None = None
        self._token = ""
        if file is not None:
            self._read(file)
        elif value:
            self._token = _checked(value, "MCP_SERVER_TOKEN", shortest=1)

    def __call__(self) -> str:
        """ "" for none. A file that has become unusable leaves the token that was read last."""
        if self._file is not None:
            try:
                if self._stamp != _stamp(self._file.stat()):
                    self._read(self._file)
            except (OSError, ConfigurationError) as error:
                log.debug("the token file of the server cannot be read again: %s", type(error).__name__)
        return self._token

    def _read(self, file: Path) -> None:
        content, status = _content(file)
        _refuse_open_file(file, status)
        self._token = _checked(next(iter(_lines(content)), ""), f"token file {file}", shortest=1)
        self._stamp = _stamp(status)


def _content(file: Path) -> tuple[bytes, os.stat_result]:
    """At most one byte more than a file may have. Does not wait for somebody to write into a pipe."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(descriptor, MAX_FILE_BYTES + 1), os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigurationError(
            f"token file {file} cannot be read: {error.strerror}; make one: (umask 077; {MAKE_ONE} > {file})"
        ) from None


def _lines(content: bytes) -> list[str]:
    lines = [line.strip() for line in content.decode("ascii", "replace").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _refuse_open_file(file: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"token file {file} is not a regular file")
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ConfigurationError(f"token file {file} is open to other users; run: chmod 600 {file}")


def _checked(token: str, where: str, *, shortest: int = MIN_TOKEN_CHARACTERS) -> str:
    """Never says what the token is."""
    if len(token) < shortest:
        raise ConfigurationError(f"{where}: a token has at least {shortest} characters; make one: {MAKE_ONE}")
    if _TOKEN.match(token) is None:
        raise ConfigurationError(f"{where}: a token is made of letters, digits and -._~+/ only; make one: {MAKE_ONE}")
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()


def _stamp(status: os.stat_result) -> _Stamp:
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
