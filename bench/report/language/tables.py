"""The tables of a language suite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bench import efficiency, spread, stats
from bench.report.efficiency_tables import percent
from bench.report.formats import NONE, Entry, Table, entry, labels_entry, number
from bench.report.language import frontier, matched
from bench.report.language.data import Language, Result, Told, paired
from bench.report.language.efficiency import feedback_efficiency
from bench.report.tables import fields

INTERVALS = "with 95 % intervals"
_SAMPLED = {"win_judge": "Win rate", "win_gold": "by gold", "gain": "Gold gain (SD)"}
_SCORES = {  # column -> what it is called, and the largest value that its decimals are chosen for
    "gold_held_out_families": ("Gold, families not shown", 1.0),
    "proxy_mean": ("Proxy (SD)", 1.0),
    "kl_exact": ("KL (nats)", 1.0),
}
_TEXTS = {
    "length": ("Length (tokens)", 10.0),
    "eos_rate": ("Ends", 1.0),
    "distinct2": ("Distinct pairs", 1.0),
    "taboo_rate": ("Taboo", 1.0),
    "summary_hallucination": ("Made up", 1.0),
    "qa_acc": ("Facts right", 1.0),
    "qa_false_confidence": ("False confidence", 1.0),
    "ptx_nll": ("Text NLL", 1.0),
}
_TAX = {"ptx_nll": "text NLL", "qa_acc": "facts right", "gold_gain": "gold"}


def names_of(language: Language, task: str, result: Result) -> list[Entry]:
    """The first entries of a row: the task where there are several, and the result."""
    told = [Entry(language.study.task_names[task])] if len(language.study.tasks) > 1 else []
    return [*told, Entry(result.name, note=result.note)]


def header(language: Language, *rest: str) -> list[str]:
    """As ``names_of``, and what follows."""
    return [*(["Task"] if len(language.study.tasks) > 1 else []), "Arm", *rest]


def about(language: Language, result: Result) -> dict[str, object]:
    """The first fields of a record."""
    told = {"task": language.study.task_names[result.task], "arm": result.arm, "n": result.n}
    counted = {"rankings": result.spec.labels, "pairs": result.pairs, "seeds": len(result.runs)}
    return {**told, "method": result.method, **counted}


def outcomes(language: Language) -> Table:
    """What each arm came to: the win rates against SFT first."""
    caption = (
        "At the end of training, on prompts of the test split: how often the answer is preferred to SFT's by a "
        "held-out noisy labeler and by gold (ties count half), gold less SFT's in standard deviations, the proxy, and "
        f"the distance from SFT, {INTERVALS} over seeds."
    )
    return _by_arm(language, "outcomes", caption, _SAMPLED, _SCORES)


def answers(language: Language) -> Table:
    """What the answers are like, and what is left of pretraining."""
    caption = (
        "The answers on test prompts, and what the policy still knows: facts answered right, answers given to "
        f"questions nobody can answer, and the loss on held-out pretraining text (nats a token), {INTERVALS} over "
        "seeds."
    )
    return _by_arm(language, "answers", caption, {}, _TEXTS)


def _by_arm(
    language: Language, name: str, caption: str, sampled: Mapping[str, str], columns: Mapping[str, tuple[str, float]]
) -> Table:
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    for task in language.study.tasks:
        for one in language.shown(task):
            found = {column: one.over_prompts(column) for column in sampled}
            found |= {column: one.estimate(column) for column in columns}
            scales = {column: scale for column, (_, scale) in columns.items()}
            shown = [entry(estimate, scales.get(column, 1.0)) for column, estimate in found.items()]
            rankings = Entry(str(one.spec.labels) if one.spec.labels else NONE)
            rows.append([*names_of(language, task, one), rankings, *shown])
            told = about(language, one)
            for column, estimate in found.items():
                told |= fields(column, estimate)
            records.append(told)
    names = ["Rankings", *sampled.values(), *(told for told, _ in columns.values())]
    heads = header(language, *names)
    return Table(name, caption, heads, rows, records, labels=len(heads) - len(names))


def comparison(language: Language) -> Table | None:
    """Each arm beside the suite's baseline, paired by seed and prompt; None where it names none or that is not run."""
    columns = {"proxy_mean": "Proxy", "kl_exact": "KL", "ptx_nll": "Text NLL", "rm_accuracy": "RM accuracy"}
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    for task in language.study.tasks:
        base = language.baseline(task)
        among = max(1, len(language.shown(task)) - 1)
        for one in language.shown(task) if base else ():
            if base is None or one is base:
                continue
            sampled = {name: over_prompts(one, base, name, among) for name in ("win_judge", "gain")}
            plain = {column: over_seeds(one, base, column, among) for column in columns}
            shown = [signed(found) for found in (*sampled.values(), *plain.values())]
            rows.append([*names_of(language, task, one), *shown])
            told = about(language, one) | {"baseline": base.name}
            for name, found in {**sampled, **plain}.items():
                told |= fields(name, found)
            records.append(told)
    if not rows:
        return None
    caption = (
        f"Each arm less {language.study.baseline!r} in the seeds that both have, {INTERVALS} over seeds, paired; those "
        "of a column hold all at once."
    )
    heads = header(language, "Win rate", "Gold gain (SD)", *columns.values())
    return Table("comparison", caption, heads, rows, records, labels=len(heads) - 2 - len(columns))


