"""Questions and answers in one SQLite file beside the run (``answers.sqlite``): the side of the people.

An answer is one transaction, on disk before the page hears of it. What the learner is told is a list of events, an
answer or its taking back, each of which it hears in one turn and, if that turn is done again, in the same one
(``desk.py``). A question is shown under a nonce; an answer is worth what its nonce is: one answer to one question.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import files
from prefrl_core.errors import UserError

NAME = "answers.sqlite"
SCHEMA = "1"
ANSWERS = {"left": 1.0, "right": 0.0, "equal": 0.5, "skip": float("nan")}
LONGEST_NAME = 40
MOST_PEOPLE = 200
_LEASE = 180.0  # seconds for which a question is shown to one person alone
_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS questions (
    number INTEGER PRIMARY KEY, step INTEGER NOT NULL, asked REAL NOT NULL, digest TEXT NOT NULL,
    predicted REAL NOT NULL, catch INTEGER NOT NULL, left_return REAL NOT NULL, right_return REAL NOT NULL,
    left_scenes BLOB NOT NULL, right_scenes BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS people (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, joined REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS secrets (person INTEGER PRIMARY KEY REFERENCES people, sha256 TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS shown (
    nonce TEXT PRIMARY KEY, question INTEGER NOT NULL REFERENCES questions, person INTEGER NOT NULL REFERENCES people,
    at REAL NOT NULL, until REAL NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS shown_question ON shown (question);
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY, nonce TEXT NOT NULL UNIQUE REFERENCES shown, question INTEGER NOT NULL REFERENCES questions,
    person INTEGER NOT NULL REFERENCES people, answer TEXT NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL,
    undone REAL) STRICT;
CREATE INDEX IF NOT EXISTS answers_question ON answers (question);
CREATE INDEX IF NOT EXISTS answers_person ON answers (person);
CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, question INTEGER NOT NULL, answer TEXT, turn INTEGER) STRICT;
CREATE INDEX IF NOT EXISTS events_turn ON events (turn);
CREATE TABLE IF NOT EXISTS turns (turn INTEGER PRIMARY KEY, at REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS agent (
    id INTEGER PRIMARY KEY CHECK (id = 1), step INTEGER NOT NULL, scenes BLOB NOT NULL) STRICT;
"""
# An answer that stands, and a showing that is still somebody's: both keep a question from being shown to others.
_STANDING = "SELECT count(*) FROM answers a WHERE a.question = q.number AND a.undone IS NULL"
_HELD = (
    "SELECT count(*) FROM shown s WHERE s.question = q.number AND s.person != :person AND s.at <= :now "
    "AND s.until > :now AND NOT EXISTS (SELECT 1 FROM answers a WHERE a.nonce = s.nonce)"
)
_MINE = "SELECT 1 FROM answers a WHERE a.question = q.number AND a.person = :person AND a.undone IS NULL"


class Refused(Exception):
    """An answer that cannot be taken; ``code`` is HTTP's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Shown:
    """A question on somebody's screen."""

    nonce: str
    question: int
    answer: str | None = None  # what was answered before it was taken back


