"""A hundred people at once: ``python tests/integration/crowd.py --people 100 --seconds 60``.

Everybody asks for a pair, answers it, sends every tenth answer twice, and goes on. Prints answers a second and how long
an answer took until the server said that it is kept; then counts what is in the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np

from bench.answers.desk import LedgerDesk
from bench.answers.ledger import NAME, Ledger
from bench.labeling.connections import Server
from bench.labeling.progress import Progress
from bench.labeling.server import application
from bench.labeling.session import begin
from prefrl_core.feedback.desk import Asked

SECRET = "a-secret-of-a-browser"
RUN = {"task": "mujoco/reacher@1", "labels": 10_000, "labeler": {"name": "human", "goal": "touch the ball"}}


class Undrawn:
    """No clips: what is measured are answers."""

    def clip(self, question: int, side: str) -> bytes:
        return b""

    def agent(self) -> None:
        return None


def serve(folder: Path, listening: socket.socket) -> None:
    """The page's server, in a process of its own."""
    run = begin(RUN, folder)
    ledger = Ledger(run.folder / NAME)
    app = application(ledger, Undrawn(), Progress(run, ledger, lambda: "training"))  # type: ignore[arg-type]
    Server(app).run(sockets=[listening])


async def sit(client: httpx.AsyncClient, number: int, end: float, took: list[float]) -> int:
    """One person until the end; how many answers were counted."""
    person = (await client.post("/api/join", json={"name": f"person {number}", "secret": SECRET})).json()["person"]
    counted = 0
    while time.monotonic() < end:
        question = (await client.post("/api/next", json={"person": person, "secret": SECRET})).json()
        if question["question"] is None:
            break
        answer = {"nonce": question["nonce"], "answer": "left", "seconds": 0}
        for _ in range(1 + (counted % 10 == 0)):
            start = time.perf_counter()
            told = await client.post("/api/answer", json=answer)
            took.append(time.perf_counter() - start)
            assert told.status_code == 200, told.text
            counted += told.json()["counted"]
    return counted


async def crowd(address: str, people: int, seconds: float) -> tuple[int, list[float]]:
    """All of them; answers counted, and seconds that each took."""
    took: list[float] = []
    limits = httpx.Limits(max_connections=people, max_keepalive_connections=people)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60) as client:
        for _ in range(100):
            try:
                await client.get("/api/progress")
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.1)
        end = time.monotonic() + seconds
        counts = await asyncio.gather(*(sit(client, number, end, took) for number in range(people)))
    return sum(counts), took


def main() -> None:
    """Measure, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        ledger = Ledger(begin(RUN, Path(folder)).folder / NAME)
        leave(ledger, round(2000 * options.seconds))
        server = multiprocessing.get_context("fork").Process(target=serve, args=(Path(folder), listening))
        server.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        counted, took = asyncio.run(crowd(address, options.people, options.seconds))
        server.terminate()
        server.join()
        kept, different = ledger.rows("SELECT count(*), count(DISTINCT question) FROM answers WHERE undone IS NULL")[0]
        ledger.close()
    print(f"{options.people} people, {options.seconds:g} s: {counted / options.seconds:.0f} answers a second")
    print("until it is kept: " + ", ".join(f"p{p} {np.percentile(took, p) * 1000:.0f} ms" for p in (50, 99, 100)))
    print(f"{counted} counted, {kept} kept: {counted - kept} lost, {kept - different} pairs answered twice")
    raise SystemExit(int(counted != kept or kept != different))


def leave(ledger: Ledger, count: int) -> None:
    """So many questions."""
    nothing: Any = np.zeros(count)
    numbers = np.arange(count)
    scenes = np.random.default_rng(0).normal(size=(count, 2, 1, 1)).astype(np.float32)
    LedgerDesk(ledger).ask(Asked(numbers, 0, scenes, np.zeros((count, 2)), nothing, nothing.astype(bool)))


if __name__ == "__main__":
    main()
