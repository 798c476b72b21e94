"""Suite files: what they expand to, in which order, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import store, suite
from prefrl_core import tasks
from prefrl_core.errors import UserError

SMALL = """
name = "small"
[run]
total_steps = 50_000
[sweep]
task = ["mujoco/reacher", "mujoco/hopper@1"]
seed = 2
[tasks."mujoco/hopper@1"]
total_steps = 80_000
[[arm]]
name = "true reward"
reward = "true"
[[arm]]
name = "20 labels"
labels = 20
[[arm]]
name = "20 labels, wrong"
labels = 20
labeler = { name = "bpref", mistake = 0.1 }
"""


def write(folder: Path, text: str) -> str:
    path = folder / "small.toml"
    path.write_text(text)
    return str(path)


def refused(folder: Path, text: str, **filters: object) -> str:
    """The one line that a suite file gets, without the path that it begins with."""
    path = write(folder, text)
    with pytest.raises(UserError) as caught:
        suite.load(path).runs(**filters)  # type: ignore[arg-type]
    line = str(caught.value)
    assert line.startswith(path) and "\n" not in line
    return line.removeprefix(path)


def test_settings_come_from_run_task_and_arm(tmp_path: Path) -> None:
    runs = suite.load(write(tmp_path, SMALL)).runs()
    assert {(run.task, run.spec.total_steps) for run in runs} == {
        ("mujoco/reacher@1", 50_000),
        ("mujoco/hopper@1", 80_000),
    }
    wrong = next(run for run in runs if run.arm == "20 labels, wrong")
    assert wrong.spec.labels == 20 and wrong.spec.labeler["mistake"] == 0.1
    arm_wins = SMALL.replace('name = "20 labels"\n', 'name = "20 labels"\ntotal_steps = 90_000\n')
    long = [run for run in suite.load(write(tmp_path, arm_wins)).runs() if run.spec.total_steps == 90_000]
    assert [run.arm for run in long] == ["20 labels"] * 4


def test_steps_and_seeds_replace_the_suites(tmp_path: Path) -> None:
    runs = suite.load(write(tmp_path, SMALL)).runs(seeds=3, steps=60_000)
    assert {run.seed for run in runs} == {0, 1, 2} and {run.spec.total_steps for run in runs} == {60_000}


def test_labels_replace_the_budget_of_every_run_that_asks(tmp_path: Path) -> None:
    small = suite.load(write(tmp_path, SMALL))
    assert [run.spec.labels for run in small.runs(seeds=1, only=["task=reacher"], labels=5)] == [0, 5, 5]
    budgets = suite.load(
        write(
            tmp_path,
            SMALL.replace('labeler = { name = "bpref", mistake = 0.1 }', "").replace(
                "labels = 20\n", "labels = 30\n", 1
            ),
        )
    )
    with pytest.raises(UserError, match="are the same run: remove one of them, or keep one by --only"):
        budgets.runs(labels=5)
    language = suite.load("language-quick").runs(seeds=1, labels=7, only=["arm=PPO on gold", "arm=PPO, 256 rankings"])
    assert [run.spec.labels for run in language] == [0, 7]


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert suite.load(write(tmp_path, f"\ufeff{SMALL}")) == suite.load(write(tmp_path, SMALL))


def test_listed_seeds_are_taken_from_the_front(tmp_path: Path) -> None:
    listed = suite.load(write(tmp_path, SMALL.replace("seed = 2", "seed = [7, 5, 9]")))
    assert list(dict.fromkeys(run.seed for run in listed.runs(seeds=2))) == [7, 5]
    with pytest.raises(UserError, match="lists no more than 3"):
        listed.runs(seeds=4)


def test_only_takes_the_exact_name_before_parts_of_names(tmp_path: Path) -> None:
    small = suite.load(write(tmp_path, SMALL))
    assert {run.arm for run in small.runs(only=["arm=20 labels"])} == {"20 labels"}
    assert {run.arm for run in small.runs(only=["arm=20"])} == {"20 labels", "20 labels, wrong"}
    assert {run.task for run in small.runs(only=["task=Hopper"])} == {"mujoco/hopper@1"}
    assert {run.task for run in suite.load("mujoco").runs(only=["task=HalfCheetah"])} == {"mujoco/half_cheetah@1"}
    both = small.runs(only=["arm=true", "arm=wrong", "seed=1", "task=reacher"])
    assert [(run.arm, run.seed) for run in both] == [("true reward", 1), ("20 labels, wrong", 1)]


def test_filters_that_match_nothing_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'arm=x' --only 'seed=1' match no run together"):
        suite.select([{"arm": "x", "seed": "0"}, {"arm": "y", "seed": "1"}], ["arm=x", "seed=1"])


def test_only_spares_the_arms_that_the_steps_are_too_few_for(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL.replace("labels = 20\n[[arm]]", "labels = 1000\n[[arm]]"))
    assert suite.load(path).runs(steps=20_000, only=["arm=true"])
    with pytest.raises(UserError, match=r"arm '20 labels' on mujoco/reacher: labels = 1000: .* ask at most"):
        suite.load(path).runs(steps=20_000)


@pytest.mark.parametrize(
    ("only", "says"),
    [
        ("arm=39 labels", "matches nothing: there is 'true reward', '20 labels'"),
        ("seed=7", "matches nothing: there is '0', '1'"),
        ("arm=", "matches nothing"),
        ("hopper", "write name=value"),
        ("tusk=hopper", "did you mean 'task'?"),
    ],
)
def test_only_that_says_nothing_is_refused(tmp_path: Path, only: str, says: str) -> None:
    with pytest.raises(UserError, match=r"--only") as caught:
        suite.load(write(tmp_path, SMALL)).runs(only=[only])
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("change", "to", "says"),
    [
        ("[sweep]", "[swep]", "unknown key in the file: 'swep': did you mean 'sweep'?"),
        ("seed = 2", "sead = 2", "unknown key in [sweep]: 'sead': did you mean 'seed'?"),
        ("labels = 20\nlabeler", "lables = 20\nlabeler", "did you mean 'labels'?"),
        ("total_steps = 80_000", "sead = 4", "unknown key in [tasks.'mujoco/hopper@1']: 'sead': did you mean 'seed'?"),
        ("mistake = 0.1", "mistaken = 0.1", "arm '20 labels, wrong' on mujoco/reacher: unknown"),
        ('"bpref"', '"bpreff"', "unknown labeler 'bpreff': did you mean 'bpref'?"),
        ('"mujoco/reacher"', '"mujoco/reecher"', "unknown task 'mujoco/reecher': did you mean 'mujoco/reacher'?"),
        ('"mujoco/reacher"', '"mujoco/reacher@9"', "no version '9'"),
        ('[tasks."mujoco/hopper@1"]', '[tasks."mujoco/hoper@1"]', "did you mean 'mujoco/hopper@1'?"),
        ('name = "20 labels"', 'name = "true reward"', "[[arm]] 2: its name 'true reward' is taken"),
        ('name = "20 labels"', "", "[[arm]] 2 name is missing"),
        ('name = "small"', 'name = "../small"', "it names a folder"),
        ('name = "small"', 'name = "größe"', "name = 'größe': use up to 100 of a to z, A to Z, 0 to 9, '-', '_' and"),
        ("seed = 2", "seed = 0", "[sweep] seed = 0: give the number of seeds"),
        ("seed = 2", "seed = [1, 1]", "give the number of seeds, up to 10,000, or a list of different ones"),
        ("seed = 2", "seed = true", "[sweep] seed = True"),
        ("total_steps = 50_000", "seed = 1", "'seed' in [run]: it belongs to [sweep]"),
        ("total_steps = 80_000", "seed = 0", "[tasks.'mujoco/hopper@1'] seed = 0: give the number of seeds"),
        (
            "total_steps = 80_000",
            "plugins = []",
            "'plugins' in [tasks.'mujoco/hopper@1']: it belongs to the top",
        ),
        ("total_steps = 50_000", "total_steps = 'many'", "expected int"),
        ("total_steps = 50_000", "schedule_constant = inf", "not a finite number"),
        ("[run]", 'plugins = ["no_such_module"]\n[run]', "or on PYTHONPATH: start from the folder"),
        (
            "[run]",
            'plugins = ["my_lab.py"]\n[run]',
            "no module 'my_lab.py' in the current folder or on PYTHONPATH: leave out .py",
        ),
        ("[run]", 'plugins = "os"\n[run]', "plugins = 'os': should be a list, in [ ]"),
        ("labels = 20\n[[arm]]", "labels = -1\n[[arm]]", "arm '20 labels' on mujoco/reacher: labels = -1"),
        ("labeler = {", "segment = 60\nlabeler = {", "segment = 60: an episode of mujoco/reacher@1 has 50"),
        ('labeler = { name = "bpref", mistake = 0.1 }', "", "'20 labels' and arm '20 labels, wrong' on mujoco/reach"),
        ('"mujoco/reacher"', '"mujoco/hopper"', "'mujoco/hopper' and 'mujoco/hopper@1' are the same task: keep one"),
    ],
)
def test_a_mistake_in_a_suite_is_one_line(tmp_path: Path, change: str, to: str, says: str) -> None:
    assert change in SMALL
    assert says in refused(tmp_path, SMALL.replace(change, to, 1))


def test_an_arm_in_single_brackets_is_told_of_the_double_ones(tmp_path: Path) -> None:
    one_arm = '[arm]\nname = "20 labels"\nlabels = 20\n'
    says = refused(tmp_path, SMALL[: SMALL.index("[[arm]]")] + one_arm)
    assert says.endswith("write [[arm]], in two brackets, above each arm")


def test_broken_toml_names_file_and_line(tmp_path: Path) -> None:
    assert refused(tmp_path, SMALL.replace("seed = 2", "seed 2")).startswith(":7: not valid TOML: ")


def test_a_plugin_that_fails_to_import_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_broken_plugin.py").write_text("raise RuntimeError('out of\\n order')")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = SMALL.replace("[run]", 'plugins = ["my_broken_plugin"]\n[run]')
    assert "plug-in 'my_broken_plugin' does not import: RuntimeError: out of order" in refused(tmp_path, text)


@pytest.mark.parametrize("name", ["quik", "no/such.toml"])
def test_an_unknown_suite_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"did you mean 'quick'|no/such.toml: cannot be read"):
        suite.load(name)


def test_built_in_suites_expand() -> None:
    for name in suite.names():
        loaded = suite.load(name)
        assert len(loaded.runs()) == len(loaded) and loaded.name == name
    assert len(suite.load("quick")) == 20


@pytest.mark.parametrize("name", ["dmcontrol", "methods", "noise", "effort"])
def test_suites_of_methods_hold_effort_equal(name: str) -> None:
    """Where it is not the subject: the same gradient steps of the reward, the same updates of the policy."""
    efforts: dict[str, set[Any]] = {}
    loaded = suite.load(name)
    for one in loaded.runs(seeds=1, only=[f"task={loaded.tasks[0]}"]):
        model = one.spec.reward_model
        if one.spec.reward == "learned":
            steps = model["initial_updates"], model["updates"], model["members"], model["batch_pairs"]
            policy = {key: value for key, value in one.spec.policy.items() if key not in ("recent", "explore_steps")}
            efforts.setdefault(one.task, set()).add((steps if name != "effort" else (), *policy.items()))
    assert {len(found) for found in efforts.values()} == {1}
    if name == "effort":
        fits = -(-150_000 // 2048) - 8  # turns after the untrained ones, but the first
        told = {one.arm: one.spec.reward_model for one in suite.load(name).runs(seeds=1) if one.spec.labels}
        for arm, model in told.items():
            steps = int(re.findall(r"([\d,]+) steps", arm)[0].replace(",", ""))
            assert model["initial_updates"] + fits * model["updates"] == steps


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.sampled_from(["hopper", "ant", "swimmer", "reacher"]), min_size=1, max_size=3, unique=True),
    labels=st.lists(st.integers(1, 40), min_size=1, max_size=4, unique=True),
    seeds=st.one_of(st.integers(1, 4), st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True)),
)
def test_expansion_is_balanced_and_keys_are_unique_and_stable(
    tmp_path: Path, names: list[str], labels: list[int], seeds: int | list[int]
) -> None:
    text = f'name = "s"\n[sweep]\ntask = {json.dumps([f"mujoco/{name}@1" for name in names])}\nseed = {seeds}\n'
    text += "".join(f'[[arm]]\nname = "{count} labels"\nlabels = {count}\n' for count in labels)
    loaded = suite.load(write(tmp_path, text))
    runs = loaded.runs()
    cells = {(run.task, run.arm) for run in runs}
    assert len(cells) == len(names) * len(labels) and len(runs) == len(loaded)
    seen: dict[tuple[str, str], int] = dict.fromkeys(cells, 0)
    for run in runs:  # wherever the suite is stopped, no cell is more than one seed ahead of another
        seen[run.task, run.arm] += 1
        assert max(seen.values()) - min(seen.values()) <= 1
    assert len({run.key for run in runs}) == len(runs)
    assert [run.key for run in runs] == [run.key for run in suite.load(str(tmp_path / "small.toml")).runs()]


def test_keys_are_the_same_in_another_process() -> None:
    code = "from bench import suite; print([run.key for run in suite.load('quick').runs(seeds=1)])"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str([run.key for run in suite.load("quick").runs(seeds=1)])


def test_a_key_is_the_hash_of_spec_and_versions() -> None:
    run = suite.load("quick").runs(seeds=1)[0]
    again = json.loads(json.dumps(run.spec.canonical()))
    assert store.key_of(again, suite.versions_of(run.spec)) == run.key
    assert len(run.key) == 16 and set(run.key) <= set("0123456789abcdef")


def test_another_simulator_gives_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {run.key for run in suite.load("quick").runs()}
    monkeypatch.setattr(tasks, "versions", lambda task: {"mujoco": "3.3.0", "gymnasium": "1.4.0"})
    assert not before & {run.key for run in suite.load("quick").runs()}


def test_an_arm_may_have_seeds_of_its_own(tmp_path: Path) -> None:
    changed = SMALL.replace('reward = "true"\n', 'reward = "true"\nseed = [0, 1, 7]\n')
    loaded = suite.load(write(tmp_path, changed))
    runs = loaded.runs()
    assert len(runs) == len(loaded) == 2 * (3 + 2 + 2)
    assert [run.seed for run in runs if run.arm == "true reward"] == [0, 0, 1, 1, 7, 7]
    assert [run.seed for run in runs if run.arm == "20 labels"] == [0, 0, 1, 1]
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)  # balanced
    assert {run.key for run in suite.load(write(tmp_path, SMALL)).runs()} < {run.key for run in runs}
    assert {run.seed for run in loaded.runs(seeds=1)} == {0}
    assert "seed = []: give the number of seeds" in refused(tmp_path, changed.replace("[0, 1, 7]", "[]"))


def test_atari_cpu_has_every_game_once_before_any_twice() -> None:
    runs = suite.load("atari-cpu").runs()
    first, second, last = runs[:14], runs[14:28], runs[28:]
    for part, seed in ((first, 0), (second, 1)):
        assert len({run.task for run in part}) == 7 and {run.seed for run in part} == {seed}
        assert {run.arm for run in part} == {"true reward", "3,000 labels"}
    assert len(last) == 7 and {run.arm for run in last} == {"1,000 labels"}
    assert all(run.spec.total_steps >= 2_000_000 for run in runs)
