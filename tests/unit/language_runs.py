"""Made-up language runs in the documented format, as a suite such as ``language`` would leave them.

What they say is known: gold follows Gao's curves with the coefficients of ``a`` and ``b`` below, a weaker reward model
(fewer rankings) has a larger b, PPO's loss on text grows with KL and PPO-ptx's does not.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from finished import finish
from safetensors.numpy import save_file

from bench import store
from bench.suite import Planned
from prefrl_core.language.rows import row
from prefrl_core.language.spec import LanguageSpec

TASK = "language/tinyinstruct@1"
VERSIONS = {"language": 1, "torch": "2.13.0"}
BUDGETS = (64, 256, 1024, 4096)
N = (1, 4, 16, 64)
PROMPTS = 60
A_BON, A_RL, SLOPE = 0.9, 0.8, 0.06  # gold of best of n: d (a - b d), of PPO: d (a - b log d); nats of text a nat of KL
FAMILIES = ("story", "question", "list")


def b_of(rankings: int, best_of_n: bool) -> float:
    """How fast gold falls."""
    return (0.75 if best_of_n else 1.1) - (0.1 if best_of_n else 0.17) * float(np.log(rankings / 64) / np.log(4))


@dataclass(frozen=True)
class Suite:
    name: str = "language"
    title: str = "The pipeline in small"
    description: str = "Base, SFT, best of n, PPO on gold, PPO and PPO-ptx."
    baseline: str = ""


def arms(budgets: tuple[int, ...] = BUDGETS) -> dict[str, dict[str, Any]]:
    """Settings by name."""
    made: dict[str, dict[str, Any]] = {"base": {"method": "base"}, "SFT": {"method": "sft"}}
    made["PPO on gold"] = {"method": "ppo", "reward": "gold"}
    for budget in budgets:
        made[f"best of n, {budget} rankings"] = {
            "method": "best_of_n", "rankings": budget, "best_of_n": {"n": list(N)},
        }  # fmt: skip
        made[f"PPO, {budget} rankings"] = {"rankings": budget}
        made[f"PPO-ptx, {budget} rankings"] = {"rankings": budget, "ppo": {"gamma": 0.3}}
    return made


def plan(seeds: int = 3, of: dict[str, dict[str, Any]] | None = None) -> list[Planned]:
    """The runs, in balanced order."""
    planned = []
    for seed in range(seeds):
        for arm, settings in (of or arms()).items():
            spec = LanguageSpec.of({"task": TASK, "seed": seed, **settings})
            planned.append(Planned(arm, TASK, seed, spec, store.key_of(spec.canonical(), VERSIONS)))
    return planned


def rows_of(run: Planned, until: float = 1.0) -> Iterator[dict[str, Any]]:
    """The run's rows; of one that is not finished those of its PPO up to a share of the episodes."""
    spec = run.spec
    assert isinstance(spec, LanguageSpec)
    random = np.random.default_rng([run.seed, zlib.crc32(run.arm.encode())])
    text = 1.5 + 0.01 * run.seed
    yield row("pretrain", step=1000, stage_step=1000, episodes=0, loss=text, ptx_nll=text)
    if spec.method == "base":
        yield row("final", step=1000, stage_step=0, gold_gain=-1.5, kl_exact=9.0, ptx_nll=text, qa_acc=0.2)
        return
    sft = {"gold_gain": 0.0, "kl_exact": 0.0, "ptx_nll": text, "qa_acc": 0.95}
    yield row("sft", step=1126, stage_step=126, episodes=0, **sft)
    if spec.learns_reward:
        asked = {"labels.rankings": spec.rankings, "labels.pairs": 6 * spec.rankings, "labels.agreement": 0.8}
        yield row("collect", step=2000, stage_step=spec.rankings, **asked)
        model = {"rm_accuracy": 0.55 + 0.08 * np.log(spec.rankings / 64) / np.log(4) + 0.01 * random.normal()}
        model |= {"rm_accuracy_train_labelers": 0.6, "rm_accuracy_heldout_labelers": 0.58, "rm_ece": 0.05}
        yield row("reward_model", step=2100, stage_step=64, **asked, **model)
    end = {"step": 3000, "stage_step": 0, "episodes": 0} | ({"labels.rankings": spec.rankings} if spec.rankings else {})
    if spec.method == "sft":
        yield row("final", **end, **sft)
    elif spec.method == "best_of_n":
        for n in spec.best_of_n.n:
            kl = np.log(n) - (n - 1) / n
            gold = np.sqrt(kl) * (A_BON - b_of(spec.rankings, True) * np.sqrt(kl)) + 0.02 * random.normal()
            yield row("final", **end, n=n, kl_exact=kl, gold_gain=gold, proxy_mean=1.1 * np.sqrt(kl))
    else:
        yield from _ppo(spec, random, text, until)


