"""Opens the page in a real headless Chromium: every plot is drawn, nothing complains, nothing asks the network."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from many_runs_files import FILES
from websockets.sync.client import ClientConnection, connect

from layerwise.report import read_summary, write_report
from layerwise.report.many_runs import write_many_runs
from layerwise.report.sections import sections
from layerwise.write import write_json

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 20.0  # seconds for any one answer, on a busy machine
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-quic",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--hide-scrollbars", "--window-size=1200,900", "--remote-debugging-port=0",
)  # fmt: skip

DRAWN = """(() => [...document.querySelectorAll('.js-plotly-plot')].map(plot => ({
  key: plot.id,
  given: plot.data.length,
  svg: plot.querySelectorAll('svg.main-svg').length,
  drawn: [...plot.querySelectorAll('.scatterlayer .trace')].filter(
    trace => trace.querySelector('path[d], text')).length,
  wide: plot.querySelector('svg.main-svg')?.getBoundingClientRect().width,
  room: plot.getBoundingClientRect().width,
})))()"""


class Page:
    """One tab, spoken to by the Chrome DevTools protocol; it keeps every complaint and every address asked for."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._number, self._session = connection, 0, ""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._connection.send(json.dumps({**message, "sessionId": self._session} if self._session else message))
        until = time.monotonic() + PATIENCE
        while True:
            answer = json.loads(self._connection.recv(timeout=until - time.monotonic()))
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("sessionId") != self._session:
            return
        method, found = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(found["request"]["url"])
        elif method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown" or (
            method == "Runtime.consoleAPICalled" and found["type"] in ("error", "warning", "assert")
        ):
            self.complaints.append(json.dumps(found)[:2000])
        elif method == "Log.entryAdded" and found["entry"]["level"] in ("error", "warning"):
            self.complaints.append(found["entry"]["text"])

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        until = time.monotonic() + PATIENCE
        while not self.evaluate(expression):
            assert time.monotonic() < until, f"never true: {expression}"
            time.sleep(0.05)

    def open(self, path: Path) -> None:
        self._loaded = False
        self.call("Page.navigate", url=path.resolve().as_uri())
        until = time.monotonic() + PATIENCE
        while not self._loaded:
            self._note(json.loads(self._connection.recv(timeout=until - time.monotonic())))

    def resize(self, width: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)

    @property
    def foreign_requests(self) -> list[str]:
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:", "about:"))]


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientConnection]:
    """A running browser; without one the test is skipped, except in CI, where it must not be missing."""
    browser = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if browser is None:
        reason = f"no browser: none of {', '.join(BROWSERS)} is on PATH"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    profile = tmp_path_factory.mktemp("browser")
    process = subprocess.Popen(
        [browser, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        port, path = _endpoint(profile / "DevToolsActivePort", process)
        # The socket is ours, so that a proxy set in the environment has no say.
        wire = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        with connect(f"ws://127.0.0.1:{port}{path}", sock=wire, max_size=None, open_timeout=PATIENCE) as opened:
            yield opened
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _endpoint(file: Path, process: subprocess.Popen[bytes]) -> tuple[int, str]:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert process.poll() is None, "the browser ended at once"
        lines = file.read_text().split() if file.exists() else []
        if len(lines) == 2:
            return int(lines[0]), lines[1]
        time.sleep(0.05)
    pytest.fail("the browser did not open its debugging port")


@pytest.fixture
def page(connection: ClientConnection) -> Iterator[Page]:
    """A new tab."""
    tab = Page(connection)
    yield tab
    tab.call("Page.close")


@pytest.fixture(scope="module")
def shown(connection: ClientConnection, run_dir: Path) -> Page:
    """A tab with the five-seed run's page, opened once: reading it takes the browser seconds."""
    tab = Page(connection)
    tab.open(write_report(run_dir))
    return tab


def check_drawn(page: Page, expected: list[str]) -> None:
    page.wait_for(f"document.querySelectorAll('.js-plotly-plot svg.main-svg').length >= {len(expected)}")
    plots = page.evaluate(DRAWN)
    assert [plot["key"] for plot in plots] == [f"plot-{key}" for key in expected]
    for plot in plots:
        assert plot["svg"] > 0 and plot["drawn"] == plot["given"] > 0, plot


def expected_plots(run_dir: Path) -> list[str]:
    return [plot.key for section in sections(read_summary(run_dir)) for plot in section.plots]


def check_quiet(page: Page) -> None:
    page.evaluate("new Promise(done => setTimeout(done, 200))")  # late complaints count, too
    assert page.complaints == []
    assert page.foreign_requests == []


def test_every_plot_and_picture_is_drawn_quietly(shown: Page, run_dir: Path) -> None:
    check_drawn(shown, expected_plots(run_dir))
    broken = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"
    assert shown.evaluate("document.images.length") == 5
    assert shown.evaluate(broken) == 0
    check_quiet(shown)


def test_the_page_fits_a_phone(shown: Page) -> None:
    shown.resize(420)
    shown.wait_for(f"{DRAWN}.every(plot => plot.room < 400 && Math.abs(plot.wide - plot.room) < 2)")
    assert shown.evaluate("document.documentElement.scrollWidth") <= 420
    shown.resize(1200)
    shown.wait_for(f"{DRAWN}.every(plot => Math.abs(plot.wide - plot.room) < 2)")
    check_quiet(shown)


def test_the_switch_changes_the_axis(shown: Page) -> None:
    kind = "document.getElementById('plot-training-loss').layout.yaxis.type"
    shown.evaluate("[...document.querySelectorAll('button')].find(b => b.textContent === 'logarithmic').click()")
    shown.wait_for(f"{kind} === 'log'")
    pressed = "[...document.querySelectorAll('button[aria-pressed=true]')].map(b => b.textContent)"
    assert shown.evaluate(pressed) == ["logarithmic", "full"]
    check_quiet(shown)


def test_the_page_prints(shown: Page) -> None:
    pdf = base64.b64decode(shown.call("Page.printToPDF")["data"])
    assert pdf.startswith(b"%PDF")
    check_quiet(shown)


def test_the_run_of_one_seed_is_drawn_quietly(page: Page, tutorial_dir: Path) -> None:
    page.open(write_report(tutorial_dir))
    check_drawn(page, expected_plots(tutorial_dir))
    assert page.evaluate("document.images.length") == 0
    check_quiet(page)


def test_foreign_text_runs_nothing(page: Page, make_run: Callable[..., Path], tmp_path: Path) -> None:
    attack = "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 1'>"
    folder = make_run(tmp_path / "run", explanation=attack)
    results = json.loads((folder / "results.json").read_text())
    results["data"]["name"] = results["data"]["classes"][0] = results["layers"][0]["layer"] = attack
    for baseline in results["baselines"]:
        baseline["name"] += attack
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "recipe.toml").write_text(f"name = {json.dumps(attack)}\n")
    page.open(write_report(folder))
    check_drawn(page, expected_plots(folder))
    assert page.evaluate("typeof window.owned") == "undefined"
    check_quiet(page)


def test_the_page_of_many_runs_is_drawn_quietly(page: Page, tmp_path: Path) -> None:
    for name, value in FILES.items():
        write_json(tmp_path / f"{name}.json", value)
    page.open(write_many_runs(tmp_path))
    check_drawn(page, ["isomap", "tsne", "distances", "equal-loss", "loss-differences", "depth-0", "layers-0"])
    check_quiet(page)


def test_the_watch_itself_sees_faults(page: Page, tmp_path: Path) -> None:
    """Shown a bad page, each of the three watches must speak; else the tests above could not fail."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<script>console.error('told')</script><script>throw new Error('thrown')</script>"
        "<img src='http://127.0.0.1:9/picture.png'>"
    )
    page.open(bad)
    assert any("told" in text for text in page.complaints)
    assert any("thrown" in text for text in page.complaints)
    assert page.foreign_requests == ["http://127.0.0.1:9/picture.png"]
