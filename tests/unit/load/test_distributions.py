"""What stands for an installed distribution in a key."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flowbuild.load.distributions import Distributions


class Site:
    """A directory of installed distributions, made by hand as installers make it."""

    def __init__(self, root: Path) -> None:
        self.place = root / "lib" / "site-packages"
        self.place.mkdir(parents=True)
        self.workspace = root / "ws"
        self.workspace.mkdir()

    def install(
        self, name: str, *files: str, requires: tuple[str, ...] = (), record: bool = True, project: Path | None = None
    ) -> Path:
        info = self.place / f"{name}-1.0.dist-info"
        info.mkdir()
        needed = "".join(f"Requires-Dist: {line}\n" for line in requires)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needed}\nRequires-Dist: not\n"
        )
        for file in files:
            (self.place / file).parent.mkdir(exist_ok=True)
            (self.place / file).write_text(file)
        if record:
            lines = [*files, f"{info.name}/METADATA", "../../bin/tool", "__pycache__/x.pyc"]
            (info / "RECORD").write_text("".join(f"{file},sha256=abc,1\n" for file in lines))
        if project is not None:
            origin = {"url": f"file://{project}", "dir_info": {"editable": True}}
            (info / "direct_url.json").write_text(json.dumps(origin))
        return info

    def of(self, *names: str, more: tuple[str, ...] = ()) -> Mapping[str, Mapping[str, str] | None]:
        return Distributions(self.workspace, search=[str(self.place), *more]).behind(names).docs

    def is_installed(self, name: str, *more: str) -> bool:
        return Distributions(self.workspace, search=[str(self.place), *more]).is_installed(name)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_an_import_leads_to_its_distribution(site: Site) -> None:
    site.install("Py_YAML", "yaml/__init__.py", "_yaml.cpython-311.so", "six.py")
    found = site.of("yaml")["py-yaml"]
    assert found is not None and found["version"] == "1.0" and len(found["record"]) == 64
    assert [site.is_installed(name) for name in ("_yaml", "six", "tool", "__pycache__", "x")] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_what_it_requires_counts_when_it_is_installed(site: Site) -> None:
    site.install("a", "a.py", requires=("B.b >=1 ; python_version < '3'", "gone", "extra1; extra == 'x'"))
    site.install("b-b", "b.py", requires=("a", "c[fast] (>1)"))
    site.install("c", "c.py")
    site.install("extra1", "extra1.py")
    site.install("not", "not.py")
    assert sorted(site.of("a")) == ["a", "b-b", "c"]


def test_a_namespace_belongs_to_all_who_share_it(site: Site) -> None:
    site.install("g-one", "google/one.py")
    site.install("g-two", "google/two.py")
    assert sorted(site.of("google")) == ["g-one", "g-two"]


def test_another_record_is_another_content(site: Site) -> None:
    info = site.install("a", "a.py")
    before = site.of("a")
    (info / "RECORD").write_text("a.py,sha256=def,2\n")
    assert site.of("a") != before


def test_without_record_the_sources_count(site: Site) -> None:
    site.install("a-b", "a_b/__init__.py", record=False)
    os.rename(site.place / "a-b-1.0.dist-info", site.place / "a_b-1.0.dist-info")
    before = site.of("a_b")["a-b"]
    assert before is not None and "sources" in before
    (site.place / "a_b/__init__.py").write_text("other")
    assert site.of("a_b")["a-b"] != before


@pytest.mark.parametrize("layout", ["src/mine", "mine"])
def test_an_editable_install_counts_by_its_sources(site: Site, tmp_path: Path, layout: str) -> None:
    source = tmp_path / "project" / layout / "__init__.py"
    source.parent.mkdir(parents=True)
    source.write_text("1")
    site.install("my-dist", "__editable___my_dist_finder.py", project=tmp_path / "project")
    before = site.of("mine")["my-dist"]
    (source.parent / "__pycache__").mkdir()
    (source.parent / "__pycache__" / "x.pyc").write_text("noise")
    assert before is not None and site.of("mine")["my-dist"] == before
    source.write_text("2")
    assert site.of("mine")["my-dist"] != before


def test_too_much_to_hash_is_not_remembered(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowbuild.load.distributions.MAX_FILES", 0)
    site.install("a", "a.py", record=False)
    assert site.of("a") == {"a": None}


def test_what_lies_in_the_workspace_is_not_installed(site: Site, tmp_path: Path) -> None:
    (site.workspace / "src").mkdir()
    (site.workspace / "src/mine.py").write_text("")
    site.install("mine-dist", "__editable__.mine.pth", project=site.workspace)
    assert not site.is_installed("mine", str(site.workspace), str(site.workspace / "src"))


def test_an_environment_in_the_workspace_is_installed(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.workspace = tmp_path
    site.install("a", "a.py")
    assert site.is_installed("a")


def test_a_bare_directory_of_the_search_path_counts_by_its_sources(site: Site, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/loose.py").write_text("1")
    found = site.of("loose", more=(str(tmp_path / "bare"),))["loose"]
    assert found is not None and found["version"] == "" and "sources" in found


def test_the_first_on_the_path_is_the_one(site: Site, tmp_path: Path) -> None:
    other = Site(tmp_path / "other")
    site.install("a", "a.py")
    other.install("a", "a.py", "more.py")
    first = site.of("a")
    assert site.of("a", more=(str(other.place),)) == first
    assert other.of("a", more=(str(site.place),)) != first


def test_listings_are_kept_while_the_directory_is_the_same(site: Site) -> None:
    class Kept(dict[str, Any]):
        put = dict.__setitem__

    cache = Kept()
    site.install("a", "a.py")
    first = Distributions(site.workspace, cache, [str(site.place)])
    assert first.is_installed("a") and len(cache) == 1
    json.dumps(cache)
    (site.place / "a-1.0.dist-info" / "RECORD").unlink()  # the directory's own stat stays
    assert Distributions(site.workspace, cache, [str(site.place)]).is_installed("a") and len(cache) == 1
    site.install("b", "b.py")
    assert Distributions(site.workspace, cache, [str(site.place)]).is_installed("b") and len(cache) == 2


def test_what_it_rests_on_is_named(site: Site) -> None:
    info = site.install("a", "a.py")
    found = Distributions(site.workspace, search=[str(site.place), str(site.workspace)]).behind(["a"])
    assert found.watched == (site.place, info / "RECORD")


def test_the_real_environment(tmp_path: Path) -> None:
    found = Distributions(tmp_path).behind(["yaml", "_pytest", "json", "no_such"])
    assert {"pyyaml", "pytest", "pluggy"} <= set(found.docs) and "json" not in found.docs
    assert all(doc and doc["version"] for doc in found.docs.values())
    assert all(path.exists() for path in found.watched)
