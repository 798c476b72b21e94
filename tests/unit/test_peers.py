"""What the comparisons with other libraries say of their records."""

from __future__ import annotations

from typing import Any

from bench.peers.side_by_side import seconds_to, table

NAME = "sac, HalfCheetah-v5"


def run(library: str, seed: int, values: list[float]) -> dict[str, Any]:
    curve = [[100 * i, 10 * i, value] for i, value in enumerate(values, 1)]
    return {"library": library, "name": NAME, "seed": seed, "total_steps": 300, "seconds": 30, "curve": curve}


def test_the_second_is_the_first_at_which_the_return_is_reached() -> None:
    rises = run("ours", 0, [0, 4209, 4000])
    assert (seconds_to(rises, 4209), seconds_to(rises, 4210)) == (20, float("inf"))


def test_a_table_has_ranges_of_several_seeds_and_says_what_was_not_reached() -> None:
    ours, theirs = [run("ours", s, [0, 5000, 5000 + s]) for s in (0, 2)], [run("peer", 0, [0, 1000, 2000])]
    said = table(ours + theirs, "peer")
    assert f"| {NAME} | 300 | 1 | 5001 (5000 to 5002) | 2000 | 2000 | 30 | 30 | 1.0 |" in said
    assert f"{NAME}, seconds to a return of 4,209, ours: 20, 20\n" in said
    assert said.endswith("peer: not reached\n")
