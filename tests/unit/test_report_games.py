"""The report's table over all games of the paper, against SciPy and against the published numbers by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import trim_mean
from test_report import TASKS, plan, study_of, write_run

from bench.report import atari, data, published

GAMES = ("beam_rider", "breakout", "enduro", "pong", "qbert", "seaquest", "space_invaders")
IDS = [f"atari/{name}@1" for name in GAMES]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> data.Study:
    """Five seeds of two arms, enough to tell intervals; every game's control at half a human's score."""
    out = tmp_path_factory.mktemp("games")
    with pytest.MonkeyPatch.context() as patch:
        for task in IDS:
            random, human = published.scale(task)
            patch.setitem(TASKS, task, (random, random + (human - random) / 2))
        planned = plan(5, IDS, ["true reward", "700 labels"])
        for run in planned:
            write_run(out, run)
        return study_of(out, planned)


def test_every_game_is_there_also_enduro(study: data.Study) -> None:
    table = atari.scores(study)
    assert table is not None
    assert {row["game"] for row in table.records} == {study.task_names[task] for task in IDS}
    enduro = [row for row in table.records if row["arm"] == "paper, true reward" and row["human_normalised"] == 0]
    assert len(enduro) == 1 and "normalised" not in enduro[0]  # there the paper's control learned nothing


def test_our_scores_over_games_are_scipys(study: data.Study) -> None:
    table = atari.over_games(study)
    assert table is not None and [row[0].text for row in table.rows[:2]] == ["true reward", "700 labels"]
    for arm, row in zip(study.arms, table.records[:2], strict=True):
        human = [
            (study.cells[arm, task].returns - random) / (tester - random)
            for task in IDS
            for random, tester in [published.scale(task)]
        ]
        assert row["games"] == row["games_with_share"] == 7
        assert row["human_normalised_iqm"] == pytest.approx(trim_mean(np.concatenate(human), 0.25))
        assert row["human_normalised_median"] == pytest.approx(np.median([cell.mean() for cell in human]))
        assert row["human_normalised_iqm_low"] < row["human_normalised_iqm"] < row["human_normalised_iqm_high"]  # type: ignore[operator]
    control = table.records[0]
    assert 0.4 < float(str(control["human_normalised_median"])) < 0.6 and control["share_median"] == 1


def test_the_papers_scores_over_games_are_figure_3(study: data.Study) -> None:
    table = atari.over_games(study)
    assert table is not None
    paper = {str(row["arm"]): row for row in table.records[2:]}
    assert len(paper) == 4 and paper["paper, true reward"]["share_iqm"] == 1
    # 3,300 labels: (score - random) / (true reward - random), game by game without Enduro
    shares = [
        *((9900 - 363.9) / (7600 - 363.9), (8 - 1.7) / (638 - 1.7), (20.3 + 20.7) / (20.5 + 20.7)),
        *((4800 - 163.9) / (16000 - 163.9), (870 - 68.4) / (1780 - 68.4), (810 - 148) / (2820 - 148)),
    ]
    of_3300 = paper["paper, 3,300 labels"]
    assert of_3300["games"] == 7 and of_3300["games_with_share"] == 6
    assert of_3300["share_median"] == pytest.approx(np.median(shares))
    assert of_3300["share_iqm"] == pytest.approx(np.sort(shares)[1:-1].mean())


def test_one_game_is_no_aggregate(study: data.Study) -> None:
    assert atari.over_games(dataclasses.replace(study, tasks=study.tasks[3:4])) is None
