"""What an off-policy learner remembers: a ring over (steps, environments), each observation kept once.

The observation that follows a step is the next row's, unless an episode ended in between, or the environments were set
anew: then it is kept apart, and the row that begins anew says where. Observations and actions are raw, so that rewards
can be predicted, and observations standardized, when a batch is drawn. On disk the ring is a log that grows: a
checkpoint adds the rows that are new (``prefrl_core.checkpoint.Log``).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core.checkpoint import Log
from prefrl_core.errors import UserError, require
from prefrl_core.networks import Array
from prefrl_core.policy.protocol import Predictor
from prefrl_core.rollout import Rollout

NOWHERE = -1  # no observation is kept apart
_RELABELLED = 2048  # steps of each environment that are predicted together, about
_MEMORY_SHARE = 0.8  # of the machine's memory that a replay may take


@dataclass(frozen=True)
class Drawn:
    """A batch of transitions, each of up to ``steps`` steps; a place is a row of the replay's flat arrays."""

    places: NDArray[np.int64]  # (steps, batch) of the steps whose rewards count
    weights: Array  # (steps, batch), discount ** step; 0 behind an episode's end or the newest step
    following: NDArray[np.int64]  # (batch,) of the observation that the return is continued from
    apart: NDArray[np.int64]  # (batch,) where that observation is kept apart; -1 where it is not
    bootstrap: Array  # (batch,) what its value is multiplied by: discount ** steps, or 0 after a termination

    def part(self, columns: slice) -> Drawn:
        """Some of the batch."""
        places, weights = self.places[:, columns], self.weights[:, columns]
        return Drawn(places, weights, self.following[columns], self.apart[columns], self.bootstrap[columns])


