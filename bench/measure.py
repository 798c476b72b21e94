"""What a run costs on this machine, measured in a process of its own: ``python -m bench.measure SECONDS < SPEC``.

The spec is the canonical one as JSON; the answer is one JSON object on stdout, with the seconds that the measurement
took in all.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

from bench import tracks


def main() -> None:
    began = time.monotonic()
    values = json.load(sys.stdin)
    track = tracks.of(values["task"])
    costs = track.measure(track.spec(values), float(sys.argv[1]))
    print(json.dumps({"costs": asdict(costs), "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main()
