"""What several tests use: networks in PyTorch, a state as bytes, and vector environments of a few lines."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from prefrl_core.checkpoint import Log
from prefrl_core.features import Vectors
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.segments import Segments
from prefrl_core.networks import MLP
from prefrl_core.policy.a2c import A2CSettings
from prefrl_core.policy.distributions import Categorical
from prefrl_core.policy.ppo import PPO, PPOSettings
from prefrl_core.policy.trpo import TRPOSettings
from prefrl_core.rollout import Rollout, Turn, collect

torch.set_num_threads(1)
SPACES = {"continuous": 0, "discrete": 4}  # choices of Identity

WIDTH, STEPS = 4, 6  # of the segments compared
WANTED = np.array([1.0, -2, 0.5, 0])  # their true reward is linear in the features


class Twin:
    """A network of ours in PyTorch, in double precision; its leaves lie in the order of ``Parameters``."""

    def __init__(self, made: MLP) -> None:
        parts = [part for pair in zip(made.weights, made.biases, strict=True) for part in pair]
        self.leaves = [torch.tensor(part, dtype=torch.float64, requires_grad=True) for part in parts]
        self.activation = torch.tanh if made.activation == "tanh" else torch.nn.LeakyReLU(0.01)

    def __call__(self, inputs: np.ndarray) -> torch.Tensor:
        hidden = torch.tensor(inputs, dtype=torch.float64)
        for weight, bias in zip(self.leaves[0:-2:2], self.leaves[1:-2:2], strict=True):
            hidden = self.activation(hidden @ weight + bias)
        return hidden @ self.leaves[-2] + self.leaves[-1]


def gradient(leaves: list[torch.Tensor]) -> np.ndarray:
    """The leaves' gradients as one vector."""
    return np.concatenate([np.zeros(leaf.numel()) if leaf.grad is None else leaf.grad.reshape(-1) for leaf in leaves])


def frozen(state: Any) -> bytes:
    """A nested state as bytes: equal where, and only where, it is equal to the bit."""
    if isinstance(state, dict):
        return b"{" + b",".join(key.encode() + b":" + frozen(state[key]) for key in sorted(state)) + b"}"
    if isinstance(state, np.ndarray):
        return f"{state.dtype}{state.shape}".encode() + state.tobytes()
    if isinstance(state, Log):
        return f"{state.first}{state.total}".encode() + state.rows(state.first, state.total).tobytes()
    return repr(state).encode()


class Tiny(gym.vector.VectorEnv):
    """What the environments below have in common."""

    def __init__(self, envs: int, width: int, actions: gym.Space[Any]) -> None:
        self.num_envs, self.single_action_space = envs, actions
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (width,))


class Scripted(Tiny):
    """Ends episodes and pays as told, by arrays ``(steps, envs)``. An observation is (environment, episode, step);
    the one of environment ``spoil[1]`` at time ``spoil[0]`` is not finite."""

    def __init__(self, terminated: Any, truncated: Any, rewards: Any, spoil: tuple[int, int] | None = None) -> None:
        self.terminated, self.truncated = np.array(terminated, bool), np.array(truncated, bool)
        self.rewards, self.spoil, self.time = np.array(rewards, float), spoil, 0
        super().__init__(self.rewards.shape[1], 3, gym.spaces.Box(-1, 1, (2,), np.float32))
        self.episode, self.step_in_episode = np.zeros((2, self.num_envs))

    def observe(self) -> np.ndarray:
        seen = np.stack([np.arange(self.num_envs), self.episode, self.step_in_episode], axis=1)
        if self.spoil and self.spoil[0] == self.time:
            seen[self.spoil[1], 2] = np.nan
        return seen

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        assert np.abs(actions).max() <= 1
        terminated, truncated, rewards = (x[self.time] for x in (self.terminated, self.truncated, self.rewards))
        self.time += 1
        self.step_in_episode += 1
        final, done = self.observe(), terminated | truncated
        self.episode[done] += 1
        self.step_in_episode[done] = 0
        fresh = np.stack([np.arange(self.num_envs), self.episode, self.step_in_episode], axis=1)
        infos = {"final_obs": final, "_final_obs": done} if done.any() else {}
        return np.where(done[:, None], fresh, final), rewards, terminated, truncated, infos


