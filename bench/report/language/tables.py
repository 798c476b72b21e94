"""The tables of a language suite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bench.report.efficiency_tables import REACHED, measures, reached
from bench.report.formats import Column, Entry, Fact, Table, entry, number, signed, table, to, wide
from bench.report.language import frontier, matched
from bench.report.language.data import Language, Result, once
from bench.report.language.efficiency import feedback_efficiency

INTERVALS = "with 95 % intervals"
RM = {
    "reward_model:rm_accuracy": "Accuracy (gold)",
    "reward_model:rm_accuracy_train_labelers": "Accuracy (panel, first half)",
    "reward_model:rm_accuracy_heldout_labelers": "Accuracy (panel, second half)",
    "reward_model:rm_ece": "Calibration error",
}
_OUTCOMES = {
    "mean:win_judge": "Win rate",
    "mean:win_gold": "by gold",
    "mean:gain": "Gold gain (SD)",
    "gold_held_out_families": "Gold, families not shown",
    "proxy_mean": "Proxy (SD)",
    "kl_exact": "KL (nats)",
}
_ANSWERS = {
    "length": "Length (tokens)",
    "eos_rate": "Ends",
    "distinct2": "Distinct pairs",
    "taboo_rate": "Taboo",
    "summary_hallucination": "Made up",
    "qa_acc": "Facts right",
    "qa_false_confidence": "False confidence",
    "ptx_nll": "Text NLL",
}
_BESIDE = {
    "mean:win_judge": "Win rate",
    "mean:gain": "Gold gain (SD)",
    "proxy_mean": "Proxy",
    "kl_exact": "KL",
    "ptx_nll": "Text NLL",
    "rm_accuracy": "RM accuracy",
}
_LABELS = {"collect:labels.agreement": "Agreement", "collect:labels.agreement_close": "of close pairs"}
_TAX = {"ptx_nll": "text NLL", "qa_acc": "facts right", "gold_gain": "gold"}


def about(language: Language, one: Result, name: str = "") -> Fact:
    """The first fields of a fact: what it is of. ``name`` is what a row calls it, its own name by default."""
    told = {"task": language.study.task_names[one.task], "arm": one.arm, "n": math.nan if one.n is None else one.n}
    counted = {"rankings": one.spec.labels, "pairs": one.pairs, "seeds": len(one.runs)}
    shown = {"_arm": Entry(name or one.name, note=one.note), "_rankings": one.spec.labels or None}
    return {**told, "method": one.method, **counted, **shown}


def measured(one: Result, names: Mapping[str, str], beside: Result | None = None, among: int = 1) -> Fact:
    """Estimates of some measures, by the columns that they are of."""
    return {_column(name): one.estimate(name, beside, among) for name in names}


def _column(name: str) -> str:
    return name.rpartition(":")[2]


def _titled(names: Mapping[str, str]) -> dict[str, Column]:
    return {title: _column(name) for name, title in names.items()}


def _table(
    language: Language, name: str, caption: str, facts: Sequence[Fact], columns: Mapping[str, Column], labels: int = 1
) -> Table | None:
    """A row a fact, which begins with the task where there are several, and the arm."""
    tasks: dict[str, Column] = {"Task": "task"} if len(language.study.tasks) > 1 else {}
    return table(name, caption, facts, {**tasks, "Arm": "_arm", **columns}, labels + len(tasks))


def outcomes(language: Language) -> Table | None:
    """What each arm came to: the win rates against SFT first."""
    caption = (
        "At the end of training, on prompts of the test split: how often the answer is preferred to SFT's by a "
        "held-out noisy labeler and by gold (ties count half), gold less SFT's in standard deviations, the proxy, and "
        f"the distance from SFT, {INTERVALS} over seeds."
    )
    facts = [about(language, one) | measured(one, _OUTCOMES) for one in _shown(language)]
    return _table(language, "outcomes", caption, facts, {"Rankings": "_rankings", **_titled(_OUTCOMES)})


def answers(language: Language) -> Table | None:
    """What the answers are like, and what is left of pretraining."""
    caption = (
        "The answers on test prompts, and what the policy still knows: facts answered right, answers given to "
        f"questions nobody can answer, and the loss on held-out pretraining text (nats a token), {INTERVALS} over "
        "seeds."
    )
    facts = [about(language, one) | measured(one, _ANSWERS) for one in _shown(language)]
    columns = {"Rankings": "_rankings", **_titled(_ANSWERS), "Length (tokens)": ("length", to(10.0))}
    return _table(language, "answers", caption, facts, columns)


def _shown(language: Language) -> list[Result]:
    return [one for task in language.study.tasks for one in language.shown(task)]


def comparison(language: Language) -> Table | None:
    """Each arm beside the suite's baseline, paired by seed and prompt; None where it names none or that is not run."""
    facts: list[Fact] = []
    for task in language.study.tasks:
        base, shown = language.baseline(task), language.shown(task)
        for one in shown if base else ():
            if base is not None and one is not base:
                gaps = measured(one, _BESIDE, base, among=max(1, len(shown) - 1))
                facts.append(about(language, one) | {"baseline": base.name, **gaps})
    caption = (
        f"Each arm less {language.study.baseline!r} in the seeds that both have, {INTERVALS} over seeds, paired; those "
        "of a column hold all at once."
    )
    columns: dict[str, Column] = {title: (_column(name), signed) for name, title in _BESIDE.items()}
    return _table(language, "comparison", caption, facts, columns)


