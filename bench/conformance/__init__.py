"""Does a part keep the laws? ``python -m bench validate`` asks it of a task, policy, reward model, labeler or query
strategy.

``subject.py`` finds the part; ``labeler.py``, ``query.py``, ``policy.py``, ``reward.py`` and ``task.py`` have a
function for each law, ``short_run.py`` those that a real run shows; ``laws.py`` is what they share. ``apart.py`` tries
them in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from bench.conformance import labeler, policy, query, reward, short_run, task
from bench.conformance.laws import Verdict, judge
from bench.conformance.subject import Subject, resolve
from prefrl_core.errors import UserError
from prefrl_core.registry import find

__all__ = ["LAWS", "Subject", "Verdict", "check", "resolve"]

LAWS = {
    kind: (*module.LAWS, *short_run.LAWS)
    for kind, module in (
        ("labeler", labeler),
        ("query", query),
        ("policy", policy),
        ("reward", reward),
        ("task", task),
    )
}


def check(subject: Subject, tell: Callable[[str], None] = lambda law: None) -> list[Verdict]:
    """A verdict for each law of the part's kind; of a part that cannot be made from settings that one alone.

    ``tell`` hears each law's name before it is tried.

    Raises:
        UserError: of a labeler whose answers come from people, or of a reward model ``module`` without a module.
    """
    if subject.kind == "labeler" and getattr(find("labeler", subject.name), "needs_desk", False):
        raise UserError(f"labeler {subject.name!r}: its answers come from people, who keep no law that can be checked")
    if (subject.kind, subject.name) == ("reward", "module") and not subject.settings.get("module"):
        raise UserError("reward 'module': it has no network of its own, name one by --set module=package.module:Class")
    made = [] if subject.kind == "task" else judge(subject, [short_run.settings], tell)
    return made if any(one.state == "broken" for one in made) else made + judge(subject, LAWS[subject.kind], tell)
