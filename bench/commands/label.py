"""``bench label``: people teach an agent by comparing clips on a local page."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from bench.commands.shared import Shared, real, whole
from prefrl_core.errors import require

# of a new run; a run that has begun keeps its own
_NEW: dict[str, Any] = {
    "goal": "",
    "labels": 900,
    "steps": 2_000_000,
    "policy": "trpo",
    "seed": 0,
    "set": (),
    "catch": 0.05,
    "wait": 8,
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser("label", parents=[shared.out], help="teach an agent by comparing clips on a local page")
    made.add_argument(
        "task", metavar="TASK|RUN", help="a task for a new run, or the key of a run with labels of people"
    )
    made.add_argument("--goal", metavar="TEXT", help="what people should prefer, in plain words")
    made.add_argument("--labels", type=whole(1, 10**7), metavar="N", help="questions in all (900)")
    made.add_argument("--steps", type=whole(1, 10**12), metavar="N", help="steps of training in all (2000000)")
    made.add_argument("--policy", metavar="NAME", help="policy optimiser (trpo)")
    made.add_argument("--seed", type=whole(0, 2**53), metavar="N", help="seed of the run (0)")
    made.add_argument("--set", action="append", metavar="K=V", help="another setting of the run; repeatable")
    made.add_argument("--catch", type=real(0, 1), metavar="X", help="share of pairs with a clear answer (0.05)")
    waits = made.add_mutually_exclusive_group()
    waits.add_argument(
        "--wait",
        type=whole(0, 10**7),
        nargs="?",
        const=8,
        metavar="N",
        help="training pauses while more pairs than this wait for an answer (8)",
    )
    waits.add_argument("--no-wait", action="store_true", help="training never pauses: for tasks slower than people")
    made.add_argument("--overlap", type=whole(1, 1000), default=1, metavar="N", help="people who answer each pair (1)")
    made.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; any but this machine's needs the token"
    )
    made.add_argument(
        "--port", type=whole(0, 65_535), default=8017, metavar="N", help="port of the page; 0 takes any free one (8017)"
    )
    made.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="a file with the token for other machines, at least 16 characters (default: a new one)",
    )
    made.add_argument("--no-open", action="store_true", help="do not open the page in a browser")
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Serve until the run is done and everybody has left (Ctrl-C)."""
    from bench import store
    from bench.labeling import session

    session.require_packages()
    token = None if options.token_file is None else _token(options.token_file)
    values, run = _values(options), store.Run(options.out / options.task)
    if begun := run.status != "not started":
        _refuse_settings(options, run.key)
        _require_people(f"run {run.key}", run.spec["labeler"])
    else:
        _require_people("--set labeler: the run", values["labeler"])
    with session.listen(options.host, options.port) as listening:  # before there is a folder that would stay
        if not begun:
            run = session.begin(values, options.out)
        return session.serve(run, listening, options.host, token, options.overlap, browse=not options.no_open)


def _refuse_settings(options: argparse.Namespace, key: str) -> None:
    """Raise UserError where an option would be for a new run."""
    for name in (*_NEW, "no_wait"):
        given = getattr(options, name) is not (False if name == "no_wait" else None)
        told = f"--{name.replace('_', '-')}: run {key} has begun with settings of its own: leave it out"
        require(not given, f"{told}, or begin a new run by naming a task")


def _require_people(what: str, labeler: Any) -> None:
    name = labeler.get("name") if isinstance(labeler, dict) else labeler
    require(name == "human", f"{what} is taught by labeler {name!r}, not by people")


def _token(path: Path) -> str:
    """From a file, because everybody on this machine can read a command line."""
    from bench import files

    text = files.read(Path(os.path.realpath(path)), 4096, "name a file with a token").decode(errors="replace").strip()
    fits = 16 <= len(text) <= 200 and text.isascii() and text.isprintable()
    require(fits, f"--token-file {path}: a token has 16 to 200 printable ASCII characters")
    return text


def _values(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of the run."""
    from bench.commands.shared import settings

    given = {name: new if (told := getattr(options, name)) is None else told for name, new in _NEW.items()}
    labeler = {
        "name": "human",
        "goal": " ".join(given["goal"].split()),
        "backlog": -1 if options.no_wait else given["wait"],
        "catch": given["catch"],
    }
    values = {
        "task": options.task,
        "labels": given["labels"],
        "total_steps": given["steps"],
        "policy": given["policy"],
        "seed": given["seed"],
        "labeler": labeler,
    }
    return values | settings(given["set"])
