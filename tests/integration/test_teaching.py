"""People teach a run: their answers come when they come, and the run can still be done again to the byte."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import Memory

from bench import cli, store
from bench.answers.desk import LedgerDesk
from bench.answers.ledger import NAME, Ledger
from bench.executors.process import WorkerProcess
from bench.labeling import session
from prefrl_core.errors import UserError
from prefrl_core.feedback.labelers import Human
from prefrl_core.loop import learn, start, turn
from prefrl_core.spec import RunSpec

SETTINGS: dict[str, Any] = {
    "task": "mujoco/reacher@1",
    "labels": 24,
    "total_steps": 6_000,
    "policy": {"name": "ppo", "environments": 4, "rollout_steps": 64, "minibatch": 64, "hidden": [8]},
    "labeler": {"name": "human", "goal": "touch the ball", "backlog": 2, "catch": 0.25},
}
SPEC = RunSpec.of(SETTINGS)


def answer_one(ledger: Ledger, name: str = "ada") -> bool:
    """A person answers the pair on their page by its true returns; False if there is none."""
    page = ledger.next(ledger.join(name))
    if page is None:
        return False
    left, right = ledger.rows("SELECT left_return, right_return FROM questions WHERE number = ?", page.question)[0]
    return ledger.answer(page.nonce, "left" if left > right else "right", 0.0)


def desk(ledger: Ledger, person: Callable[[], Any] | None = None) -> LedgerDesk:
    """A desk whose person answers whenever the learner would wait."""
    return LedgerDesk(ledger, sleep=lambda seconds: (person or (lambda: answer_one(ledger)))())


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / NAME)
    yield made
    made.close()


def test_a_run_done_again_from_its_answers_has_the_same_rows(ledger: Ledger) -> None:
    first, again = Memory(), Memory()
    learn(SPEC, first, people=desk(ledger))
    learn(SPEC, again, people=LedgerDesk(ledger, live=False))
    assert first.rows == again.rows
    assert first.rows[-1]["labels"] == 24 and first.rows[-1]["answered"] == 24 and first.rows[-1]["skipped"] == 0


def test_other_answers_give_another_run(ledger: Ledger, tmp_path: Path) -> None:
    first, other = Memory(), Memory()
    learn(SPEC, first, people=desk(ledger))
    contrary = Ledger(tmp_path / "other.sqlite")

    def contradict() -> None:
        page = contrary.next(contrary.join("bob"))
        if page is not None:
            sql = "SELECT left_return, right_return FROM questions WHERE number = ?"
            left, right = contrary.rows(sql, page.question)[0]
            contrary.answer(page.nonce, "right" if left > right else "left", 0.0)

    learn(SPEC, other, people=desk(contrary, contradict))
    contrary.close()
    assert first.rows != other.rows


def test_stopped_anywhere_and_gone_on_with_is_as_never_stopped(ledger: Ledger) -> None:
    whole = Memory()
    learn(SPEC, whole, people=desk(ledger))
    for stop in (3, 9, 15):
        learner = start(SPEC, LedgerDesk(ledger, live=False))
        rows = [turn(learner) for _ in range(stop)]
        state = learner.get_state()
        learner.env.close()
        rest = Memory()
        learn(SPEC, rest, state, LedgerDesk(ledger, live=False))
        assert rows + rest.rows == whole.rows


def test_an_answer_taken_back_after_it_taught_is_forgotten(ledger: Ledger) -> None:
    person = ledger.join("ada")
    learner = start(SPEC, desk(ledger))
    while learner.comparisons.count - len(learner.comparisons.open) < 4:
        turn(learner)
    before = learner.comparisons.mu.copy()
    page = ledger.undo(person)
    assert page is not None
    learner.interview.answers.labeler = Human(backlog=100)
    learner.interview.answers.desk.before_learning = 0
    row = turn(learner)
    assert np.isnan(learner.comparisons.mu[page.question]) and not np.isnan(before[page.question])
    assert page.question in learner.comparisons.open and row["skipped"] == 0
    ledger.answer(page.nonce, "equal", 0.0)
    turn(learner)
    assert learner.comparisons.mu[page.question] == 0.5
    learner.env.close()


def test_catches_are_pairs_with_a_clear_answer(ledger: Ledger) -> None:
    learn(SPEC, Memory(), people=desk(ledger))
    gaps = {0: [], 1: []}  # type: dict[int, list[float]]
    for row in ledger.rows("SELECT catch, abs(left_return - right_return) AS gap FROM questions"):
        gaps[row["catch"]].append(row["gap"])
    assert len(gaps[1]) == 6 and min(gaps[1]) > np.median(gaps[0])


def test_nobody_sees_the_true_reward_on_the_page(ledger: Ledger) -> None:
    """What is drawn are positions: no number of the reward is among them."""
    learn(SPEC, Memory(), people=desk(ledger))
    scenes = ledger.scenes(0, "left")
    assert scenes is not None and scenes.shape == (15, 4)  # segment, joint positions


def test_without_a_desk_or_pictures_a_run_says_what_to_do() -> None:
    with pytest.raises(UserError, match="bench label"):
        start(SPEC)
    blind = {**SETTINGS, "task": "gymnasium/Pendulum-v1", "variable_length": True}
    with pytest.raises(UserError, match="cannot be shown"):
        start(RunSpec.of(blind), LedgerDesk(Ledger(Path(":memory:"))))


def test_a_synthetic_labeler_never_looks_at_the_desk() -> None:
    learner = start(RunSpec.of({**SETTINGS, "labeler": "oracle"}), LedgerDesk(Ledger(Path(":memory:"))))
    assert learner.scene == 0 and learner.pool.segments.scenes.shape[-1] == 0
    learner.env.close()


def test_the_worker_is_killed_the_person_goes_on_and_verify_makes_the_same_bytes(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    run = session.begin({**SETTINGS, "total_steps": 40_000, "labels": 60}, out)
    ledger, stop = Ledger(run.folder / NAME), threading.Event()

    def sit() -> None:
        while not stop.is_set():
            if not answer_one(ledger):
                stop.wait(0.02)

    person = threading.Thread(target=sit)
    person.start()
    try:
        first = WorkerProcess(run.folder, "--people")
        while not (run.folder / "checkpoint.safetensors").exists():
            assert first.read(), first.wait()
        first._process.kill()
        first.wait()
        assert run.status == "unfinished"
        second = WorkerProcess(run.folder, "--people")
        while not second.silent:
            second.read()
        assert second.wait().code == 0
    finally:
        stop.set()
        person.join()
        ledger.close()
    assert store.Run(run.folder).provenance["resumed"]
    assert cli.main(["verify", run.key, "--out", str(out)]) == 0


def test_bench_run_leaves_runs_that_people_teach_to_bench_label(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\n[run]\ntotal_steps = 6000\nlabels = 20\n[sweep]\ntask = ["mujoco/reacher@1"]\n'
        '[[arm]]\nname = "people"\nlabeler = {name = "human", goal = "touch the ball"}\n'
    )
    assert cli.main(["run", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "runs")]) == 1
    (run,) = store.load(tmp_path / "runs")
    assert f"python -m bench label {run.key}" in (run.error or "")
    assert json.loads((run.folder / "spec.json").read_bytes())["spec"]["labeler"]["goal"] == "touch the ball"
    assert f"bench label {run.key}" in capsys.readouterr().out
