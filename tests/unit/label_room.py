"""A run with questions and the server of its page, without a simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from test_ledger import asked

from bench import store
from bench.answers.desk import LedgerDesk
from bench.answers.ledger import Ledger
from bench.labeling.progress import Progress
from bench.labeling.server import application
from bench.labeling.session import begin

TOKEN = "a-token-of-some-length"


SECRET = "a-secret-of-my-browser"


HOME = "http://127.0.0.1:8017"


class Drawn:
    """A studio that draws nothing."""

    def clip(self, question: int, side: str) -> bytes | None:
        return f"{question} {side}".encode() if question < 5 else None

    def agent(self) -> tuple[int, bytes] | None:
        return None


class Room:
    """A run with five questions, and its page."""

    def __init__(self, folder: Path) -> None:
        self.run = begin(
            {"task": "mujoco/reacher@1", "labels": 20, "labeler": {"name": "human", "goal": "<b>touch</b> & go"}},
            folder,
        )
        self.ledger = Ledger(self.run.folder / "answers.sqlite")
        LedgerDesk(self.ledger).ask(asked(0, 5))

    def app(self, token: str | None = None) -> Any:
        progress = Progress(store.Run(self.run.folder), self.ledger, lambda: "training")
        return application(self.ledger, Drawn(), progress, token)  # type: ignore[arg-type]

    def page(self, token: str | None = None, **options: Any) -> TestClient:
        return TestClient(self.app(token), base_url=HOME, raise_server_exceptions=False, **options)


def join(page: TestClient, name: str = "ada") -> dict[str, Any]:
    """Who sits down, as the body of further requests."""
    person = page.post("/api/join", json={"name": name, "secret": SECRET}).json()["person"]
    return {"person": person, "secret": SECRET}
