"""What the policies answer, prompt by prompt, for a person to read and judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.report.data import generator
from bench.report.language.data import Language, Result, Told

PROMPTS = 48  # on the page, as evenly over the families as they allow


@dataclass(frozen=True)
class Answer:
    """One policy's answer to a prompt; ``gold`` None where it was not measured."""

    who: str
    text: str
    gold: float | None
    proxy: float | None


@dataclass(frozen=True)
class Prompt:
    """A prompt and its answers, in an order that tells nothing of who gave them."""

    number: int
    family: str
    held_out: bool  # the demonstrations leave this family out
    text: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Sheet:
    """The prompts of one task, answered by the policies of one seed."""

    task: str
    seed: int
    who: tuple[str, ...]
    prompts: tuple[Prompt, ...]


def sheets(language: Language) -> list[Sheet]:
    """One for each task that has something to show."""
    found = [_sheet(language, task) for task in language.study.tasks]
    return [sheet for sheet in found if sheet is not None]


def records(sheets: Sequence[Sheet]) -> list[dict[str, object]]:
    """One fact for each answer."""
    return [
        {
            "task": sheet.task,
            "seed": sheet.seed,
            "prompt_number": prompt.number,
            "family": prompt.family,
            "held_out": prompt.held_out,
            "prompt": prompt.text,
            "who": one.who,
            "answer": one.text,
            "gold": one.gold,
            "proxy": one.proxy,
        }
        for sheet in sheets
        for prompt in sheet.prompts
        for one in prompt.answers
    ]


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
    seed = min(shared)
    told = {one.name: next(run for run in one.runs if run.run.seed == seed) for one in results}
    who: dict[str, Told | None] = {} if any(one.method == "sft" for one in results) else {"SFT": None}
    who |= told
    first = next(iter(told.values()))
    prompts = [_prompt(number, who, first, task) for number in _spread(first)]
    return Sheet(language.study.task_names[task], seed, tuple(who), tuple(prompts))


def _spread(told: Told) -> list[int]:
    """Indices of prompts, family by family, as many of each as there is room for."""
    families: dict[str, list[int]] = {}
    for index, family in enumerate(told.texts["family"]):
        families.setdefault(family, []).append(index)
    each = max(1, PROMPTS // max(len(families), 1))
    return [index for family in sorted(families) for index in families[family][:each]]


def _prompt(number: int, who: dict[str, Told | None], first: Told, task: str) -> Prompt:
    answers = [_answer(name, told or first, number, sft=told is None) for name, told in who.items()]
    order = generator("samples", task, number).permutation(len(answers))
    held_out = bool(first.samples["held_out"][number]) if "held_out" in first.samples else False
    text, family = first.texts["prompt"][number], first.texts["family"][number]
    return Prompt(number, family, held_out, text, tuple(answers[i] for i in order))


def _answer(name: str, told: Told, number: int, sft: bool) -> Answer:
    if sft:
        return Answer(name, told.texts["sft_response"][number], _value(told, "gold_sft", number), None)
    return Answer(name, told.texts["response"][number], _value(told, "gold", number), _value(told, "proxy", number))


def _value(told: Told, name: str, number: int) -> float | None:
    if name not in told.samples:
        return None
    value = float(told.sample(name)[number])
    return value if np.isfinite(value) else None