class Identity(Tiny):
    """Pays for repeating what is shown: one of ``choices`` unit vectors, or a number in [-1, 1] when there are none.
    Episodes of eight steps, cut off by a time limit. What an action does not change is drawn anew."""

    def __init__(self, envs: int, choices: int, seed: int) -> None:
        actions = gym.spaces.Discrete(choices) if choices else gym.spaces.Box(-1, 1, (1,), np.float32)
        super().__init__(envs, choices or 1, actions)
        self.choices, self.random, self.time = choices, np.random.default_rng(seed), 0
        self.shown = self.draw()

    def draw(self) -> np.ndarray:
        if self.choices:
            return np.eye(self.choices)[self.random.integers(self.choices, size=self.num_envs)]
        return self.random.uniform(-1, 1, (self.num_envs, 1))

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        if self.choices:
            rewards = (self.shown.argmax(1) == actions).astype(float)
        else:
            rewards = -np.abs(self.shown - actions)[:, 0]
        self.time += 1
        done, final = np.full(self.num_envs, self.time % 8 == 0), self.draw()
        self.shown = self.draw() if done.any() else final
        infos = {"final_obs": final, "_final_obs": done} if done.any() else {}
        return self.shown, rewards, np.zeros_like(done), done, infos


class Stub:
    """A policy that always draws the same too large action and remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def act(self, observations: np.ndarray) -> np.ndarray:
        self.seen.append(observations.copy())
        return np.full((len(observations), 2), 3, np.float32)

    def executed(self, actions: np.ndarray) -> np.ndarray:
        return actions.clip(-1, 1)


def scripted(steps: int = 6, envs: int = 3, **extra: Any) -> tuple[Scripted, Rollout, np.ndarray, Stub]:
    terminated, truncated = np.zeros((2, steps, envs), bool)
    truncated[1, 0] = truncated[5, 2] = terminated[3, 1] = terminated[1, 2] = True
    rewards = extra.pop("rewards", np.arange(steps * envs, dtype=float).reshape(steps, envs))
    env, policy = Scripted(terminated, truncated, rewards, **extra), Stub()
    rollout, truth = collect(env, policy, env.observe(), steps)  # type: ignore[arg-type]
    paid = truth.rewards
    return env, rollout, paid, policy


def slow_advantages(
    rewards: Any, values: Any, following: Any, terminated: Any, done: Any, discount: float, trace: float
) -> np.ndarray:
    """Equation 16 as it stands: for each step the discounted sum of errors up to its episode's end."""
    result = np.zeros(rewards.shape)
    for step, env in np.ndindex(rewards.shape):
        weight = 1.0
        for t in range(step, len(rewards)):
            after = 0.0 if terminated[t, env] else following[t, env]
            result[step, env] += weight * (rewards[t, env] + discount * after - values[t, env])
            weight *= discount * trace
            if done[t, env]:
                break
    return result


def torch_step(policy: PPO, observations: Any, actions: Any, advantages: Any, returns: Any, old: Any) -> Any:
    """What one minibatch of PPO should give by autograd: the loss's gradient, KL, clipped share and value loss."""
    settings, actor, critic = policy.settings, Twin(policy.actor), Twin(policy.critic)
    outputs = actor(observations)
    taken, old, advantages, returns = map(torch.tensor, (actions, old, advantages, returns))
    if isinstance(policy.distribution, Categorical):
        twin, log_std = torch.distributions.Categorical(logits=outputs), []
        log_prob, entropy = twin.log_prob(taken), twin.entropy().mean()
    else:
        log_std = [torch.tensor(policy.distribution.log_std, dtype=torch.float64, requires_grad=True)]
        normal = torch.distributions.Normal(outputs, log_std[0].exp())
        log_prob, entropy = normal.log_prob(taken).sum(1), normal.entropy().sum(1).mean()
    advantages = (advantages - advantages.mean()) / advantages.std(correction=0)
    ratio, error = (log_prob - old).exp(), critic(observations)[:, 0] - returns
    surrogate = torch.minimum(ratio * advantages, ratio.clamp(1 - settings.clip, 1 + settings.clip) * advantages).mean()
    (settings.value * (error**2).mean() - surrogate - settings.entropy * entropy).backward()
    kl, outside = (ratio - 1 - ratio.log()).mean(), ((ratio - 1).abs() > settings.clip).double().mean()
    measured = [part.item() for part in (kl, outside, (error**2).mean())]
    return gradient([*actor.leaves, *critic.leaves, *log_std]), measured


