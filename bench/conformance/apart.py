"""The laws, tried in a process of their own. A part may end that process: it is named then, with the law it met.

``python -m bench.conformance.apart REQUEST PATH...`` is that process. It tells what it does on stdout, one JSON object
a line; what a part prints there goes to stderr.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import conformance, worker
from bench.conformance.laws import Verdict
from prefrl_core import imports
from prefrl_core.errors import UserError


@dataclass(frozen=True)
class Checked:
    """A part and its verdicts."""

    kind: str
    name: str
    laws: list[Verdict]


def check(words: Sequence[str], settings: Mapping[str, Any]) -> Iterator[Checked]:
    """The verdicts of each part that one of ``words`` names (``conformance.resolve``), as soon as they are known.

    Raises:
        UserError: a word names nothing, a setting is wrong, answers come from people, or a part ends the process.
    """
    part, doing = " ".join(words), "looks it up"
    request = json.dumps({"words": words, "settings": settings, "parent": os.getpid()}, default=str)
    with subprocess.Popen(
        worker.words_for(__name__, request, *sys.path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, **worker.ONE_THREAD},
    ) as process:
        try:
            for told in _told(process):
                match told.pop("event"):
                    case "trying":
                        part, doing = told["part"], told["doing"]
                    case "checked":
                        yield Checked(told["kind"], told["name"], [Verdict(**one) for one in told["laws"]])
                    case "refused":
                        raise UserError(told["error"])
                    case "failed":
                        raise RuntimeError(told["trace"])
                    case "over":
                        return
        finally:
            process.kill()
    raise UserError(imports.ends(part, doing, process.returncode))


def _told(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """What it tells, until it has ended; what it leaves running may hold its output."""
    assert process.stdout is not None
    said = b""
    while True:
        ended = process.poll() is not None
        if not select.select([process.stdout], [], [], 0 if ended else 0.1)[0]:
            if ended:
                return
            continue
        data = os.read(process.stdout.fileno(), 1 << 16)
        *lines, said = (said + data).split(b"\n")
        yield from map(json.loads, lines)
        if not data:
            process.wait()
            return


def main(request: str, *path: str) -> None:
    """Try the laws here, and tell of it."""
    asked = json.loads(request)
    worker.prepare_process(asked["parent"])
    sys.path[:] = path
    try:
        for subject in _find(asked["words"], asked["settings"]):
            _try(subject, bool(asked["settings"]))
    except UserError as error:
        worker.tell("refused", error=str(error))
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        worker.tell("failed", trace=f"{told}\n{''.join(traceback.format_exception(error))}")
    else:
        worker.tell("over")
    os._exit(0)  # threads of a part do not keep us


def _find(words: Sequence[str], settings: Mapping[str, Any]) -> list[conformance.Subject]:
    """All of them, before the first is tried: a word may be misspelt."""
    found = []
    for word in words:
        worker.tell("trying", part=word, doing="looks it up")
        found += conformance.resolve(word, settings)
    return found


def _try(subject: conformance.Subject, chosen: bool) -> None:
    part = f"{subject.kind} {subject.name}"
    if chosen and subject.kind != "task":
        worker.tell("trying", part=part, doing="makes it")
        subject.make()  # a setting that it does not have is the user's mistake, not the part's
    found = conformance.check(subject, lambda law: worker.tell("trying", part=part, doing=f"tries the law {law!r}"))
    worker.tell("checked", kind=subject.kind, name=subject.name, laws=[vars(one) for one in found])


if __name__ == "__main__":
    main(*sys.argv[1:])
