"""The site: what its pages show is run, what they name is there, and it builds."""

import importlib
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path for path in sorted(DOCS.rglob("*.md"))}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
BLOCKS = {name: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for name, text in TEXTS.items()}
FLOORS = ["bounds", "networks", "piecewise", "crossings", "radial", "dynamics", "sweeps"]


@pytest.mark.parametrize("page", [name for name, blocks in BLOCKS.items() if blocks])
def test_every_python_block_of_a_page_runs(page, x32, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for number, block in enumerate(BLOCKS[page], start=1):
        exec(compile(block, f"{page}, block {number}", "exec"), names)


@pytest.mark.once
def test_the_chapters_and_the_instructions_compute():
    computing = {name.split("/")[0] for name, blocks in BLOCKS.items() if blocks}
    assert computing == {"index.md", "theory", "how-to"}
    assert sum(map(len, BLOCKS.values())) > 50


@pytest.mark.once
@pytest.mark.parametrize("floor", FLOORS)
def test_an_api_page_shows_every_public_name_once(floor):
    module = importlib.import_module(f"jaxdepth.{floor}")
    public = [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(thing)
    ]
    shown = re.findall(rf"^::: jaxdepth\.{floor}\.(\w+)$", TEXTS[f"api/{floor}.md"], re.MULTILINE)
    assert sorted(shown) == sorted(public)


@pytest.mark.once
def test_the_table_of_theorems_names_what_is_there():
    rows = re.findall(
        r"\| \[`(\w+)\.(\w+)`\]\[jaxdepth\.(\w+\.\w+)\] \| `(.+)` \|$",
        TEXTS["theorems.md"],
        re.MULTILINE,
    )
    assert len(rows) == TEXTS["theorems.md"].count("\n| ") - 1 > 40
    for floor, name, target, file in rows:
        thing = getattr(importlib.import_module(f"jaxdepth.{floor}"), name)
        assert target == f"{floor}.{name}"
        assert ROOT / file == Path(sys.modules[thing.__module__].__file__)
    bounds = vars(importlib.import_module("jaxdepth.bounds"))
    functions = {name for name, thing in bounds.items() if inspect.isfunction(thing)}
    told = {name for floor, name, *_ in rows if floor == "bounds"}
    assert {name for name in functions if not name.startswith("log_")} == told


@pytest.mark.once
def test_every_picture_is_there():
    """Which the strict build does not ask."""
    pictures = [
        path.parent / target
        for path in [*PAGES.values(), ROOT / "experiments" / "README.md"]
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    ]
    assert len(pictures) > 20
    assert [path for path in pictures if not path.is_file()] == []


@pytest.mark.once
def test_the_navigation_leads_to_every_page_once():
    def pages(entry):
        if isinstance(entry, str):
            return [entry]
        entries = entry.values() if isinstance(entry, dict) else entry
        return [page for each in entries for page in pages(each)]

    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    assert sorted(pages(site["project"]["nav"])) == sorted(PAGES)


@pytest.mark.once
def test_links_outside_the_site_lead_to_files():
    names = ["README.md", "CONTRIBUTING.md", "lectures/README.md", "experiments/README.md"]
    links = [
        (ROOT / name).parent / target.partition("#")[0]
        for name in names
        for target in re.findall(r"\]\((?!\w+:|#)([^)\s]+)\)", (ROOT / name).read_text("utf-8"))
    ]
    assert len(links) > 10
    assert [path for path in links if not path.exists()] == []


@pytest.mark.once
def test_the_site_builds_without_a_warning(tmp_path):
    for generator in ("zensical", "mkdocstrings_handlers.python"):
        pytest.importorskip(generator)
    for name in ("docs", "jaxdepth"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    build = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert build.returncode == 0, build.stdout + build.stderr
    site = tmp_path / "build" / "site"
    pages = [site / name.removesuffix(".md") / "index.html" for name in TEXTS if name != "index.md"]
    assert [page for page in [site / "index.html", *pages] if not page.is_file()] == []