def tax(language: Language) -> Table | None:
    """The alignment tax: what a policy has lost of text and facts, less SFT's, and beside its reference at equal KL."""
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    for task in language.study.tasks:
        for one in language.of_task(task, "ppo", "gold"):
            plain = {column: tax_of(one, column) for column in ("ptx_nll", "qa_acc")}
            row = [*names_of(language, task, one), entry(one.estimate("kl_exact"), 1.0)]
            row += [signed(found) for found in plain.values()]
            told = about(language, one)
            for name, found in plain.items():
                told |= fields(f"{name}_less_sft", found)
            at_equal = matched.matched(language, one, list(_TAX)) if one.method == "ppo" else None
            if at_equal is None:
                row += [Entry(NONE)] * (2 + len(_TAX))
            else:
                row += [Entry(at_equal.reference.name), Entry(number(at_equal.kl, 1.0))]
                row += [signed(found) for found in at_equal.differences.values()]
                told |= {"reference": at_equal.reference.name, "matched_kl": at_equal.kl}
                for name, found in at_equal.differences.items():
                    told |= fields(f"matched_{name}", found)
            rows.append(row)
            records.append(told)
    if not rows:
        return None
    caption = (
        "What PPO takes: negative log-likelihood of held-out pretraining text (nats a token) and facts answered right, "
        "less those of the SFT that it began with; and the same beside a reference where both are equally far from "
        f"SFT, {INTERVALS} over seeds."
    )
    names = ["KL (nats)", "Tax: text NLL", "Tax: facts right", "Beside", "at KL", *_TAX.values()]
    heads = header(language, *names)
    return Table("tax", caption, heads, rows, records, labels=len(heads) - len(names))


def fits(language: Language) -> Table | None:
    """Gao's curves through gold and proxy."""
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    for task in language.study.tasks:
        for one in once(language.of_task(task, "best_of_n", "ppo", "gold")):
            for measure, called in frontier.MEASURES.items():
                found = frontier.fit(
                    frontier.points(language, one, measure), one.method == "best_of_n", f"{measure}/{one.arm}/{task}"
                )
                if found is None:
                    continue
                name = [*names_of(language, task, one)[:-1], Entry(one.arm, note=one.note)]
                told = [entry(found.a), entry(found.b), *_peak(found)]
                rows.append([*name, Entry(called), *told, Entry(number(found.r_squared, 1.0))])
                made = about(language, one) | {"n": None, "measure": called, "points": found.points}
                for key, value in (("a", found.a), ("b", found.b), ("peak_d", found.peak), ("peak", found.height)):
                    made |= fields(key, value)
                records.append({**made, "r_squared": found.r_squared})
    if not rows:
        return None
    caption = (
        "Gao et al. (2022): d (a - b d) for best of n and d (a - b log d) for PPO, d the square root of KL, fitted to "
        f"all points of all seeds, {INTERVALS} over seeds. The peak is where the curve is highest; beyond it, more "
        "optimisation does harm."
    )
    heads = header(language, "Measure", "a", "b", "Peak at d", "Height there", "R²")
    return Table("fits", caption, heads, rows, records, labels=len(heads) - 5)


