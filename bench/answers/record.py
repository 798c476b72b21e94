"""What people answered, as a part of what a run is made from: is the ledger beside a run the one that it heard?"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from bench import files
from bench.answers.ledger import ANSWERS, NAME, SCHEMA
from bench.text import one_line
from prefrl_core.errors import UserError

_SECONDS = 60.0  # for one look: a file of strangers may have views that never end
_HEARD = (
    "SELECT number, step, digest, predicted, catch, left_return, right_return FROM questions ORDER BY number",
    "SELECT id, question, answer, turn FROM events WHERE turn IS NOT NULL ORDER BY id",
    "SELECT turn FROM turns ORDER BY turn",
)
_UNANSWERED = (
    "SELECT count(*) FROM events e WHERE e.answer IS NOT NULL AND NOT EXISTS "
    "(SELECT 1 FROM answers a WHERE a.question = e.question AND a.answer = e.answer)"
)


def path_of(folder: Path) -> Path | None:
    """The ledger in a run's folder; None if there is none.

    Raises:
        UserError: what is there, or beside it, is no regular file.
    """
    path = folder / NAME
    for one in (path, path.with_name(f"{NAME}-wal"), path.with_name(f"{NAME}-shm")):
        if (what := files.kind(one)) not in ("file", "nothing"):
            raise UserError(f"{one} is {what}, not a file: remove it, and restore people's answers")
    return path if files.present(path) else None


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A ledger, only to be read, for a limited time.

    Raises:
        UserError: it is no ledger, damaged, or of another schema.
    """
    # without a log beside it nobody writes, and it can be read where nothing can be written
    how = "mode=ro" if files.present(path.with_name(f"{NAME}-wal")) else "immutable=1"
    end = time.monotonic() + _SECONDS
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True)) as sql:
            sql.set_progress_handler(lambda: time.monotonic() > end, 100_000)
            sql.execute("PRAGMA trusted_schema = OFF")
            schema = sql.execute("SELECT value FROM about WHERE name = 'schema'").fetchone()
            if schema is None or schema[0] != SCHEMA:
                raise UserError(f"{path} has schema {schema and one_line(schema[0])[:40]}, this version reads {SCHEMA}")
            yield sql
    except (sqlite3.Error, ValueError, TypeError) as error:  # a value of another type than its column's among it
        raise UserError(f"{path} is damaged ({one_line(error)}): restore people's answers") from error


def digest(folder: Path) -> str | None:
    """SHA-256 of what the run heard: its questions, answers and turns, and nothing that may be said later; None where
    nobody was asked."""
    if (path := path_of(folder)) is None:
        return None
    made = hashlib.sha256()
    with reading(path) as sql:
        for query in _HEARD:
            for row in sql.execute(query):
                made.update(json.dumps(row).encode() + b"\n")
    return made.hexdigest()


def require_whole(folder: Path, expected: str | None, needed: bool = False) -> None:
    """Raise UserError where people's answers are not those that the run heard.

    Args:
        expected: their digest, where the run left one.
        needed: it has heard some, so they must be there.
    """
    if (path := path_of(folder)) is None:
        if expected or needed:
            raise UserError(f"{folder / NAME} is missing: restore people's answers, which the run was made from")
        return
    with reading(path) as sql:
        if (told := sql.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            raise UserError(f"{path} is damaged ({one_line(told)[:200]}): restore people's answers")
        for number, left, right, recorded in sql.execute(
            "SELECT number, left_scenes, right_scenes, digest FROM questions"
        ):
            if hashlib.sha256(left + right).hexdigest()[:16] != recorded:
                raise UserError(f"{path}: question {number} is not what was asked: restore people's answers")
        known = {row[0] for row in sql.execute("SELECT DISTINCT answer FROM answers")}
        if known - ANSWERS.keys() or sql.execute(_UNANSWERED).fetchone()[0]:
            raise UserError(f"{path} lacks answers that the run heard: restore people's answers")
        empty = not sql.execute("SELECT count(*) FROM turns").fetchone()[0]
    if needed and empty:
        raise UserError(f"{path} is empty, and the run has heard answers: restore people's answers")
    if expected and digest(folder) != expected:
        raise UserError(f"{path} is not what the run heard (its digest differs): restore people's answers")
