"""Fixtures of several files of tests. What they need is imported where they are used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from label_room import Room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """A run with five questions."""
    from label_room import Room

    made = Room(tmp_path)
    yield made
    made.ledger.close()


@pytest.fixture
def page(room: Room) -> TestClient:
    """Its page."""
    return room.page()
