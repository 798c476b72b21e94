"""The package of a stranger, with a part of each of the five kinds and a tired labeler. It is built and installed as a
distribution, found by its entry points, run, killed, resumed, edited (which is noticed), and validated."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import store

ROOT = Path(__file__).parents[2]
STRANGER = Path(__file__).parent / "stranger"
SUITE = """
name = "strange"
[run]
total_steps = 40_000
policy = "stranger-search"
query = "stranger-regret"
reward_model = { name = "stranger-ridge", ridge = 0.2 }
[sweep]
task = ["stranger/cart"]
seed = 1
[[arm]]
name = "true reward"
reward = "true"
[[arm]]
name = "tired"
labels = 200
labeler = { name = "stranger-tired", patience = 50 }
[[arm]]
name = "watching"
labels = 200
labeler = "stranger-watching"
"""
PARTS = [
    "stranger/cart",
    "policy:stranger-search",
    "reward:stranger-ridge",
    "labeler:stranger-tired",
    "labeler:stranger-watching",
    "query:stranger-regret",
]


class Home:
    """Where a stranger works: the package's source, an installation of it, a suite and its results."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.site, self.out = folder, folder / "site", folder / "runs"
        shutil.copytree(STRANGER, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
        self.install()
        (folder / "strange.toml").write_text(SUITE)

    def install(self) -> None:
        """Build the distribution, and install it into a folder of its own."""
        shutil.rmtree(self.site, ignore_errors=True)
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(self.site)]
        subprocess.run(
            [sys.executable, "-m", "pip", "install", *options, str(self.folder / "source")],
            check=True,
            cwd=self.folder,
            timeout=120,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        paths = os.pathsep.join([str(self.site), str(ROOT)])
        return subprocess.Popen(
            [sys.executable, "-m", "bench", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        said, _ = process.communicate(timeout=300)
        return process.returncode, said

    def metrics(self) -> dict[str, bytes]:
        return {run.key: (run.folder / "metrics.jsonl").read_bytes() for run in store.load(self.out)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = Home(tmp_path_factory.mktemp("stranger"))
    code, said = made.run("run", "strange.toml")
    assert code == 0 and "3 runs: 3 done." in said, said
    return made


def of(home: Home, labeler: str) -> store.Run:
    [run] = [one for one in store.load(home.out) if one.spec["labeler"]["name"] == labeler]
    return run


def test_all_parts_run_together_and_are_named_with_their_code(home: Home) -> None:
    run = of(home, "stranger-tired")
    wanted = {part.replace(":", " ") for part in PARTS if ":" in part} | {"task stranger/cart"}
    wanted -= {"labeler stranger-watching"}
    assert {name for name in run.versions if name not in ("method", "stranger")} == wanted
    assert all(run.versions[name].startswith("stranger 0.3 ") for name in wanted)
    assert run.versions["stranger"] == "0.3"  # which the task asks for
    assert run.provenance["plugins"]["labeler stranger-tired"]["module"] == "stranger.labelers"
    assert run.rows[-1]["labels"] == 200 and run.rows[-1]["stranger_step"] > 0


def test_the_policy_learns_from_the_true_reward(home: Home) -> None:
    """In the loop alone, seeds 0 and 1 came from -15 to 21 and from -13 to 22 (means of five rows)."""
    returns = [row["true_return"] for row in of(home, "oracle").rows if row["true_return"] is not None]
    assert sum(returns[-5:]) / 5 > sum(returns[:5]) / 5 + 10


def test_a_labeler_that_tires_errs_more_towards_the_end(home: Home) -> None:
    """It is patient for 50 questions. Of those more than three in four answers are right, of the last 100 fewer."""
    found = of(home, "stranger-tired").comparisons()
    better = found["true_returns"][:, 0] > found["true_returns"][:, 1]
    right = found["mu"] == better
    assert right[:50].mean() > 0.75 and right[-100:].mean() < 0.75


def test_killed_and_resumed_gives_the_same_bytes(home: Home, tmp_path: Path) -> None:
    kills = 0
    for pause in (2.0, 3.0, 4.0, 5.0):
        process = home.start("run", "strange.toml", "--out", str(tmp_path / "runs"))
        try:
            process.communicate(timeout=pause)
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            time.sleep(0.3)  # workers end with their parent
    code, said = home.run("run", "strange.toml", "--out", str(tmp_path / "runs"))
    assert code == 0 and kills, said
    assert {
        run.key: (run.folder / "metrics.jsonl").read_bytes() for run in store.load(tmp_path / "runs")
    } == home.metrics()


def test_every_part_keeps_the_laws(home: Home) -> None:
    code, said = home.run("validate", *PARTS)
    assert code == 0 and said.count("every law is kept") == len(PARTS), said


def test_an_error_of_theirs_names_their_line_once(home: Home, tmp_path: Path) -> None:
    lame = tmp_path / "lame.py"
    lame.write_text(
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\n"
        "class Lame:\n"
        "    def answer(self, questions, random):\n"
        "        return questions.lefft.sum(1)\n"
    )
    process = subprocess.run(
        [sys.executable, "-m", "bench", "validate", "lame:Lame"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 1
    assert process.stdout.count(f"at {lame}, line 5, in answer") == 1
    assert process.stdout.count("raised the same as 'answers'") >= 5


def test_an_edit_is_noticed(home: Home) -> None:
    """Last: it gives the runs of the tired labeler new names, and leaves those of the others alone."""
    before = home.metrics()
    path = home.folder / "source" / "stranger" / "labelers.py"
    path.write_text(path.read_text().replace("np.exp(-0.4 *", "np.exp(-0.8 *"))
    home.install()
    code, said = home.run("check", "runs")
    assert code == 0 and said.count("other software") >= 2 and "1 ok" in said, said
    code, said = home.run("verify", of(home, "stranger-tired").key)
    assert code != 0 and "belongs to other software ({'labeler stranger-tired': 'stranger 0.3 " in said, said
    code, said = home.run("run", "strange.toml")
    assert code == 0 and "3 runs: 3 done (1 of them before)." in said, said
    fresh = {key: text for key, text in home.metrics().items() if key not in before}
    assert len(fresh) == 2 and {run.key for run in store.load(home.out)} >= before.keys()
