"""Exports beside each other; the data themselves are tested on a real run in tests/integration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import export, store
from prefrl_core.errors import UserError


@pytest.mark.parametrize("there", ["nothing", "an empty folder"])
def test_of_two_exports_to_one_place_the_first_is_whole_and_the_other_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    to, run = tmp_path / "to", store.Run(tmp_path / "0123456789abcdef")
    if there != "nothing":
        to.mkdir()
    drafts: list[Path] = []

    def describe(draft: Path, files: list[dict[str, Any]], format: str) -> None:
        drafts.append(draft)
        (draft / "README.md").write_text(f"export {len(drafts)}")
        if len(drafts) == 1:  # meanwhile another does the same from beginning to end
            export.write([run], to)

    monkeypatch.setattr(export, "_write", lambda *_: {})
    monkeypatch.setattr(export, "_describe", describe)
    with pytest.raises(UserError, match="to is not an empty folder: choose another"):
        export.write([run], to)
    assert len(set(drafts)) == 2 and (to / "README.md").read_text() == "export 2"
    assert list(tmp_path.iterdir()) == [to]
