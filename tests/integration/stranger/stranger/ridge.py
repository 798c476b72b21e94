"""Linear reward models, one a bootstrap of the answers, each fitted by Newton's method with a ridge penalty."""

from dataclasses import dataclass

import numpy as np

from prefrl_core.errors import UserError

NEWEST = 256  # answers that a fit looks at


@dataclass(frozen=True)
class RidgeSettings:
    members: int = 3  # bootstraps of the answers
    ridge: float = 0.1  # weight of the squared coefficients
    steps: int = 4  # of Newton's method in one fit

    def make(self, features, seed, segment):
        if len(features.shape) != 1:
            raise UserError("reward_model 'stranger-ridge' sees no pixels: choose 'convolutional'")
        return Ridge(self, features.shape[0])


class Ridge:
    context, label_buffer, told_returns = 1, 0, False

    def __init__(self, settings, width):
        self.settings, self.bootstraps = settings, settings.members
        self.weights = np.zeros((settings.members, width))
        self.seen, self.mean, self.square = 0, np.zeros(width), np.ones(width)

    def _rows(self, features):
        return (features - self.mean) / np.sqrt(np.maximum(self.square - self.mean**2, 1e-8))

    def predict(self, features, done=None):
        return self._rows(features) @ self.weights.mean(0)

    def preferences(self, kept, pairs):
        scores = self._rows(kept).sum(1) @ self.weights.T
        return _sigmoid(scores[pairs[:, 0]] - scores[pairs[:, 1]]).T

    def observe(self, turn):
        rows = turn.features.reshape(-1, turn.features.shape[-1]).astype(np.float64)
        share = len(rows) / (self.seen + len(rows))
        self.seen += len(rows)
        self.mean = self.mean + share * (rows.mean(0) - self.mean)
        self.square = self.square + share * ((rows**2).mean(0) - self.square)

    def fit(self, comparisons, pool):
        answered = np.flatnonzero(np.isfinite(comparisons.mu))[-NEWEST:]
        if not len(answered):
            return {}
        sums = self._rows(comparisons.features[answered]).sum(2)
        gaps, mu = sums[:, 0] - sums[:, 1], comparisons.mu[answered]
        losses = []
        for member, weights in enumerate(self.weights):
            counts = comparisons.multiplicity[answered, member]
            for _ in range(self.settings.steps):
                p = _sigmoid(gaps @ weights)
                slope = gaps.T @ (counts * (p - mu)) + self.settings.ridge * weights
                curvature = (gaps.T * (counts * p * (1 - p))) @ gaps + self.settings.ridge * np.eye(len(weights))
                if not np.isfinite(curvature).all():
                    raise UserError("reward_model 'stranger-ridge': features that are not finite")
                weights -= np.clip(np.linalg.solve(curvature, slope), -1, 1)
            p = np.clip(_sigmoid(gaps @ weights), 1e-9, 1 - 1e-9)
            losses.append(-np.mean(mu * np.log(p) + (1 - mu) * np.log(1 - p)))
        return {"reward_loss": float(np.mean(losses))}

    def get_state(self):
        return {"weights": self.weights.copy(), "mean": self.mean, "square": self.square, "seen": self.seen}

    def set_state(self, state):
        self.weights, self.mean, self.square = state["weights"].copy(), state["mean"], state["square"]
        self.seen = state["seen"]


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))
