"""Sentences that people rated from -4 (very negative) to 4, as vaderSentiment's source distribution ships them.

Hutto and Gilbert (2014) collected them: snippets of film and product reviews, tweets, sentences of opinion columns.
They are not part of this project and never imported as code; ``fetch`` gets the archive through pip, and its hash is
checked.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from prefrl_core.errors import UserError

NAME, SHA256 = "vaderSentiment-3.3.2.tar.gz", "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
_INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
_SOURCES = ("movieReviewSnippets", "nytEditorialSnippets", "tweets", "amazonReviewSnippets")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|[0-9]+|[.,!?;:()$%&\"-]")


@dataclass(frozen=True)
class Rated:
    """One sentence and the mean of its ratings."""

    words: tuple[str, ...]
    rating: float


def folder() -> Path:
    """Where the archive is kept: ``PREFRL_DATA``, or the user's cache."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "prefrl-bench"
    return Path(os.environ.get("PREFRL_DATA", default))


def fetch() -> Path:
    """Download the archive with pip into ``folder()``.

    Raises:
        UserError: pip fails, or what came is not the archive of that hash.
    """
    where = folder()
    where.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "vaderSentiment"]
    done = subprocess.run(
        [*pip, "-d", str(where), "vaderSentiment==3.3.2"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise UserError(f"pip could not download {NAME}: {done.stderr.strip().splitlines()[-1]}")
    _checked(where / NAME)
    return where / NAME


@functools.cache
def sentences() -> tuple[Rated, ...]:
    """All rated sentences in the archive's order.

    Raises:
        UserError: the archive is not there, or is another.
    """
    made = []
    with tarfile.open(fileobj=io.BytesIO(_checked(folder() / NAME))) as outer:
        inner = outer.extractfile(_INNER)
        assert inner is not None  # the hash was checked
        with tarfile.open(fileobj=io.BytesIO(inner.read())) as archive:
            for source in _SOURCES:
                file = archive.extractfile(f"hutto_ICWSM_2014/{source}_GroundTruth.txt")
                assert file is not None
                made += parse(file.read())
    return tuple(made)


def parse(table: bytes) -> list[Rated]:
    """Sentences of one table: lines of number, mean rating and text, tab-separated; debris of encodings is left out."""
    made = []
    for line in table.decode("ascii", "ignore").splitlines():
        _, rating, text = line.split("\t", 2)
        words = tuple(_WORD.findall(text.lower().replace("''", '"')))
        if words:
            made.append(Rated(words, float(rating)))
    return made


def _checked(path: Path) -> bytes:
    if not path.exists():
        raise UserError(
            f"task language/reviews needs {path}, which is not there: python -m prefrl_core.language.ratings fetches it"
        )
    data = path.read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != SHA256:
        raise UserError(f"{path} has sha256 {found[:12]}..., not {SHA256[:12]}...: delete it and fetch it again")
    return data


if __name__ == "__main__":
    try:
        print(fetch())
    except UserError as error:
        sys.exit(f"error: {error}")
