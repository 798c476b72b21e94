"""How the fuzz tests look: so many examples, a command in this process, a time after which it hangs.

``PREFRL_FUZZ=50 pytest tests/fuzz`` (``tox -e fuzz``) looks fifty times as long, with other examples each time.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, settings

from bench import cli

TIMES = int(os.environ.get("PREFRL_FUZZ", "1"))
SECONDS = 20 if TIMES == 1 else 120  # before a command counts as hung; a long search runs beside others


def often(examples: int) -> Any:
    """So many examples: the same ones in the test suite, others each time in a longer search."""
    return settings(
        max_examples=examples * TIMES,
        deadline=None,
        derandomize=TIMES == 1,
        phases=[Phase.explicit, Phase.generate],  # examples are small as they are
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    def late(*_: Any) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def bench(*words: str) -> tuple[int, str]:
    """The exit code and what was said on stderr, which is a line where the command could not be carried out."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), in_time():
        code = cli.main(words)
    said = err.getvalue()
    assert code in (0, 1, 2), (words, code, said)
    assert code != 2 or (said.startswith("prefrl: ") and said.count("\n") == 1 and len(said) < 2000), said
    assert "\x1b" not in said + out.getvalue() and "\x00" not in said + out.getvalue()
    return code, said
