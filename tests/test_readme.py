"""What the README shows, run."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize(
    "block", BLOCKS, ids=lambda block: re.findall(r"(?:jd|jaxdepth)\.(\w+)", block)[-1]
)
def test_every_python_block_of_the_readme_runs(block, x32, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})


def test_the_readme_shows_each_result():
    assert len(BLOCKS) == 6
