"""The last stage of each method, and what is measured at a run's end: rows, and a response to each test prompt."""

from __future__ import annotations

from typing import Any

import numpy as np

from prefrl_core import seeding
from prefrl_core.language import best_of_n, rows
from prefrl_core.language.cache import State, digest
from prefrl_core.language.collect import respond, standardised
from prefrl_core.language.evaluate import Answers, Evaluator, mean, wins
from prefrl_core.language.model import GPT
from prefrl_core.language.ppo import Ppo, Score
from prefrl_core.language.reward import RewardModel
from prefrl_core.language.run import Run
from prefrl_core.language.tasks import Floats, Ints
from prefrl_core.language.training import language_model, scalar_model, weights_of

Samples = dict[str, Any]


def finish(run: Run, state: dict[str, Any] | None) -> None:
    """Do the method's own stage and measure its result; ``state`` is the checkpoint to go on from."""
    method, reward = run.spec.method, None
    if run.spec.learns_reward:
        reward = run.reward_model()
    if method == "best_of_n":
        _best_of_n(run, reward)
    else:
        _one_policy(run, reward, state)


def _one_policy(run: Run, reward: RewardModel | None, state: dict[str, Any] | None) -> None:
    """Train the policy where the method does, and measure one response of it to each test prompt."""
    method = run.spec.method
    policy = language_model(run.size, run.pretrained() if method == "base" else run.fine_tuned())
    episodes = 0
    if method == "ppo":
        policy, episodes = _ppo(run, policy, reward, state), run.spec.ppo.episodes
    evaluator = Evaluator(run.task, run.spec.seed, "test", run.spec.evaluation.prompts, run.reference(), reward)
    measured, answers, kl = evaluator.measure(policy)
    assert evaluator.base is not None
    voted, by_gold = wins(answers, evaluator.base, run.spec.evaluation, run.spec.seed)
    end = {"episodes": episodes, "win_rate": voted.mean(), "win_rate_gold": by_gold.mean()}
    run.emit(rows.row("final", stage_step=0, **measured, **end), run.step)
    run.recorder.samples(
        {
            **_prompt_arrays(run, answers, evaluator.base),
            "gold": answers.gold,
            "proxy": answers.proxy,
            "length": answers.lengths,
            "kl": kl,
            "win_judge": voted,
            "win_gold": by_gold,
        },
        _texts(run, answers.prompts, answers.responses, evaluator.base.responses),
    )


def _ppo(run: Run, policy: GPT, reward: RewardModel | None, state: dict[str, Any] | None) -> GPT:
    """The policy after PPO, with the weights that are evaluated."""
    spec, settings = run.spec, run.spec.ppo
    if reward is not None and settings.value_init == "reward_model":
        value = scalar_model(run.reward_size(), weights_of(reward.members[0]))
        value.head.bias.data -= float(reward.mean[0])  # the normalised score's value, not the raw one's
        value.head.weight.data /= float(reward.deviation[0])
        value.head.bias.data /= float(reward.deviation[0])
    else:
        value = scalar_model(run.size, run.fine_tuned())
        value.head.weight.data.zero_()
    ppo = Ppo(run.task, settings, spec.seed, policy, run.reference(), value, _score(run, reward))
    evaluator = Evaluator(run.task, spec.seed, "validation", spec.evaluation.curve_prompts, run.reference(), reward)
    if state is not None:
        ppo.set_state(state)
    else:
        run.emit(rows.row("ppo", stage_step=0, episodes=0, **evaluator.measure(policy)[0]), run.step)
    measured: list[dict[str, float]] = []
    while not ppo.finished:
        measured.append(ppo.iterate())
        if ppo.iteration % spec.evaluation.every == 0 or ppo.finished:
            now = evaluator.measure(language_model(run.size, ppo.evaluated))[0]
            train = {name: mean([row[name] for row in measured]) for name in measured[0]}
            at = {"stage_step": ppo.iteration, "episodes": ppo.iteration * settings.batch}
            run.emit(rows.row("ppo", **at, **now, **train), run.step)
            measured = []
            run.recorder.save(ppo.get_state())
    run.step += ppo.iteration
    return language_model(run.size, ppo.evaluated)


def _score(run: Run, reward: RewardModel | None) -> Score:
    """What PPO is rewarded with: the reward model's score, or gold itself."""

    def gold(prompts: Any, ids: Ints, responses: Ints) -> Floats:
        return standardised(run.task, run.task.gold(prompts, responses).parts)[0]

    def learned(prompts: Any, ids: Ints, responses: Ints) -> Floats:
        assert reward is not None
        return reward.score(ids, responses)

    return gold if reward is None else learned


