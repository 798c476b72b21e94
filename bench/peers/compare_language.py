"""How fast the language track's GPT is beside Hugging Face's GPT-2 of the same size: tokens a second on one core.

    python -m bench.peers.compare_language

The peer is installed into an environment of its own (``--environments``). The two take turns, ``--rounds`` times, one
process and one thread at a time, and are compared by processor time, so that a busy machine harms both alike. The
table says how many times as fast ours is: generating responses that all have 26 tokens, generating such as end with
probability 0.1 at each token (about as long as in training; ours takes those that ended out of the batch), and in a
step of training (forward, backward, Adam). Both sample from the whole distribution.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from bench.peers.side_by_side import Peer, one_thread

HUGGING_FACE = Peer("transformers", ("torch==2.13.0", "transformers==5.23.0"), "gpt_speed.py")
_SHAPES = (  # words, width, layers: the cpu preset's, and the two of larger size
    {"words": 249, "width": 96, "layers": 3},
    {"words": 1024, "width": 128, "layers": 4},
    {"words": 2048, "width": 192, "layers": 4},
)
_REST = {"heads": 4, "prompt": 28, "new": 26, "repetitions": 5, "end": 0.1}
_WORK = {"generated": "generated/s", "generated_uneven": "of uneven lengths", "trained": "trained/s"}


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each library (default: 3)")
    parser.add_argument("--rows", type=int, nargs="+", default=[64, 256], help="batch sizes (default: 64 256)")
    parser.add_argument("--environments", type=Path, default=Path(".peers"), help="where the peer is installed")
    parser.add_argument("--out", type=Path, help="also write every measurement as JSON there")
    options = parser.parse_args()
    pythons = {"ours": Path(sys.executable), "peer": HUGGING_FACE.python(options.environments / HUGGING_FACE.name)}
    measured = []
    print("| words, width, layers | rows |" + "".join(f" {title}: ours | peer | ratio |" for title in _WORK.values()))
    print("|---|---:|" + "---:|" * 3 * len(_WORK))
    for shape in _SHAPES:
        for rows in options.rows:
            job = {**_REST, **shape, "rows": rows}
            found = {name: [] for name in pythons}  # type: dict[str, list[dict[str, float]]]
            for _ in range(options.rounds):
                for name, python in pythons.items():
                    found[name].append(one_thread([python, _script(), json.dumps({**job, "library": name})]))
            measured.append({**job, **found})
            print(line(job, found), flush=True)
    if options.out:
        options.out.write_text(json.dumps(measured, indent=1) + "\n")


def line(job: dict[str, Any], found: dict[str, list[dict[str, float]]]) -> str:
    """A row of the table: medians over the rounds, and the ratio of the medians."""
    cells = [f"{job['words']}, {job['width']}, {job['layers']}", str(job["rows"])]
    for work in _WORK:
        ours, peer = (statistics.median(each[work] for each in found[name]) for name in ("ours", "peer"))
        cells += [f"{ours:,.0f}", f"{peer:,.0f}", f"{ours / peer:.1f}"]
    return f"| {' | '.join(cells)} |"


def _script() -> Path:
    return Path(__file__).with_name(HUGGING_FACE.script)


if __name__ == "__main__":
    main()
