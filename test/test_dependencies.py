"""What the source imports is what the project declares, pins and justifies."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


CARRIED = {
    "anyio": "mcp",
    "httpx": "litellm",
    "openai": "litellm",
    "pydantic": "pydantic-settings",
    "referencing": "jsonschema",
    "tiktoken": "litellm",
}
"""Libraries whose types are part of the interface of one that is declared: they come, and are replaced, together with it."""


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    return {normalised(re.split(r"[<>=!~\[; ]", requirement, maxsplit=1)[0]) for requirement in requirements}


def imported_distributions(folder: Path) -> dict[str, Path]:
    """Distribution -> one file that imports it."""
    by_package = packages_distributions()
    ours = {path.stem for path in (ROOT / "src").iterdir()} | {"mcp_types"}
    found: dict[str, Path] = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for name in {name.split(".")[0] for name in names} - sys.stdlib_module_names - ours:
                found[normalised(by_package.get(name, [name])[0])] = path
    return found


def test_every_library_that_the_source_imports_is_declared() -> None:
    missing = {
        name: str(path.relative_to(ROOT))
        for name, path in imported_distributions(ROOT / "src").items()
        if CARRIED.get(name, name) not in declared(PROJECT["project"]["dependencies"])
    }
    assert not missing


def test_every_declared_library_is_justified_in_the_docs() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text()
    named = declared([*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]])
    assert not [name for name in named if name not in normalised(text)]


def test_pins_and_hashes_agree() -> None:
    done = subprocess.run([sys.executable, ROOT / "script" / "pin", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_committed_file_names_a_package_registry() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    host = re.compile(rb"(pypi\.(org|python)|files\.pythonhosted|registry\.npmjs|proxy\.golang|deb\.debian)")
    assert not [name for name in listed if name != "test/test_dependencies.py" and host.search((ROOT / name).read_bytes())]
