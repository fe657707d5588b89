"""Where settings come from: flags > environment > `.env` > defaults.

`.env` is read from the project root (in a checkout), the user's configuration directory, or the file named by `--env-file`;
never from the working directory, since a hostile checkout could name a server to execute.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from configuration.errors import ConfigurationError
from configuration.places import default_directory, project_root, user_configuration_directory

SettingsClass = TypeVar("SettingsClass", bound="ProcessSettings")


class ProcessSettings(BaseSettings):
    """Base of the settings mixins. A field `cache_db_path` is the variable `CACHE_DB_PATH`.

    `paths` names the fields that hold paths: a relative one in a `.env` file is anchored to that file's folder, a
    relative one from a flag or the environment to the working directory, and a default to `default_directory()`.
    """

    model_config = SettingsConfigDict(extra="ignore", case_sensitive=False, validate_default=True, str_strip_whitespace=True)
    paths: ClassVar[frozenset[str]] = frozenset()
    absolute: ClassVar[frozenset[str]] = frozenset()
    """Those of them that name what is started: a relative one from a flag or the environment is refused, since the working
    directory may be a hostile checkout."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """`load` has put all sources together already: nothing else may add a value."""
        return (init_settings,)


def load(
    settings: type[SettingsClass], *, env_file: Path | None = None, read_env_file: bool = True, **flags: Any
) -> SettingsClass:
    """Read one process's settings, once. A flag of None was not given; an empty variable counts as not set. Without
    `read_env_file` no file is looked for.

    Raises ConfigurationError with one line that names the setting, where it was set, its value and the rule.
    """
    values: dict[str, Any] = {
        name: _anchored(settings, name, settings.model_fields[name].default, default_directory()) for name in _paths(settings)
    }
    origins: dict[str, str] = {}
    file = env_file or (_find_env_file() if read_env_file else None)
    if env_file is not None and not env_file.is_file():
        raise ConfigurationError(f"--env-file {env_file}: no such file; name an existing file or leave the option out")
    for origin, found, anchor in (
        (str(file), _read_env_file(file) if file else {}, file.parent if file else Path()),
        ("the environment", dict(os.environ), Path.cwd()),
    ):
        for name, text in _known(settings, found).items():
            if origin == "the environment":
                _refuse_relative(settings, name, text, origin)
            values[name] = _anchored(settings, name, text, anchor)
            origins[name] = origin
    for name, value in flags.items():
        if value is not None:
            _refuse_relative(settings, name, value, "the command line")
            values[name] = _anchored(settings, name, value, Path.cwd())
            origins[name] = "the command line"
    try:
        return settings(**values)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, origins)) from None


def _paths(settings: type[ProcessSettings]) -> frozenset[str]:
    """All path fields: each mixin names its own, and a plain attribute look-up would find only the first mixin's."""
    return frozenset().union(*(vars(part).get("paths", ()) for part in settings.__mro__))


def _refuse_relative(settings: type[ProcessSettings], name: str, value: Any, origin: str) -> None:
    if name in settings.absolute and not Path(str(value)).expanduser().is_absolute():
        raise ConfigurationError(
            f"{name.upper()}={str(value)[:80]!r} (from {origin}): must be an absolute path; nothing is started because of the "
            "working directory"
        )


def _find_env_file() -> Path | None:
    for directory in (project_root(), user_configuration_directory()):
        if directory is not None and (directory / ".env").is_file():
            return directory / ".env"
    return None


def _read_env_file(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    try:
        return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.__class__.__name__}); correct or remove it") from None


def _known(settings: type[ProcessSettings], found: dict[str, str]) -> dict[str, str]:
    upper = {name.upper(): text for name, text in found.items()}
    return {name: upper[name.upper()] for name in settings.model_fields if upper.get(name.upper(), "").strip()}


def _anchored(settings: type[ProcessSettings], name: str, value: Any, anchor: Path) -> Any:
    if name not in _paths(settings) or value is None or not str(value):
        return value
    return anchor / Path(str(value)).expanduser()


def _explain(error: ValidationError, origins: dict[str, str]) -> str:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    message = first["msg"].removeprefix("Value error, ")
    value = re.sub(r"//[^/@]*@", "//…@", str(first.get("input")))  # a URL may carry a password
    shown = "" if _is_secret(name) else f"={value[:80]!r}"
    return f"{name.upper()}{shown} (from {origins.get(name, 'its default')}): {message[:1].lower()}{message[1:]}"


def _is_secret(name: str) -> bool:
    return name.endswith(("_key", "_token", "_password"))
