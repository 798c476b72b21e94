"""A contract of import-linter: no module imports itself, through however many others.

``acyclic_siblings`` sees no circle between a package and a module in it, which runs while the package is half imported.
This contract compares single modules, so it does. Imports inside functions and under TYPE_CHECKING count. It is used by
``[tool.importlinter]`` in pyproject.toml.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output
from importlinter.application import contract_utils
from importlinter.application.contract_utils import AlertLevel


class NoCircles(Contract):
    """``ignore_imports``: imports that are not followed; one that is gone has to leave the list."""

    type_name = "no_circles"
    ignore_imports = fields.SetField(subfield=fields.ImportExpressionField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """One circle at a time is reported, as a path."""
        ignored = contract_utils.remove_ignored_imports_and_report(graph, self.ignore_imports, AlertLevel.ERROR)
        imports = {module: sorted(graph.find_modules_directly_imported_by(module)) for module in sorted(graph.modules)}
        try:
            TopologicalSorter(imports).prepare()
        except CycleError as error:
            return ContractCheck(kept=False, metadata={"circle": error.args[1][::-1]})
        return ContractCheck(kept=True, ignored_import_count=ignored.ignored_import_count)

    def render_broken_contract(self, check: ContractCheck) -> None:
        """The circle, an import a line."""
        circle = check.metadata["circle"]
        for importer, imported in pairwise(circle):
            output.print_error(f"{importer} imports {imported}")
