"""Where workers run: each executor is a module here, chosen by ``--executor``.

The runner (``bench.runner``) says which run is next; an executor says whether it has room, starts a worker, and tells
what is heard of it. Every worker is the same ``bench.worker`` in a process of its own, so the bytes of a run cannot
tell where it was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from bench.progress import Job

NAMES = ("local", "ray")


@dataclass(frozen=True)
class Ended:
    """How a worker ended."""

    code: int = 0  # its exit code, negative for the signal that killed it
    last_words: str = ""  # the last line of its stderr
    lost: str = ""  # who died with it, where that is why nothing more is heard


Event = dict[str, Any] | Ended  # what a worker told (see ``bench.worker``), and last how it ended


class Executor(Protocol):
    """Runs workers."""

    @property
    def workers(self) -> int:
        """About how many runs it does at a time; for the time left."""

    def room(self, job: Job) -> bool:
        """Whether the job could begin now.

        Raises:
            UserError: there will be none.
        """

    def start(self, job: Job) -> None:
        """Begin the job; ``heard`` tells the rest."""

    def heard(self, seconds: float) -> list[tuple[Job, Event]]:
        """What was told since the last call, in its order; waits for it no longer than ``seconds``."""

    def stop(self) -> None:
        """End all workers. Each loses what came after its last checkpoint, which is computed again."""
