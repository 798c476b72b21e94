"""A run that begins from recorded comparisons, or from a fitted reward model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bench import store
from prefrl_core import known, parts
from prefrl_core.errors import UserError
from prefrl_core.feedback import dataset
from prefrl_core.feedback.recorded import Recorded
from prefrl_core.loop import start, turn
from prefrl_core.reward import offline
from prefrl_core.spec import RunSpec

SMALL = {"name": "ppo", "environments": 4, "rollout_steps": 64, "minibatch": 64, "hidden": [8]}
SMALL_SAC = {"name": "sac", "environments": 4, "rollout_steps": 50, "rollouts": 1, "batch": 32, "hidden": [16, 16]}
REACHER: dict[str, Any] = {"task": "mujoco/reacher@1", "total_steps": 3000, "labels": 8, "policy": SMALL}


@pytest.fixture(autouse=True)
def nothing_read_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_contents", {})


def recorded(task: str = "mujoco/reacher@1", count: int = 30, segment: int = 15, members: int = 3) -> Recorded:
    random = np.random.default_rng(0)
    seen, acted = random.standard_normal((count, 2, segment, 10)), random.standard_normal((count, 2, segment, 2))
    returns = -np.abs(seen[..., 0]).sum(-1)
    return Recorded(
        seen.astype(np.float32),
        acted.astype(np.float32),
        returns,
        (returns[:, 0] > returns[:, 1]).astype(float),
        np.zeros(count, np.int64),
        random.poisson(1.0, (count, members)),
        {"task": task},
    )


def exported(folder: Path, **what: Any) -> str:
    path = folder / "comparisons.safetensors"
    dataset.save(path, recorded(**what))
    return str(path)


def test_recorded_comparisons_teach_and_are_on_nobodys_account(tmp_path: Path) -> None:
    spec = RunSpec.of({**REACHER, "known_comparisons": exported(tmp_path)})
    run = start(spec)
    rows = []
    while not run.finished:
        rows.append(turn(run))
    assert rows[-1]["labels"] == 8 and rows[-1]["answered"] == 8 and run.comparisons.count == 38
    assert len(run.comparisons.arrays()["mu"]) == 8  # what this run asked
    plain = start(RunSpec.of(REACHER))
    first = [turn(plain) for _ in rows][-1]
    assert first["reward_loss"] != rows[-1]["reward_loss"]
    alone = start(RunSpec.of({**REACHER, "labels": 0, "known_comparisons": exported(tmp_path)}))
    last = [turn(alone) for _ in rows][-1]
    assert last["labels"] == 0 and last["reward_loss"] is not None


def test_the_name_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, same = (RunSpec.of({**REACHER, "known_comparisons": exported(tmp_path / each)}) for each in "ab")
    other = RunSpec.of({**REACHER, "known_comparisons": exported(tmp_path, count=31)})
    assert one == same != other and one.known_comparisons.startswith("sha256:")
    assert "known_comparisons" not in RunSpec.of(REACHER).canonical()  # older runs keep their names


def test_a_run_is_made_again_from_its_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = RunSpec.of({**REACHER, "known_comparisons": exported(tmp_path)})
    known.place(spec, tmp_path)
    here = turn(start(spec))
    monkeypatch.setattr(known, "_contents", {})
    again = RunSpec.of(spec.canonical())
    assert turn(start(again, inputs=tmp_path)) == here
    with pytest.raises(UserError, match="is not what the run begins from"):
        start(again)
    (tmp_path / known.COMPARISONS).write_bytes(b"garbled")
    with pytest.raises(UserError, match="is not what the run begins from"):
        start(again, inputs=tmp_path)


def test_a_checkpoint_of_such_a_run_goes_on_to_the_byte(tmp_path: Path) -> None:
    spec = RunSpec.of({**REACHER, "known_comparisons": exported(tmp_path)})
    whole = start(spec)
    for _ in range(5):
        turn(whole)
    resumed = start(spec, state=whole.get_state())
    assert [turn(whole) for _ in range(3)] == [turn(resumed) for _ in range(3)]


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"task": "mujoco/hopper@1"}, "is of task mujoco/hopper@1, but the run's is mujoco/reacher@1"),
        ({"segment": 12}, "segments of 12 steps, the run's have 15"),
    ],
)
def test_comparisons_that_do_not_fit_are_one_line(tmp_path: Path, what: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        parts.build(RunSpec.of({**REACHER, "known_comparisons": exported(tmp_path, **what)}))
    assert "\n" not in str(caught.value)


def test_contradictions_are_one_line(tmp_path: Path) -> None:
    path = exported(tmp_path)
    for change, says in (
        ({"reward": "true", "labels": 0}, "the control learns no reward"),
        ({"reward_model": {"label_buffer": 5}}, "older comparisons would be dropped"),
        ({"known_comparisons": str(tmp_path / "absent.safetensors")}, "absent"),
    ):
        with pytest.raises(UserError, match=says):
            RunSpec.of({**REACHER, "known_comparisons": path, **change})


def test_a_reward_model_fitted_offline_is_where_a_run_begins(tmp_path: Path) -> None:
    data, settings = recorded(), {"hidden": [8, 8]}
    fitted = offline.fit(data, settings, updates=100)
    offline.save(tmp_path / "reward.safetensors", fitted, data, settings)
    values = {**REACHER, "labels": 0, "reward_model": settings, "known_reward": str(tmp_path / "reward.safetensors")}
    run = start(RunSpec.of(values))
    features = np.random.default_rng(1).standard_normal((20, 12), np.float32)
    while run.untrained:
        turn(run)
    turn(run)
    assert (run.reward.predict(features) == fitted.predict(features)).all()  # what is seen is scaled as it was
    assert run.reward.means.tolist() == fitted.means.tolist()  # type: ignore[attr-defined]  # nothing to refit it to
    assert run.reward.gradient_steps == 0  # those before the run are not its own
    minibatches = [start(RunSpec.of({**values, "seed": seed})).reward.random.random() for seed in (0, 1)]  # type: ignore[attr-defined]
    assert minibatches[0] != minibatches[1]
    with pytest.raises(UserError, match=r"other settings than the run's reward_model \(hidden\)"):
        start(RunSpec.of({**values, "reward_model": {}}))
    with pytest.raises(UserError, match="but the run's is mujoco/hopper@1"):
        RunSpec.of({**values, "task": "mujoco/hopper"})


@pytest.mark.parametrize("name", ["ensemble", "module", "reed", "mrn"])
def test_a_known_reward_keeps_its_scale_until_it_is_fitted_and_counts_and_draws_anew(name: str) -> None:
    pytest.importorskip("torch")
    settings: dict[str, Any] = {"name": name}
    if name == "module":
        settings["module"] = f"{__name__}:network"
    values = {**REACHER, "policy": SMALL_SAC, "reward_model": settings}
    first = start(RunSpec.of(values))
    while not first.finished:
        turn(first)
    assert first.reward.gradient_steps > 0
    features = np.random.default_rng(1).standard_normal((20, 12), np.float32)
    begun, other = (start(RunSpec.of(values)).reward for _ in range(2))
    for seed, reward in ((1, begun), (2, other)):
        reward.set_state(first.reward.get_state())
        reward.begin(seed)  # type: ignore[attr-defined]
    before = begun.predict(features)
    assert first.pool.turn is not None
    acted = dataclasses.replace(first.pool.turn, features=9 + first.pool.turn.features)
    begun.observe(acted)
    assert (begun.predict(features) == before).all() and begun.gradient_steps == 0
    again = start(RunSpec.of(values)).reward
    again.set_state(begun.get_state())
    again.observe(acted)
    assert (again.predict(features) == before).all() and again.gradient_steps == 0
    if name == "module":
        assert begun.drawing.random() != other.drawing.random()  # type: ignore[attr-defined]
    if name == "reed":
        assert begun.remembered.keeping.random() != other.remembered.keeping.random()  # type: ignore[attr-defined]
    begun.fit(first.comparisons, first.pool)
    assert begun.gradient_steps >= begun.settings.initial_updates  # type: ignore[attr-defined]
    scaled = begun.predict(features)
    begun.observe(acted)
    assert (begun.predict(features) != scaled).any()


def network(width: int) -> Any:
    import torch

    return torch.nn.Sequential(torch.nn.Linear(width, 1), torch.nn.Flatten(0))


def test_a_run_whose_budget_is_the_untrained_phase_is_refused() -> None:
    """With labels and, as nothing would be learned there either, on the true reward."""
    longer = SMALL_SAC | {"random_steps": 100, "explore_steps": 3000}
    for policy, total in ((longer, 2500), (SMALL, 256), (SMALL, 257)):  # the last has no step left for each environment
        for more in ({}, {"reward": "true", "labels": 0}):
            with pytest.raises(UserError, match="nothing would be learned; raise total_steps"):
                start(RunSpec.of({**REACHER, "policy": policy, "total_steps": total, **more}))


def test_before_a_single_turn_of_learning_all_questions_are_put() -> None:
    """Those that the schedule had left would be put at the run's end, where they teach nothing."""
    settings = {**REACHER, "policy": SMALL, "labels": 10}
    first = start(RunSpec.of(settings))
    run = start(RunSpec.of({**settings, "total_steps": first.untrained_steps + first.turn_steps}))
    asked = {}
    while not run.finished:
        turn(run)
        asked[run.step] = run.comparisons.asked
    assert asked == {run.untrained_steps: 10, run.spec.total_steps: 10} and first.due < 10


