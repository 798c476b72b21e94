"""``python -m prefrl``: see ``prefrl``. Run as a file, with the name of a module behind it: see ``prefrl.run``."""

import sys
from pathlib import Path

if __name__ == "__main__":
    if __package__:
        from prefrl import main

        sys.exit(main())
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from prefrl import run

    sys.path.pop(0)
    run(*sys.argv[1:])
