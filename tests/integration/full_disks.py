"""Full disks at random moments while a suite runs; then space again, and every run ends with the bytes it should have.

``python tests/integration/full_disks.py --times 20`` prints what happened. The disk is a small one in memory, and it
needs the right to mount one; ``unshare`` gives the process a view of its own, so that nothing stays behind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from kills import REPOSITORY, SUITE, content

from bench import check, store

_SIZE = 24 << 20  # bytes of the disk
_MARK = "PREFRL_OWN_MOUNTS"


def run(suite: Path, out: Path, moment: float | None = None, left: int = 0) -> tuple[int, str, str]:
    """The command; its disk is filled up to ``left`` bytes after ``moment`` seconds."""
    words = [sys.executable, "-m", "bench", "run", str(suite), "--out", str(out), "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": "/tmp"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=environment, **pipes) as process:  # type: ignore[call-overload]
        if moment is not None:
            time.sleep(moment)
            fill(out.parent / "ballast", left)
        stdout, stderr = process.communicate(timeout=600)
    return process.returncode, stdout, stderr


def fill(path: Path, left: int) -> None:
    """Take all space but so many bytes."""
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
    size = path.stat().st_size
    os.truncate(path, max(0, size - left))


def fill_at_random(folder: Path, times: int, seed: int = 0, steps: int = 24_000) -> Counter[str]:
    """Run the suite on a disk that fills up at a random moment, give it space again, and run it to its end.

    Raises:
        AssertionError: a traceback, an exit code that is none of ours, something recorded that cannot be read, or a run
            that ends with other bytes.
    """
    (suite := folder / "killed.toml").write_text(SUITE.format(steps=steps, seeds=2))
    began = time.monotonic()
    assert run(suite, folder / "undisturbed")[0] == 0
    took, expected = time.monotonic() - began, content(folder / "undisturbed")
    dice, happened = random.Random(seed), Counter[str]()
    disk = folder / "disk"
    disk.mkdir()
    for _ in range(times):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", disk], check=True)
        try:
            happened += once(suite, disk, dice.uniform(0, took), dice.choice([0, 4096, 50_000, 500_000]), expected)
        finally:
            subprocess.run(["umount", disk], check=True)
        print(dict(happened), flush=True)
    return happened


def once(suite: Path, disk: Path, moment: float, left: int, expected: dict[str, bytes]) -> Counter[str]:
    """One disk."""
    code, stdout, stderr = run(suite, disk / "runs", moment, left)
    said = stdout + stderr
    assert code in (0, 1, 2) and "Traceback" not in said and "fault of ours" not in said, said
    assert code != 1 or "no space left for" in said or "No space left" in said, said
    happened = Counter({"disks": 1, "commands that failed for want of space": int(code != 0)})
    if (disk / "runs").exists():
        for one in store.load(disk / "runs"):
            assert one.rows is not None  # whatever was recorded can be read
        kinds = Counter(found.kind for found in check.inspect(disk / "runs"))
        assert not kinds["damaged"], list(check.inspect(disk / "runs"))
        happened["runs interrupted"] += kinds["failed"] + kinds["unfinished"]
    (disk / "ballast").unlink(missing_ok=True)
    assert run(suite, disk / "runs")[0] == 0
    found = content(disk / "runs")
    assert found == expected, sorted(name for name in expected if found.get(name) != expected[name])
    assert {one.kind for one in check.inspect(disk / "runs")} <= {"ok"}, list(check.inspect(disk / "runs"))
    happened["suites resumed to the same bytes"] += 1
    return happened


def main() -> None:
    """Fill as many disks as asked, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=24_000)
    options = parser.parse_args()
    if _MARK not in os.environ:
        words = ["unshare", "-m", sys.executable, *sys.argv]
        raise SystemExit(subprocess.run(words, env={**os.environ, _MARK: "1"}, check=False).returncode)
    with tempfile.TemporaryDirectory() as folder:
        fill_at_random(Path(folder), options.times, options.seed, options.steps)


if __name__ == "__main__":
    main()
