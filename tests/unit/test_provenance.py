"""Where a run was made: what its bytes may depend on has to differ where they may differ."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from bench import provenance

CPUINFO = (
    "processor\t: 0\ncpu family\t: {family}\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel\t\t: 9\n"
)


def cpu(monkeypatch: pytest.MonkeyPatch, cpuinfo: Path, family: int) -> str:
    cpuinfo.write_text(CPUINFO.format(family=family))
    monkeypatch.setattr(provenance, "_CPUINFO", cpuinfo)
    return str(provenance.collect()["cpu"])


def test_generations_of_one_name_are_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    new, old = cpu(monkeypatch, tmp_path / "cpuinfo", 26), cpu(monkeypatch, tmp_path / "cpuinfo", 23)
    assert new != old
    assert new.startswith("AMD EPYC (family 26, model 2, ")


def test_the_instructions_that_numpy_chose_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_them = cpu(monkeypatch, tmp_path / "cpuinfo", 26)
    simd = {"SIMD Extensions": {"baseline": ["X86_V2"], "found": []}}
    monkeypatch.setattr(np, "show_config", lambda mode: simd)
    assert cpu(monkeypatch, tmp_path / "cpuinfo", 26) == "AMD EPYC (family 26, model 2, X86_V2)" != with_them


def test_a_machine_without_cpuinfo_has_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(provenance, "_CPUINFO", tmp_path / "missing")
    assert provenance.collect()["cpu"].split(" (")[0]


def test_graphics_cards_are_told_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(provenance, "_CARDS", tmp_path)
    assert "cards" not in provenance.collect()
    for place, text in (("0000:01", "Model: \t\t NVIDIA H200\nIRQ:   \t 5\n"), ("0000:02", "IRQ: 6\n")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "information").write_text(text)
    assert provenance.collect()["cards"] == ["NVIDIA H200", "unknown"]


@pytest.mark.parametrize(
    ("changed", "dirty"),
    [("runs-mine/metrics.jsonl", False), ("README.md", False), ("bench/cli.py", True), ("prefrl_core/new.py", True)],
)
def test_only_changed_code_is_an_uncommitted_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: str, dirty: bool
) -> None:
    for name in ("README.md", "bench/cli.py", "prefrl_core/loop.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("committed")
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "first")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "_SOURCE", tmp_path.resolve())
    assert provenance.collect()["git"]["dirty"] is False
    (tmp_path / changed).parent.mkdir(exist_ok=True)
    (tmp_path / changed).write_text("not committed")
    assert provenance.collect()["git"]["dirty"] is dirty