def ppo(kind: str, seed: int = 0, **settings: Any) -> tuple[PPO, Identity]:
    env = Identity(4, SPACES[kind], seed)
    return PPO(PPOSettings(rollout_steps=16, minibatch=24, **settings), env, seed), env


def minibatch(policy: PPO, kind: str) -> list[Any]:
    """Random observations, drawn actions, advantages, returns and old log-probabilities 30 % off the present ones."""
    policy.parameters.values += 0.3 * np.random.default_rng(5).standard_normal(
        len(policy.parameters.values), np.float32
    )
    observations = np.random.default_rng(1).standard_normal((64, SPACES[kind] or 1), np.float32)
    actions = policy.act(observations)
    advantages, returns, noise = np.random.default_rng(2).standard_normal((3, 64), np.float32)
    log_prob = policy.distribution.log_prob(policy.actor.forward(observations), actions)
    return [observations, actions, advantages + 1, returns, log_prob + np.float32(0.3) * noise]


TRIVIAL = {  # settings with which each optimiser learns Identity in 10,240 steps
    "ppo": PPOSettings(rollout_steps=16, minibatch=64, learning_rate=3e-3, center_rewards=True),
    "a2c": A2CSettings(rollout_steps=4, learning_rate=4e-2, decay=0.9, discount=0.5, center_rewards=True),
    "trpo": TRPOSettings(rollout_steps=16, kl=0.05, discount=0.9, center_rewards=True),
}


def mean_reward(policy_name: str, kind: str, seed: int) -> float:
    """Of the last 256 of 10,240 steps in 16 environments."""
    env = Identity(16, SPACES[kind], seed)
    policy = TRIVIAL[policy_name].make(env, seed)
    turns = 640 // policy.rollout_steps
    late = []
    for turn in range(turns):
        rollout, truth = collect(env, policy, env.shown, policy.rollout_steps)
        rewards = truth.rewards
        policy.improve(rollout, rewards, turn / turns)
        late += [rewards.mean()] if turn >= turns - 16 // policy.rollout_steps else []
    return float(np.mean(late))


def behaviour(count: int, seed: int) -> Segments:
    features = (3 * np.random.default_rng(seed).standard_normal((count, STEPS, WIDTH)) + 5).astype(np.float32)
    return Segments(features, features @ WANTED, features[..., :0])


def acted(features: np.ndarray) -> Turn:
    """A turn of the loop with these features ``(steps, envs, width)``."""
    nothing = np.zeros(features.shape[:2], np.float32)
    return Turn((), features, nothing, nothing > 0, nothing[..., None][..., :0])


def asked(count: int, members: int = 3, seed: int = 0, mu: Any = None) -> Comparisons:
    """Comparisons of random segments, answered without error, or as ``mu`` says."""
    pool, pairs = behaviour(2 * count, seed), np.arange(2 * count).reshape(count, 2)
    returns = pool.true_rewards.sum(1)[pairs]
    comparisons = Comparisons(count, STEPS, Vectors(WIDTH), members)
    answers = (returns[:, 0] > returns[:, 1]).astype(float) if mu is None else np.resize(np.array(mu, float), count)
    comparisons.add(pool, pairs, answers, 0, np.random.default_rng(seed + 100))
    return comparisons
