"""``bench gate``: is this build worse than a committed baseline?"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from bench.commands.shared import Shared, plan, real, table
from prefrl_core.errors import UserError, require


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser(
        "gate",
        parents=[shared.suite],
        help="compare finished runs with a baseline: exit code 0 not worse, 1 worse, 2 cannot tell",
    )
    made.add_argument("--baseline", type=Path, metavar="FILE", help="what the runs are compared with")
    made.add_argument("--write-baseline", type=Path, metavar="FILE", help="write a baseline from the runs instead")
    made.add_argument("--candidate", type=Path, metavar="DIR", help="folder of the runs (default: that of --out)")
    made.add_argument(
        "--margin", type=real(0, 2), default=0.1, metavar="X", help="normalised return that may be lost (0.1)"
    )
    made.add_argument(
        "--exact", action="store_true", help="different bytes fail as well; exit code 2 if none can be compared"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the findings for machines")
    made.add_argument("--markdown", type=Path, metavar="FILE", help="write a summary for a pull request")
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """0: not worse; 1: worse; 2: it cannot be told (a UserError, or bytes that --exact has nothing to compare with)."""
    from bench import files
    from bench.gate import baseline, compare, formats
    from bench.gate.findings import Limits

    if (options.baseline is None) == (options.write_baseline is None):
        raise UserError("gate needs either --baseline FILE to compare with, or --write-baseline FILE to make one")
    outputs = {name: getattr(options, name) for name in ("write_baseline", "json", "markdown")}
    for name, to in outputs.items():
        inputs = (options.baseline, Path(options.suite))
        same = to is not None and any(
            one is not None and os.path.realpath(one) == os.path.realpath(to) for one in inputs
        )
        require(not same, f"--{name.replace('_', '-')} {to}: that file is read here, give another")
    suite, planned = plan(options)
    sample = baseline.measured(suite.name, planned, options.candidate or options.out)
    if options.write_baseline:
        if files.present(options.write_baseline):
            baseline.load(options.write_baseline)  # only a baseline is replaced
        baseline.save(options.write_baseline, sample)
        print(f"{options.write_baseline}: {len(sample.runs)} runs of suite {suite.name!r}")
        return 0
    limits = Limits(margin=options.margin, exact=options.exact)
    narrowed = bool(options.only)
    findings = compare.compare(baseline.load(options.baseline), sample, limits, narrowed)
    if options.json:
        files.write_to(options.json, formats.as_json(suite.name, findings, limits))
    if options.markdown:
        files.write_to(options.markdown, formats.as_markdown(suite.name, findings, limits))
    print(table(formats.rows(findings)))
    print(formats.headline(suite.name, findings, limits))
    return 1 if compare.worse(findings) else 2 if compare.untold(findings, limits) else 0
