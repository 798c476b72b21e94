"""Does the gate catch what it should, and only that? Builds of the package with one line changed, through the gate.

    python tests/gate/prove.py --baseline results/baselines/ci.json --variants all --alarms 10

makes for each variant a copy of the source, changes it, runs suite ``ci`` there and prints the gate's answer; then
so many samples of the unchanged build with other seeds, which should pass. About three minutes a sample on two cores.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
Change = tuple[str, str, str]  # file, what stands there once, what shall stand there
VARIANTS: dict[str, list[Change]] = {
    "reward loss with its sign flipped": [
        ("prefrl_core/reward/fitted.py", "np.stack([slope, -slope], axis=1)", "np.stack([-slope, slope], axis=1)")
    ],
    "advantage not normalised": [
        (
            "prefrl_core/policy/ppo.py",
            "advantages = (advantages - advantages.mean()) / (advantages.std() + np.float32(1e-8))",
            "pass",
        ),
        (
            "prefrl_core/policy/trpo.py",
            "advantages = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + np.float32(1e-8))",
            "advantages = batch.advantages",
        ),
    ],
    "sleeps in the step loop": [
        (
            "prefrl_core/rollout.py",
            "        drawn[step] = policy.act(seen[step])\n",
            '        __import__("time").sleep(2e-4)\n        drawn[step] = policy.act(seen[step])\n',
        )
    ],
    "computes in vain in the step loop": [
        (
            "prefrl_core/rollout.py",
            "        drawn[step] = policy.act(seen[step])\n",
            "        np.linalg.svd(np.ones((40, 40)))\n        drawn[step] = policy.act(seen[step])\n",
        )
    ],
}


def build(folder: Path, changes: list[Change]) -> Path:
    """A copy of the packages with the changes made.

    Raises:
        ValueError: what is to be changed does not stand in its file once.
    """
    for package in ("prefrl_core", "bench"):
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file, old, new in changes:
        text = (folder / file).read_text()
        if text.count(old) != 1:
            raise ValueError(f"{file} has {text.count(old)} times {old!r}")
        (folder / file).write_text(text.replace(old, new))
    return folder


def judged(code: Path, suite: str, baseline: Path, words: list[str]) -> tuple[int, str]:
    """Run the suite by that build and ask the gate: exit code and what it says, without what is fine."""
    environment = {**os.environ, "PYTHONPATH": str(code)}
    out = ["--out", str(code / "runs"), *words]
    bench = [sys.executable, "-m", "bench"]
    subprocess.run([*bench, "run", suite, *out], env=environment, cwd=code, check=True, stdout=subprocess.DEVNULL)
    gate = [*bench, "gate", suite, *out, "--baseline", str(baseline.resolve())]
    done = subprocess.run(gate, env=environment, cwd=code, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("  fine")]
    return done.returncode, "\n".join(lines) + done.stderr


def other_seeds(folder: Path, first: int, count: int) -> str:
    """Suite ``ci`` with seeds of its own, as a file."""
    text = (REPOSITORY / "bench" / "suites" / "ci.toml").read_text()
    seeds = list(range(first, first + count))
    (folder / "ci.toml").write_text(text.replace("seed = 8\n", f"seed = {seeds}\n"))
    return str(folder / "ci.toml")


def main() -> None:
    """Print each verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baseline", type=Path, default=REPOSITORY / "results" / "baselines" / "ci.json")
    parser.add_argument("--variants", default="all", help="all, none, or a part of a variant's name")
    parser.add_argument("--seeds", type=int, default=8, help="of a sample")
    parser.add_argument("--alarms", type=int, default=10, help="samples of the unchanged build with other seeds")
    options = parser.parse_args()
    chosen = {} if options.variants == "none" else VARIANTS
    for name, changes in chosen.items():
        if options.variants in ("all", name) or options.variants in name:
            with tempfile.TemporaryDirectory() as folder:
                code, said = judged(
                    build(Path(folder), changes), "ci", options.baseline, ["--seeds", str(options.seeds)]
                )
            print(f"== {name}: exit code {code}\n{said}", flush=True)
    for index in range(options.alarms):
        with tempfile.TemporaryDirectory() as folder:
            where = build(Path(folder), [])
            suite = other_seeds(where, 100 + index * options.seeds, options.seeds)
            code, said = judged(where, suite, options.baseline, [])
        print(f"== unchanged, seeds from {100 + index * options.seeds}: exit code {code}\n{said}", flush=True)


if __name__ == "__main__":
    main()
