"""Arms against one of them (an ablation table, a robustness map), and ours against published figures: the paper's, in
value and in order, and a user's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench import stats
from bench.report import published, results
from bench.report.beside import Figure
from bench.report.data import Study
from bench.report.formats import NOTHING, Column, Fact, Table, entry, number, part, signed, table, to, told, wide

SAME, OPPOSITE, OPEN = "same", "opposite", "not told apart"
_PAPER: dict[str, Column] = {
    "Paper: normalised return": "paper_normalised",
    "Paper: difference": ("paper_difference", signed),
}


def learned_arms(study: Study) -> list[str]:
    """Arms that learn from labels, in the order of the suite."""
    return [arm for arm in study.arms if any(len(c.returns) and c.spec.reward == "learned" for c in study.of_arm(arm))]


def in_paper(study: Study, arm: str) -> bool:
    """Whether figure 5 or 6 of the paper has the arm on any of the suite's tasks."""
    return any(np.isfinite(published.ablation(arm, task)) for task in study.tasks)


def paper_mean(arm: str, tasks: Sequence[str]) -> float:
    """Mean over tasks of the normalised return that the paper prints of an arm; NaN if it lacks one of them."""
    return float(np.mean([published.ablation(arm, task) for task in tasks]))


def against_baseline(study: Study) -> Table | None:
    """Each arm beside the suite's baseline: mean normalised return, difference, probability of improvement; beside them
    figure 5 of the paper where it has the arm. None where the suite names no baseline or nothing can be compared."""
    base, arms = study.baseline, learned_arms(study)
    if base not in arms:
        return _of_the_paper(study, arms) if base else None
    shared = {arm: study.shared(base, arm) for arm in arms}
    gaps, chance = results.differences(study, base, shared), results.chance(study, base, shared)
    paper = any(in_paper(study, arm) for arm in arms if arm != base)
    facts: list[Fact] = []
    for arm, tasks in shared.items():
        better = results.improvement(study, arm, base, tasks) if tasks and arm != base else None
        level = results.level(study, arm, tasks) if tasks else None
        fact: Fact = {"arm": arm, "tasks": len(tasks) or None, "normalised": level, "difference": gaps.get(arm)}
        fact |= {"_level": entry(level, 1.0, part(tasks, study.tasks, "tasks")) if level else None}
        fact |= {"probability_of_improvement": better, "p_holm": chance.get(arm)}
        facts.append(fact | (_paper(arm, base, tasks) if paper and tasks else {}))
    columns: dict[str, Column] = {"Arm": "arm", "Normalised return": "_level"}
    columns |= {f"Difference to {base}": ("difference", signed)}
    columns |= {"Probability of improvement": "probability_of_improvement"}
    caption = (
        f"Each arm beside {base!r}: mean normalised return over tasks, its difference, and the probability that a run "
        "of the arm is better than one of the other on the same task (0.5 is no difference), with 95 % intervals over "
        "seeds. Those of the differences hold all at once: one that leaves 0 out is a difference, however many arms "
        "there are."
    )
    return table("comparison", caption, facts, columns | (_PAPER if paper else {}))


def _paper(arm: str, base: str, tasks: Sequence[str]) -> Fact:
    theirs = paper_mean(arm, tasks)
    return {"paper_normalised": theirs, "paper_difference": theirs - paper_mean(base, tasks)}


def _of_the_paper(study: Study, arms: Sequence[str]) -> Table | None:
    """Where the baseline was not run: the paper's figure 5 or 6 beside each arm that it has."""
    facts: list[Fact] = []
    for arm in arms:
        tasks = [t for t in study.tasks if study.has(arm, t) and np.isfinite(published.ablation(arm, t))]
        if tasks:
            ours = results.level(study, arm, tasks) if set(tasks) <= set(study.normalisable) else None
            facts.append({"arm": arm, "tasks": len(tasks), "normalised": ours, **_paper(arm, study.baseline, tasks)})
    normalised, difference = _PAPER.values()
    columns: dict[str, Column] = {"Arm": "arm", "Normalised return": "normalised"}
    columns |= {"Paper: normalised return": normalised, f"Paper: difference to {study.baseline}": difference}
    caption = (
        f"Arms beside the paper; {study.baseline!r}, with which they are to be compared, has no finished run here."
    )
    return table("comparison", caption, facts, columns)


