"""Every block of Python in the documentation runs as it is written, its page's blocks one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "```python" in page.read_text(encoding="utf-8"))
WITH_PYTHON = {
    "data.md",
    "density.md",
    "graph.md",
    "networks.md",
    "pretraining.md",
    "sampling.md",
    "training.md",
    *(p.name for p in (DOCS / "objectives").glob("*.md")),
}


def blocks(text: str) -> Iterator[str]:
    """Yield each block below as many empty lines as stand above it, so that an error names the page's own line."""
    for found in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield "\n" * text.count("\n", 0, found.start(1)) + found[1]


def run(page: Path) -> None:
    names: dict[str, object] = {"__name__": page.stem}
    for block in blocks(page.read_text(encoding="utf-8")):
        exec(compile(block, str(page), "exec"), names)


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a page write files, draw global random numbers and set threads without a trace."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(DOCS)) for page in PAGES])
def test_blocks_run(page: Path, apart: None) -> None:
    run(page)


def test_no_page_has_lost_its_blocks() -> None:
    assert {page.name for page in PAGES} >= WITH_PYTHON


def test_a_block_that_fails_names_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text.\n\n```python\nseven = 7\n```\n\n```toml\nnot = python\n```\n\n```python\n\nassert seven == 8\n```\n"
    )
    with pytest.raises(AssertionError) as caught:
        run(page)
    assert (caught.traceback[-1].path, caught.traceback[-1].lineno + 1) == (page, 13)


# `scripts/objectives.py page` makes results.md, from a template whose links are those of the finished page
MADE, TEMPLATE = DOCS / "results.md", DOCS / "results" / "page.md"
LINKING = sorted({*DOCS.rglob("*.md"), DOCS.parent / "README.md"} - {TEMPLATE})


@pytest.mark.parametrize("page", LINKING, ids=[str(page.relative_to(DOCS.parent)) for page in LINKING])
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, heading = target.partition("#")
        if "://" in target:
            continue
        found = (page.parent / file).resolve() if file else page
        assert found.exists() or found == MADE, target
        titles = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE) if heading else []
        assert not heading or heading in [re.sub(r"[^\w\- ]", "", t).lower().replace(" ", "-") for t in titles], target