def labels_to_reach(language: Language) -> Table | None:
    """Rankings to reach shares of what PPO gains on gold itself; None where no arms differ in rankings alone."""
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    for task in language.study.tasks:
        for found in feedback_efficiency(language, task):
            name = [Entry(language.study.task_names[task])] if len(language.study.tasks) > 1 else []
            note = f"without {', '.join(map(str, found.missing))} rankings" if found.missing else ""
            shown = [labels_entry(one, found.budgets, note) for one in found.reach.values()]
            rows.append([*name, Entry(found.label), *shown, entry(found.area, 1.0) if found.area else Entry(NONE)])
            told: dict[str, object] = {"task": language.study.task_names[task], "series": found.label}
            told |= {"budgets": " ".join(map(str, found.budgets)), "pairs_a_ranking": found.pairs_a_ranking}
            for share, one in found.reach.items():
                records.append({**told, "measure": f"rankings to {percent(share)}", **fields("value", one)})
            records += [{**told, "measure": "area", **fields("value", found.area)}] if found.area else []
    if not rows:
        return None
    caption = (
        "Rankings to reach shares of the gain in gold that PPO makes on gold itself (0 is SFT, 1 that run), "
        f"interpolated linearly in log(rankings) between the budgets that were run, {INTERVALS} over seeds."
    )
    heads = header(language, *(percent(share) for share in efficiency.SHARES), "Area under the curve")
    return Table("labels-to-reach", caption, heads, rows, records, labels=len(heads) - len(efficiency.SHARES) - 1)


def once(results: Sequence[Result]) -> list[Result]:
    """One result an arm."""
    return list({one.arm: one for one in reversed(results)}.values())[::-1]


def tax_of(result: Result, column: str) -> stats.Estimate:
    """A final value less that of the SFT which the same run began PPO with."""

    def taken(told: Told) -> float:
        return told.value(column) - told.before(column)

    return spread.mean_estimate(list(result.by_seed(taken).values()), result.pool(taken))


def over_seeds(one: Result, other: Result, column: str, among: int = 1) -> stats.Estimate:
    """By how much a final value is higher, paired by seed."""
    return _difference(one, other, lambda told: told.value(column), among=among)


def over_prompts(one: Result, other: Result, name: str, among: int = 1) -> stats.Estimate:
    """By how much the mean over prompts of a sampled value is higher, paired by seed."""
    theirs = {told.run.seed: told for told in other.runs if told.samples}
    pairs = [(told, theirs[told.run.seed]) for told in one.runs if told.samples and told.run.seed in theirs]
    gaps = [ours.sample(name) - beside.sample(name) for ours, beside in pairs]
    return _difference(one, other, lambda told: told.sampled(name), spread.of_mean(gaps), among)


def _difference(
    one: Result, other: Result, value: Callable[[Told], float], least: float = 0.0, among: int = 1
) -> stats.Estimate:
    """Paired by seed; the spread is that of all arms beside the same one. Intervals of ``among`` comparisons hold all
    at once (Bonferroni)."""
    theirs = other.by_seed(value)
    arms = {each.arm: each for each in (*one.family, one) if each.arm != other.arm}
    beside = spread.pool([paired(each.by_seed(value), theirs) for each in arms.values()])
    return spread.mean_estimate(paired(one.by_seed(value), theirs), beside, least, 1 - 0.05 / among)


def signed(estimate: stats.Estimate) -> Entry:
    """A difference, with its sign."""
    made = entry(estimate, 1.0)
    return Entry("+" + made.text if estimate.value > 0 else made.text, made.interval, made.note)


def _peak(found: frontier.Fit) -> list[Entry]:
    """Where the curve is highest and how high; what lies beyond all that was measured is not told as a number."""
    if found.peak.value > found.reach:
        return [Entry(f"> {number(found.reach)}"), Entry(NONE)]
    return [entry(found.peak), entry(found.height)]
