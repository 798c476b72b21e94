"""What the policies answer, prompt by prompt, for a person to read and judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.report.data import generator
from bench.report.language.data import Language, Result, Told

PROMPTS = 48  # on the page, as evenly over the families as they allow


@dataclass(frozen=True)
class Sheet:
    """Answers of the policies ``who`` to the prompts of one task, of one seed: a row an answer, those to one prompt
    together, in an order that tells nothing of who gave them. A score that was not measured is None; ``held_out``: the
    demonstrations leave the prompt's family out."""

    who: tuple[str, ...]
    rows: list[dict[str, Any]]


def sheets(language: Language) -> list[Sheet]:
    """One for each task that has something to show."""
    found = [_sheet(language, task) for task in language.study.tasks]
    return [sheet for sheet in found if sheet is not None]


def chosen(language: Language, task: str) -> list[Result]:
    """Base, SFT, PPO and PPO-ptx, those with the most rankings where several are; whatever of them is finished."""
    kinds: dict[str, Result] = {}
    for one in language.of_task(task, "base", "sft", "ppo", "gold"):
        kind = f"ptx {one.settings['ppo']['gamma'] > 0}" if one.method == "ppo" else one.method
        base = language.baseline(task)
        if kind not in kinds or (one.spec.labels > kinds[kind].spec.labels and kinds[kind] is not base) or one is base:
            kinds[kind] = one
    order = ("base", "sft", "ptx False", "ptx True", "gold")
    return [kinds[kind] for kind in order if kind in kinds]


def _sheet(language: Language, task: str) -> Sheet | None:
    results = chosen(language, task)
    seeds = [{told.run.seed for told in one.runs if told.texts} for one in results]
    shared = set.intersection(*seeds) if seeds else set()
    if not shared:
        results = [one for one, found in zip(results, seeds, strict=True) if found][:1]
        shared = next((found for found in seeds if found), set())
    if not results:
        return None
    told = {one.name: next(run for run in one.runs if run.run.seed == min(shared)) for one in results}
    first = next(iter(told.values()))
    who: dict[str, Told | None] = {} if any(one.method == "sft" for one in results) else {"SFT": None}
    rows: list[dict[str, Any]] = []
    for number in _spread(first):
        about = {"task": language.study.task_names[task], "seed": min(shared), "prompt_number": number}
        about |= {"family": first.texts["family"][number]}
        about |= {"held_out": bool(first.samples.get("held_out", np.zeros(number + 1))[number])}
        about |= {"prompt": first.texts["prompt"][number]}
        answers = [_answer(name, one, first, number) for name, one in (who | told).items()]
        rows += [about | answers[i] for i in generator("samples", task, number).permutation(len(answers))]
    return Sheet(tuple(who | told), rows)


def _spread(told: Told) -> list[int]:
    """Indices of prompts, family by family, as many of each as there is room for."""
    families: dict[str, list[int]] = {}
    for index, family in enumerate(told.texts["family"]):
        families.setdefault(family, []).append(index)
    each = max(1, PROMPTS // max(len(families), 1))
    return [index for family in sorted(families) for index in families[family][:each]]


def _answer(name: str, told: Told | None, first: Told, number: int) -> Mapping[str, Any]:
    """What a policy answers; without its run what SFT does, with which every run compares."""
    of, text, gold = (told, "response", "gold") if told else (first, "sft_response", "gold_sft")
    scores = {"gold": _value(of, gold, number), "proxy": _value(of, "proxy", number) if told else None}
    return {"who": name, "answer": of.texts[text][number], **scores}


def _value(told: Told, name: str, number: int) -> float | None:
    value = float(told.sample(name)[number]) if name in told.samples else float("nan")
    return value if np.isfinite(value) else None
