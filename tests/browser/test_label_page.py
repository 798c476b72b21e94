"""People on the labeling page, in a browser: an agent is taught to run by clicks and keys, and nothing is lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import CHROMIUM, STATUS, Page, browser

from bench import store
from bench.answers.ledger import NAME, Ledger
from prefrl_core.errors import UserError
from prefrl_core.tasks.rendering import painter

LABELS, STEPS, SEGMENT = 48, 100_000, 10  # drawing the clips is what takes time
READY = "!document.querySelector('#question').hidden && !document.querySelector('[data-answer]').disabled"


def cannot_be_drawn() -> str:
    """Why there are no pictures here; empty if there are."""
    try:
        painter("mujoco/reacher").close()
    except UserError as error:
        return str(error)
    return ""


pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium to look at the page"),
    pytest.mark.skipif(bool(cannot_be_drawn()), reason=cannot_be_drawn()),
]


class Sitting:
    """`bench label` in a process of its own, which can be killed and started again."""

    def __init__(self, folder: Path, *words: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.out, self.words = folder / "runs", words
        self.address = f"http://127.0.0.1:{self.port}/"
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        words = ["label", *self.words, "--out", str(self.out), "--port", str(self.port), "--no-open"]
        process = subprocess.Popen([sys.executable, "-m", "bench", *words], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert all(process.stdout.readline() for _ in range(2)), "the server did not start"
        return process

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def run(self) -> store.Run:
        (run,) = store.load(self.out)
        return run


@pytest.fixture
def sitting(tmp_path: Path) -> Iterator[Sitting]:
    size = ("--labels", str(LABELS), "--steps", str(STEPS), "--set", f"segment={SEGMENT}")
    made = Sitting(tmp_path, "mujoco/half_cheetah", "--goal", "Run forward", *size)
    yield made
    made.kill()


def enter(page: Page, address: str, name: str) -> None:
    page.go(address)
    page.wait("document.activeElement && document.querySelector('#join') && !document.querySelector('#join').hidden")
    page.js("document.querySelector('#name').focus()")
    page.type(name)
    page.key("Tab")
    page.wait("document.activeElement.textContent === 'Begin'")
    page.click("#join button")
    page.wait(READY)


class Person:
    """Prefers what moves forward, and says so now by a click, now by a key."""

    def __init__(self, page: Page, ledger: Ledger) -> None:
        self.page, self.ledger, self.answers = page, ledger, 0

    def question(self) -> int:
        number: int = self.page.js("shown.question")
        return number

    def answer(self, what: str | None = None) -> int:
        """Answer the pair on the page; its number."""
        number = self.question()
        sql = "SELECT left_return, right_return FROM questions WHERE number = ?"
        left, right = self.ledger.rows(sql, number)[0]
        what = what or ("left" if left > right else "right")
        self.answers += 1
        if self.answers % 2:
            self.page.key({"left": "ArrowLeft", "right": "ArrowRight", "equal": "ArrowUp", "skip": "ArrowDown"}[what])
        else:
            self.page.click(f"[data-answer={what}]")
        return number

    def next(self) -> bool:
        """Wait for another pair; False if there is none because all are answered."""
        done = f"{STATUS}?.startsWith('All done')"
        self.page.wait(f"({READY}) || {done}", 120)
        return not self.page.js(done)


def test_a_person_teaches_an_agent_to_run(sitting: Sitting, tmp_path: Path) -> None:
    with browser(tmp_path / "ada") as ada_page, browser(tmp_path / "bob") as bob_page:
        enter(ada_page, sitting.address, "Ada")
        ledger = Ledger(sitting.run.folder / NAME)
        ada = Person(ada_page, ledger)
        special: dict[int, Any] = {3: "equal", 5: "skip"}
        for count in range(20):
            ada.answer(special.get(count))
            assert ada.next()
        # undo: the pair is there again, and the other answer counts
        before = ledger.rows("SELECT question FROM answers WHERE undone IS NULL ORDER BY id DESC LIMIT 1")[0][0]
        ada_page.key("Backspace")
        ada_page.wait(f"({READY}) && shown.question === {before}")
        assert ada.answer() == before and ada.next()
        # reload in the middle: the same pair
        here = ada.question()
        ada_page.go(sitting.address)
        ada_page.wait(f"typeof shown !== 'undefined' && shown && {READY}")
        assert ada.question() == here
        # two at once: never the same pair
        enter(bob_page, sitting.address, "Bob")
        bob = Person(bob_page, ledger)
        for _ in range(4):
            assert ada.question() != bob.question()
            ada.answer()
            bob.answer()
            assert ada.next() and bob.next()
        bob_page.go("about:blank")  # and three minutes later his pair is anybody's
        ledger.rows("UPDATE shown SET until = 0 WHERE person = (SELECT id FROM people WHERE name = 'Bob')")
        # killed between two answers and started again: the page goes on by itself
        kept = ledger.rows("SELECT count(*) FROM answers WHERE undone IS NULL")[0][0]
        sitting.kill()
        ada.answer()
        ada_page.wait(f"{STATUS}.includes('does not answer')")
        sitting.process = sitting.start()
        assert ada.next()
        assert ledger.rows("SELECT count(*) FROM answers WHERE undone IS NULL")[0][0] == kept + 1
        while ada.next():
            ada.answer()
        assert ada_page.js("document.documentElement.scrollWidth <= innerWidth")
    standing = [row[0] for row in ledger.rows("SELECT question FROM answers WHERE undone IS NULL")]
    assert len(standing) == len(set(standing)) == LABELS  # training has waited for the last ones
    ledger.close()
    run = sitting.run
    assert run.status == "done" and run.rows[-1]["labels"] == LABELS and run.rows[-1]["skipped"] >= 1
    learned = [row["true_return"] for row in run.rows if row["true_return"] is not None]
    # untrained about -50; how answers fall into turns is the machine's affair: with an oracle 280 to 437
    assert sum(learned[-10:]) / 10 > 50


@pytest.mark.parametrize(("width", "mobile"), [(1280, False), (360, True)])
def test_the_page_fits_and_names_its_controls(sitting: Sitting, tmp_path: Path, width: int, mobile: bool) -> None:
    with browser(tmp_path / "ada") as page:
        page.size(width, 800, mobile)
        enter(page, sitting.address, "Ada")
        assert page.js("document.documentElement.scrollWidth <= innerWidth")
        nameless = page.js(
            "[...document.querySelectorAll('button, input, video, svg, progress')].filter((e) => e.checkVisibility()"
            " && !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"
        )
        assert nameless == []
        low = page.js(
            "[...document.querySelectorAll('button')].filter((e) => e.checkVisibility() && e.offsetHeight < 44).length"
        )
        assert low == 0  # a thumb's height
        assert page.js("document.querySelector('#left').videoWidth") == 320
