"""A finished run that people taught: seen, exported, packed, verified, and asked about after its end."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from test_teaching import SETTINGS, answer_one

from bench import cli, store, video
from bench.answers.ledger import NAME, Ledger
from bench.executors.process import WorkerProcess
from bench.labeling import session
from bench.labeling.progress import Progress
from bench.labeling.server import application

SECRET = "a-secret-of-my-browser"


class Undrawn:
    """A studio without pictures."""


def page_of(run: store.Run, ledger: Ledger) -> tuple[TestClient, dict[str, Any]]:
    """The run's page, and somebody who sits down at it."""
    app = application(ledger, Undrawn(), Progress(run, ledger, lambda: ""))  # type: ignore[arg-type]
    page = TestClient(app, base_url="http://127.0.0.1:8017")
    person = page.post("/api/join", json={"name": "bob", "secret": SECRET}).json()["person"]
    return page, {"person": person, "secret": SECRET}


def taught(out: Path, answers: int, **labeler: Any) -> store.Run:
    """A run to its end, with so many answers of a person who never errs."""
    run = session.begin({**SETTINGS, "labeler": {**SETTINGS["labeler"], **labeler}}, out)
    ledger, stop = Ledger(run.folder / NAME), threading.Event()

    def sit() -> None:
        left = answers
        while left and not stop.is_set():
            if answer_one(ledger):
                left -= 1
            else:
                stop.wait(0.02)

    person = threading.Thread(target=sit)
    person.start()
    trainer = WorkerProcess(run.folder, "--people")
    while not trainer.silent:
        trainer.read()
    assert trainer.wait().code == 0
    stop.set()
    person.join()
    ledger.close()
    return store.Run(run.folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> store.Run:
    return taught(tmp_path_factory.mktemp("runs"), 24)


@pytest.fixture
def run(made: store.Run, tmp_path: Path) -> store.Run:
    shutil.copytree(made.folder, tmp_path / "runs" / made.key)
    return store.Run(tmp_path / "runs" / made.key)


def test_its_agent_acts_from_the_checkpoint(run: store.Run) -> None:
    scenes, predicted, true = video.acted(run, 60)
    assert scenes.shape == (60, 4) and predicted.shape == true.shape == (60,)


def test_its_card_says_who_answered(run: store.Run, tmp_path: Path) -> None:
    assert cli.main(["export", run.key, "--out", str(run.folder.parent), "--to", str(tmp_path / "data")]) == 0
    text = (tmp_path / "data" / "README.md").read_text()
    tags = yaml.safe_load(text.split("---\n")[1])["tags"]
    assert "human-feedback" in tags and "synthetic-feedback" not in tags
    assert "those of people" in text and "no person was asked" not in text and "synthetic" not in text


def test_out_of_an_archive_it_is_sound_and_cannot_be_made_again(
    run: store.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = str(tmp_path / "packed.parquet"), str(tmp_path / "unpacked")
    suite = tmp_path / "taught.toml"
    suite.write_text(
        'name = "taught"\n[run]\ntotal_steps = 6000\n'
        'policy = { name = "ppo", environments = 4, rollout_steps = 64, minibatch = 64, hidden = [8] }\n'
        'labeler = { name = "human", goal = "touch the ball", backlog = 2, catch = 0.25 }\n'
        '[sweep]\ntask = ["mujoco/reacher@1"]\n[[arm]]\nname = "people"\nlabels = 24\n'
    )
    assert cli.main(["archive", "pack", str(suite), "--out", str(run.folder.parent), "--to", file]) == 0
    assert cli.main(["archive", "unpack", file, "--out", out]) == 0
    assert cli.main(["check", out]) == 0
    assert "people's answers are not here" in capsys.readouterr().out


def test_answers_that_cannot_be_read_are_one_line(run: store.Run, capsys: pytest.CaptureFixture[str]) -> None:
    (run.folder / NAME).write_bytes(b"no ledger" * 1000)
    assert cli.main(["verify", run.key, "--out", str(run.folder.parent)]) == 2
    assert "is damaged (file is not a database): restore people's answers" in capsys.readouterr().out
    (run.folder / "done.json").unlink()
    trainer = WorkerProcess(run.folder, "--people")
    while not trainer.silent:
        trainer.read()
    ended = trainer.wait()
    assert ended.code == 1 and "cannot be used (file is not a database)" in ended.last_words
    assert not json.loads((run.folder / "failed.json").read_bytes())["fault"]


def test_when_it_is_over_nobody_is_asked_what_it_will_not_hear(tmp_path: Path) -> None:
    run = taught(tmp_path / "runs", 12, backlog=-1)  # training did not wait for the other twelve
    for overlap in (1, 2):
        ledger = Ledger(run.folder / NAME, overlap)
        (page, person), asked = page_of(run, ledger), []
        while (shown := page.post("/api/next", json=person).json())["question"] is not None:
            answer = {"nonce": shown["nonce"], "answer": "left", "seconds": 0}
            assert page.post("/api/answer", json=answer).json() == {"counted": True}
            asked.append(shown["question"])
        assert len(asked) == (12 if overlap == 2 else 0)  # what ada has answered; for the report
        assert page.post("/api/undo", json=person).status_code == 410
        assert not ledger.rows("SELECT id FROM events WHERE turn IS NULL")
        ledger.close()


def test_an_answer_that_comes_too_late_is_refused(tmp_path: Path) -> None:
    run = taught(tmp_path / "runs", 12, backlog=-1)
    ledger = Ledger(run.folder / NAME)
    page, person = page_of(run, ledger)
    (done := run.folder / "done.json").rename(run.folder / "done.later")
    shown = page.post("/api/next", json=person).json()
    (run.folder / "done.later").rename(done)
    refused = page.post("/api/answer", json={"nonce": shown["nonce"], "answer": "left", "seconds": 0})
    assert refused.status_code == 410 and "would teach nothing" in refused.json()["detail"]
    ledger.close()