class Ledger:
    """One file; any number of threads and processes."""

    def __init__(self, path: Path, overlap: int = 1, clock: Callable[[], float] = time.time) -> None:
        """Open it, or make it.

        Raises:
            UserError: it is of another version, or no ledger.
        """
        self.path, self.overlap, self.clock = path, overlap, clock
        self._lock = threading.RLock()
        for one in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            if (what := files.kind(one)) not in ("file", "nothing"):
                raise UserError(f"{one} is {what}, not a file of ours: remove it, and restore people's answers")
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            with self.transaction() as sql:
                for statement in filter(str.strip, _TABLES.split(";")):
                    sql.execute(statement)
                sql.execute("INSERT OR IGNORE INTO about VALUES ('schema', ?)", (SCHEMA,))
                schema = sql.execute("SELECT value FROM about WHERE name = 'schema'").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise UserError(f"{path} cannot be used ({error}): restore it, or move it away to begin anew") from error
        if schema != SCHEMA:
            raise UserError(f"{path} has schema {schema}, this version reads {SCHEMA}: go on with the one that made it")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; on disk when it ends."""
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """What a query finds."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def close(self) -> None:
        self._connection.close()

    def join(self, name: str) -> int:
        """The number of a person; a name that is known is that person again.

        Raises:
            Refused: no name, or one that is too long or does not print.
        """
        name = " ".join(name.split())
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise Refused(400, f"a name has 1 to {LONGEST_NAME} characters that can be printed")
        with self.transaction() as sql:
            known = sql.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()
            if known is None and sql.execute("SELECT count(*) FROM people").fetchone()[0] >= MOST_PEOPLE:
                raise Refused(429, f"{MOST_PEOPLE} people answer already: wait until the run is done")
            sql.execute("INSERT OR IGNORE INTO people (name, joined) VALUES (?, ?)", (name, self.clock()))
            person: int = sql.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()[0]
        return person

    def next(self, person: int, over: bool = False) -> Shown | None:
        """The question to show: the one that is on this person's screen, else the oldest that nobody else has; None
        while there is none. It is this person's for three minutes, then anybody's. Of a run that is ``over`` only
        pairs that have an answer are shown, for what others say to them is for the report.

        Raises:
            Refused: nobody has that number.
        """
        with self.transaction() as sql:
            now = self.clock()  # read where nobody else writes, so that times are in the order of transactions
            self._known(sql, person)
            values = {"person": person, "now": now, "overlap": self.overlap, "least": int(over)}
            open_ = sql.execute(
                "SELECT s.nonce, s.question FROM shown s JOIN questions q ON q.number = s.question "
                "WHERE s.person = :person AND s.at <= :now AND s.until > :now "
                f"AND NOT EXISTS (SELECT 1 FROM answers a WHERE a.nonce = s.nonce) AND NOT EXISTS ({_MINE}) "
                f"AND ({_STANDING}) < :overlap AND ({_STANDING}) >= :least ORDER BY s.at DESC LIMIT 1",
                values,
            ).fetchone()
            if open_:
                sql.execute("UPDATE shown SET until = ? WHERE nonce = ?", (now + _LEASE, open_["nonce"]))
                return Shown(open_["nonce"], open_["question"])
            free = sql.execute(
                f"SELECT q.number FROM questions q WHERE ({_STANDING}) + ({_HELD}) < :overlap AND NOT EXISTS ({_MINE}) "
                f"AND ({_STANDING}) >= :least ORDER BY q.number LIMIT 1",
                values,
            ).fetchone()
            return self._show(sql, free["number"], person, now) if free else None

    def answer(self, nonce: str, answer: str, seconds: float, over: bool = False) -> bool:
        """Take an answer; ``seconds``: how long the person looked. False if this very answer was taken already. A run
        that is ``over`` hears no first answers any more.

        Raises:
            Refused: the question was never shown under that nonce, was answered otherwise, or is no longer this
                person's; the answer is none, or took longer than there was time.
        """
        if answer not in ANSWERS:
            raise Refused(400, f"an answer is one of {', '.join(ANSWERS)}")
        with self.transaction() as sql:
            now = self.clock()
            shown = sql.execute("SELECT * FROM shown WHERE nonce = ?", (nonce,)).fetchone()
            if shown is None:
                raise Refused(404, "this pair was never shown: load the page again")
            before = sql.execute("SELECT answer FROM answers WHERE nonce = ?", (nonce,)).fetchone()
            if before:
                if before["answer"] == answer:
                    return False
                raise Refused(409, "this pair is answered already: undo that answer first")
            if not 0 <= seconds <= now - shown["at"] + 5:
                raise Refused(400, f"{seconds:g} seconds is not a time that this pair can have been looked at")
            number, person = shown["question"], shown["person"]
            values = {"person": person, "now": now, "number": number}
            taken, held, mine = sql.execute(
                f"SELECT ({_STANDING}), ({_HELD}), EXISTS ({_MINE}) FROM questions q WHERE q.number = :number", values
            ).fetchone()
            if over and not taken:
                raise Refused(410, "the agent has learned what it will: this answer would teach nothing")
            if mine:  # in another tab
                raise Refused(409, "you have answered this pair already: undo that answer first")
            if taken >= self.overlap or (shown["until"] <= now and taken + held >= self.overlap):
                raise Refused(410, "this pair went to somebody else in the meantime: here is another")
            sql.execute(
                "INSERT INTO answers (nonce, question, person, answer, seconds, at) VALUES (?, ?, ?, ?, ?, ?)",
                (nonce, number, person, answer, seconds, now),
            )
            if not taken:  # further answers to a question that several people see are for the report alone
                sql.execute("INSERT INTO events (question, answer) VALUES (?, ?)", (number, answer))
        return True

    def undo(self, person: int, nonce: str = "") -> Shown | None:
        """Take back this person's last answer, and show its question again, under ``nonce`` where one is given; None if
        there is none. The same nonce again takes back nothing more.

        Raises:
            Refused: nobody has that number, or the nonce is another person's.
        """
        with self.transaction() as sql:
            now = self.clock()
            self._known(sql, person)
            if repeated := sql.execute("SELECT person, question FROM shown WHERE nonce = ?", (nonce,)).fetchone():
                return self._undone(sql, nonce, person, *repeated)
            last = sql.execute(
                "SELECT * FROM answers WHERE person = ? AND undone IS NULL ORDER BY id DESC LIMIT 1", (person,)
            ).fetchone()
            if last is None:
                return None
            number = last["question"]
            heard = "SELECT id FROM answers WHERE question = ? AND undone IS NULL ORDER BY id LIMIT 1"
            first = sql.execute(heard, (number,)).fetchone()["id"] == last["id"]
            sql.execute("UPDATE answers SET undone = ? WHERE id = ?", (now, last["id"]))
            if first:
                left = sql.execute(
                    "SELECT answer FROM answers WHERE question = ? AND undone IS NULL ORDER BY id LIMIT 1", (number,)
                ).fetchone()
                sql.execute(
                    "INSERT INTO events (question, answer) VALUES (?, ?)", (number, left["answer"] if left else None)
                )
            sql.execute("UPDATE shown SET until = ? WHERE person = ? AND until > ?", (now, person, now))
            return self._show(sql, number, person, now, last["answer"], nonce)

    def scenes(self, question: int, side: str) -> NDArray[np.float32] | None:
        """What to draw of one side of a question, ``(steps, scene)``; None if it was never asked."""
        found = self.rows("SELECT left_scenes, right_scenes FROM questions WHERE number = ?", question)
        return self._unpacked(found[0][f"{side}_scenes"]) if found else None

    def agent(self) -> tuple[int, NDArray[np.float32]] | None:
        """Step and scenes ``(steps, scene)`` of the agent as it was last shown."""
        found = self.rows("SELECT step, scenes FROM agent")
        return (found[0]["step"], self._unpacked(found[0]["scenes"])) if found else None

    def about(self, name: str) -> str | None:
        """A fact of the whole ledger."""
        found = self.rows("SELECT value FROM about WHERE name = ?", name)
        return found[0]["value"] if found else None

    def _unpacked(self, data: bytes) -> NDArray[np.float32]:
        return np.frombuffer(data, "<f4").reshape(-1, int(self.about("scene") or 1))

    @staticmethod
    def _undone(sql: sqlite3.Connection, nonce: str, person: int, whose: int, question: int) -> Shown:
        if whose != person:
            raise Refused(403, "this pair was shown to somebody else: load the page again")
        answer = sql.execute(
            "SELECT answer FROM answers WHERE question = ? AND person = ? AND undone IS NOT NULL ORDER BY id DESC",
            (question, person),
        ).fetchone()
        return Shown(nonce, question, answer and answer["answer"])

    @staticmethod
    def _show(
        sql: sqlite3.Connection, number: int, person: int, now: float, answer: str | None = None, nonce: str = ""
    ) -> Shown:
        nonce = nonce or secrets.token_urlsafe(16)
        sql.execute("INSERT INTO shown VALUES (?, ?, ?, ?, ?)", (nonce, number, person, now, now + _LEASE))
        return Shown(nonce, number, answer)

    @staticmethod
    def _known(sql: sqlite3.Connection, person: int) -> None:
        if not sql.execute("SELECT 1 FROM people WHERE id = ?", (person,)).fetchone():
            raise Refused(404, "nobody has this number: load the page again")
