"""Clips for the page: scenes drawn and encoded in one thread, which owns the OpenGL context, and kept for a while."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.answers.ledger import Ledger
from bench.video import encode
from prefrl_core.tasks.rendering import Painter, painter

SECONDS = 1.5  # of a clip of a segment, whatever its steps (Christiano et al. 2017: one to two seconds)
_AGENT_SECONDS = 5.0
_KEPT = 400  # clips, of some 20 KiB
_PREPARED = 6  # questions ahead


def film(who: Painter, scenes: NDArray[np.floating[Any]], seconds: float) -> bytes:
    """The clip of ``scenes`` ``(steps, scene)``."""
    return encode(np.stack([who.draw(scene) for scene in scenes]), seconds)


class Studio:
    """Draws what it is asked for, newest wish first, and in its idle time what will be asked for next."""

    def __init__(self, task: str, ledger: Ledger) -> None:
        """Begin work.

        Raises:
            UserError: this machine cannot draw the task.
        """
        self._task, self._ledger = task, ledger
        self._clips: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._wishes: queue.LifoQueue[tuple[tuple[Any, ...], Future[bytes | None]] | None] = queue.LifoQueue()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, name="studio", daemon=True)
        self._thread.start()
        self._ready.result(timeout=120)

    def clip(self, question: int, side: str) -> bytes | None:
        """One side of a question as MP4; None if it was never asked."""
        return self._wish(("question", question, side))

    def agent(self) -> tuple[int, bytes] | None:
        """What the agent does now, with the step of its training; None before it was shown."""
        found = self._ledger.agent()
        data = found and self._wish(("agent", found[0]))
        return (found[0], data) if found and data else None

    def close(self) -> None:
        """End the work."""
        self._wishes.put(None)
        self._thread.join(timeout=10)

    def _wish(self, what: tuple[Any, ...]) -> bytes | None:
        if (kept := self._clips.get(what)) is not None:  # in one step: the studio may drop it meanwhile
            return kept
        answer: Future[bytes | None] = Future()
        self._wishes.put((what, answer))
        return answer.result(timeout=60)

    def _work(self) -> None:
        try:
            who = painter(self._task)
        except BaseException as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(None)
        while True:
            try:
                wish = self._wishes.get(timeout=0.2)
            except queue.Empty:
                with contextlib.suppress(Exception):  # whoever asks for that clip is told
                    self._prepare(who)
                continue
            if wish is None:
                who.close()
                return
            what, answer = wish
            try:
                answer.set_result(self._drawn(who, what))
            except Exception as error:  # told to whoever asked for it; the studio goes on
                answer.set_exception(error)

    def _prepare(self, who: Painter) -> None:
        """Draw one side of a question that somebody will be shown soon."""
        soon = self._ledger.rows(
            "SELECT number FROM questions q WHERE NOT EXISTS (SELECT 1 FROM answers a WHERE a.question = q.number AND "
            "a.undone IS NULL) ORDER BY number LIMIT ?",
            _PREPARED,
        )
        for number in (row["number"] for row in soon):
            for side in ("left", "right"):
                if ("question", number, side) not in self._clips:
                    self._drawn(who, ("question", number, side))
                    return

    def _drawn(self, who: Painter, what: tuple[Any, ...]) -> bytes | None:
        if what not in self._clips:
            if what[0] == "agent":
                found = self._ledger.agent()
                scenes, seconds = (found[1] if found else None), _AGENT_SECONDS
            else:
                scenes, seconds = self._ledger.scenes(what[1], what[2]), SECONDS
            if scenes is None:
                return None
            self._clips[what] = film(who, scenes, seconds)
            while len(self._clips) > _KEPT:
                self._clips.popitem(last=False)
        return self._clips[what]