class Replay:
    """The newest ``capacity`` transitions of ``envs`` environments in lockstep.

    Raises:
        UserError: the machine's memory does not allow that many.
    """

    kind: type[np.generic] = np.float32  # of observations
    stack: tuple[int, ...] = ()  # frames an observation, where a row of the ring holds one of them
    history = 0  # rows before its own that an observation is read from

    def __init__(self, capacity: int, envs: int, observation: int | tuple[int, ...], action: int) -> None:
        shape = (observation,) if isinstance(observation, int) else observation
        self.envs, self.rows = envs, capacity // envs + 1 + self.history
        places = self.rows * envs
        self._require_memory(capacity, places * (np.dtype(self.kind).itemsize * math.prod(shape) + 4 * action + 9))
        self.observations = np.zeros((places, *shape), self.kind)
        self.actions = np.zeros((places, action), np.float32)  # as executed
        self.rewards = np.zeros(places, np.float32)
        self.terminated = np.zeros(places, np.bool_)
        self.before = np.full(places, NOWHERE, np.int32)  # where what came before a new beginning is kept apart
        self.apart = np.zeros((envs, *self.stack, *shape), self.kind)  # grows
        self.total = self.total_apart = 0  # steps and observations ever put in
        self.rewarded = 0  # the newest steps of which a reward is known
        self.predicted = False  # the rewards are what a model says, who will say it again: they are not saved
        self._first_apart = 0  # the number of the first that ``apart`` holds

    @staticmethod
    def _require_memory(capacity: int, needed: int) -> None:
        has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        require(
            needed <= _MEMORY_SHARE * has,
            f"policy setting capacity = {capacity}: the replay needs {needed / 2**30:.1f} GiB and this machine has "
            f"{has / 2**30:.1f}: lower it to {int(capacity * _MEMORY_SHARE * has / needed)}",
        )

    @property
    def steps(self) -> int:
        """Steps of each environment that it holds."""
        return min(self.total, self.most)

    @property
    def most(self) -> int:
        """Steps of each environment that it can hold."""
        return self.rows - 1 - self.history

    def add(self, rollout: Rollout, rewards: NDArray[Any] | None) -> NDArray[np.int64]:
        """Put in a rollout; ``rewards`` ``(steps, envs)`` where they are known. Returns the places of its steps
        ``(steps, envs)``."""
        steps = len(rollout.observations)
        if steps > self.most:
            raise UserError(
                f"policy setting capacity = {self.most * self.envs}: a rollout has {steps * self.envs} steps; raise it"
            )
        self._notice_resets(rollout.observations[0])
        rows = (self.total + np.arange(steps + 1)) % self.rows
        for ring, values in (
            (self.observations, self._stored(rollout.observations)),
            (self.actions, rollout.actions),
            (self.terminated, rollout.terminated),
            (self.rewards, np.zeros((steps, self.envs)) if rewards is None else rewards),
        ):
            self._shaped(ring)[rows[:-1]] = values
        self._shaped(self.before)[rows[1:]] = NOWHERE
        self._shaped(self.observations)[rows[-1]] = self._stored(rollout.last_observations)
        self._keep_apart(rows[rollout.ends[:, 0] + 1], rollout.ends[:, 1], rollout.final_observations)
        self.total += steps
        self.rewarded = 0 if rewards is None else min(self.rewarded + steps, self.most)
        return rows[:-1, None] * self.envs + np.arange(self.envs)

    def _notice_resets(self, observations: Array) -> None:
        """Where the newest observation is not what the next rollout begins with, the environment was set anew: to the
        replay that is a time limit."""
        row = self.total % self.rows
        pending, before = self.observed(row * self.envs + np.arange(self.envs)), self._shaped(self.before)[row]
        differ = (pending != observations).reshape(self.envs, -1).any(1)
        changed = np.flatnonzero(differ & (before == NOWHERE) & (self.total > 0))
        self._keep_apart(np.full(len(changed), row), changed, pending[changed])

    def _keep_apart(self, rows: NDArray[Any], envs: NDArray[np.int64], observations: Array) -> None:
        count = len(rows)
        held = self.total_apart - self._first_apart
        if held + count > len(self.apart):
            self._make_room(held, count)
            held = self.total_apart - self._first_apart
        self.apart[held : held + count] = observations
        self._shaped(self.before)[rows, envs] = self.total_apart + np.arange(count)
        self.total_apart += count

    def _make_room(self, held: int, count: int) -> None:
        """Forget what belongs to overwritten steps; grow if that is not enough."""
        used = self.before[self.before >= self._first_apart]
        forgotten = int(used.min()) - self._first_apart if len(used) else held
        kept = self.apart[forgotten:held]
        self._first_apart += forgotten
        size = max(len(self.apart), 2 * (len(kept) + count))
        self.apart = np.concatenate([kept, np.zeros((size - len(kept), *kept.shape[1:]), self.kind)])

    def _stored(self, observations: NDArray[Any]) -> NDArray[Any]:
        """The part of observations ``(..., obs)`` that a row of the ring keeps."""
        return observations

    def observed(self, places: NDArray[np.int64], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The observations ``(len(places), obs)`` at these places."""
        return np.take(self.observations, places, axis=0, out=out, mode="clip")

    def _shaped(self, ring: NDArray[Any]) -> NDArray[Any]:
        """A view ``(rows, envs, ...)``."""
        return ring.reshape(self.rows, self.envs, *ring.shape[1:])

    def draw(
        self,
        count: int,
        steps: int,
        discount: float,
        random: np.random.Generator,
        rewarded: bool = False,
        recent: int = 0,
    ) -> Drawn:
        """``count`` transitions of up to ``steps`` steps, uniform over all held, or over those with a reward; with
        ``recent`` every second one is uniform over so many of the newest."""
        newest = self.rewarded if rewarded else self.steps
        if newest == 0:
            raise UserError("the replay holds no step to learn from: let the policy act before it improves")
        chosen = random.integers(0, newest * self.envs, count)
        if recent:
            fresh = min(-(-recent // self.envs), newest)  # steps of each environment
            chosen[::2] = random.integers((newest - fresh) * self.envs, newest * self.envs, len(chosen[::2]))
        time, env = np.divmod(chosen, self.envs)
        time += self.total - newest
        places = np.empty((steps, count), np.int64)
        weights = np.zeros((steps, count), np.float32)
        goes_on, bootstrap = np.ones(count, np.bool_), np.ones(count, np.float32)
        apart = np.full(count, NOWHERE, np.int64)
        for step in range(steps):
            place = time % self.rows * self.envs + env
            places[step] = place
            np.multiply(goes_on, np.float32(discount**step), out=weights[step])
            time += goes_on
            following = time % self.rows * self.envs + env
            bootstrap[goes_on] = np.float32(discount ** (step + 1))
            bootstrap[goes_on & self.terminated[place]] = 0
            np.copyto(apart, self.before[following], where=goes_on)
            if step + 1 < steps:
                goes_on &= (apart == NOWHERE) & (time < self.total)
        return Drawn(places, weights, following, apart, bootstrap)

    def take(self, drawn: Drawn, out: NDArray[Any]) -> None:
        """Write the observations before and after each transition to ``out`` ``(batches, 2, rows, obs)``, where
        ``batches * rows`` were drawn."""
        batches, _, rows, *shape = out.shape
        places = np.stack([part.reshape(batches, rows) for part in (drawn.places[0], drawn.following)], axis=1)
        self.observed(places.reshape(-1), out.reshape(-1, *shape))
        ended = np.flatnonzero(drawn.apart >= 0)
        out[ended // rows, 1, ended % rows] = self.apart[drawn.apart[ended] - self._first_apart]

    def features(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """What a reward model sees of the steps at ``places`` ``(...)``: ``(..., obs + act)``."""
        return np.concatenate([self.observations[places], self.actions[places]], axis=-1)

    def relabel(self, reward: Predictor) -> None:
        """Predict the rewards of all that is held, in time order, for a reward model that looks at several steps."""
        self.predicted = True
        first, rewards = self.total - self.steps, self._shaped(self.rewards)
        block = reward.context * max(1, _RELABELLED // reward.context)
        for start in range(first, self.total, block):
            steps = np.arange(start, min(start + block, self.total))
            rows, following = steps % self.rows, (steps + 1) % self.rows
            features = self.features(rows[:, None] * self.envs + np.arange(self.envs))
            rewards[rows] = reward.predict(features, self._shaped(self.before)[following] != NOWHERE)
        self.rewarded = self.steps

    def get_state(self) -> dict[str, Any]:
        """Two logs of what is held, and what is known of the step to come."""
        row = self.total % self.rows
        return {
            "steps": Log(self._row_type, self.total, self._oldest, self._rows_of),
            "apart": Log(self._apart_type, self.total_apart, self._first_apart, self._apart_of),
            "observations": self._shaped(self.observations)[row].copy(),
            "before": self._shaped(self.before)[row].copy(),
            "rewarded": self.rewarded,
            "rows": self.rows,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``.

        Raises:
            UserError: the state is that of a replay of another capacity.
        """
        if state["rows"] != self.rows:
            raise UserError(
                f"the checkpoint's replay holds {(state['rows'] - 1 - self.history) * self.envs} transitions, policy "
                f"setting capacity = {self.most * self.envs}: set it to that, or delete the checkpoint to start over"
            )
        steps, apart = state["steps"], state["apart"]
        self.total, self.total_apart, self.rewarded = steps.total, apart.total, state["rewarded"]
        number = self._oldest
        for saved in steps.blocks(number):
            rows = np.arange(number, number + len(saved)) % self.rows
            for name, ring in self._rings.items():
                self._shaped(ring)[rows] = saved[name]
            number += len(saved)
        row = self.total % self.rows
        self._shaped(self.observations)[row], self._shaped(self.before)[row] = state["observations"], state["before"]
        self._first_apart = apart.first
        self.apart = apart.rows(apart.first, apart.total)["observations"].copy()

    @property
    def _oldest(self) -> int:
        """Number of the oldest step of which something is needed."""
        return max(0, self.total - self.most - self.history)

    @property
    def _rings(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, name) for name in ("observations", "actions", "rewards", "terminated", "before")}

    @property
    def _row_type(self) -> np.dtype[Any]:
        return np.dtype([(name, ring.dtype, (self.envs, *ring.shape[1:])) for name, ring in self._rings.items()])

    @property
    def _apart_type(self) -> np.dtype[Any]:
        return np.dtype([("observations", self.kind, self.apart.shape[1:])])

    def _rows_of(self, start: int, stop: int) -> NDArray[Any]:
        """Steps by their number, as structured rows."""
        rows = np.empty(stop - start, self._row_type)
        for name, ring in self._rings.items():
            rows[name] = self._shaped(ring)[np.arange(start, stop) % self.rows]
        if self.predicted:  # else a row would change after it was written
            rows["rewards"] = 0
        return rows

    def _apart_of(self, start: int, stop: int) -> NDArray[Any]:
        rows = np.empty(stop - start, self._apart_type)
        rows["observations"] = self.apart[start - self._first_apart : stop - self._first_apart]
        return rows
