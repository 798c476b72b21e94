"""How well and how fast people answered, against figures worked out elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import cli, store
from bench.answers.desk import LedgerDesk
from bench.answers.ledger import NAME, Ledger
from bench.answers.people import krippendorff_alpha, sitting
from bench.labeling.session import begin
from prefrl_core.feedback.desk import Asked


def test_alpha_of_the_published_example() -> None:
    """Krippendorff (2011), example C: four observers, twelve units, missing data; nominal alpha 0.743."""
    observers = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    units = [[one[unit] for one in observers if one[unit] != "."] for unit in range(12)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


@given(st.lists(st.lists(st.sampled_from(["left", "right", "equal"]), max_size=4), max_size=12))
def test_alpha_against_a_slow_loop(units: list[list[str]]) -> None:
    pairs = [(a, b, 1 / (len(u) - 1)) for u in units for i, a in enumerate(u) for j, b in enumerate(u) if i != j]
    pooled = [answer for unit in units if len(unit) > 1 for answer in unit]
    expected = sum(a != b for i, a in enumerate(pooled) for j, b in enumerate(pooled) if i != j)
    found = krippendorff_alpha(units)
    if not expected:
        assert found is None
    else:
        observed = sum(weight for a, b, weight in pairs if a != b) / len(pooled)
        assert found == pytest.approx(1 - observed / (expected / (len(pooled) * (len(pooled) - 1))))


@pytest.mark.parametrize(
    ("units", "alpha"), [([["l", "l"], ["r", "r"]], 1.0), ([["l", "r"], ["r", "l"]], -0.5), ([["l"], []], None)]
)
def test_alpha_at_its_ends(units: list[list[str]], alpha: float | None) -> None:
    assert krippendorff_alpha(units) == alpha


@pytest.fixture
def taught(tmp_path: Path) -> store.Run:
    """Six pairs, the left one better in each but the last, where both are equal; the first is a catch."""
    run = begin({"task": "mujoco/reacher@1", "labels": 20, "labeler": {"name": "human"}}, tmp_path)
    ledger = Ledger(run.folder / NAME, overlap=2)
    returns = np.array([[1.0, 0.0]] * 5 + [[1.0, 1.0]])
    scenes, some = np.random.default_rng(0).normal(size=(6, 2, 3, 4)).astype(np.float32), np.full(6, 0.7)
    LedgerDesk(ledger).ask(Asked(np.arange(6), 0, scenes, returns, some, np.arange(6) == 0))
    ledger.clock = lambda: 1000.0
    for name, answers in (("ada", ["left", "left", "right", "equal", "skip", "left"]), ("bob", ["right", "left"])):
        person = ledger.join(name)
        for seconds, answer in enumerate(answers):
            page = ledger.next(person)
            assert page is not None
            ledger.answer(page.nonce, answer, min(seconds, 5))
    ledger.undo(ledger.join("bob"))
    ledger.close()
    return run


def test_accounts(taught: store.Run) -> None:
    found = sitting(taught.folder)
    assert found is not None
    ada, bob = found.people
    assert (ada.answers, ada.equal, ada.skipped, ada.seconds) == (6, 1, 1, 2.5)
    assert ada.accuracy == pytest.approx(2 / 3) and ada.caught == 1.0  # equal returns have no better side
    assert (bob.answers, bob.accuracy, bob.caught) == (1, 0.0, 0.0)  # the undone one does not count
    assert found.alpha == 0.0  # one pair that both answered, each otherwise: as bad as chance


def test_a_run_that_nobody_taught_has_no_people(tmp_path: Path) -> None:
    assert sitting(tmp_path) is None


def test_people_are_shown_from_a_folder_that_cannot_be_written(
    taught: store.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    taught.folder.chmod(0o555)
    assert cli.main(["show", taught.key, "--out", str(taught.folder.parent)]) == 0
    taught.folder.chmod(0o755)
    said = capsys.readouterr().out
    assert "6 answers, 2.5 s each, right: 67% (catches: 100%)" in said and "Krippendorff's alpha" in said


def test_a_report_has_a_row_for_each_person(taught: store.Run, tmp_path: Path) -> None:
    suite = (
        'name = "mine"\n[run]\nlabels = 20\n[sweep]\ntask = ["mujoco/reacher@1"]\n'
        '[[arm]]\nname = "people"\nlabeler = {name = "human"}\n'
    )
    (tmp_path / "mine.toml").write_text(suite)
    row = dict.fromkeys(
        ("true_return", "episodes", "predicted_return", "reward_accuracy", "reward_correlation", "labels"), 1.0
    )
    store.write_atomic(
        taught.folder / "metrics.jsonl", (store.json.dumps({"step": 2048, "phase": "untrained", **row}) + "\n").encode()
    )
    assert cli.main(["report", str(tmp_path / "mine.toml"), "--out", str(tmp_path)]) == 0
    table = (tmp_path / "report-mine" / "people.md").read_text()
    assert "| Reacher | people | 0 | ada | 6 | 1 | 1 | 2.5 | 0.67 | 1.00 |" in table and "| bob | 1 |" in table
    assert 'id="people"' in (tmp_path / "report-mine" / "index.html").read_text()
