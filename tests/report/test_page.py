"""The page is one small file that says the verdict, loads nothing, and runs no text from outside."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from layerwise.report import read_summary, write_report
from layerwise.report.page import render
from layerwise.report.sections import sections

MOST_BYTES = 7_000_000


class Reader(HTMLParser):
    """Collects a page's visible text, its loading attributes, its styles and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.loads: list[str] = []
        self.styles = ""
        self.tags: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside = tag if tag in ("script", "style") else ""
        loading = ("src", "href", "srcset", "action", "data", "poster")
        self.loads += [value or "" for name, value in attributes if name in loading]
        self.styles += "".join(value or "" for name, value in attributes if name == "style")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.styles += data
        elif self._inside != "script":
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


@pytest.fixture(scope="module")
def page(run_dir: Path) -> str:
    return write_report(run_dir).read_text(encoding="utf-8")


def test_the_page_is_one_small_file_in_the_run_folder(run_dir: Path) -> None:
    path = write_report(run_dir)
    assert path == run_dir / "report.html"
    assert path.stat().st_size < MOST_BYTES


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    found = read(page)
    assert len(found.loads) > 10
    assert [load for load in found.loads if not load.startswith(("#", "data:"))] == []
    assert "@import" not in found.styles and "url(" not in found.styles
    assert "link" in found.tags and page.count("<link") == 1  # the empty icon, which keeps browsers from asking for one
    assert "default-src 'none'" in page


def test_plotly_stands_in_the_page_once(page: str) -> None:
    assert page.count("plotly.js v") == 1


def test_the_first_screen_says_the_verdict_and_its_numbers(page: str) -> None:
    words = read(page).words
    start = words[: words.index("Seed by seed In each")]
    for said in ("WORTH IT", "takes the test error from 8.02 % to 5.90 %", "+2.12 points", "95 % interval 1.62 to 2.61",
                 "5 of 5 seeds", "1 min 31 s per seed", "this data, this network and these settings only"):  # fmt: skip
        assert said in start
    assert "A baseline does better" not in words and "Preliminary" not in words and "A/A control" not in words


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": "DO NOT PRE-TRAIN", "harmful": True}, "DO NOT PRE-TRAIN harmful"),
        ({"verdict": "CANNOT TELL", "needed": {"seeds": 12}}, "it would take about 12 seeds"),
        ({"verdict": "CANNOT TELL", "needed": {"test_rows": 20000}}, "it would take about 20,000 test rows"),
        ({"preliminary": True, "seeds": 3}, "Preliminary: 3 seeds"),
        ({"control": True}, "A/A control"),
        ({"data": {"name": "t", "repeated_test_rows": 7}}, "7 of the test rows occur among the training rows too"),
        ({"data": {"name": "t", "preparation": "a <b> c"}}, "prepared by the training rows: a <b> c"),
        ({"baselines": [{"name": "svm", "labels": 1000, "error": 4.2}]}, "svm has 4.20 % test error at 1,000 labels"),
    ],
)
def test_flags_and_notes(make_run: Callable[..., Path], tmp_path: Path, changes: dict[str, object], said: str) -> None:
    assert said in read(render(read_summary(make_run(tmp_path / "run", **changes)))).words


def test_every_section_is_there_with_its_tables(page: str) -> None:
    found = read(page)
    for title in ("How many labels it takes", "Seed by seed", "Loss and accuracy while fine-tuning",
                  "Speed of convergence", "The pre-trained layers",
                  "What pre-training did to the layers", "First-layer filters", "Reconstructions",
                  "Baselines", "How the settings were chosen", "What it cost", "How to reproduce"):  # fmt: skip
        assert title in found.words
    assert found.tags.count("table") == 9 and found.tags.count("img") == 5
    assert page.count('role="img" aria-label="') == page.count('class="plot"') == 11


def test_the_recipe_stands_in_full(page: str, run_dir: Path) -> None:
    recipe = (run_dir / "recipe.toml").read_text()
    shown = "".join(read(page).text)
    start = shown.index(recipe.splitlines()[0])
    assert tomllib.loads(shown[start : start + len(recipe)]) == tomllib.loads(recipe)
    assert "layerwise compare --recipe recipe.toml" in shown


def test_the_tutorial_explains_the_published_curves_and_misses_nothing_aloud(tutorial_dir: Path) -> None:
    words = read(render(read_summary(tutorial_dir))).words
    for said in ("NO VERDICT", "bug in the initialiser of Mocha v0.0.6", "mocha_early", "600,000 97.52 96.97",
                 "no interval below 3 seeds", "one label budget", "did not measure convergence", "holds no filters",
                 "holds no reconstructions", "has no baselines", "Nothing was tuned"):  # fmt: skip
        assert said in words
    assert "None" not in words and "nan" not in re.findall(r"[a-z]+", words)


def test_only_the_tutorial_speaks_of_mocha(page: str) -> None:
    assert "Mocha" not in read(page).words


def test_text_from_outside_stays_text(make_run: Callable[..., Path], tmp_path: Path) -> None:
    attack = "</script><b id=owned>&\u2028"
    folder = make_run(tmp_path / "run", explanation=attack, baselines=[{"name": attack, "labels": 1000, "error": 9.0}])
    (folder / "recipe.toml").write_text("# </code></pre><b id=owned>\n")
    (folder / "environment.json").write_text('{"cpu": "<b id=owned>"}')
    text = render(read_summary(folder))
    assert "<b id=owned" not in text
    assert text.count("</script>") == 2 + sum(len(section.plots) for section in sections(read_summary(folder)))
    assert attack in "".join(read(text).text)


def test_the_same_folder_gives_the_same_bytes(run_dir: Path, page: str) -> None:
    assert render(read_summary(run_dir)) == page


def test_rows_that_are_no_images_are_said_so(make_run: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", data={"name": "wine", "image_shape": None})
    words = read(render(read_summary(folder))).words
    assert "The rows are not images, so filters cannot be drawn." in words


def test_missing_curves_leave_a_sentence(make_run: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "history.jsonl").write_text("")
    words = read(render(read_summary(folder))).words
    assert "has no training loss and no held-out accuracy of both arms" in words
    assert "has no losses of pre-training, so only the table can be shown" in words
