"""How far a labeled run is, as its page shows it: labels, speed, what the agent has learned."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

from bench import store
from bench.answers.ledger import Ledger
from prefrl_core.errors import UserError

_RECENT = 600.0  # seconds over which the speed of answering is measured
_PAUSE = 60.0  # a longer gap between two answers is a break, and not counted
_FRESH = 50  # answers over which the model's agreement is averaged
_POINTS = 120  # of a curve


class Progress:
    """Read from the ledger and from the run's metrics; ``trainer()`` says what the learner's process does."""

    def __init__(self, run: store.Run, ledger: Ledger, trainer: Callable[[], str]) -> None:
        self._run, self._ledger, self._trainer = run, ledger, trainer
        self._lock = threading.Lock()
        self._read: tuple[int, list[dict[str, Any]]] = 0, []

    @property
    def over(self) -> bool:
        """The run is done, and hears nothing any more."""
        return self._run.status == "done"

    def now(self, person: int | None = None) -> dict[str, Any]:
        """Everything but the question."""
        spec, rows = self._run.spec, self._rows()
        answered, mine, asked = self._ledger.rows(
            "SELECT (SELECT count(DISTINCT question) FROM answers WHERE undone IS NULL), "
            "(SELECT count(*) FROM answers WHERE undone IS NULL AND person IS ?), (SELECT count(*) FROM questions)",
            person,
        )[0]
        hourly, together = self.answers_an_hour(person), self.answers_an_hour(None)
        left = max(0, spec["labels"] - answered)
        return {
            "goal": spec["labeler"].get("goal", ""),
            "task": spec["task"],
            "labels": spec["labels"],
            "answered": answered,
            "mine": mine,
            "open": asked - answered,
            "hourly": hourly,
            "minutes_left": round(60 * left / together) if together else None,
            "step": rows[-1]["step"] if rows else 0,
            "steps": spec["total_steps"],
            "trainer": "done" if self.over else self._trainer(),
            "agreement": self.agreement(),
            "predicted": _thinned([[row["step"], row["predicted_return"]] for row in rows if row["answered"]]),
        }

    def answers_an_hour(self, person: int | None) -> int | None:
        """Speed of one person (of all for None) over the last ten minutes of work, breaks left out."""
        now = self._ledger.clock()
        times = [
            row["at"]
            for row in self._ledger.rows(
                "SELECT at FROM answers WHERE undone IS NULL AND at > ? AND (? IS NULL OR person = ?) ORDER BY at",
                now - _RECENT,
                person,
                person,
            )
        ]
        gaps = [gap for gap in (b - a for a, b in itertools.pairwise(times)) if 0 <= gap < _PAUSE]
        return round(3600 * len(gaps) / sum(gaps)) if sum(gaps) > 0 else None

    def agreement(self) -> list[list[float]]:
        """Share of the last fifty answers of left or right that the model had foreseen when it asked, after each."""
        foreseen = [
            (row["predicted"] > 0.5) == (row["answer"] == "left")
            for row in self._ledger.rows(
                "SELECT q.predicted, a.answer FROM answers a JOIN questions q ON q.number = a.question "
                "WHERE a.undone IS NULL AND a.answer IN ('left', 'right') AND q.predicted != 0.5 ORDER BY a.id"
            )
        ]
        found = [
            [end, sum(foreseen[max(0, end - _FRESH) : end]) / min(end, _FRESH)] for end in range(1, len(foreseen) + 1)
        ]
        return _thinned(found[9:])  # fewer than ten answers say nothing

    def _rows(self) -> list[dict[str, Any]]:
        """The metrics' rows with a prediction, read again when there are more."""
        path = self._run.folder / "metrics.jsonl"
        size = path.stat().st_size if path.exists() else 0
        with self._lock:
            if size != self._read[0]:
                try:
                    rows = [row for row in self._run.rows if row.get("predicted_return") is not None]
                except UserError:  # a line that is being written
                    return self._read[1]
                self._read = size, rows
            return self._read[1]


def _thinned(points: list[Any]) -> list[Any]:
    """At most ``_POINTS`` of them, evenly, the last one included."""
    stride = -(-len(points) // _POINTS) or 1
    return points[::-1][::stride][::-1]
