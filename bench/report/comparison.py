"""Arms against one of them (an ablation table, a robustness map), and ours against published figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench import stats
from bench.report import published, results
from bench.report.data import Study
from bench.report.formats import NONE, Entry, Table, entry, number
from bench.report.tables import fields


def learned_arms(study: Study) -> list[str]:
    """Arms that learn from labels, in the order of the suite."""
    cells = {arm: study.of_arm(arm) for arm in study.arms}
    return [arm for arm, found in cells.items() if any(len(c.returns) and c.spec.reward == "learned" for c in found)]


def _has(study: Study, arm: str, task: str) -> bool:
    cell = study.cell(arm, task)
    return cell is not None and len(cell.returns) > 0


def shared_tasks(study: Study, arms: Sequence[str]) -> list[str]:
    """Tasks that can be normalised and that every one of the arms has finished runs of."""
    return [task for task in study.normalisable if all(_has(study, arm, task) for arm in arms)]


def in_paper(study: Study, arm: str) -> bool:
    """Whether figure 5 or 6 of the paper has the arm on any of the suite's tasks."""
    return any(published.ablation(arm, task) is not None for task in study.tasks)


def paper_mean(arm: str, tasks: Sequence[str]) -> float:
    """Mean over tasks of the normalised return that the paper prints of an arm; NaN if it lacks one of them."""
    found = [published.ablation(arm, task) for task in tasks]
    return float(np.mean([np.nan if value is None else value for value in found]))


def against_baseline(study: Study) -> Table | None:
    """Each arm beside the suite's baseline: mean normalised return, difference, probability of improvement; beside them
    figure 5 of the paper where it has the arm. None where the suite names no baseline or nothing can be compared."""
    base, arms = study.baseline, learned_arms(study)
    if base not in arms:
        return _of_the_paper(study, arms) if base else None
    paper = any(in_paper(study, arm) for arm in arms if arm != base)
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    shared = {arm: shared_tasks(study, [base, arm]) for arm in arms}
    gaps, chance = results.differences(study, base, shared), results.chance(study, base, shared)
    for arm, tasks in shared.items():
        if not tasks:
            rows.append([Entry(arm), *[Entry(NONE)] * (5 if paper else 3)])
            continue
        level = results.level(study, arm, tasks)
        better = None if arm == base else results.improvement(study, arm, base, tasks)
        note = "" if len(tasks) == len(study.tasks) else f"{len(tasks)} of {len(study.tasks)} tasks"
        row = [Entry(arm), entry(level, 1.0, note)]
        row += [Entry(NONE), Entry(NONE)] if better is None else [_signed(gaps[arm]), entry(better, 1.0)]
        told: dict[str, object] = {"arm": arm, "tasks": len(tasks), **fields("normalised", level)}
        if better is not None:
            told |= {**fields("difference", gaps[arm]), **fields("probability_of_improvement", better)}
            told["p_holm"] = chance[arm]
        if paper:
            theirs, other = paper_mean(arm, tasks), paper_mean(base, tasks)
            row += [Entry(number(theirs, 1.0)), _signed(stats.Estimate(theirs - other, -np.inf, np.inf))]
            told |= {"paper_normalised": theirs, "paper_difference": theirs - other}
        rows.append(row)
        records.append(told)
    header = ["Arm", "Normalised return", f"Difference to {base}", "Probability of improvement"]
    header += ["Paper: normalised return", "Paper: difference"] if paper else []
    caption = (
        f"Each arm beside {base!r}: mean normalised return over tasks, its difference, and the probability that a run "
        "of the arm is better than one of the other on the same task (0.5 is no difference), with 95 % intervals over "
        "seeds. Those of the differences hold all at once: one that leaves 0 out is a difference, however many arms "
        "there are."
    )
    return Table("comparison", caption, header, rows, records)


def _of_the_paper(study: Study, arms: Sequence[str]) -> Table | None:
    """Where the baseline was not run: the paper's figure 5 or 6 beside each arm that it has."""
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    for arm in arms:
        tasks = [task for task in study.tasks if _has(study, arm, task) and published.ablation(arm, task) is not None]
        if not tasks:
            continue
        ours = results.level(study, arm, tasks) if set(tasks) <= set(study.normalisable) else None
        theirs, other = paper_mean(arm, tasks), paper_mean(study.baseline, tasks)
        gap = _signed(stats.Estimate(theirs - other, -np.inf, np.inf))
        rows.append([Entry(arm), entry(ours, 1.0) if ours else Entry(NONE), Entry(number(theirs, 1.0)), gap])
        told: dict[str, object] = {"arm": arm, "tasks": len(tasks), **(fields("normalised", ours) if ours else {})}
        records.append({**told, "paper_normalised": theirs, "paper_difference": theirs - other})
    header = ["Arm", "Normalised return", "Paper: normalised return", f"Paper: difference to {study.baseline}"]
    caption = (
        f"Arms beside the paper; {study.baseline!r}, with which they are to be compared, has no finished run here."
    )
    return Table("comparison", caption, header, rows, records) if rows else None


