"""The order of a suite's arms beside the order of the same arms in the paper's figure 5 or 6."""

from __future__ import annotations

import numpy as np

from bench import stats
from bench.report import comparison, published, results
from bench.report.data import Study
from bench.report.formats import Column, Fact, Table, table, to, told

SAME, OPPOSITE, OPEN = "same", "opposite", "not told apart"


def of_arms(study: Study) -> Table | None:
    """Ranks of the arms that the paper has too, with intervals, and whether each differs from the baseline in the
    paper's direction. None where the suite names no baseline, or fewer than three such arms share a finished task."""
    base = study.baseline
    arms = [arm for arm in comparison.learned_arms(study) if comparison.in_paper(study, arm)]
    tasks = [task for task in study.shared(*arms) if published.known(task)]
    if base not in arms or len(arms) < 3 or not tasks:
        return None
    theirs = np.array([comparison.paper_mean(arm, tasks) for arm in arms])
    ours = results.levels(study, arms, tasks)
    ranks, drawn, places = stats.ranks(ours.values), stats.ranks(ours.draws), stats.ranks(theirs)
    gaps = results.differences(study, base, dict.fromkeys(arms, tasks))
    facts: list[Fact] = []
    for i, arm in enumerate(arms):
        verdict = None if arm == base else _verdict(gaps[arm], theirs[i] - theirs[arms.index(base)])
        found = {"rank": stats.estimate(ranks[i], drawn[:, i]), "paper_rank": float(places[i])}
        facts.append({"arm": arm, **found, "direction": verdict})
    alike = told(stats.estimate(stats.kendall(ours.values, theirs), stats.kendall(ours.draws, theirs)))
    caption = (
        f"Rank of each arm among those that the paper has too, by mean normalised return over {len(tasks)} of "
        f"{len(study.tasks)} tasks, 1 the best, with 95 % intervals over seeds; and whether an arm differs from "
        f"{base!r} in the paper's direction ({OPEN!r} where our interval of the difference has 0 in it; these hold all "
        f"at once). Kendall's tau of the two orders, 1 the same and −1 the reverse: {alike}."
    )
    columns: dict[str, Column] = {
        "Arm": "arm",
        "Rank: ours": ("rank", to(100)),
        "Rank: paper": ("paper_rank", to(100)),
        "Direction beside the paper": "direction",
    }
    return table("order", caption, facts, columns)


def _verdict(gap: stats.Estimate, paper: float) -> str:
    if gap.low <= 0 <= gap.high:
        return OPEN
    return SAME if np.sign(gap.value) == np.sign(paper) else OPPOSITE
