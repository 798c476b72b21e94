"""The report's page in a browser: nothing sticks out at a desk's or a phone's width.

Headless Chromium has no windows as narrow as a phone, so the page is measured in a frame of that width.
"""

from __future__ import annotations

import functools
import http.server
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=10000",
]
FRAME = """<!DOCTYPE html><body style="margin:0">
<iframe src="report/index.html" style="border:0;width:%dpx;height:900px"></iframe><pre></pre><script>
document.querySelector("iframe").onload = (event) => {
  const page = event.target.contentDocument, images = [...page.images];
  document.querySelector("pre").textContent = JSON.stringify({
    overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    broken: images.filter((image) => !image.naturalWidth).length,
    images: images.length,
    wide: images.filter((image) => image.getBoundingClientRect().right > %d).length,
    tables: [...page.querySelectorAll("table")].filter((table) => !table.closest(".scroll")).length,
    loaded: page.defaultView.performance.getEntriesByType("resource").map((entry) => entry.name)
      .filter((name) => !name.startsWith("data:")),
  });
};
</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium to look at the page")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with a report of made-up runs, and the address of a server for it."""
    root, made = tmp_path_factory.mktemp("site"), _made_up()
    planned = made.plan()
    for run in planned[:-7]:  # some runs are missing, so that the page carries its warnings
        made.write_run(root, run)
    made.report(root, planned, "report")
    handler = functools.partial(_Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield root, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("width", [1280, 390])
def test_page_fits_its_width(site: tuple[Path, str], tmp_path: Path, width: int) -> None:
    root, address = site
    (root / f"frame-{width}.html").write_text(FRAME % (width, width))
    dumped = _chromium(tmp_path, "--window-size=1400,1000", "--dump-dom", f"{address}/frame-{width}.html").decode()
    measured = re.search(r"<pre>(\{.*\})</pre>", dumped)
    assert measured, dumped[:500]
    found = json.loads(measured[1])
    assert found == {"overflow": 0, "broken": 0, "images": found["images"], "wide": 0, "tables": 0, "loaded": []}
    assert found["images"] == 10


def test_page_opens_from_disk(site: tuple[Path, str], tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    page = (site[0] / "report" / "index.html").as_uri()
    _chromium(tmp_path, "--window-size=1280,2000", f"--screenshot={picture}", page)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert picture.stat().st_size > 50_000  # a blank page has some thousand bytes


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _chromium(tmp_path: Path, *arguments: str) -> bytes:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, timeout=120, check=True).stdout


def _made_up() -> ModuleType:
    """The made-up runs of the unit tests; the folders of tests are no packages, so the file is loaded by its path."""
    name = "report_made_up_runs"
    unit = Path(__file__).parents[1] / "unit"
    if str(unit) not in sys.path:  # of what it imports itself
        sys.path.append(str(unit))
    spec = importlib.util.spec_from_file_location(name, unit / "test_report.py")
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
