"""Whatever was done to a results folder is found."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest
from finished_suite import folder_of

from bench import check, cli, store, worker


@pytest.fixture
def lab(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "lab")
    return tmp_path / "lab"


def findings(lab: Path) -> dict[str, tuple[str, str]]:
    return {one.path.name: (one.kind, one.what) for one in check.inspect(lab / "runs")}


def test_a_sound_folder_has_no_fault(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(lab / "runs")]) == 0
    assert "4 ok" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("metrics.jsonl", "sha256 differs"),
        ("timing.jsonl", "sha256 differs"),
        ("comparisons.safetensors", "sha256 differs"),
        ("segments.safetensors", "sha256 differs"),
        ("spec.json", "is damaged"),
        ("provenance.json", "sha256 differs"),
        ("done.json", "is damaged"),
    ],
)
def test_a_changed_byte_is_found_in_every_file(
    lab: Path, name: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder_of(lab) / name
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(bytes(data))
    kind, what = findings(lab)[path.parent.name]
    assert kind == "damaged" and says in what and name in what
    assert cli.main(["check", str(lab / "runs")]) == 1
    assert "1 damaged" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["metrics.jsonl", "provenance.json"])
def test_a_missing_file_is_found(lab: Path, name: str) -> None:
    (folder_of(lab) / name).unlink()
    kind, what = findings(lab)[folder_of(lab).name]
    assert kind == "damaged" and name in what


def test_published_results_may_leave_out_what_is_large(lab: Path) -> None:
    for name in ("comparisons.safetensors", "segments.safetensors", "timing.jsonl", "checkpoint.safetensors"):
        (folder_of(lab) / name).unlink()
    assert findings(lab)[folder_of(lab).name] == ("ok", "")


def test_missing_times_alone_are_no_reason_to_delete_a_checkpoint(lab: Path) -> None:
    """A film and ``known_reward`` are made from the checkpoint of a finished run; they need no times."""
    (folder_of(lab) / "timing.jsonl").unlink()
    assert (folder_of(lab) / "checkpoint.safetensors").exists()
    assert findings(lab)[folder_of(lab).name] == ("ok", "")


def test_a_spec_edited_by_hand_is_found(lab: Path) -> None:
    path = folder_of(lab) / "spec.json"
    path.write_text(path.read_text().replace('"labels": 20', '"labels": 19'))
    kind, what = findings(lab)[path.parent.name]
    assert kind == "damaged" and "not the spec that named this folder" in what


def test_a_total_edited_by_hand_is_found(lab: Path) -> None:
    path = folder_of(lab) / "done.json"
    path.write_text(path.read_text().replace('"labels": 20', '"labels": 10'))
    kind, what = findings(lab)[path.parent.name]
    assert kind == "damaged" and "tells 10 labels, its metrics 20" in what


def test_a_changed_default_is_no_other_software(lab: Path) -> None:
    """A part whose code got a setting more: the spec is completed by it, and its runs get new names."""
    old = store.Run(folder_of(lab))
    spec = {**old.spec, "policy": {name: value for name, value in old.spec["policy"].items() if name != "entropy"}}
    made = store.create(lab / "runs", store.key_of(spec, old.versions), spec, old.versions)
    with pytest.raises(worker.OtherDefaults, match=r"other defaults \(policy.entropy: none -> 0.0\): a setting"):
        worker.own_spec(made)
    assert check._of_software(made).kind == "other defaults"


def test_what_a_kill_leaves_is_named(lab: Path) -> None:
    runs = lab / "runs"
    (folder_of(lab) / "done.json").unlink()
    (folder_of(lab, 0) / "checkpoint.safetensors.tmp").write_bytes(b"half")
    (runs / ".0123456789abcdef.x_1").mkdir()
    shutil.copytree(folder_of(lab, 2), runs / "copy")
    store.write_json(folder_of(lab, 3) / "failed.json", {"error": "it diverged"})
    (folder_of(lab, 3) / "done.json").unlink()
    found = findings(lab)
    assert found[folder_of(lab).name] == ("unfinished", "6000 of 6000 steps: run its suite again")
    assert found[folder_of(lab, 0).name][0] == "leftover"
    assert found[".0123456789abcdef.x_1"][0] == "leftover"
    assert found["copy"][0] == "damaged" and "not its key" in found["copy"][1]
    assert found[folder_of(lab, 3).name] == ("failed", "it diverged")


def test_a_run_that_is_being_worked_on_is_no_fault(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder_of(lab) / "done.json").unlink()
    lock = worker.hold(folder_of(lab))
    assert lock is not None
    try:
        assert findings(lab)[folder_of(lab).name][0] == "running"
        assert cli.main(["check", str(lab / "runs")]) == 0
    finally:
        os.close(lock)


def test_no_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(tmp_path / "none")]) == 2
    assert "no results in" in capsys.readouterr().err


def test_an_edited_checkpoint_is_found_and_not_gone_on_from(lab: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    folder = folder_of(lab)
    (folder / "done.json").unlink()
    path = folder / "checkpoint.safetensors"
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        plain = json.loads(file.metadata()["plain"])
    plain["metrics_bytes"], plain["seconds"] = plain["metrics_bytes"], plain["seconds"] + 1.0
    save_file(arrays, path, metadata={"plain": json.dumps(plain)})
    kind, what = findings(lab)[folder.name]
    assert kind == "unfinished" and "starts over (the checkpoint in" in what and "its sha256 differs" in what
    before = (folder / "metrics.jsonl").read_bytes()
    assert cli.main(["run", str(lab / "small.toml"), "--out", str(lab / "runs"), "--workers", "1"]) == 0
    assert findings(lab)[folder.name] == ("ok", "") and (folder / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["spec.json", "metrics.jsonl", "checkpoint.safetensors", "segments.safetensors"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "device"])
def test_what_is_no_file_is_named_and_the_rest_is_looked_at(lab: Path, name: str, kind: str) -> None:
    path = folder_of(lab) / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(name if kind == "loop" else "/dev/zero")
    found = [one.kind for one in check.inspect(lab / "runs")]
    assert found.count("ok") == 3 and "damaged" in found


def test_a_lock_that_is_a_folder_fails_its_run_by_name_and_the_others_go_on(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (folder_of(lab), folder_of(lab, 2)):
        (folder / "done.json").unlink()
    lock = folder_of(lab) / ".lock"
    lock.unlink()
    lock.mkdir()
    assert cli.main(["run", str(lab / "small.toml"), "--out", str(lab / "runs"), "--workers", "1"]) == 1
    said = capsys.readouterr().out
    assert "4 runs: 3 done (2 of them before), 1 failed." in said
    assert f"{lock} is a folder, not a file of ours: remove it" in said.splitlines()[-1]
    assert ("damaged", f"{lock} is a folder, not a file of ours: remove it, then run the same command again") in [
        (one.kind, one.what) for one in check.inspect(lab / "runs")
    ]


def test_links_that_lie_in_a_results_folder_are_not_written_through(lab: Path) -> None:
    precious = lab / "precious"
    precious.write_text("mine")
    folder = folder_of(lab)
    (folder / "done.json").unlink()
    for name in ("metrics.jsonl", "checkpoint.safetensors.tmp", "comparisons.safetensors", "failed.json"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(precious)
    cli.main(["run", str(lab / "small.toml"), "--out", str(lab / "runs"), "--workers", "1"])
    assert precious.read_text() == "mine"
    for path in folder.iterdir():
        if path.is_symlink():
            path.unlink()
    assert cli.main(["run", str(lab / "small.toml"), "--out", str(lab / "runs"), "--workers", "1"]) == 0
    assert precious.read_text() == "mine" and cli.main(["check", str(lab / "runs")]) == 0


def test_leftovers_are_found_wherever_they_lie(lab: Path) -> None:
    for place in ("report-small", "tensorboard/a/b"):
        (lab / "runs" / place).mkdir(parents=True)
        (lab / "runs" / place / "x.tmp").touch()
    (lab / "runs" / "half.tmp").touch()
    assert [one.kind for one in check.inspect(lab / "runs")].count("leftover") == 3


def test_check_imports_nobody_s_module_and_says_so(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(lab))
    (lab / "evil_plugin").mkdir()
    (lab / "evil_plugin" / "__init__.py").write_text("from pathlib import Path; Path('ran').touch()")
    (lab / "evil_plugin" / "networks.py").touch()
    monkeypatch.chdir(lab)
    run = store.Run(folder_of(lab))
    network = {"name": "module", "module": "evil_plugin.networks:Net"}
    for change in ({"plugins": ["evil_plugin"]}, {"reward_model": network}, {"task": "gymnasium/evil_plugin:Env-v0"}):
        spec = {**run.spec, **change}
        key = store.key_of(spec, run.versions)
        copy = shutil.copytree(run.folder, lab / "runs" / key)
        store.write_json(copy / "spec.json", {"schema": 1, "key": key, "spec": spec, "versions": run.versions})
        done = json.loads((copy / "done.json").read_text())
        done["sha256"]["spec.json"] = store.checksum(copy / "spec.json")
        store.write_json(copy / "done.json", done)
        if "task" in change:  # Gymnasium looks it up among what is registered
            assert findings(lab)[key][0] == "other software" and "unknown task" in findings(lab)[key][1]
        else:
            assert findings(lab)[key][0] == "ok" and "not imported here" in findings(lab)[key][1]
    cli.main(["check", str(lab / "runs")])
    assert (
        "1 run, ok: whether this software would make it so is not looked at: plug-ins ['evil" in capsys.readouterr().out
    )
    assert not (lab / "ran").exists()


def test_a_stage_that_another_process_makes_is_no_leftover(lab: Path) -> None:
    stages = lab / "runs" / "stages"
    stages.mkdir()
    (stages / "sft-0.safetensors.tmp").write_bytes(b"half")
    with open(stages / "sft-0.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "leftover" not in {one.kind for one in check.inspect(lab / "runs")}
    assert "leftover" in {one.kind for one in check.inspect(lab / "runs")}
