"""The way in: bounds, places and remedies; the way out: whose fault it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from bench import fault, files, parse, text
from bench.parse import Count, Model, Name, Real, Table
from prefrl_core.errors import UserError


class Inner(Model):
    steps: Count
    value: Real | None = None


class Outer(Model):
    name: Name
    runs: Annotated[list[Inner], Field(max_length=3)] = []
    settings: Table = {}


def deep(levels: int) -> Any:
    made: Any = 1
    for _ in range(levels):
        made = {"a": made}
    return made


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            {"name": "a", "runs": [{"steps": 1}, {"steps": -1}]},
            "f: runs[1].steps = -1: should be greater than or equal",
        ),
        ({"name": "a", "runs": [{"steps": True}]}, "f: runs[0].steps = True: should be a whole number"),
        ({"name": "a", "runs": [{"steps": 1, "value": float("nan")}]}, "f: runs[0].value = nan: should be a finite"),
        ({"name": "a", "runs": [{"steps": 1, "value": 1e16}]}, "f: runs[0].value = 1e+16: should be less than"),
        (
            {"name": "a", "runs": [{"steps": 1, "stops": 2}]},
            "unknown key in runs[0]: 'stops': did you mean 'steps'?",
        ),
        ({"name": "a", "runs": [{}]}, "f: runs[0].steps is missing"),
        ({"name": "a", "runs": [{"steps": 1}] * 4}, "at most 3 items"),
        ({"name": "a\nb"}, "no newlines or other control characters"),
        ({"name": "a\u202eb"}, "no newlines or other control characters"),
        ({"name": 10**400}, "name = a number of very many digits"),
        ({"name": "a", "settings": deep(20)}, "tables go no deeper than 12"),
        ({"name": "a", "settings": {"x": [float("inf")]}}, "inf is not a finite number"),
        ({"name": "a", "settings": {"x": 2**64}}, "at most 63 bits"),
        ({"name": "a", "settings": {"x": os}}, "a module is no setting"),
        ([], "should be a table of keys and values"),
    ],
)
def test_what_is_out_of_bounds_is_named_in_one_line(values: Any, says: str) -> None:
    with pytest.raises(UserError) as caught:
        parse.parse(Outer, values, "f")
    assert says in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize("data", [b"NaN", b'{"a": Infinity}', b"[" * 10_000, b'"\\ud800"', b"\xff", b"", b"1" * 5000])
def test_what_is_no_json_is_named(data: bytes) -> None:
    with pytest.raises(UserError, match=r"f is damaged \(.*\): mend it"):
        parse.json_of(data, "f", "mend it")


def test_nothing_that_is_no_file_is_read_or_waited_for(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "away").symlink_to("/etc/hostname")
    for name, what in (("folder", "a folder"), ("pipe", "a pipe"), ("loop", "a link"), ("away", "a link")):
        with pytest.raises(UserError, match=f"it is {what}, not a file"):
            files.read(tmp_path / name)
        with pytest.raises(UserError, match=f"is {what}, not a file of ours"):
            files.own(tmp_path / name, os.O_RDWR)
    with pytest.raises(UserError, match="it is a device"):
        files.read(Path("/dev/zero"))
    (tmp_path / "big").write_bytes(b"x" * 11)
    with pytest.raises(UserError, match="at most 10 make sense"):
        files.read(tmp_path / "big", 10)


def test_the_user_s_link_is_followed_and_a_foreign_one_is_not(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    files.write_to(link, b"new")
    assert target.read_bytes() == b"new" and link.is_symlink()
    (tmp_path / "link.tmp").symlink_to(target)  # laid where a writer will make its draft
    files.write_atomic(link, b"newer")
    assert target.read_bytes() == b"new" and not link.is_symlink() and link.read_bytes() == b"newer"
    files.write_to(Path("/dev/null"), b"nothing")
    assert files.kind(Path("/dev/null")) == "a device"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "target"]


def test_a_pipe_of_the_user_s_is_written_into(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    files.write_to(tmp_path / "pipe", b"told")
    assert os.read(reading, 10) == b"told"
    os.close(reading)


def test_a_fault_says_whose_it_is_and_where_the_trace_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    try:
        parse.json_place(None)  # type: ignore[arg-type]
    except TypeError as error:
        line = fault.told(error)
    (trace,) = tmp_path.iterdir()
    assert line.startswith("a fault of ours, not yours (TypeError: ") and f"the trace is in {trace}; report it" in line
    assert "Traceback" in trace.read_text() and "\n" not in line
    try:
        exec("def f():\n    raise KeyError('x')\nf()", {"__name__": "somebodys_lab"})
    except KeyError as error:
        error.__traceback__ = None
        assert fault.told(error, trace).startswith("a fault of ours")


def test_errors_of_the_system_have_a_remedy() -> None:
    assert fault.of_system(OSError(24, "Too many open files", "/a\x1b[2J")) == (
        "/a\\x1b[2J: Too many open files: allow more open files (ulimit -n), or use fewer --workers, "
        "then run the same command again"
    )


def test_text_cannot_steer_a_terminal() -> None:
    assert text.one_line("a\x1b[2J\n b\x9b\u202e\ud800") == "a\\x1b[2J b\\x9b\\u202e\\ud800"
    assert not text.is_plain("a\rb") and text.is_plain("Häuser 漢字 😀")
