"""Names for people: tasks, files and the settings of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

OFF = ("0", "0.0", "false", "null", "", "[]")


def task_names(tasks: Sequence[str]) -> dict[str, str]:
    """Names for people: 'mujoco/half_cheetah@1' -> 'HalfCheetah'; the id itself where two would be the same."""
    names = {task: _task_name(task) for task in tasks}
    seen = list(names.values())
    return {task: name if seen.count(name) == 1 else task for task, name in names.items()}


def slug(name: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as {'reward_model.l2': '0.0001'}, in the order given."""
    rows: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows.update(flat(value, f"{prefix}{key}."))
        else:
            rows[prefix + key] = value if isinstance(value, str) else json.dumps(value)
    return rows


def in_common(arms: Sequence[str]) -> str:
    """What arms are called apart from their number of labels: 'SURF' of 'SURF, 25 labels' and 'SURF, 100 labels';
    empty where that is nothing or not the same."""
    rests = {re.sub(r"\b[\d,]+ labels?\b", "", arm).strip(" ,") for arm in arms}
    return rests.pop() if len(rests) == 1 else ""


def tell_apart(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A label for each spec: its labeler in words, then every other setting in which the specs differ."""
    flats = [flat(spec) for spec in specs]
    keys = dict.fromkeys(key for rows in flats for key in rows if not key.startswith("labeler."))
    differing = [key for key in keys if len({rows.get(key) for rows in flats}) > 1]
    labelers = [spec["labeler"] for spec in specs]
    return [
        ", ".join([words(spec["labeler"], labelers), *(f"{key} {rows[key]}" for key in differing if key in rows)])
        for spec, rows in zip(specs, flats, strict=True)
    ]


def words(settings: Mapping[str, Any], among: Sequence[Mapping[str, Any]]) -> str:
    """A part of a spec in words, "mistake (rate 0.1)": its name, and what is on and not the same ``among`` all."""
    flats = [flat(other) for other in among]
    rest = [
        f"{key} {value}"
        for key, value in flat(settings).items()
        if key != "name" and value not in OFF and len({other.get(key) for other in flats}) > 1
    ]
    return f"{settings['name']} ({', '.join(rest)})" if rest else str(settings["name"])


def seeds(numbers: Iterable[int]) -> str:
    """Seeds in words: [7, 1, 3, 4, 5] -> 'seeds 1, 3 to 5, 7'."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    told = [f"{span[0]} to {span[-1]}" if len(span) > 2 else ", ".join(map(str, span)) for span in spans]
    return ("seed " if sum(map(len, spans)) == 1 else "seeds ") + ", ".join(told)


def _task_name(task: str) -> str:
    family, _, rest = task.partition("@")[0].rpartition("/")
    if family.startswith(("mujoco", "atari")):
        rest = "".join(word[:1].upper() + word[1:] for word in rest.split("_"))
    return rest + family.removeprefix("mujoco") if family.startswith("mujoco-") else rest
