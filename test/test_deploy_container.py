"""The Containerfile, read as far as that goes without a container engine."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
Stage = list[tuple[str, str]]


def stages() -> list[Stage]:
    """The instructions of each stage, as (INSTRUCTION, arguments) with continued lines joined."""
    lines = [line for line in (ROOT / "Containerfile").read_text().splitlines() if line and not line.lstrip().startswith("#")]
    found: list[Stage] = []
    for text in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        name, _, arguments = text.partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append((name, arguments.strip()))
    return found


def every(name: str) -> list[str]:
    return [arguments for stage in stages() for instruction, arguments in stage if instruction == name]


def is_sent_to_the_engine(path: str) -> bool:
    """What .containerignore leaves in the build context; the last rule that fits decides."""
    sent = True
    folders = [path, *map(str, Path(path).parents)]
    for rule in (ROOT / ".containerignore").read_text().split():
        if any(fnmatch.fnmatch(folder, rule.removeprefix("!")) for folder in folders):
            sent = rule.startswith("!")
    return sent


def test_every_instruction_is_one() -> None:
    known = {"FROM", "WORKDIR", "COPY", "RUN", "LABEL", "ENV", "VOLUME", "USER", "STOPSIGNAL", "CMD"}
    assert {name for stage in stages() for name, _ in stage} == known


def test_what_is_copied_exists_and_reaches_the_engine() -> None:
    sources = [part for arguments in every("COPY") if "--from" not in arguments for part in arguments.split()[:-1]]
    assert set(sources) >= {"src", "requirements.txt", "pyproject.toml"}
    for source in sources:
        assert (ROOT / source).exists(), source
        assert is_sent_to_the_engine(source), source
    for secret in (".env", "data/k8s_cache.db", ".git/config", "src/cache/__pycache__/x.pyc"):
        assert not is_sent_to_the_engine(secret), secret
    assert (ROOT / str(PYPROJECT["project"]["readme"])).name in sources


def test_every_package_is_installed_by_its_hash() -> None:
    installing = [
        part.strip()
        for run in every("RUN")
        for part in run.split("&&")
        if re.search(r"\b(pip|uv)\b.* (install|sync|wheel)\b", part)
    ]
    assert len(installing) == 4
    for command in installing:
        assert "--require-hashes" in command or "--no-deps" in command, command
    for name in ("requirements.txt", "deploy/build-requirements.txt"):
        entries = re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())
        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries), name
    built_by = {entry.partition("==")[0] for entry in (ROOT / "deploy/build-requirements.txt").read_text().splitlines()}
    assert set(PYPROJECT["build-system"]["requires"]) | {"uv"} <= built_by


def test_no_registry_is_named() -> None:
    for image in every("FROM"):
        assert re.fullmatch(r"[a-z]+:[\w.-]+( AS \w+)?", image), image
    text = (ROOT / "Containerfile").read_text() + (ROOT / "deploy/build-requirements.txt").read_text()
    assert "://" not in text
    assert not re.search(r"--(extra-)?index", text)


def test_the_image_runs_as_nobody_special_and_holds_no_tools_of_the_build() -> None:
    last = stages()[-1]
    arguments = dict(last)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", arguments["USER"])
    assert not any(name == "RUN" and re.search(r"pip|uv|apt|curl", text) for name, text in last)
    assert [text for name, text in last if name == "COPY"] == ["--from=build /opt/k8s-mcp /opt/k8s-mcp"]
    commands = PYPROJECT["project"]["scripts"]
    assert re.findall(r'"([\w-]+)"', arguments["CMD"])[0] in commands


def test_its_user_is_the_one_of_the_deployment() -> None:
    import yaml

    documents = yaml.safe_load_all((ROOT / "deploy/kubernetes/scanner.yaml").read_text())
    (pod,) = [one["spec"]["template"]["spec"] for one in documents if one["kind"] == "Deployment"]
    user = dict(stages()[-1])["USER"]
    context = pod["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    volumes = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    assert set(every("VOLUME")) <= set(volumes)


def test_its_python_is_one_that_the_project_supports() -> None:
    (version,) = {image.split(":")[1].split("-")[0] for image in every("FROM")}
    assert f">={version}" in PYPROJECT["project"]["requires-python"]
