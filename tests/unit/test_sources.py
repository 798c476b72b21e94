"""The code of foreign parts stands in a run's key, and only theirs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from bench import provenance, tracks
from prefrl_core import sources, tasks
from prefrl_core.spec import RunSpec

FILES = {
    "lab_of_mine/__init__.py": "",
    "lab_of_mine/parts.py": """
from dataclasses import dataclass
from prefrl_core.feedback.labelers import Oracle
from prefrl_core.registry import register
from . import rule
from .deep.constants import MARGIN

@register("labeler", "mine")
@dataclass(frozen=True)
class Mine(Oracle):
    margin: float = MARGIN
""",
    "lab_of_mine/rule.py": "import numpy as np\nimport lab_of_mine.unused_by_name as other\nclass Network: ...\n",
    "lab_of_mine/unused_by_name.py": "X = 1\n",
    "lab_of_mine/deep/__init__.py": "",
    "lab_of_mine/deep/constants.py": "MARGIN = 0.5\n",
    "lab_of_mine/elsewhere.py": "Y = 1\n",
}
RUN = {"task": "mujoco/hopper", "total_steps": 20_000, "labels": 10}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A package of one's own with a labeler, and the version in the key of a run that uses it."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("lab_of_mine")]:
        del sys.modules[name]


def version() -> str:
    spec = RunSpec.of({**RUN, "labeler": "mine", "plugins": ["lab_of_mine.parts"]})
    return str(tracks.of(spec.task).versions(spec)["labeler mine"])


def test_a_run_of_our_own_parts_has_the_versions_that_it_had() -> None:
    spec = RunSpec.of({**RUN, "policy": "trpo", "labeler": "stochastic", "query": "entropy"})
    assert set(tracks.of(spec.task).versions(spec)) == {"method", "mujoco", "gymnasium"}
    for task in ("gymnasium/Pendulum-v1", "atari/pong", "mujoco-v5/hopper"):
        known = RunSpec.of({"task": task, "total_steps": 100_000, "reward": "true"})
        assert tracks.of(task).plugins(known) == {}


def test_only_runs_with_a_part_that_was_revised_have_another_key() -> None:
    found = RunSpec.of({**RUN, "query": "ranked_list", "reward_model": "star"}).revisions()
    assert found == {"query ranked_list revision": 2, "reward star revision": 2}
    spec = RunSpec.of({**RUN, "query": "sequential_list"})
    assert tracks.of(spec.task).versions(spec)["query sequential_list revision"] == 2
    assert not RunSpec.of({**RUN, "query": "entropy"}).revisions()


@pytest.mark.parametrize("name", ["parts", "rule", "unused_by_name", "deep/constants", "deep/__init__"])
def test_an_edit_of_the_part_or_of_what_it_imports_of_its_package_is_another_version(lab: Path, name: str) -> None:
    before = version()
    path = lab / "lab_of_mine" / f"{name}.py"
    path.write_text(path.read_text() + "# edited\n")
    assert version() != before
    path.write_text(path.read_text().removesuffix("# edited\n"))
    assert version() == before


def test_an_edit_elsewhere_in_its_package_is_not(lab: Path) -> None:
    before = version()
    (lab / "lab_of_mine" / "elsewhere.py").write_text("Y = 2\n")
    assert version() == before


def test_a_file_beside_a_part_that_is_not_installed_counts_where_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flat_of_mine.py").write_text("import json\nimport numpy\nfrom beside_of_mine import SCALE\n")
    (tmp_path / "beside_of_mine.py").write_text("SCALE = 1\n")
    (tmp_path / "other_of_mine.py").write_text("SCALE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = sources.of_module("flat_of_mine").digest
    (tmp_path / "other_of_mine.py").write_text("SCALE = 2\n")
    assert sources.of_module("flat_of_mine").digest == before
    (tmp_path / "beside_of_mine.py").write_text("SCALE = -1\n")
    assert sources.of_module("flat_of_mine").digest != before
    assert set(sources._files("flat_of_mine")) == {"flat_of_mine", "beside_of_mine"}


def test_its_own_revision_stands_in_the_provenance(lab: Path) -> None:
    import subprocess

    spec = RunSpec.of({**RUN, "labeler": "mine", "plugins": ["lab_of_mine.parts"]})
    assert provenance.collect((), sources.of(spec))["plugins"]["labeler mine"]["git"] is None
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "first")):
        subprocess.run(["git", *words], cwd=lab, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=lab, check=True, capture_output=True, text=True).stdout
    found = provenance.collect((), sources.of(spec))
    assert found["plugins"]["labeler mine"]["git"] == {"revision": head.strip(), "dirty": False}
    assert found["plugins"]["labeler mine"]["module"] == "lab_of_mine.parts"
    assert (found["git"] or {}).get("revision") != head.strip()
    (lab / "lab_of_mine" / "rule.py").write_text("# edited")
    assert provenance.collect((), sources.of(spec))["plugins"]["labeler mine"]["git"]["dirty"] is True


class Env(gym.Env[Any, Any]):
    """Of this test's own."""


def test_the_code_of_ones_own_gymnasium_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    entry: Any = Env
    gym.register("Mine-v0", entry, max_episode_steps=3)
    spec = RunSpec.of({"task": "gymnasium/Mine-v0", "total_steps": 10_000, "reward": "true"})
    assert sources.of(spec)["task gymnasium/Mine-v0"].file == Path(__file__)


def test_how_an_id_was_registered_counts_and_gymnasiums_own_ids_keep_their_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    found = set()
    for pull, limit in ((10.0, 50), (1.0, 50), (1.0, 60)):
        pendulum = "gymnasium.envs.classic_control.pendulum:PendulumEnv"
        gym.register("Heavy-v0", pendulum, max_episode_steps=limit, kwargs={"g": pull})
        found.add(tasks.versions("gymnasium/Heavy-v0")["registration"])
        gym.envs.registration.registry.pop("Heavy-v0")
    assert len(found) == 3
    assert not any("registration" in tasks.versions(f"gymnasium/{name}") for name in ("Pendulum-v1", "Hopper-v5"))


def test_the_learner_that_settings_name_counts(lab: Path) -> None:
    (lab / "lab_of_mine" / "settings.py").write_text(
        """
from dataclasses import dataclass
from typing import ClassVar
from prefrl_core.registry import register
from prefrl_core.reward.settings import EnsembleSettings

@register("reward", "split")
@dataclass(frozen=True)
class Split(EnsembleSettings):
    learner: ClassVar[str] = "lab_of_mine.elsewhere:Learner"
"""
    )
    spec = RunSpec.of({**RUN, "reward_model": "split", "plugins": ["lab_of_mine.settings"]})
    before = tracks.of(spec.task).versions(spec)
    assert set(sources.of(spec)) == {"reward split", "learner lab_of_mine.elsewhere:Learner"}
    (lab / "lab_of_mine" / "elsewhere.py").write_text("Y = 2\n")
    assert tracks.of(spec.task).versions(spec) != before


def test_a_network_that_a_setting_names_counts(lab: Path) -> None:
    pytest.importorskip("torch")
    spec = RunSpec.of({**RUN, "reward_model": {"name": "module", "module": "lab_of_mine.rule:Network"}})
    assert set(sources.of(spec)) == {"module lab_of_mine.rule:Network"}


def test_installed_code_has_its_distribution_and_version() -> None:
    found = sources.of_module("rich.table")
    assert found.distribution.startswith("rich ") and str(found) == f"{found.distribution} {found.digest}"