def _best_of_n(run: Run, reward: RewardModel | None) -> None:
    """Exact expectations over one sample of SFT's responses, for each n."""
    spec, settings = run.spec, run.spec.best_of_n
    evaluator = Evaluator(run.task, spec.seed, "test", spec.evaluation.prompts, run.reference(), reward)
    base = evaluator.answers(run.reference())
    repeated = [prompt for prompt in evaluator.prompts for _ in range(settings.samples)]
    drawn = evaluator.judge(_drawn(run, repeated), repeated)
    shape = (len(evaluator.prompts), settings.samples)
    proxy = (drawn.gold if reward is None else drawn.proxy).reshape(shape)
    voted, by_gold = wins(drawn, _repeat(base, settings.samples), spec.evaluation, spec.seed)
    columns = {"gold": drawn.gold, "proxy": drawn.proxy, "length": drawn.lengths}
    columns |= {"win_judge": voted, "win_gold": by_gold}
    found: dict[str, list[Floats]] = {name: [] for name in columns}
    for n in settings.n:
        chance = best_of_n.weights(proxy, n)
        for name, values in columns.items():
            found[name].append((values.reshape(shape) * chance).sum(1))
        run.emit(_best_row(run, n, {name: value[-1] for name, value in found.items()}, drawn, chance, base), run.step)
    arrays = {name: np.stack(values, 1) for name, values in found.items()}
    arrays["kl"] = np.broadcast_to([best_of_n.kl(n) for n in settings.n], arrays["gold"].shape).copy()
    best = proxy.argmax(1)
    chosen = drawn.responses.reshape(*shape, -1)[np.arange(len(best)), best]
    run.recorder.samples(
        {**_prompt_arrays(run, base, base), **arrays}, _texts(run, evaluator.prompts, chosen, base.responses)
    )


def _best_row(run: Run, n: int, each: dict[str, Floats], drawn: Answers, chance: Floats, base: Answers) -> rows.Row:
    """The row of one n."""
    weight = chance.ravel() / len(chance)
    families = np.array([prompt.family for prompt in base.prompts])
    parts = {f"gold.{name}": drawn.parts[:, index] @ weight for index, name in enumerate(run.task.parts)}
    return rows.row(
        "final",
        stage_step=0,
        n=n,
        gold_mean=each["gold"].mean(),
        gold_gain=(each["gold"] - base.gold).mean(),
        gold_held_out_families=mean(each["gold"][np.isin(families, run.task.info.held_out)]),
        **parts,
        proxy_mean=each["proxy"].mean(),
        kl_exact=best_of_n.kl(n),
        length=each["length"].mean(),
        eos_rate=drawn.scores.ended @ weight,
        taboo_rate=drawn.scores.taboo @ weight,
        win_rate=each["win_judge"].mean(),
        win_rate_gold=each["win_gold"].mean(),
    )


def _drawn(run: Run, prompts: list[Any]) -> Ints:
    """The sample, shared by all arms of a seed."""
    spec = run.spec

    def make() -> State:
        random = seeding.generator(spec.seed, "best of n")
        return {"responses": respond(run.task, run.reference(), prompts, random).astype(np.int32)}

    of = [spec.evaluation.prompts, spec.best_of_n.samples, spec.seed]
    name = digest("sample", {"policy": run._fine_tuned(spec.model)[0], "of": of})
    return np.asarray(run.cache.get(name, make)["responses"], np.int64)


def _repeat(answers: Answers, times: int) -> Answers:
    """Each row ``times`` times."""
    return Answers(
        [prompt for prompt in answers.prompts for _ in range(times)],
        np.repeat(answers.responses, times, 0),
        np.repeat(answers.parts, times, 0),
        np.repeat(answers.gold, times, 0),
        np.repeat(answers.scaled, times, 0),
        answers.scores,
        np.repeat(answers.proxy, times),
    )


def _prompt_arrays(run: Run, answers: Answers, base: Answers) -> Samples:
    info = run.task.info
    families = [prompt.family for prompt in answers.prompts]
    return {
        "family": np.array([info.families.index(family) for family in families], np.int64),
        "held_out": np.isin(families, info.held_out),
        "gold_sft": base.gold,
    }


def _texts(run: Run, prompts: list[Any], responses: Ints, base: Ints) -> dict[str, list[str]]:
    decode = run.task.vocabulary.decode
    return {
        "prompt": [" ".join(prompt.words) for prompt in prompts],
        "response": [" ".join(decode(row)) for row in responses.tolist()],
        "sft_response": [" ".join(decode(row)) for row in base.tolist()],
        "family": [prompt.family for prompt in prompts],
    }