def beside_the_paper(study: Study) -> Table | None:
    """Normalised return at the paper's budgets beside its figure 2 or 3: rows are tasks, and their mean. None where the
    suite has no such run."""
    tasks = [task for task in study.tasks if published.known(task)]
    arms = _budget_arms(study, tasks)
    if not arms or not tasks:
        return None
    rows: list[Sequence[object]] = []
    facts: list[Fact] = []
    for task in tasks:
        theirs = published.returns(task)["true_reward"]
        ours = study.control_returns(task).mean() if task in study.controls else np.nan
        scale = max(abs(theirs), 0.0 if np.isnan(ours) else abs(ours))
        shown = number(ours, scale), number(theirs, scale)
        rows.append([study.task_names[task], *shown, *_at_budgets(study, arms, [task], facts)])
    rows.append([f"Mean of {len(tasks)} tasks", None, None, *_at_budgets(study, arms, tasks, facts, mean=True)])
    header = ["Task", "true reward: ours", "true reward: paper"]
    header += [f"{labels} labels: {whose}" for labels in arms for whose in ("ours", "paper")]
    caption = (
        "Return on the true reward, and normalised return at the budgets of the paper, ours beside its figures 2 and 3."
    )
    return wide("paper", caption, header, rows, facts)


def _at_budgets(
    study: Study, arms: dict[int, str], tasks: Sequence[str], facts: list[Fact], mean: bool = False
) -> list[object]:
    """The entries of one task, or of a mean over those of the tasks that an arm has finished."""
    row: list[object] = []
    for labels, arm in arms.items():
        whole = [task for task in tasks if task in study.shared(arm)]
        of = whole if mean else tasks
        found = results.level(study, arm, whole) if whole else NOTHING
        theirs = float(np.mean([published.normalised(task)[labels] for task in of])) if of else np.nan
        note = part(whole, tasks, "tasks") if whole else ""
        row += [entry(found, 1.0, note), theirs]
        if of:
            name = f"mean of {len(whole)} tasks" if mean else study.task_names[tasks[0]]
            facts.append({"task": name, "labels": labels, "normalised": found, "paper_normalised": theirs})
    return row


def _budget_arms(study: Study, tasks: Sequence[str]) -> dict[int, str]:
    """The arms at the paper's budgets, largest first, of the suite's first series (the one without an ablation)."""
    found = study.budgets(study.series[0], tasks) if study.series else {}
    return {labels: found[labels] for labels in sorted(published.budgets(study.tasks), reverse=True) if labels in found}


def order(study: Study) -> Table | None:
    """Ranks of the arms that the paper has too, with intervals, and whether each differs from the baseline in the
    paper's direction. None where the suite names no baseline, or fewer than three such arms share a finished task."""
    base = study.baseline
    arms = [arm for arm in learned_arms(study) if in_paper(study, arm)]
    tasks = [task for task in study.shared(*arms) if published.known(task)]
    if base not in arms or len(arms) < 3 or not tasks:
        return None
    theirs = np.array([paper_mean(arm, tasks) for arm in arms])
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


def beside(study: Study) -> Table | None:
    """A row for each final value of the file, ours where the suite has the arm; None where there is none."""
    facts = [
        {
            "task": study.task_names[one.task],
            "arm": one.arm,
            "unit": one.unit,
            "source": one.source,
            "published": one.value,
            "ours": _ours(study, one),
        }
        for one in study.beside
        if one.step is None
    ]
    columns: dict[str, Column] = {"Task": "task", "Arm": "arm", "Unit": "unit", "Ours": ("ours", entry)}
    columns |= {"Published": "published", "Source": "source"}
    return table("beside", "Figures of the file that was named, beside ours.", facts, columns, labels=3)


def _ours(study: Study, one: Figure) -> stats.Estimate | None:
    if not study.has(one.arm, one.task):
        return None
    if one.unit == "return":
        return results.final_estimate(study, one.arm, one.task)
    return results.normalised(study, one.task, one.arm) if one.task in study.normalisable else None
