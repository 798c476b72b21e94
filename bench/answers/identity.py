"""Who somebody on the page is: a name, and a secret that their browser made. Of the secret the ledger keeps a hash."""

from __future__ import annotations

import hashlib
import hmac

from bench.answers.ledger import Ledger, Refused


def enter(ledger: Ledger, name: str, secret: str) -> int:
    """The number of a person; who first has a name leaves a secret, and is known by it again.

    Raises:
        Refused: as ``Ledger.join`` does, or the name is somebody else's.
    """
    with ledger.transaction() as sql:
        person = ledger.join(name)
        sql.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (person, _hash(secret)))
        if not _matches(ledger, person, secret):
            raise Refused(409, "somebody else has this name: choose another, or go on in the browser where it began")
    return person


def recognise(ledger: Ledger, person: int, secret: str) -> None:
    """Raise Refused unless ``person`` is there and has that secret."""
    if not ledger.rows("SELECT 1 FROM people WHERE id = ?", person):
        raise Refused(404, "nobody has this number: load the page again")
    if not _matches(ledger, person, secret):
        raise Refused(403, "this is not your number: load the page again")


def _matches(ledger: Ledger, person: int, secret: str) -> bool:
    found = ledger.rows("SELECT sha256 FROM secrets WHERE person = ?", person)
    return bool(found) and hmac.compare_digest(found[0]["sha256"], _hash(secret))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
