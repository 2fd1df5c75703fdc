"""Measures what metrics cost: steps of the service beside those of a copy of it that counts nothing.

Metrics cannot be switched off. The copy lacks the statements that count what steps do, and publishes nothing. Both run
as pure Python, because the copy is not compiled.
"""

import ast
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.scaling import sessions
from benchmarks.scaling.scene import Row, Scene, grown
from benchmarks.serving.contestants import MODEL, create_model, start_cellars
from benchmarks.serving.copies import PREFIX
from benchmarks.serving.http import post

LIMIT = 1.02

COUNT = 200
"""Sessions of each service."""

SERVICE = Path(__file__).parents[2] / "service"

COUNTERS = {
    "sessions/requests/group_commit.py": {"_QUEUE", "_KERNEL", "_COMMIT", "_TOTAL", "_BATCH", "model"},
    "api/fast_http/request_cycle.py": {"counts"},
}
"""By file, the variables in which the counts of steps are."""

PUBLISHING = {"metrics/process_metrics.py": {"publish_soon", "sample"}}
"""By file, the functions that publish the counts each second."""


class WithoutCounts(ast.NodeTransformer):
    """Takes out counting statements, and the bodies of functions."""

    def __init__(self, variables: set[str], functions: set[str]) -> None:
        self._variables = variables
        self._functions = functions
        self.taken_out = 0

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        """Take a statement out that adds to a count."""
        target: ast.expr = node.target
        while isinstance(target, ast.Attribute | ast.Subscript):
            target = target.value
        return self._nothing() if isinstance(target, ast.Name) and target.id in self._variables else node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.stmt:
        """Take the body of a function out."""
        if node.name in self._functions:
            node.body = [self._nothing()]
        return node

    def _nothing(self) -> ast.stmt:
        self.taken_out += 1
        return ast.Pass()


def copy_without_counts(directory: Path) -> int:
    """Copy the service, without what counts steps, and return the number of statements and bodies taken out."""
    shutil.copytree(SERVICE, directory / "service", ignore=shutil.ignore_patterns("__pycache__", "_extensions"))
    taken_out = 0
    for name in (*COUNTERS, *PUBLISHING):
        file = directory / "service" / "cellar" / name
        without = WithoutCounts(COUNTERS.get(name, set()), PUBLISHING.get(name, set()))
        tree = ast.fix_missing_locations(without.visit(ast.parse(file.read_text())))
        file.write_text(ast.unparse(tree))
        taken_out += without.taken_out
    return taken_out


def measure(scene: Scene) -> Row:
    """Step sessions of both services."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        copy_without_counts(directory)
        scenes: dict[str, Scene] = {}
        for name, checkout in (("without", directory), ("with", SERVICE.parent)):
            cores = scene.cores.service, scene.cores.outside
            prefix = f"{PREFIX}-metrics-{name}"
            (service,) = start_cellars(stack, cores, scene.redis, 1, checkout, pure="1", key_prefix=prefix)
            service.process.pin(scene.cores.service)
            create_model(service)
            scenes[name] = replace(scene, cellar=service)
        names = [f"metrics-{index}" for index in range(COUNT)]
        bodies = [post("/v1/sessions", {"session": name, "model": MODEL}) for name in names]
        steps = [post(f"/v1/sessions/{name}/step", sessions.BODY) for name in names]
        for each in scenes.values():
            each.send(bodies)
        load = steps * (scene.extent.requests // COUNT)
        found = scene.interleaved({name: lambda each=each: each.send(load) for name, each in scenes.items()})  # type: ignore[misc]  # mypy infers no lambda with a default
    return grown("metrics", found, {"with": LIMIT})
