"""Where settings come from, and how a command reports failure."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, SecretStr
from typer.testing import CliRunner

from configuration import errors, sources
from configuration.command_line import application
from configuration.errors import ConfigurationError, K8sMcpError, LockHeld
from configuration.logs import JsonFormatter
from configuration.sources import ProcessSettings, load


class Example(ProcessSettings):
    scanner_timeout: int = Field(120, ge=1)
    cache_db_path: Path = Path("data/cache.db")
    llm_api_key: SecretStr = SecretStr("")
    paths: ClassVar[frozenset[str]] = frozenset({"cache_db_path"})


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SCANNER_TIMEOUT", "CACHE_DB_PATH", "LLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "conf" / "my.env"
    path.parent.mkdir()
    path.write_text("SCANNER_TIMEOUT=7\nCACHE_DB_PATH=sub/x.db\n")
    return path


def test_flags_win_over_environment_over_env_file_over_defaults(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(Example, env_file=env_file).scanner_timeout == 7
    monkeypatch.setenv("SCANNER_TIMEOUT", "8")
    assert load(Example, env_file=env_file).scanner_timeout == 8
    assert load(Example, env_file=env_file, scanner_timeout=9).scanner_timeout == 9
    assert load(Example, env_file=env_file, scanner_timeout=None).scanner_timeout == 8


def test_an_empty_variable_counts_as_not_set(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANNER_TIMEOUT", "  ")
    assert load(Example, env_file=env_file).scanner_timeout == 7


def test_relative_paths_are_anchored_where_they_were_written(
    env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(Example, env_file=env_file).cache_db_path == env_file.parent / "sub/x.db"
    assert load(Example, env_file=env_file, cache_db_path=Path("here.db")).cache_db_path == tmp_path / "here.db"
    monkeypatch.setenv("CACHE_DB_PATH", "there.db")
    assert load(Example, env_file=env_file).cache_db_path == tmp_path / "there.db"


def test_a_default_path_is_anchored_to_the_project_and_not_to_the_working_directory(
    env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file.write_text("")
    monkeypatch.chdir(tmp_path)
    assert load(Example, env_file=env_file).cache_db_path == Path(__file__).resolve().parents[1] / "data/cache.db"


def test_the_path_fields_of_every_mixin_are_anchored(env_file: Path) -> None:
    class Other(ProcessSettings):
        key_file: Path = Path("key")
        paths: ClassVar[frozenset[str]] = frozenset({"key_file"})

    class Both(Other, Example):
        pass

    settings = load(Both, env_file=env_file)
    assert (settings.key_file.is_absolute(), settings.cache_db_path) == (True, env_file.parent / "sub/x.db")


def test_an_env_file_in_the_working_directory_is_never_read(
    env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("SCANNER_TIMEOUT=666\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setattr(sources, "project_root", lambda: None)
    assert load(Example).scanner_timeout == 120


def test_the_users_configuration_directory_is_read(env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "project_root", lambda: None)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "k8s-mcp").mkdir()
    (tmp_path / "k8s-mcp" / ".env").write_text("SCANNER_TIMEOUT=55\n")
    assert load(Example).scanner_timeout == 55


@pytest.mark.parametrize("value", ["soon", "-5", "1.5", "0"])
def test_a_bad_value_is_one_line_that_names_setting_place_value_and_rule(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SCANNER_TIMEOUT", value)
    with pytest.raises(ConfigurationError) as caught:
        load(Example, env_file=env_file)
    message = str(caught.value)
    assert re.match(rf"SCANNER_TIMEOUT='{re.escape(value)}' \(from the environment\): .*(integer|greater)", message)
    assert "\n" not in message


def test_a_missing_env_file_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        load(Example, env_file=tmp_path / "none.env")


def test_the_value_of_a_bad_key_is_not_shown() -> None:
    class Strict(ProcessSettings):
        llm_api_key: int = 0

    with pytest.raises(ConfigurationError) as caught:
        load(Strict, llm_api_key="sk-canary")
    assert "canary" not in str(caught.value)
    assert "LLM_API_KEY (from the command line)" in str(caught.value)


def test_exit_codes_are_those_that_the_tree_in_the_docstring_promises() -> None:
    promised = dict(re.findall(r"(\w+)\s+(\d)\s{3}", errors.__doc__ or ""))
    actual = {
        name: str(found.exit_code)
        for name, found in vars(errors).items()
        if isinstance(found, type) and issubclass(found, K8sMcpError)
    }
    assert promised == actual


def test_a_command_that_fails_prints_one_line_and_ends_with_the_exit_code_of_its_error() -> None:
    app = application("Example.")

    @app.command()
    def run() -> None:
        raise LockHeld("another scanner\nholds the lock")

    @app.command()
    def other() -> None:
        pass

    result = CliRunner().invoke(app, ["run"])
    assert (result.exit_code, result.stderr) == (4, "error: another scanner holds the lock\n")


def test_an_interrupted_command_ends_as_shells_expect() -> None:
    app = application("Example.")

    @app.command()
    def run() -> None:
        raise KeyboardInterrupt

    @app.command()
    def other() -> None:
        pass

    assert CliRunner().invoke(app, ["run"]).exit_code == 130


def test_json_logs_are_one_object_a_line() -> None:
    record = logging.LogRecord("scanner", logging.WARNING, "f", 1, "scan of %s\nfailed", ("pods",), None)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == "scan of pods\nfailed"


@pytest.mark.parametrize("package", ["agent", "cache", "configuration", "kinds", "main", "mcp_tools", "scanner"])
def test_each_of_our_top_level_names_resolves_to_our_source(package: str) -> None:
    code = f"import importlib.util as u; print(u.find_spec({package!r}).origin)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert Path(found).is_relative_to(Path(__file__).resolve().parents[1] / "src")


def test_a_defect_is_one_line_too_and_debug_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    app = application("Example.")

    @app.command()
    def run() -> None:
        raise ValueError("seven is not a colour")

    @app.command()
    def other(number: int) -> None:
        pass

    result = CliRunner().invoke(app, ["run"])
    assert (result.exit_code, result.stderr) == (
        1,
        "error: unexpected ValueError, a defect of this program; --debug shows where\n",
    )
    assert CliRunner().invoke(app, ["other", "x"]).exit_code == 2
    monkeypatch.setattr(sys, "argv", ["app", "run", "--debug"])
    assert isinstance(CliRunner().invoke(app, ["run"]).exception, ValueError)
