"""``bench validate``: what it says of parts, of words that name none, and of a part that ends the process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import cli
from bench.commands.shared import setting

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_people_are_not_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", "labeler:human"]) == 2
    assert "come from people" in capsys.readouterr().err


def test_the_examples_keep_the_laws(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    assert cli.main(["validate", "my_lab"]) == 0
    said = capsys.readouterr().out
    for part in ("task my/point@1", "policy small-ppo", "labeler unsure", "query most-certain"):
        assert part in said
    assert said.count("every law is kept") == 4


def test_json_and_exit_code_of_a_part_without_a_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "contrary.py").write_text(
        "from dataclasses import dataclass\n"
        "from prefrl_core.feedback.labelers import Oracle\n"
        "@dataclass(frozen=True)\n"
        "class Contrary(Oracle):\n"
        "    def answer(self, questions, random):\n"
        "        return 1 - super().answer(questions, random)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert cli.main(["validate", "contrary:Contrary", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["kept"] is False and said["parts"][0]["name"] == "contrary.Contrary"
    broken = {law["law"] for law in said["parts"][0]["laws"] if law["state"] == "broken"}
    assert broken == {"prefers the better", "calibrated"}  # it inherits the oracle's stated probabilities


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["labeler:orcale"], "unknown labeler 'orcale': did you mean 'oracle'"),
        (["task:mujoco/hoper"], "did you mean 'mujoco/hopper'"),
        (["mujoco/hopper@9"], "has no version '9'"),
        (["disagrement"], "did you mean 'disagreement'"),
        (["no_such_package:Labeler"], "plug-in 'no_such_package': no module"),
        (["json:dumpz"], "unknown name in json: 'dumpz'"),
        (["json:dumps"], "json:dumps is no part"),
        (["json"], "module 'json' registers no part"),
        (["labeler:bpref", "--set", "mistak=0.1"], "did you mean 'mistake'"),
        (["labeler:bpref", "--set", "mistake=2"], "a probability is in [0, 1]"),
        (["labeler:bpref", "--set", "mistake"], "write name=value"),
    ],
)
def test_a_wrong_name_is_one_line_and_2(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", *words]) == 2
    said = capsys.readouterr()
    assert says in said.err and said.err.count("\n") == 1 and not said.out


def test_settings_are_read_as_in_a_suite_file() -> None:
    assert [setting(text) for text in ("a=0.5", "b = true", "c=[1, 2]", 'd="x"', "e=word")] == [
        ("a", 0.5),
        ("b", True),
        ("c", [1, 2]),
        ("d", "x"),
        ("e", "word"),
    ]


def test_a_part_that_ends_the_process_is_named_with_the_law(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text(
        "import os, signal\n"
        "from dataclasses import dataclass\n"
        "from prefrl_core.feedback.labelers import Oracle\n"
        "@dataclass(frozen=True)\n"
        "class Leaves(Oracle):\n"
        "    def answer(self, questions, random):\n"
        "        print('chatter')\n"
        "        if os.fork() == 0: os.execvp('sleep', ['sleep', '5'])  # holds whatever it can of ours\n"
        "        os._exit(0)\n"
        "@dataclass(frozen=True)\n"
        "class Crashes(Oracle):\n"
        "    def answer(self, questions, random):\n"
        "        os.kill(os.getpid(), signal.SIGSEGV)\n"
        "@dataclass(frozen=True)\n"
        "class Unmade(Oracle):\n"
        "    wild: bool = False\n"
        "    def __post_init__(self):\n"
        "        if self.wild: os.abort()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PREFRL_TRIED", "deadly")  # its import is harmless
    for words, says in (
        (["deadly:Leaves", "--json"], "labeler deadly.Leaves ends the process that tries the law 'answers' (code 0): "),
        (["deadly:Crashes"], "labeler deadly.Crashes ends the process that tries the law 'answers' (signal 11): "),
        (["deadly:Unmade", "--set", "wild=true"], "labeler deadly.Unmade ends the process that makes it (signal 6): "),
    ):
        assert cli.main(["validate", *words]) == 2
        said = capfd.readouterr()
        assert said.err.splitlines()[-1].startswith(f"prefrl: {says}") and not said.out
