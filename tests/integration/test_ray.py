"""Runs on a Ray cluster of several nodes on this machine: a node that is killed costs what came after the last
checkpoint, and nothing else tells where a run was made."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import REPOSITORY, Lab, checkpoint_of, metrics, wait_for

from bench import store
from bench.executors import cluster as connection
from prefrl_core import checkpoint
from prefrl_core.errors import UserError

ray = pytest.importorskip("ray", reason='Ray is not installed: pip install "prefrl-bench[ray]"')
pytestmark = pytest.mark.timeout(180)


@contextlib.contextmanager
def cluster(nodes: int, folder: Path, **environment: str) -> Iterator[Any]:
    """A head without CPUs and so many nodes with one each; their workers have this environment."""
    from ray.cluster_utils import Cluster

    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    own = {"RAY_USAGE_STATS_ENABLED": "0", "TMPDIR": str(scratch)}
    # Ray's sockets want a short path.
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir="/tmp", prefix="r") as short:
        for name, value in {**own, "RAY_TMPDIR": short, **environment}.items():
            patch.setenv(name, value)
        handler = signal.getsignal(signal.SIGTERM)  # Ray sets its own, which the other tests should not have
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        try:
            for _ in range(nodes):
                made.add_node(num_cpus=1)
            yield made
        finally:
            made.shutdown()
            signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def quick(lab: Lab) -> Iterator[Any]:
    """Three nodes whose learner is the quick one, which logs every step that it does."""
    path = f"{lab.folder / 'fake'}:{REPOSITORY}"
    with cluster(3, lab.folder, PYTHONPATH=path, FAKE_PAUSE="0.25", FAKE_LOG=str(lab.folder / "log")) as made:
        yield made


def kill_the_node_of(made: Any, worker: int) -> None:
    """As by a power cut: no goodbye, neither of the node nor of what runs on it."""
    ancestors = set()
    while worker > 1:
        ancestors.add(worker)
        worker = int(Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1].split()[1])
    (node,) = [node for node in made.worker_nodes if raylet(node) in ancestors]
    made.remove_node(node, allow_graceful=False)


def raylet(node: Any) -> int:
    return node.all_processes["raylet"][0].process.pid


@pytest.mark.parametrize("ship", [["--ship", "0.5"], []], ids=["ships results home", "shared folder"])
def test_a_node_killed_in_the_middle_costs_what_came_after_the_last_checkpoint(
    lab: Lab, undisturbed: dict[str, bytes], quick: Any, ship: list[str]
) -> None:
    parent = lab.begin("--executor", "ray", "--address", quick.address, *ship)
    assert parent.stdout is not None
    wait_for(lambda: lab.out.exists() and sum(checkpoint_of(run).exists() for run in store.load(lab.out)) == 3, 60)
    time.sleep(0.3)  # into the middle between two checkpoints
    victim = next(pid for pid in workers(lab))
    kill_the_node_of(quick, victim)
    told = next(line for line in parent.stdout if "it goes on" in line)
    assert "its worker on node " in told and told.count(" died; ") == 1
    (planned,) = [one for one in lab.planned() if told.startswith(f"{one.task} | {one.arm} | seed {one.seed}: ")]
    kept = checkpoint.load(checkpoint_of(store.Run(lab.out / planned.key)))["step"]
    rest, errors = parent.communicate(timeout=120)
    assert parent.returncode == 0 and errors == "" and rest.splitlines()[-1] == "6 runs: 6 done."
    assert "raylet" not in rest  # Ray's own log is not shown
    assert metrics(lab.out) == undisturbed

    done = Counter(tuple(map(int, line.split())) for line in (lab.folder / "log").read_text().splitlines())
    assert len(done) == 6 * 30  # every step of every run
    twice = sorted(step for step, times in done.items() if times > 1)
    assert {(labels, seed) for labels, seed, _ in twice} <= {(planned.spec.labels, planned.seed)}
    assert [step for *_, step in twice] == list(range(kept + 1000, kept + 1000 * (len(twice) + 1), 1000))
    assert kept >= 5000 and max(done.values()) <= 2
    assert "resumed" in store.Run(lab.out / planned.key).provenance
    assert not workers(lab) and not list(lab.out.glob(".shared-*"))
    left = list((lab.folder / "scratch").glob("prefrl-*"))
    assert len(left) == (1 if ship else 0)  # the dead node could not clear up


def workers(lab: Lab) -> list[int]:
    """Process ids of the workers that run now, in our results folder or in a scratch folder of ours."""
    return [pid for pid in lab.workers() if Path(f"/proc/{pid}/stat").exists()]


def test_ctrl_c_brings_home_what_the_nodes_have(lab: Lab, undisturbed: dict[str, bytes], quick: Any) -> None:
    parent = lab.begin("--executor", "ray", "--address", quick.address, "--ship", "1000", "--seeds", "1")
    wait_for(lambda: sum(path.name == "checkpoint.safetensors" for path in lab.folder.glob("scratch/*/*/*")) == 2, 60)
    assert not any(checkpoint_of(run).exists() for run in store.load(lab.out))
    parent.send_signal(signal.SIGINT)
    stdout, stderr = parent.communicate(timeout=60)
    assert parent.returncode == 130 and stderr == "" and "run the same command again" in stdout
    assert all(checkpoint_of(run).exists() for run in store.load(lab.out)) and not workers(lab)
    assert lab.run("--seeds", "1", "--workers", "2")[0] == 0
    assert metrics(lab.out).items() <= undisturbed.items()
    assert all("resumed" in run.provenance for run in store.load(lab.out))


def test_what_no_node_has_is_refused_before_anything_runs(lab: Lab, quick: Any) -> None:
    path = lab.folder / "tiny.toml"
    path.write_text(path.read_text() + '[resources.arms."20 labels"]\ngpus = 0.5\n')
    code, stdout, stderr = lab.run("--executor", "ray", "--address", quick.address)
    assert code == 2 and stdout == "" and stderr.count("\n") == 1
    assert "no node of the cluster" in stderr and "has 1 CPU and 0.5 GPU" in stderr


def test_the_real_learner_gives_the_same_bytes_wherever_it_runs(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    shutil.rmtree(tmp_path / "fake")
    words = [
        "bench",
        "run",
        "quick",
        "--steps",
        "8000",
        "--seeds",
        "1",
        "--only",
        "task=reacher",
        "--only",
        "arm=30 labels",
    ]
    here = lab.start([*words, "--out", str(tmp_path / "here")])
    assert here.communicate(timeout=300) and here.returncode == 0
    with cluster(1, tmp_path, PYTHONPATH=str(REPOSITORY), OMP_NUM_THREADS="2") as made:
        for out, ship in (("there", []), ("shipped", ["--ship", "0.5"])):
            command = [*words, "--executor", "ray", "--address", made.address, *ship, "--out", str(tmp_path / out)]
            there = lab.start(command)
            assert there.communicate(timeout=120) and there.returncode == 0
    (expected,) = metrics(tmp_path / "here").items()
    for out in ("there", "shipped"):
        assert [*metrics(tmp_path / out).items()] == [expected]
        (run,) = store.load(tmp_path / out)
        compared = run.folder / "comparisons.safetensors"
        assert compared.read_bytes() == (tmp_path / "here" / run.key / compared.name).read_bytes()


def test_an_address_that_says_nothing_is_one_line_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_ANSWER_WITHIN", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(UserError, match="no Ray cluster answers at .*it said nothing for 3 s"):
            connection.connect(address)
        assert time.monotonic() - began < 10


def test_an_address_where_nobody_is_is_one_line_and_exit_code_2(lab: Lab) -> None:
    code, stdout, stderr = lab.run("--executor", "ray", "--address", "127.0.0.1:1")
    assert code == 2 and stdout == "" and stderr.count("\n") == 1
    assert "no Ray cluster answers at '127.0.0.1:1' (Connection refused): start one by `ray start --head`" in stderr