def _ppo(spec: LanguageSpec, random: np.random.Generator, text: float, until: float) -> Iterator[dict[str, Any]]:
    ptx, points = spec.ppo.gamma > 0, 8
    reach = (3.0 if ptx else 6.0) * (1 + 0.1 * random.normal())
    for point in range(int(points * until) + 1):
        kl = reach * point / points
        d = np.sqrt(max(kl, 1e-12))
        b = 0.3 if spec.reward == "gold" else b_of(spec.rankings, False)
        values = {
            "kl_exact": kl,
            "kl_k1": kl,
            "gold_gain": d * (A_RL - b * np.log(d)) + 0.02 * random.normal(),
            "proxy_mean": d * 1.2,
            "ptx_nll": text + (0.005 if ptx else SLOPE) * kl,
            "qa_acc": 0.95 - (0.0 if ptx else 0.05) * kl,
            "length": 12.0,
        }
        step = {"step": 2100 + 16 * point, "stage_step": 16 * point, "episodes": 2048 * point}
        yield row("ppo", **step, **values)
        if point == points:
            yield row("final", **step, **values, **({"labels.rankings": spec.rankings} if spec.rankings else {}))


def samples_of(run: Planned, rows: list[dict[str, Any]]) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Final responses whose means are those of the final rows."""
    random = np.random.default_rng([run.seed, zlib.crc32(run.arm.encode()), 1])
    gold = np.array([row["gold_gain"] for row in rows if row["stage"] == "final"])
    sft = np.random.default_rng(run.seed).normal(size=PROMPTS)
    noise = random.normal(size=(PROMPTS, len(gold)))
    gold = gold + noise - noise.mean(0) if run.arm != "SFT" else (sft - sft.mean())[:, None]
    wins = np.sign(gold - (sft - sft.mean())[:, None]) / 2 + 0.5
    judge = np.where(random.random(wins.shape) < 0.2, 1 - wins, wins)
    family = np.arange(PROMPTS) % len(FAMILIES)
    arrays = {"family": family, "held_out": family == 2, "gold_sft": sft - sft.mean()}
    wide = {"gold": gold, "proxy": gold + 0.1, "win_gold": wins, "win_judge": judge}
    arrays |= {name: values if "best" in run.arm else values[:, 0] for name, values in wide.items()}
    texts = {
        "prompt": [f"write a story about <b>cats</b> {i}" for i in range(PROMPTS)],
        "response": [f"{run.arm} says {i} & more" for i in range(PROMPTS)],
        "sft_response": [f"SFT says {i}" for i in range(PROMPTS)],
        "family": [FAMILIES[i] for i in family],
    }
    return arrays, texts


def write_run(out: Path, run: Planned, until: float = 1.0, error: str = "") -> Path:
    """A run's folder, whole, stopped after a share of its episodes or failed with an error."""
    folder = store.create(out, run.key, run.spec.canonical(), VERSIONS).folder
    rows = list(rows_of(run, until))
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (folder / "metrics.jsonl").write_bytes(data)
    (folder / "timing.jsonl").write_bytes(b"".join(b'{"step": 1, "seconds": 1.0}\n' for _ in rows))
    made = {"git": {"revision": "abc", "dirty": False}, "versions": {"python": "3.11.2", "torch": "2.13.0"}}
    store.write_json(folder / "provenance.json", {**made, "cpu": "made up", "cores": 2, "platform": "test"})
    if error:
        store.write_json(folder / "failed.json", {"error": error})
    elif until == 1.0:
        arrays, texts = samples_of(run, rows)
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "samples.safetensors")
        store.write_json(folder / "samples.json", texts)
        finish(folder, rows[-1]["step"], rows[-1]["labels.rankings"] or 0)
    return folder
