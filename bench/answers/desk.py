"""The learner's side of the ledger: the ``Desk`` of ``prefrl_core.feedback.desk``."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.answers.ledger import ANSWERS, Ledger
from prefrl_core.errors import UserError
from prefrl_core.feedback.desk import Asked, Heard

_LOOK = 0.1  # seconds between two looks for answers


class LedgerDesk:
    """Leaves questions in a ledger, and hears the answers that were written there."""

    before_learning = 10  # answers that every run waits for, or there is nothing to learn from

    def __init__(self, ledger: Ledger, live: bool = True, sleep: Callable[[float], None] = time.sleep) -> None:
        """``live``: people answer now. Else only what was heard before can be heard again."""
        self._ledger, self._live, self._sleep = ledger, live, sleep

    def ask(self, asked: Asked) -> None:
        """Leave questions that are not there yet.

        Raises:
            UserError: the ledger has other questions of that number: it belongs to another run.
        """
        now = self._ledger.clock()
        with self._ledger.transaction() as sql:
            sql.execute("INSERT OR IGNORE INTO about VALUES ('scene', ?)", (str(asked.scenes.shape[-1]),))
            for row, number in enumerate(asked.numbers.tolist()):
                sides = [np.ascontiguousarray(side, "<f4").tobytes() for side in asked.scenes[row]]
                digest = hashlib.sha256(b"".join(sides)).hexdigest()[:16]
                there = sql.execute("SELECT digest FROM questions WHERE number = ?", (number,)).fetchone()
                if there is None:
                    facts = float(asked.predicted[row]), int(asked.catch[row]), *map(float, asked.true_returns[row])
                    values = (number, asked.step, now, digest, *facts, *sides)
                    sql.execute(f"INSERT INTO questions VALUES ({', '.join('?' * len(values))})", values)
                elif there["digest"] != digest:
                    raise UserError(
                        f"{self._ledger.path} has another question {number} than this run asks: it belongs to another "
                        "run, machine or version; put the right one there, or move it away to begin anew"
                    )

    def hear(self, turn: int, backlog: int) -> list[Heard]:
        """What was answered since the turn before; the same again if the turn is done again.

        Raises:
            UserError: nobody answers now, and this turn was never heard.
        """
        while True:
            with self._ledger.transaction() as sql:
                done = sql.execute("SELECT 1 FROM turns WHERE turn = ?", (turn,)).fetchone()
                if not done and not self._live:
                    raise UserError(
                        f"nobody answers now, and {self._ledger.path} ends before turn {turn}: go on with "
                        "`python -m bench label`"
                    )
                if not done and self._enough(sql, backlog):
                    sql.execute("UPDATE events SET turn = ? WHERE turn IS NULL", (turn,))
                    sql.execute("INSERT INTO turns VALUES (?, ?)", (turn, self._ledger.clock()))
                    done = True
                if done:
                    news = sql.execute("SELECT question, answer FROM events WHERE turn = ? ORDER BY id", (turn,))
                    return [Heard(row["question"], row["answer"] and ANSWERS[row["answer"]]) for row in news]
            self._sleep(_LOOK)

    def _enough(self, sql: sqlite3.Connection, backlog: int) -> bool:
        asked, answered = sql.execute(
            "SELECT (SELECT count(*) FROM questions), "
            "(SELECT count(DISTINCT question) FROM answers WHERE undone IS NULL)"
        ).fetchone()
        if answered < min(asked, self.before_learning):
            return False
        return bool(backlog < 0 or asked - answered <= backlog)

    def show(self, step: int, scenes: NDArray[np.float32]) -> None:
        """Keep the agent's latest scenes."""
        with self._ledger.transaction() as sql:
            sql.execute("INSERT OR IGNORE INTO about VALUES ('scene', ?)", (str(scenes.shape[-1]),))
            data = np.ascontiguousarray(scenes, "<f4").tobytes()
            sql.execute("INSERT OR REPLACE INTO agent VALUES (1, ?, ?)", (step, data))
