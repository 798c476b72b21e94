"""Headless Chromium, told what to do over its own protocol: a page that is clicked, typed at and photographed."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Backspace": 8, "Tab": 9, "Enter": 13}


class Page:
    """One page."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._sent = socket, 0

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """A command of the protocol."""
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": values}))
        while True:
            told = json.loads(self._socket.recv(timeout=60))
            if told.get("id") == self._sent:
                assert "error" not in told, told
                found: dict[str, Any] = told["result"]
                return found

    def go(self, address: str) -> None:
        self.call("Page.navigate", url=address)

    def size(self, width: int, height: int, mobile: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def js(self, expression: str) -> Any:
        """The value of an expression on the page; None while there is none."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return None if "exceptionDetails" in told else told["result"].get("value")

    def click(self, selector: str) -> None:
        """A mouse's click in the middle of an element."""
        where = self.js(
            f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'center'}}); "
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        assert where, f"{selector} is not there"
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1)

    def key(self, name: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=KEYS[name])

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def wait(self, condition: str, seconds: float = 60) -> Any:
        """Until an expression is true."""
        end = time.monotonic() + seconds
        while not (found := self.js(condition)):
            assert time.monotonic() < end, f"{condition} did not come true; the page says {self.js(STATUS)!r}"
            time.sleep(0.02)
        return found

    def picture(self, to: Path) -> None:
        """The whole page as PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        to.write_bytes(base64.b64decode(data))


STATUS = "document.querySelector('#status')?.textContent"


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A browser of its own, with one page."""
    profile.mkdir(parents=True, exist_ok=True)
    port = profile / "DevToolsActivePort"
    port.unlink(missing_ok=True)
    assert CHROMIUM is not None
    words = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not (port.exists() and port.read_text().count("\n")):
            assert process.poll() is None and time.monotonic() < end, "Chromium did not start"
            time.sleep(0.05)
        number, path = port.read_text().split("\n")[:2]
        with connect(f"ws://127.0.0.1:{number}{path}") as socket:
            targets = Page(socket).call("Target.getTargets")["targetInfos"]
        (target,) = (one for one in targets if one["type"] == "page")
        with connect(f"ws://127.0.0.1:{number}/devtools/page/{target['targetId']}", max_size=None) as socket:
            page = Page(socket)
            page.call("Page.enable")
            yield page
    finally:
        process.kill()
        process.wait()
