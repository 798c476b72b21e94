"""Kill -9 of the labeling server at random while people answer; then count: no answer that was acknowledged is lost.

``python tests/integration/label_kills.py --kills 30`` prints what happened. It needs OpenGL, as the page does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from bench import check, store
from bench.answers.ledger import NAME, Ledger

REPOSITORY = Path(__file__).parents[2]
SETTINGS = 'policy={name = "ppo", environments = 4, rollout_steps = 64, minibatch = 64, hidden = [8]}'


class Person(threading.Thread):
    """Answers whatever is shown, sends it again until the server has it, and remembers what was acknowledged."""

    def __init__(self, number: int, address: str, end: threading.Event) -> None:
        super().__init__(daemon=True)
        self.who, self.address, self.end = (
            {"name": f"p{number}", "secret": f"a-secret-of-person-{number}"},
            address,
            end,
        )
        self.kept: dict[str, str] = {}  # answers by nonce

    def run(self) -> None:
        me: dict[str, Any] = {}
        while not self.end.is_set():
            try:
                me = me or {**self.ask("join", self.who), "secret": self.who["secret"]}
                shown = self.ask("next", me)
                if shown["question"] is None:
                    time.sleep(0.2)
                    continue
                answer = random.choice(["left", "right"])
                self.ask("answer", {"nonce": shown["nonce"], "answer": answer, "seconds": 0})
                self.kept[shown["nonce"]] = answer
            except urllib.error.HTTPError as error:  # refused: it went to somebody else meanwhile
                assert error.code in (409, 410, 503), error.read()
            except OSError:  # nobody is there just now
                time.sleep(0.2)

    def ask(self, path: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{self.address}api/{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return json.load(answer)


def storm(folder: Path, kills: int, seed: int = 0, people: int = 4, labels: int = 200) -> Counter[str]:
    """Kill and start again, then let the run end.

    Raises:
        AssertionError: an acknowledged answer is not in the ledger, or the folder is not sound.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["label", "mujoco/reacher", "--labels", str(labels), "--steps", "40000", "--set", SETTINGS, "--no-open"]
    words += ["--wait", "8", "--port", str(port), "--out", str(folder)]
    dice, end, happened = random.Random(seed), threading.Event(), Counter[str]()
    crowd = [Person(number, f"http://127.0.0.1:{port}/", end) for number in range(people)]
    for one in crowd:
        one.start()
    server = start(words)
    while happened["kills"] < kills and not finished(folder):
        if dice.random() < 0.7:  # else it is killed before it answers
            wait_until_it_answers(port, server)
        time.sleep(dice.uniform(0.5, 6))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
            happened["kills"] += 1
        server.wait()
        server = start(words)
    while not finished(folder):
        assert server.poll() is None, "the server ended by itself"
        time.sleep(0.5)
    end.set()
    server.send_signal(signal.SIGINT)
    server.wait(30)
    for one in crowd:
        one.join(30)
    (run,) = store.load(folder)
    ledger = Ledger(run.folder / NAME)
    there = {row["nonce"]: row["answer"] for row in ledger.rows("SELECT nonce, answer FROM answers")}
    ledger.close()
    lost = [nonce for one in crowd for nonce, answer in one.kept.items() if there.get(nonce) != answer]
    assert not lost and [one.kind for one in check.inspect(folder)] == ["ok"], (lost, list(check.inspect(folder)))
    happened["answers acknowledged"] = sum(len(one.kept) for one in crowd)
    happened["answers lost"] = len(lost)
    return happened


def finished(folder: Path) -> bool:
    return any(run.status == "done" for run in store.load(folder))


def wait_until_it_answers(port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)


def start(words: list[str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "bench", *words]
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdout=nothing, stderr=nothing, start_new_session=True)


def main() -> None:
    """Kill as often as asked, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labels", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(dict(storm(Path(folder), options.kills, options.seed, labels=options.labels)))


if __name__ == "__main__":
    main()
