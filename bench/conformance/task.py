"""The laws of a task: docs/architecture.md's promises of an environment, seen over whole episodes."""

from __future__ import annotations

from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from bench.conformance.laws import NotApplicable, apart_from_global_state, as_bytes, hold, same_each_time
from bench.conformance.short_run import through_a_file
from bench.conformance.subject import Subject
from prefrl_core import tasks
from prefrl_core.frames import SIZE, STACK

_ENVS = 3
_MOST_STEPS = 4_000  # of one episode and a half; longer episodes are not seen to their end
_MOST_PIXEL_STEPS = 300  # the same over pixels, of which a step is hundreds of times as large
_STYLES = ("random", "none", "extreme")


class _Stepped:
    """An environment and the actions it is given: drawn, all zero (or the first choice), or at the
    bounds, 25 steps at a time."""

    def __init__(self, subject: Subject, seed: int = 7, style: str = "random", envs: int = _ENVS) -> None:
        self.env: Any = tasks.make(subject.name, envs, seed)
        self.first, self.infos = self.env.reset(seed=seed)
        self.random, self.style, self.taken = np.random.default_rng(11), style, 0

    def actions(self, alike: bool = False) -> NDArray[Any]:
        space, count = self.env.single_action_space, self.env.num_envs
        self.taken += 1
        rows = 1 if alike else count
        if isinstance(space, gym.spaces.Discrete):
            top = {"random": int(space.n), "none": 1, "extreme": int(space.n)}[self.style]
            drawn: NDArray[Any] = self.random.integers(0, top, rows)
        else:
            low, high = np.maximum(space.low, -1e3), np.minimum(space.high, 1e3)
            drawn = self.random.uniform(low, high, (rows, *space.shape))
            if self.style == "none":
                drawn = np.clip(np.zeros_like(drawn), low, high)
            elif self.style == "extreme":
                drawn = np.where((np.arange(rows)[:, None] + self.taken // 25) % 2, low, high)
            drawn = drawn.astype(space.dtype)
        return np.repeat(drawn, count // rows, axis=0)

    def step(self, alike: bool = False) -> tuple[Any, ...]:
        answer: tuple[Any, ...] = self.env.step(self.actions(alike))
        return answer

    def walk(self, steps: int, alike: bool = False) -> list[tuple[Any, ...]]:
        return [self.step(alike) for _ in range(steps)]


def _most(subject: Subject) -> int:
    return _MOST_PIXEL_STEPS if tasks.describe(subject.name).pixels else _MOST_STEPS


def _steps(subject: Subject) -> int:
    """An episode and a half, of those that can be waited for."""
    return min(tasks.describe(subject.name).episode_steps * 3 // 2 + 2, _most(subject))


@cache
def _walks(subject: Subject) -> dict[str, tuple[_Stepped, list[tuple[Any, ...]]]]:
    """An episode and a half in each style."""
    made = {style: _Stepped(subject, style=style) for style in _STYLES}
    return {style: (one, one.walk(_steps(subject))) for style, one in made.items()}


def description(subject: Subject) -> str:
    """``info`` has an id with a version, and segments that fit into an episode."""
    info = tasks.describe(subject.name)
    hold("@" in info.id, f"id {info.id!r} has no version: end it in @1")
    hold(
        1 <= info.segment_steps <= info.episode_steps, f"segments of {info.segment_steps} in {info.episode_steps} steps"
    )
    return f"{info.id}, episodes of {'' if info.fixed_length else 'up to '}{info.episode_steps} steps"


def spaces(subject: Subject) -> str:
    """Observations are flat, or stacked frames of a task over pixels. Actions are flat or discrete. All arrays have the
    shapes that the spaces promise."""
    one, walked = _walks(subject)["random"]
    seen, action = one.env.single_observation_space, one.env.single_action_space
    pixels, stack = tasks.describe(subject.name).pixels, (STACK, SIZE, SIZE)
    if pixels:
        hold(seen.shape == stack and seen.dtype == np.uint8, f"observations {seen}: uint8 of {stack} is needed")
    else:
        hold(isinstance(seen, gym.spaces.Box) and len(seen.shape) == 1, f"observations {seen}: a flat Box is needed")
    discrete = isinstance(action, gym.spaces.Discrete) and action.start == 0
    flat = isinstance(action, gym.spaces.Box) and len(action.shape) == 1
    hold(discrete or flat, f"actions {action}: a flat Box or a Discrete from 0 is needed")
    hold(one.env.num_envs == _ENVS, f"{_ENVS} environments wanted, {one.env.num_envs} made")
    shapes = (
        ("observations", (_ENVS, *seen.shape)),
        *((what, (_ENVS,)) for what in ("rewards", "terminated", "truncated")),
    )
    for answer in [(one.first, *walked[0][1:]), *walked]:
        for (what, shape), array in zip(shapes, answer, strict=False):
            hold(np.shape(array) == shape, f"{what} of shape {np.shape(array)}, not {shape}")
        hold(answer[2].dtype == answer[3].dtype == np.bool_, "terminated and truncated have to be of dtype bool")
        inside = (answer[0] >= seen.low) & (answer[0] <= seen.high)
        hold(bool(inside.all()), f"an observation of {answer[0][~inside][:1]}, outside its space")
    what_is_seen = f"{STACK} frames of {SIZE} x {SIZE}" if pixels else f"{seen.shape[0]} numbers"
    return f"{what_is_seen} seen, {f'{action.n} choices' if discrete else f'{action.shape[0]} numbers given'}"


def finite(subject: Subject) -> str:
    """Observations and rewards are finite, also at the bounds of the actions."""
    for style, (_, walked) in _walks(subject).items():
        for step, (seen, rewards, *_rest) in enumerate(walked):
            hold(bool(np.isfinite(seen).all() and np.isfinite(rewards).all()), f"not at step {step}, {style} actions")
    return f"{_ENVS * len(_STYLES) * _steps(subject)} steps of drawn, zero and extreme actions"


def same_seed_same_episode(subject: Subject) -> str:
    """Made and reset with the same seed, it gives the same episode to the bit, also when it is reset again."""
    said = same_each_time(lambda: [(made := _Stepped(subject)).first, *made.walk(_steps(subject))])
    made = _Stepped(subject)
    made.walk(5)
    again, _ = made.env.reset(seed=7)
    hold(as_bytes(again) == as_bytes(made.first), "reset(seed=7) in the middle of an episode began another one")
    return said


def another_seed_another_episode(subject: Subject) -> str:
    """Another seed gives other episodes, and so does another environment of the batch."""
    one, other = _Stepped(subject), _Stepped(subject, seed=1007)
    walks = {seed: [made.first, *made.walk(20, alike=True)] for seed, made in ((7, one), (1007, other))}
    hold(as_bytes(walks[7]) != as_bytes(walks[1007]), "seeds 7 and 1007 gave the same 20 steps")
    seen = np.stack([walks[7][0], *(step[0] for step in walks[7][1:])])
    for i, j in ((0, 1), (1, 2), (0, 2)):
        same = np.array_equal(seen[:, i], seen[:, j])
        hold(not same, f"environments {i} and {j} were the same for 20 steps of the same actions")
    return f"two seeds and {_ENVS} environments differ"


def own_generator(subject: Subject) -> str:
    """Randomness comes only from the seed."""
    return apart_from_global_state(lambda: [(made := _Stepped(subject)).first, *made.walk(_steps(subject))])


def autoreset(subject: Subject) -> str:
    """The step that ends an episode returns the next one's first observation, and the last one in ``final_obs``."""
    ended = 0
    for _, walked in _walks(subject).values():
        for step, (seen, _, terminated, truncated, infos) in enumerate(walked):
            done = terminated | truncated
            if not done.any():
                hold(
                    "final_obs" not in infos or not np.any(infos["_final_obs"]),
                    f"final_obs without an end, step {step}",
                )
                continue
            hold("final_obs" in infos and "_final_obs" in infos, f"an episode ended at step {step} without final_obs")
            final = np.asarray(infos["final_obs"])
            hold(final.shape == seen.shape and final.dtype != object, f"final_obs of shape {final.shape}")
            hold(np.array_equal(infos["_final_obs"], done), f"_final_obs differs from the ends at step {step}")
            kept = [i for i in np.flatnonzero(done) if np.array_equal(final[i], seen[i])]
            hold(not kept, f"the observation after the end at step {step} is the last one, not the first of an episode")
            ended += int(done.sum())
    if not ended:
        raise NotApplicable(f"no episode ended in {_steps(subject)} steps")
    return f"{ended} ends of episodes"


def fixed_length(subject: Subject) -> str:
    """``fixed_length`` is true to the episodes, and no episode is longer than ``episode_steps``."""
    info = tasks.describe(subject.name)
    if info.episode_steps > _most(subject):
        raise NotApplicable(f"episodes of {info.episode_steps} steps are not waited for")
    for style, (one, walked) in _walks(subject).items():
        elapsed = np.zeros(one.env.num_envs, np.int64)
        for step, (_, _, terminated, truncated, _) in enumerate(walked):
            elapsed += 1
            done, limit = terminated | truncated, elapsed == info.episode_steps
            hold(bool(done[limit].all()), f"an episode goes on after {info.episode_steps} steps, {style} actions")
            early = info.fixed_length and bool((done & ~limit).any() or terminated.any())
            hold(not early, f"an episode ended early, at step {step}, {style} actions")
            elapsed[done] = 0
    return f"{info.episode_steps} steps{'' if info.fixed_length else ' at most'}"


def stagger(subject: Subject) -> str:
    """After ``stagger`` the environments end their first episodes early and at different times, and later episodes at
    the whole length. ``stagger`` returns the observations that follow it."""
    info, made = tasks.describe(subject.name), _Stepped(subject)
    if not hasattr(made.env, "stagger") or not info.fixed_length:
        raise NotApplicable("it has no stagger" if info.fixed_length else "episodes differ in length")
    made.walk(min(info.episode_steps // 2 + 1, _most(subject)))
    shape = np.shape(made.env.stagger())
    hold(shape == made.first.shape, f"stagger returned observations of shape {shape}, reset of {made.first.shape}")
    done = np.array([truncated | terminated for _, _, terminated, truncated, _ in made.walk(_steps(subject))])
    first = done.argmax(0)
    hold(len(set(first.tolist())) == made.env.num_envs, f"first episodes ended after {(first + 1).tolist()} steps")
    for env in range(made.env.num_envs):
        gaps = np.diff(np.flatnonzero(done[:, env]))
        hold(bool((gaps == info.episode_steps).all()), f"later episodes of {gaps.tolist()} steps")
    return f"first ends after {(first + 1).tolist()} steps"


def shorten(subject: Subject) -> str:
    """After ``shorten`` episodes are truncated after so many steps in the environments it names, and only there."""
    info, made = tasks.describe(subject.name), _Stepped(subject)
    if not hasattr(made.env, "shorten"):
        raise NotApplicable("it has no shorten")
    steps, which = max(1, min(info.episode_steps, _most(subject)) // 3), np.arange(_ENVS) != 1
    made.env.shorten(steps, which)
    made.env.reset(seed=7)
    elapsed = np.zeros(_ENVS, np.int64)
    for _, _, terminated, truncated, _ in made.walk(_steps(subject)):
        elapsed += 1
        done, due = terminated | truncated, elapsed == np.where(which, steps, info.episode_steps)
        kept = bool(done[due].all()) and not (truncated & ~due).any()
        hold(kept, f"truncated {truncated.tolist()} after {elapsed.tolist()} steps")
        elapsed[done] = 0
    return f"{steps} of {info.episode_steps} steps"


def arrays_are_the_callers(subject: Subject) -> str:
    """Arrays that a step returned do not change later, and are no views that keep a larger array alive."""
    made = _Stepped(subject)
    kept, before = [], []
    for answer in [(made.first, {}), *made.walk(min(200, _steps(subject))), *_last_steps(made, subject)]:
        arrays = [array for array in (*answer[:-1], *answer[-1].values()) if isinstance(array, np.ndarray)]
        kept.append(arrays)
        before.append(as_bytes(arrays))
    made.env.reset()
    for step, (arrays, old) in enumerate(zip(kept, before, strict=True)):
        hold(as_bytes(arrays) == old, f"an array returned {len(kept) - step} steps ago was written to: return copies")
    held = {id(base): base.nbytes for arrays in kept for base in map(_base, arrays)}
    used = sum(array.nbytes for arrays in kept for array in arrays)
    hold(sum(held.values()) <= 8 * used, f"{used:,} bytes of arrays hold {sum(held.values()):,} bytes alive: copy them")
    return f"{len(kept)} steps held, unchanged, {sum(held.values()) / used:.1f} times their own size"


def _last_steps(made: _Stepped, subject: Subject) -> list[tuple[Any, ...]]:
    """The steps around the end of an episode, those before it not kept."""
    for _ in range(max(0, min(tasks.describe(subject.name).episode_steps, _most(subject)) - 210)):
        made.step()
    return made.walk(20)


def _base(array: NDArray[Any]) -> NDArray[Any]:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def actions_unchanged(subject: Subject) -> str:
    """A step does not change the actions that it is given, and does not look at them later."""
    one, other = _Stepped(subject), _Stepped(subject)
    for step in range(20):
        given = one.actions()
        before = given.copy()
        answers = one.env.step(given), other.env.step(before.copy())
        hold(np.array_equal(given, before), f"it wrote to the actions of step {step}")
        hold(as_bytes(answers[0]) == as_bytes(answers[1]), f"actions changed after step {step - 1} had an effect")
        given[:] = given[::-1]
        other.actions()
    return "20 steps"


def state(subject: Subject) -> str:
    """Its state is restored from a checkpoint into an environment made with another seed. Both then continue alike, to
    the bit, also over the ends of episodes."""
    one, other = _Stepped(subject), _Stepped(subject, seed=8)
    if not hasattr(one.env, "get_state"):
        raise NotApplicable("it has no get_state: a run that is cut off starts over")
    one.walk(min(17, _steps(subject) - 1))
    other.walk(3)
    saved = through_a_file({"task": one.env.get_state()})["task"]
    ahead = as_bytes(one.walk(_steps(subject)))
    other.env.set_state(saved)
    other.random = np.random.default_rng(11)
    for _ in range(min(17, _steps(subject) - 1)):
        other.actions()
    hold(as_bytes(other.walk(_steps(subject))) == ahead, "it went on otherwise after set_state")
    return f"equal to the bit over {_steps(subject)} steps"


LAWS = (
    description,
    spaces,
    finite,
    same_seed_same_episode,
    another_seed_another_episode,
    own_generator,
    autoreset,
    fixed_length,
    stagger,
    shorten,
    arrays_are_the_callers,
    actions_unchanged,
    state,
)