@pytest.mark.parametrize("more", [0, 1, 3])
def test_the_last_label_is_asked_before_the_last_rollout(more: int) -> None:
    """Also where the budget ends with steps that not every environment can take."""
    run = start(RunSpec.of({**REACHER, "policy": SMALL, "labels": 40, "total_steps": 10 * 256 + more}))
    while not run.finished:
        turn(run)
    asked = run.comparisons.step_asked
    assert len(asked) == 40 and asked.max() < run.step == 2560


@pytest.mark.parametrize("policy", [REACHER["policy"], SMALL_SAC])
def test_a_run_goes_on_from_another_runs_comparisons_and_reward_model(tmp_path: Path, policy: dict[str, Any]) -> None:
    from prefrl_core import checkpoint

    spec = RunSpec.of({**REACHER, "policy": policy})
    first = start(spec)
    while not first.finished:
        turn(first)
    folder = store.create(
        tmp_path, store.key_of(spec.canonical(), {"method": 4}), spec.canonical(), {"method": 4}
    ).folder
    checkpoint.save(folder / "checkpoint.safetensors", first.get_state())
    for log in checkpoint.sides(folder / "checkpoint.safetensors"):
        log.unlink()  # as a run does when it is finished
    save_file(first.comparisons.arrays(), folder / "comparisons.safetensors")
    values = {**REACHER, "seed": 1, "known_comparisons": str(folder), "known_reward": str(folder)}
    second = start(RunSpec.of(values))
    features = np.random.default_rng(1).standard_normal((20, 12), np.float32)
    assert (second.reward.predict(features) == first.reward.predict(features)).all()
    assert second.comparisons.known == 8
    (folder / "checkpoint.safetensors").unlink()
    with pytest.raises(UserError, match="has no checkpoint.safetensors"):
        RunSpec.of({**values, "seed": 2})


