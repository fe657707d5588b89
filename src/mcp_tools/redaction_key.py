"""The key of the redaction fingerprints: a file of its own, so that a copied database does not hold it."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from configuration.errors import ConfigurationError
from configuration.places import state_directory

KEY_BYTES = 32
FILE_NAME = "redaction.key"


def default_key_file() -> Path:
    """Where the key lives when REDACTION_KEY_FILE is empty."""
    return state_directory() / FILE_NAME


def read_or_create_key(path: Path | None) -> bytes:
    """The key in the file, created with mode 0600 when the file does not exist (None: the default file, with its folder).

    Two processes that create it at once get the same key. Raises ConfigurationError when the file cannot be used.
    """
    file = path or default_key_file()
    try:
        if path is None:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not file.exists():
            _create(file)
        return _read(file)
    except OSError as error:
        raise ConfigurationError(
            f"REDACTION_KEY_FILE {file} cannot be used: {error.strerror}; name a file in a folder that you may write"
        ) from None


def _create(file: Path) -> None:
    """Write a temporary file and link it into place: the name never shows half a key, and an existing key is kept."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mkstemp: mode 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(KEY_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(temporary, file)
    finally:
        Path(temporary).unlink()


def _read(file: Path) -> bytes:
    if file.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ConfigurationError(f"REDACTION_KEY_FILE {file} is open to other users; run: chmod 600 {file}")
    text = file.read_bytes().strip()
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) < KEY_BYTES:
        raise ConfigurationError(
            f"REDACTION_KEY_FILE {file} does not hold a key of {KEY_BYTES} bytes in hexadecimal; remove it, a new one is made"
        )
    return key
