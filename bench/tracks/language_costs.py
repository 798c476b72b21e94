"""What a language run costs: the amounts of work in its spec times what each unit of work was seen to take here.

The units are measured at the size of the run's network, each by the function that does that work in a run. Stages that
several runs share are named by the settings they depend on, so an estimate can charge them once for a seed.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from bench.costs import Costs
from bench.recorder import encode, peak_memory
from prefrl_core.language.rows import COLUMNS
from prefrl_core.language.spec import LanguageSpec

Work = dict[str, float]  # unit of work -> how many
_BLOCK = 64  # rankings that are sampled together
_EVALUATIONS = 3  # answers a prompt in one evaluation: the policy's, and about as much again for KL and facts


def own(spec: LanguageSpec) -> Work:
    """The work that the run shares with nobody."""
    evaluation, points = spec.evaluation, 1
    work = {"answers": float(_EVALUATIONS * evaluation.prompts)}
    if spec.method == "ppo":
        points += spec.ppo.episodes // spec.ppo.batch // evaluation.every
        work["answers"] += _EVALUATIONS * evaluation.curve_prompts * points
        work["episodes"] = float(spec.ppo.episodes)
        work["rows of text"] = spec.ppo.episodes * spec.ppo.ptx_ratio if spec.ppo.gamma else 0.0
    return work


def shared(spec: LanguageSpec) -> dict[str, Work]:
    """The work of each stage that runs of the same seed may share, by a name that says what it depends on."""
    model, fields = spec.model, dataclasses.asdict
    text = f"text {fields(model)} {fields(spec.pretrain)}"
    made = {text: {"rows of text": float(spec.pretrain.steps * spec.pretrain.batch)}}
    sft = f"{text} sft {fields(spec.sft)}"  # what a run of the pretrained model is measured against, too
    rows = spec.sft.epochs * spec.sft.demos
    made[sft] = {"demonstrations": float(rows), "rows of text": rows * spec.sft.mix}
    if spec.learns_reward:
        for block in range(-(-spec.rankings // _BLOCK)):
            name = f"{sft} block {block} {spec.k} {spec.candidates}"
            made[name] = {"answers": float(_BLOCK * spec.candidates)}
        reward = spec.reward_model
        trained = reward.members * reward.epochs * spec.rankings * spec.k
        name = f"{sft} reward {spec.rankings} {spec.k} {spec.candidates} {spec.labeler} {fields(reward)}"
        made[name] = {"ranked answers": float(trained)}
        if (reward.width, reward.layers) != (model.width, model.layers):  # has a pretraining of its own
            made[f"{reward.width} {reward.layers} {sft}"] = {**made[text], "demonstrations": float(rows)}
    if spec.method == "best_of_n":
        answers = float(spec.best_of_n.samples * spec.evaluation.prompts)
        made[f"{sft} sample {answers}"] = {"answers": answers}
    return made


def seconds(work: Work, units: Mapping[str, float]) -> float:
    """How long it takes."""
    return sum(count * units[unit] for unit, count in work.items())


def measure(spec: LanguageSpec, budget: float) -> Costs:
    """Seconds of each unit, from about so many seconds of all of them."""
    import torch

    torch.set_num_threads(1)
    turns = _turns(spec)
    units = {unit: _time(turn, count, budget / len(turns)) for unit, (turn, count) in turns.items()}
    row = len(encode(dict.fromkeys(COLUMNS)))
    return Costs(0, 1, 0.0, 0.0, 0.0, 0.0, row, _checkpoint_bytes(spec), 0, peak_memory(), units)


def _checkpoint_bytes(spec: LanguageSpec) -> int:
    """Of policy and value network, each with Adam's two averages, and the weights that are evaluated."""
    from prefrl_core.language import tasks, training
    from prefrl_core.language.model import GPT

    network = GPT(training.size_of(tasks.make(spec.task), spec.model), 0)
    return 7 * 4 * sum(weight.numel() for weight in network.parameters())


def _time(turn: Callable[[], Any], count: int, budget: float) -> float:
    """Seconds of one of the ``count`` units that a turn does; the first turn warms up."""
    turn()
    until, began, done = time.monotonic() + budget, time.monotonic(), 0
    while not done or time.monotonic() < until:
        turn()
        done += 1
    return (time.monotonic() - began) / done / count


def _turns(spec: LanguageSpec) -> dict[str, tuple[Callable[[], Any], int]]:
    """For each unit something that does a little of it, and how much that is."""
    import numpy as np
    import torch

    from prefrl_core import seeding
    from prefrl_core.language import collect, losses, reward, stages, tasks, training
    from prefrl_core.language.model import GPT
    from prefrl_core.language.ppo import Ppo

    task = tasks.make(spec.task)
    size = training.size_of(task, spec.model)
    model, random = GPT(size, 0), seeding.generator(0, "probe")
    network = training.scalar_model(size, training.weights_of(model), 1)
    learn = training.Optimiser(model, 1e-4, "probe")
    rank = training.Optimiser(network, 1e-4, "probe")
    prompts, said = task.demonstrations(random, spec.sft.batch)
    asked = tasks.encode_prompts(task.vocabulary, prompts)
    some = task.prompts(random, "validation", 128)
    k, batch = spec.k, spec.reward_model.batch
    ranked = np.resize(said, (batch * k, said.shape[1])).reshape(batch, k, -1)
    rows = np.resize(asked, (batch, asked.shape[1]))
    answers = torch.from_numpy(random.integers(0, 2, (batch, k * (k - 1) // 2)).astype(np.float32))

    def text() -> None:
        ids = training.tensor(task.pretraining(random, spec.pretrain.batch, size.context))
        learn.step(stages.text_loss(model, ids))

    def rankings() -> None:
        rank.step(losses.kway_loss(reward.scores_of(network, rows, ranked), answers))

    settings = dataclasses.replace(spec.ppo, gamma=0.0, batch=32, minibatches=2, episodes=32 * 10**6)
    value = training.scalar_model(size, training.weights_of(model), 2)
    ppo = Ppo(task, settings, 0, model, GPT(size, 0), value, lambda prompts, ids, said: np.zeros(len(ids)))
    return {
        "rows of text": (text, spec.pretrain.batch),
        "demonstrations": (lambda: learn.step(stages.response_loss(model, asked, said)), spec.sft.batch),
        "answers": (lambda: collect.respond(task, model, some, random), 128),
        "ranked answers": (rankings, batch * k),
        "episodes": (ppo.iterate, settings.batch),
    }