def test_a_reward_model_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = recorded()
    offline.save(tmp_path / "reward.safetensors", offline.fit(data, updates=1), data, "ensemble")
    monkeypatch.setattr(known, "METHOD_VERSION", 99)
    with pytest.raises(UserError, match="is of version 4 of the method, this is 99"):
        start(RunSpec.of({**REACHER, "known_reward": str(tmp_path / "reward.safetensors")}))


def test_a_file_that_was_cut_short_is_written_again(tmp_path: Path) -> None:
    """As a power cut may leave it, and as two runners at once find it."""
    (tmp_path / "exported").mkdir()
    spec = RunSpec.of({**REACHER, "known_comparisons": exported(tmp_path / "exported")})
    folder = tmp_path / "run"
    folder.mkdir()
    known.place(spec, folder)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(b"")
    known.place(spec, folder)
    assert file.read_bytes() == whole and list(folder.iterdir()) == [file]


def test_people_can_begin_from_recorded_comparisons_too(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    from bench.labeling.session import begin

    values = {**REACHER, "labeler": "human", "known_comparisons": exported(tmp_path)}
    assert (begin(values, tmp_path / "out").folder / known.COMPARISONS).is_file()


def test_a_fitted_reward_that_is_not_there_or_damaged_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "damaged.safetensors").write_bytes(b"no such thing")
    for name, says in (
        ("absent", "nothing is there: give a file that"),
        ("damaged", "no reward model that can be read"),
    ):
        settings = {"task": "mujoco/reacher", "labels": 20, "known_reward": str(tmp_path / f"{name}.safetensors")}
        with pytest.raises(UserError, match=says) as caught:
            RunSpec.of(settings)
        assert "delete" not in str(caught.value)
