"""Names for the parts that a user may add: tasks, policies, reward models, labelers and query strategies.

A part is a dataclass (its fields are its settings) or, for a task, a function. It gets its name from a
decorator, in a module that a suite file lists under ``plugins``, or from an entry point of an installed
package in the group ``prefrl.task``, ``prefrl.policy``, ``prefrl.reward``, ``prefrl.labeler`` or ``prefrl.query``:

    @register("labeler", "contrarian")
    @dataclass(frozen=True)
    class Contrarian: ...

The parts that come with the package are listed here by module and name, and imported when they are used.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeVar, get_args

from prefrl_core import imports
from prefrl_core.errors import UserError, require, unknown

Kind = Literal["task", "policy", "reward", "labeler", "query"]
T = TypeVar("T")

_parts: dict[str, dict[str, Any]] = {kind: {} for kind in get_args(Kind)}
_LABELERS, _QUERIES = "prefrl_core.feedback.labelers", "prefrl_core.feedback.queries"
_BUILTIN: dict[str, dict[str, str]] = {
    "task": {},  # registered by prefrl_core.tasks, from its own tables
    "policy": {
        "a2c": "prefrl_core.policy.a2c:A2CSettings",
        "dqn": "prefrl_core.policy.dqn:DQNSettings",
        "ppo": "prefrl_core.policy.ppo:PPOSettings",
        "sac": "prefrl_core.policy.sac:SACSettings",
        "trpo": "prefrl_core.policy.trpo:TRPOSettings",
    },
    "reward": {
        "convolutional": "prefrl_core.reward.settings:ConvolutionalSettings",
        "ensemble": "prefrl_core.reward.settings:EnsembleSettings",
        "module": "prefrl_core.reward.module:ModuleSettings",
        "mrn": "prefrl_core.reward.mrn:MrnSettings",
        "qpa": "prefrl_core.reward.crops:CropSettings",
        "reed": "prefrl_core.reward.settings:ReedSettings",
        "rime": "prefrl_core.reward.rime:RimeSettings",
        "rune": "prefrl_core.reward.rune:RuneSettings",
        "star": "prefrl_core.reward.star:StarSettings",
        "surf": "prefrl_core.reward.surf:SurfSettings",
    },
    "labeler": {
        "bpref": f"{_LABELERS}:Teacher",
        "equal": f"{_LABELERS}:Equal",
        "human": f"{_LABELERS}:Human",
        "human_curve": f"{_LABELERS}:HumanCurve",
        "mistake": f"{_LABELERS}:Mistake",
        "myopic": f"{_LABELERS}:Myopic",
        "oracle": f"{_LABELERS}:Oracle",
        "skip": f"{_LABELERS}:Skip",
        "stochastic": f"{_LABELERS}:Stochastic",
    },
    "query": {
        "disagreement": f"{_QUERIES}:Disagreement",
        "disagreement_k_center": f"{_QUERIES}:DisagreementKCenter",
        "entropy": f"{_QUERIES}:Entropy",
        "entropy_k_center": f"{_QUERIES}:EntropyKCenter",
        "k_center": f"{_QUERIES}:KCenter",
        "member_entropy": f"{_QUERIES}:MemberEntropy",
        "member_entropy_k_center": f"{_QUERIES}:MemberEntropyKCenter",
        "mutual_information": f"{_QUERIES}:MutualInformation",
        "near_on_policy": f"{_QUERIES}:NearOnPolicy",
        "ranked_list": "prefrl_core.feedback.lists:RankedList",
        "sequential_list": "prefrl_core.feedback.lists:SequentialList",
        "uniform": f"{_QUERIES}:Uniform",
    },
}

# Names that stand for another part on each task: functions from a ``TaskInfo`` to the name.
_ALIASES: dict[tuple[str, str], str] = {("policy", "tuned"): "prefrl_core.policy.hyperparameters:tuned"}


def register(kind: Kind, name: str) -> Callable[[T], T]:
    """Decorator that makes a part known as ``name``.

    Raises:
        UserError: another part already has that name, or it cannot have it; there is no such kind; or it is neither a
            class nor a function, whose module could be named.
    """
    if kind not in _parts:
        raise unknown("kind of part", kind, _parts)
    require((kind, name) not in _ALIASES, f"{kind} {name!r} stands for others: choose another name")
    require(kind != "task" or "@" not in name, f"task {name!r}: register it without its version, which info.id has")

    def add(part: T) -> T:
        module = getattr(part, "__module__", "")
        kept = kind == "task" and name.startswith(("atari/", "gymnasium/")) and not module.startswith("prefrl_core.")
        require(not kept, f"task {name!r}: what begins so is a game's or Gymnasium's name; choose another")
        require(
            hasattr(part, "__qualname__"), f"{kind} {name!r} is {type(part).__name__}: register a class or a function"
        )
        mine = f"{getattr(part, '__module__', '')}:{getattr(part, '__qualname__', '')}"
        taken = _parts[kind].get(name)
        holder = f"{taken.__module__}:{taken.__qualname__}" if taken is not None else _BUILTIN[kind].get(name, mine)
        if holder != mine:
            raise UserError(f"{kind} {name!r} is already registered by {holder.split(':')[0]}: choose another name")
        _parts[kind][name] = part
        return part

    return add


def meant(kind: Kind, settings: Mapping[str, Any], task: Any) -> dict[str, Any]:
    """The settings of a part, with its name, that ``settings`` mean on a task (a ``TaskInfo``): mostly themselves."""
    choose = _ALIASES.get((kind, settings["name"]))
    if choose is None or task is None:
        return dict(settings)
    chosen: dict[str, Any] = resolve(choose)(task)
    return chosen | {name: value for name, value in settings.items() if name != "name"}


def load_plugins(modules: Iterable[str]) -> None:
    """Import the modules that a suite lists, so that their decorators run.

    Raises:
        UserError: one cannot be imported, ends the process or does not come back; or these are no names.
    """
    named = isinstance(modules, (list, tuple)) and all(isinstance(one, str) for one in modules)
    require(named, f"plugins = {modules!r}: give a list of modules")
    for module in modules:
        imports.bring(module, f"plug-in {module!r}")


def names(kind: Kind) -> list[str]:
    """All names of one kind: our own, registered ones and those of entry points."""
    _import_tasks(kind)
    return sorted({*_BUILTIN[kind], *_parts[kind], *_entry_points(kind)})


def find(kind: Kind, name: str) -> Any:
    """The part that is called ``name``.

    Raises:
        UserError: nothing has that name, or its entry point cannot be loaded.
    """
    _import_tasks(kind)
    if name not in _parts[kind] and name in _BUILTIN[kind]:
        _parts[kind][name] = resolve(_BUILTIN[kind][name])
    point = _entry_points(kind).get(name)
    if point is not None and name in _BUILTIN[kind]:
        raise UserError(f"{kind} {name!r} of {point.module} has a name of ours: give its entry point another name")
    if name not in _parts[kind]:
        if point is None:
            raise unknown(kind, name, names(kind))
        _parts[kind][name] = imports.bring(f"{point.module}:{point.attr}", f"{kind} {name!r} ({point.value})")
    return _parts[kind][name]


def loaded(kind: Kind) -> tuple[dict[str, Any], dict[str, str]]:
    """All parts of one kind by name; and of those that other packages' entry points promise and that cannot be loaded,
    why."""
    parts, broken = {}, {}
    for name in names(kind):
        try:
            parts[name] = find(kind, name)
        except UserError as error:
            broken[name] = str(error)
    return parts, broken


def resolve(place: str) -> Any:
    """The object that ``module:name`` names."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _import_tasks(kind: Kind) -> None:
    if kind == "task":
        importlib.import_module("prefrl_core.tasks")


@functools.cache
def _entry_points(kind: Kind) -> dict[str, EntryPoint]:
    """Installed packages' parts of one kind; looking for them takes milliseconds, so once a process."""
    return {point.name: point for point in entry_points(group=f"prefrl.{kind}")}
