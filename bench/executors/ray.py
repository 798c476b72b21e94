"""A Ray cluster: an actor for each run at a time, which starts the worker on its node and tells what it hears.

Where a node sees the results folder (a shared disk), the worker works there. Where it does not, the run's files are
sent to a folder of the node's own, and come home as bytes: from time to time with a checkpoint that is new, and at the
end all of them. A node that dies takes with it what came after the last checkpoint at home; the run goes on from there
on another node.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import worker
from bench.executors import Ended, Event
from bench.executors.cluster import connect
from bench.executors.node import FAILURE, NodeWorker, Stamps, bring_home, changed
from bench.progress import Job
from bench.resources import Needs
from prefrl_core.errors import UserError

SHIP_EVERY = 30.0  # seconds between the checkpoints of a run that are sent home
_PATIENCE = 300.0  # seconds without any node that could take a run
_LOOK_EVERY = 2.0  # seconds between looks at the nodes
_KINDS = ("cpus", "gpus")


@dataclass
class _Remote:
    """A run on the cluster, as seen from here."""

    job: Job
    actor: Any
    host: str = "?"
    begun: bool = False
    lock: int | None = None  # ours on its folder at home; where the folder is shared the worker takes it
    known: Stamps = field(default_factory=dict)  # files at home
    sent: float = 0.0  # time at which the last ones came
    away: float | None = None  # since when its node cannot be reached


class RayExecutor:
    """As many runs at a time as the cluster has CPUs and GPUs for, and no more than ``workers``."""

    def __init__(
        self, address: str, out: Path, jobs: Sequence[Job], workers: int | None = None, ship: float | None = None
    ) -> None:
        """Join the cluster. ``ship`` has every node work on its own disk, and send checkpoints so often (seconds).

        Raises:
            UserError: Ray is not installed, nobody answers, or no node can take one of the jobs.
        """
        self._ray = connect(address)
        self._most, self._ship = workers or sys.maxsize, ship
        self._waiting: dict[Any, _Remote] = {}  # by the answer that is due
        self._idle: dict[Needs, list[Any]] = {}  # actors that have done a run; to start another one takes a second
        self._leaving: list[Any] = []  # answers of actors that were told to clear up
        self._nodes: list[Needs] = []
        self._looked, self._nobody_since = -_LOOK_EVERY, 0.0
        for needs in {job.planned.needs for job in jobs if job.state == "waiting"}:
            if not self._fits(needs):
                raise UserError(
                    f"no node of the cluster at {address} has {needs}, which a run asks for: lower it in [resources], "
                    "or add such a node"
                )
        least = min((job.planned.needs.cpus for job in jobs), default=1.0)
        self.workers = max(1, min(self._most, int(sum(node.cpus for node in self._nodes) / least)))
        self._token = out.resolve() / f".shared-{secrets.token_hex(8)}"
        self._token.touch()

    def room(self, job: Job) -> bool:
        needs, taken = job.planned.needs, [one.job.planned.needs for one in self._waiting.values()]
        if len(taken) >= self._most:
            return False
        if not self._fits(needs):
            self._nobody_since = self._nobody_since or time.monotonic()
            if not taken and time.monotonic() - self._nobody_since > _PATIENCE:
                raise UserError(f"no node of the cluster is left that has {needs}: add one, and run the same again")
            return False
        self._nobody_since = 0.0
        free = [
            sum(getattr(node, kind) for node in self._nodes) - sum(getattr(n, kind) for n in taken) for kind in _KINDS
        ]
        return all(getattr(needs, kind) <= left for kind, left in zip(_KINDS, free, strict=True))

    def start(self, job: Job) -> None:
        needs = job.planned.needs
        if not (idle := self._idle.get(needs)):
            self._idle.clear()  # those of other needs give way
            idle = [self._ray.remote(NodeWorker).options(num_cpus=needs.cpus, num_gpus=needs.gpus).remote()]
        actor = idle.pop()
        self._waiting[actor.look.remote(str(self._token))] = _Remote(job, actor)

    def heard(self, seconds: float) -> list[tuple[Job, Event]]:
        if not self._waiting:
            time.sleep(seconds)
        else:
            self._ray.wait(list(self._waiting), timeout=seconds)
        events: list[tuple[Job, Event]] = []
        ready = (
            self._ray.wait(list(self._waiting), num_returns=len(self._waiting), timeout=0)[0] if self._waiting else []
        )
        for answer in ready:
            remote = self._waiting.pop(answer)
            events += [(remote.job, event) for event in self._answered(remote, answer)]
        return events

    def stop(self) -> None:
        left = {one.actor.stop.remote(one.known): one for one in self._waiting.values()}
        if due := [*left, *self._leaving]:
            for answer in self._ray.wait(due, num_returns=len(due), timeout=10)[0]:
                with contextlib.suppress(self._ray.exceptions.RayError, OSError):
                    files = self._ray.get(answer)
                    if answer in left:
                        bring_home(left[answer].job.folder, files)
        for one in self._waiting.values():
            self._leave(one)
        self._waiting.clear()
        self._token.unlink(missing_ok=True)
        self._ray.shutdown()

    def _answered(self, remote: _Remote, answer: Any) -> list[Event]:
        errors = self._ray.exceptions
        try:
            got = self._ray.get(answer)
            remote.away = None
            return self._polled(remote, *got) if remote.begun else self._begin(remote, *got)
        except errors.ActorUnavailableError:  # a network that stutters, perhaps
            remote.away = remote.away or time.monotonic()
            if remote.begun and time.monotonic() - remote.away < 60:
                self._poll(remote)
                return []
            return self._lost(remote)
        except errors.RayTaskError as error:
            return self._failed(remote, error.cause if isinstance(error.cause, Exception) else error)
        except errors.RayError:
            return self._lost(remote)
        except OSError as error:  # our own disk
            return self._failed(remote, error)

    def _begin(self, remote: _Remote, host: str, shared: bool) -> list[Event]:
        folder, files = remote.job.folder.resolve(), None
        if self._ship is not None or not shared:
            remote.lock = worker.hold(folder)
            if remote.lock is None:
                self._leave(remote)
                return [{"event": "held", "by": worker.holder(folder) or "another process"}, Ended(worker.HELD)]
            for name in FAILURE:
                (folder / name).unlink(missing_ok=True)
            files = {name: data for name, (_, data) in changed(folder, {}).items()}
        remote.host, remote.begun, remote.sent = host, True, time.monotonic()
        self._waiting[remote.actor.begin.remote(str(folder), files)] = remote
        return []

    def _poll(self, remote: _Remote) -> None:
        send = time.monotonic() - remote.sent >= (SHIP_EVERY if self._ship is None else self._ship)
        self._waiting[remote.actor.poll.remote(remote.known, send)] = remote

    def _polled(
        self, remote: _Remote, told: str, end: tuple[int, str] | None, files: Mapping[str, tuple[Any, bytes]]
    ) -> list[Event]:
        if files:
            bring_home(remote.job.folder, files)
            remote.known |= {name: tuple(stamp) for name, (stamp, _) in files.items()}
            remote.sent = time.monotonic()
        events: list[Event] = json.loads(told)
        if end is None:
            self._poll(remote)
            return events
        self._dismiss(remote)
        return [*events, Ended(*end)]

    def _lost(self, remote: _Remote) -> list[Event]:
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(remote.actor)  # if it can still be reached, it must not go on beside the next one
        self._leave(remote)
        self._looked = -_LOOK_EVERY
        return [Ended(lost=f"its worker on node {remote.host} died" if remote.begun else "its node died")]

    def _failed(self, remote: _Remote, error: Exception) -> list[Event]:
        self._dismiss(remote)
        line = worker.in_words(remote.job.folder, error)
        return [{"event": "failed", "error": line}, Ended(worker.FAILED, line)]

    def _dismiss(self, remote: _Remote) -> None:
        """Its run is over: have it clear up, and be there for the next."""
        self._idle.setdefault(remote.job.planned.needs, []).append(remote.actor)
        self._leaving = self._ray.wait(self._leaving, timeout=0)[1] if self._leaving else []
        self._leaving.append(remote.actor.stop.remote(remote.known))
        self._leave(remote)

    def _leave(self, remote: _Remote) -> None:
        if remote.lock is not None:
            os.close(remote.lock)
            remote.lock = None

    def _fits(self, needs: Needs) -> bool:
        """Whether the cluster has a node that could take such a run, if it were free."""
        if time.monotonic() - self._looked >= _LOOK_EVERY:
            self._looked = time.monotonic()
            alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            self._nodes = [Needs(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in alive]
        return any(needs.cpus <= node.cpus and needs.gpus <= node.gpus for node in self._nodes)