def tax(language: Language) -> Table | None:
    """The alignment tax: what a policy has lost of text and facts, less SFT's, and beside its reference at equal KL."""
    facts: list[Fact] = []
    for task in language.study.tasks:
        for one in language.of_task(task, "ppo", "gold"):
            fact = {**about(language, one), "_kl": one.estimate("kl_exact")}
            fact |= {f"{column}_less_sft": one.estimate(f"tax:{column}") for column in ("ptx_nll", "qa_acc")}
            facts.append(fact | (matched.matched(language, one, list(_TAX)) if one.method == "ppo" else {}))
    caption = (
        "What PPO takes: negative log-likelihood of held-out pretraining text (nats a token) and facts answered right, "
        "less those of the SFT that it began with; and the same beside a reference where both are equally far from "
        f"SFT, {INTERVALS} over seeds."
    )
    columns: dict[str, Column] = {
        "KL (nats)": "_kl",
        "Tax: text NLL": ("ptx_nll_less_sft", signed),
        "Tax: facts right": ("qa_acc_less_sft", signed),
        "Beside": "reference",
        "at KL": ("matched_kl", to(1.0)),
    }
    columns |= {title: (f"matched_{column}", signed) for column, title in _TAX.items()}
    return _table(language, "tax", caption, facts, columns)


def fits(language: Language) -> Table | None:
    """Gao's curves through gold and proxy."""
    facts: list[Fact] = []
    for task in language.study.tasks:
        for one in once(language.of_task(task, "best_of_n", "ppo", "gold")):
            for measure, called in frontier.MEASURES.items():
                if found := frontier.of(language, one, measure):
                    made = {"n": math.nan, "measure": called, "points": found.points, "a": found.a, "b": found.b}
                    made |= {"peak_d": found.peak, "peak": found.height, "r_squared": found.r_squared}
                    far = found.peak.value > found.reach  # beyond all that was measured: not told as a number
                    made |= {"_peak": Entry(f"> {number(found.reach)}") if far else entry(found.peak)}
                    made |= {"_height": None if far else entry(found.height)}
                    facts.append(about(language, one, one.arm) | made)
    caption = (
        "Gao et al. (2022): d (a - b d) for best of n and d (a - b log d) for PPO, d the square root of KL, fitted to "
        f"all points of all seeds, {INTERVALS} over seeds. The peak is where the curve is highest; beyond it, more "
        "optimisation does harm."
    )
    columns: dict[str, Column] = {"Measure": "measure", "a": ("a", entry), "b": ("b", entry)}
    columns |= {"Peak at d": "_peak", "Height there": "_height", "R²": ("r_squared", to(1.0))}
    return _table(language, "fits", caption, facts, columns, labels=2)


def labels_to_reach(language: Language) -> Table | None:
    """Rankings to reach shares of what PPO gains on gold itself; None where no arms differ in rankings alone."""
    rows: list[Sequence[object]] = []
    facts: list[Fact] = []
    several = len(language.study.tasks) > 1
    for task, name in language.study.task_names.items():
        for line, found in feedback_efficiency(language, task):
            note = f"without {', '.join(map(str, found.missing))} rankings" if found.missing else ""
            rows.append([*([name] if several else []), line.label, *reached(found, note)])
            k = line.results[0].settings["k"]
            told = {"task": name, "series": line.label}
            facts += measures(told, found, "rankings", pairs_a_ranking=k * (k - 1) // 2)
    caption = (
        "Rankings to reach shares of the gain in gold that PPO makes on gold itself (0 is SFT, 1 that run), "
        f"interpolated linearly in log(rankings) between the budgets that were run, {INTERVALS} over seeds."
    )
    header = [*(["Task"] if several else []), "Arm", *REACHED]
    return wide("labels-to-reach", caption, header, rows, facts, labels=1 + several) if rows else None


def reward_model(language: Language) -> Table | None:
    """Each reward model once, however many arms use it."""
    models = [one for task in language.study.tasks for one in language.reward_models(task)]
    facts = [about(language, one, one.arm) | measured(one, RM | _LABELS) for one in models]
    caption = (
        "The reward model (named by the first arm that learns from it): share of held-out pairs whose better side it "
        "predicts, by gold and by the two halves of a panel of persons, of whom the second never teaches and the first "
        "only where the labeler is that panel; expected calibration error of its probabilities; and how often the "
        f"labels agree with gold, {INTERVALS} over seeds."
    )
    columns = {"Rankings": "_rankings", "Pairs": "pairs", **_titled(RM | _LABELS)}
    return _table(language, "reward-model", caption, facts, columns)
