"""What an off-policy learner remembers: a ring over (steps, environments), each observation kept once.

The observation that follows a step is the next row's, unless an episode ended in between, or the environments were set
anew: then it is kept apart, and the row that begins anew says where. Observations and actions are raw, so that rewards
can be predicted, and observations standardized, when a batch is drawn. On disk the ring is a log that grows: a
checkpoint adds the rows that are new (``prefrl_core.checkpoint.Log``).
"""

from __future__ import annotations

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

_NONE = -1  # no observation is kept apart
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


class Replay:
    """The newest ``capacity`` transitions of ``envs`` environments in lockstep.

    Raises:
        UserError: the machine's memory does not allow that many.
    """

    def __init__(self, capacity: int, envs: int, observation: int, action: int) -> None:
        self.envs, self.rows = envs, capacity // envs + 1
        places = self.rows * envs
        self._require_memory(capacity, places * (4 * observation + 4 * action + 9))
        self.observations = np.zeros((places, observation), np.float32)
        self.actions = np.zeros((places, action), np.float32)  # as executed
        self.rewards = np.zeros(places, np.float32)
        self.terminated = np.zeros(places, np.bool_)
        self.before = np.full(places, _NONE, np.int32)  # where what came before a new beginning is kept apart
        self.apart = np.zeros((envs, observation), np.float32)  # grows
        self.total = self.total_apart = 0  # steps and observations ever put in
        self.rewarded = 0  # the newest steps of which a reward is known
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
        return min(self.total, self.rows - 1)

    def add(self, rollout: Rollout, rewards: NDArray[Any] | None) -> None:
        """Put in a rollout; ``rewards`` ``(steps, envs)`` where they are known."""
        steps = len(rollout.observations)
        if steps > self.rows - 1:
            raise UserError(
                f"policy setting capacity = {(self.rows - 1) * self.envs}: a rollout has {steps * self.envs} steps; "
                "raise it"
            )
        self._notice_resets(rollout.observations[0])
        rows = (self.total + np.arange(steps + 1)) % self.rows
        for ring, values in (
            (self.observations, rollout.observations),
            (self.actions, rollout.actions),
            (self.terminated, rollout.terminated),
            (self.rewards, np.zeros((steps, self.envs)) if rewards is None else rewards),
        ):
            self._shaped(ring)[rows[:-1]] = values
        self._shaped(self.before)[rows[1:]] = _NONE
        self._shaped(self.observations)[rows[-1]] = rollout.last_observations
        self._keep_apart(rows[rollout.ends[:, 0] + 1], rollout.ends[:, 1], rollout.final_observations)
        self.total += steps
        self.rewarded = 0 if rewards is None else min(self.rewarded + steps, self.rows - 1)

    def _notice_resets(self, observations: Array) -> None:
        """Where the newest observation is not what the next rollout begins with, the environment was set anew: to the
        replay that is a time limit."""
        row = self.total % self.rows
        pending, before = self._shaped(self.observations)[row], self._shaped(self.before)[row]
        changed = np.flatnonzero((pending != observations).any(1) & (before == _NONE) & (self.total > 0))
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
        self.apart = np.concatenate([kept, np.zeros((size - len(kept), kept.shape[1]), np.float32)])

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
        apart = np.full(count, _NONE, np.int64)
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
                goes_on &= (apart == _NONE) & (time < self.total)
        return Drawn(places, weights, following, apart, bootstrap)

    def take(self, drawn: Drawn, out: Array) -> None:
        """Write the observations before and after each transition to ``out`` ``(batches, 2, rows, obs)``, where
        ``batches * rows`` were drawn."""
        batches, _, rows, width = out.shape
        places = np.stack([part.reshape(batches, rows) for part in (drawn.places[0], drawn.following)], axis=1)
        np.take(self.observations, places.reshape(-1), axis=0, out=out.reshape(-1, width), mode="clip")
        ended = np.flatnonzero(drawn.apart >= 0)
        out[ended // rows, 1, ended % rows] = self.apart[drawn.apart[ended] - self._first_apart]

    def features(self, drawn: Drawn) -> Array:
        """What a reward model sees of each step that counts, ``(steps, drawn, obs + act)``."""
        return np.concatenate([self.observations[drawn.places], self.actions[drawn.places]], axis=-1)

    def relabel(self, reward: Predictor) -> None:
        """Predict the rewards of all that is held, in time order, for a reward model that looks at several steps."""
        first, rewards = self.total - self.steps, self._shaped(self.rewards)
        block = reward.context * max(1, _RELABELLED // reward.context)
        for start in range(first, self.total, block):
            steps = np.arange(start, min(start + block, self.total))
            rows, following = steps % self.rows, (steps + 1) % self.rows
            features = np.concatenate([self._shaped(self.observations)[rows], self._shaped(self.actions)[rows]], axis=2)
            rewards[rows] = reward.predict(features, self._shaped(self.before)[following] != _NONE)
        self.rewarded = self.steps

    def get_state(self) -> dict[str, Any]:
        """Two logs of what is held, and what is known of the step to come."""
        row = self.total % self.rows
        return {
            "steps": Log(self._row_type, self.total, self.total - self.steps, self._rows_of),
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
                f"the checkpoint's replay holds {(state['rows'] - 1) * self.envs} transitions, policy setting capacity "
                f"= {(self.rows - 1) * self.envs}: set it to that, or delete the checkpoint to start over"
            )
        steps, apart = state["steps"], state["apart"]
        self.total, self.total_apart, self.rewarded = steps.total, apart.total, state["rewarded"]
        held = np.arange(self.total - self.steps, self.total)
        saved = steps.rows(self.total - self.steps, self.total)
        for name, ring in self._rings.items():
            self._shaped(ring)[held % self.rows] = saved[name]
        row = self.total % self.rows
        self._shaped(self.observations)[row], self._shaped(self.before)[row] = state["observations"], state["before"]
        self._first_apart = apart.first
        self.apart = apart.rows(apart.first, apart.total)["observations"].copy()

    @property
    def _rings(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, name) for name in ("observations", "actions", "rewards", "terminated", "before")}

    @property
    def _row_type(self) -> np.dtype[Any]:
        return np.dtype([(name, ring.dtype, (self.envs, *ring.shape[1:])) for name, ring in self._rings.items()])

    @property
    def _apart_type(self) -> np.dtype[Any]:
        return np.dtype([("observations", np.float32, self.apart.shape[1:])])

    def _rows_of(self, start: int, stop: int) -> NDArray[Any]:
        """Steps by their number, as structured rows."""
        rows = np.empty(stop - start, self._row_type)
        for name, ring in self._rings.items():
            rows[name] = self._shaped(ring)[np.arange(start, stop) % self.rows]
        return rows

    def _apart_of(self, start: int, stop: int) -> NDArray[Any]:
        rows = np.empty(stop - start, self._apart_type)
        rows["observations"] = self.apart[start - self._first_apart : stop - self._first_apart]
        return rows
