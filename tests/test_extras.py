"""How to install an extra: a command for the place that the package came from, made by one function."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from relu_layers._support.extras import how_to_install

ROOT = Path(__file__).resolve().parent.parent


class Installed:
    """What pip has noted about an installation."""

    def __init__(self, origin: dict[str, Any] | None) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


def command(monkeypatch: pytest.MonkeyPatch, origin: dict[str, Any] | None) -> str:
    """Return the command for an installation from ``origin``."""
    with monkeypatch.context() as patch:
        patch.setattr(importlib.metadata, "distribution", lambda name: Installed(origin))
        return how_to_install("plot")


def test_a_checkout_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    url = folder.as_uri()
    assert command(monkeypatch, {"url": url, "dir_info": {}}) == f'pip install "{folder}[plot]"'
    editable = {"url": url, "dir_info": {"editable": True}}
    assert command(monkeypatch, editable) == f'pip install -e "{folder}[plot]"'


def test_a_wheel_and_a_repository_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from packaging.requirements import Requirement

    wheel = tmp_path / "relu_layers-0.1.0-cp311-cp311-linux_x86_64.whl"
    wheel.touch()
    repository = {"url": "https://example.org/r.git", "vcs_info": {"vcs": "git", "commit_id": "3f2a"}}
    for origin, url in (
        ({"url": wheel.as_uri(), "archive_info": {}}, wheel.as_uri()),
        (repository, "git+https://example.org/r.git@3f2a"),
    ):
        found = re.fullmatch('pip install "(.*)"', command(monkeypatch, origin))
        assert found is not None
        requirement = Requirement(found[1])
        assert (requirement.name, requirement.extras, requirement.url) == ("relu_layers", {"plot"}, url)


def test_a_place_that_is_gone_is_not_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for origin in ({"dir_info": {}}, {"archive_info": {}}):
        told = command(monkeypatch, {"url": (tmp_path / "gone").as_uri(), **origin})
        assert told == 'pip install ".[plot]" in a checkout of relu_layers'


def test_an_index_needs_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(monkeypatch, None) == 'pip install "relu_layers[plot]"'


def test_without_metadata_a_checkout_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", none)
    assert how_to_install("cli,plot") == 'pip install ".[cli,plot]" in a checkout of relu_layers'


def test_messages_and_pages_name_no_index_and_no_extra_that_is_not_there() -> None:
    package = (ROOT / "python").rglob("*.py")
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.*")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    there = set(project["optional-dependencies"])
    named = set()
    for path in (*package, *pages):
        if path.name == "extras.py" or path.suffix not in {".py", ".md"}:
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pip install \"?relu_layers\b", text), path
        for found in re.findall(r"pip install \"\.\[([\w,-]+)\]|how_to_install\(['\"]([\w,-]+)", text):
            named |= set("".join(found).split(","))
    assert named
    assert named <= there


def test_the_conda_recipe_names_the_versions_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    recipe = (ROOT / "packaging/conda/recipe.yaml").read_text()
    assert f'version: "{project["project"]["version"]}"' in recipe
    entry = r"([\w-]+) ?>=([\d.]+)"
    wanted = dict(re.findall(entry, " ".join(project["build-system"]["requires"])))
    wanted |= dict(re.findall(entry, " ".join(project["project"]["dependencies"])))
    extras = project["project"]["optional-dependencies"]
    for extra in ("cli", "plot", "data", "sklearn", "io", "onnx", "mpi"):
        wanted |= dict(re.findall(entry, " ".join(extras[extra])))
    found = {name.removesuffix("-base"): bound for name, bound in re.findall(rf"- {entry}", recipe)}
    assert wanted.items() <= found.items()