def beside_the_paper(study: Study) -> Table | None:
    """Normalised return at the paper's budgets beside its figure 2 or 3: rows are tasks, and their mean. None where the
    suite has no such run."""
    arms = _budget_arms(study)
    tasks = [task for task in study.tasks if published.known(task)]
    if not arms or not tasks:
        return None
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    for task in tasks:
        row, theirs = [Entry(study.task_names[task])], published.returns(task)
        ours = study.control_returns(task).mean() if task in study.controls else np.nan
        scale = max(abs(theirs["true_reward"]), 0.0 if np.isnan(ours) else abs(ours))
        row += [Entry(number(ours, scale)), Entry(number(theirs["true_reward"], scale))]
        for labels, arm in arms.items():
            can = task in study.normalisable and _has(study, arm, task)
            found = results.normalised(study, task, arm) if can else stats.Estimate(np.nan, -np.inf, np.inf)
            row += [entry(found, 1.0), Entry(number(published.normalised(task)[labels], 1.0))]
            told = {"task": study.task_names[task], "labels": labels, **fields("normalised", found)}
            records.append({**told, "paper_normalised": published.normalised(task)[labels]})
        rows.append(row)
    rows.append(_mean_row(study, arms, tasks, records))
    header = ["Task", "true reward: ours", "true reward: paper"]
    header += [text for labels in arms for text in (f"{labels} labels: ours", f"{labels} labels: paper")]
    caption = (
        "Return on the true reward, and normalised return at the budgets of the paper, ours beside its figures 2 and 3."
    )
    return Table("paper", caption, header, rows, records)


def _mean_row(
    study: Study, arms: dict[int, str], tasks: Sequence[str], records: list[dict[str, object]]
) -> list[Entry]:
    row = [Entry(f"Mean of {len(tasks)} tasks"), Entry(NONE), Entry(NONE)]
    for labels, arm in arms.items():
        whole = [task for task in tasks if task in study.normalisable and _has(study, arm, task)]
        if not whole:
            row += [Entry(NONE), Entry(NONE)]
            continue
        found = results.level(study, arm, whole)
        theirs = float(np.mean([published.normalised(task)[labels] for task in whole]))
        note = "" if len(whole) == len(tasks) else f"{len(whole)} of {len(tasks)} tasks"
        row += [entry(found, 1.0, note), Entry(number(theirs, 1.0))]
        told = {"task": f"mean of {len(whole)} tasks", "labels": labels, **fields("normalised", found)}
        records.append({**told, "paper_normalised": theirs})
    return row


def _budget_arms(study: Study) -> dict[int, str]:
    """The arms at the paper's budgets, largest first, of the suite's first series (the one without an ablation)."""
    arms = study.series[0].arms if study.series else ()
    found = {labels_of(study, arm): arm for arm in arms}
    return {labels: found[labels] for labels in sorted(published.budgets(study.tasks), reverse=True) if labels in found}


def labels_of(study: Study, arm: str) -> int:
    """The budget of an arm, the same on all tasks."""
    return study.of_arm(arm)[0].spec.labels


def heat(study: Study) -> tuple[list[str], list[str], stats.Array] | None:
    """Arms, task names and mean normalised returns ``(arms, tasks + 1)``, the last column the mean of all tasks; NaN
    where there is none. None where the suite names no baseline."""
    arms, tasks = learned_arms(study), list(study.normalisable)
    if study.baseline not in arms or not tasks:
        return None
    values = np.full((len(arms), len(tasks) + 1), np.nan)
    for i, arm in enumerate(arms):
        for j, task in enumerate(tasks):
            if _has(study, arm, task):
                values[i, j] = results.normalised(study, task, arm).value
        values[i, -1] = values[i, :-1].mean()
    return arms, [*(study.task_names[task] for task in tasks), "Mean"], values


def _signed(estimate: stats.Estimate) -> Entry:
    made = entry(estimate, 1.0)
    return Entry("+" + made.text if estimate.value > 0 else made.text, made.interval)
