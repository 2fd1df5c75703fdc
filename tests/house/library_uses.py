"""Finds, in the syntax trees of the package, which members of libraries it uses.

Found are imported names, what stands behind dots after them, what classes override of a library's class or use of
themselves, and members of other objects in a module that knows their private class. Where the class of an object cannot
be told without types, a member counts if any private class that the module knows has one of that name.
"""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Container, Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

LIBRARIES = ("fastapi", "llvmlite", "numba", "redis", "rq", "starlette", "uvicorn", "websockets")

_IMPORT_IN_TEXT = re.compile(rf"^from ((?:{'|'.join(LIBRARIES)})[\w.]*) import (.+)$", re.MULTILINE)
"""Program text inside of strings imports too."""


def is_of_library(thing: Any) -> bool:
    """Return whether a module or class is one of a library."""
    name = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None)
    return str(name).partition(".")[0] in LIBRARIES


def place_of(kind: type) -> str:
    """Return the name of a class as it stands in the list."""
    return f"{kind.__module__}:{kind.__qualname__}"


@cache
def members(kind: type) -> frozenset[str]:
    """Return the names that a class defines, those that its methods give to instances among them."""
    names = {name for name in vars(kind) if name == "__init__" or not name.startswith("__")}
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            names.add(node.attr)
    (body,) = tree.body
    assert isinstance(body, ast.ClassDef)
    return frozenset(names | set(_assigned(body.body)))


def _assigned(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that the statements of a class body give a value or a type."""
    for part in body:
        if isinstance(part, ast.Assign | ast.AnnAssign):
            targets = part.targets if isinstance(part, ast.Assign) else [part.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


class Documented:
    """What the documentation of libraries describes: modules, `module:name` and `module:Class.member`."""

    def __init__(self, places: Container[str], modules: list[str]) -> None:
        self._places = places
        shown = (vars(importlib.import_module(name)).items() for name in modules)
        self._classes = {kind for each in shown for name, kind in each if isinstance(kind, type) and name[0] != "_"}

    def has_name(self, module: str, name: str) -> bool:
        """Return whether a name of a module is described."""
        return not name.startswith("_") and (module in self._places or f"{module}:{name}" in self._places)

    def has_class(self, kind: type) -> bool:
        """Return whether a class is described, under whatever name."""
        return kind in self._classes or self.has_name(kind.__module__, kind.__qualname__)

    def has_member(self, kind: type, name: str) -> bool:
        """Return whether a member of a class may be overridden or used by classes made from it."""
        return f"{place_of(kind)}.{name}" in self._places or (name == "__init__" and self.has_class(kind))


class Uses:
    """What the text of a module uses that is not documented, as `module:name` and `module:Class.member`.

    `names` are those of the module, of which the classes are needed.
    """

    def __init__(self, text: str, names: Mapping[str, Any], documented: Documented) -> None:
        self._documented = documented
        self._names: dict[str, Any] = {}
        self.found: set[str] = set()
        tree = ast.parse(text)
        for node in ast.walk(tree):
            self._bind(node)
        self._names |= {name: thing for name, thing in names.items() if isinstance(thing, type)}
        self._private = [kind for kind in self._names.values() if isinstance(kind, type) and self._is_private(kind)]
        for node in ast.walk(tree):
            self._look_at(node)

    def _bind(self, node: ast.AST) -> None:
        """Note what an import binds, also one of a program text in a string."""
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                self._import(str(node.module), alias.name, alias.asname or alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                self._names[alias.asname or alias.name.partition(".")[0]] = _imported(alias)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for where, imported in _IMPORT_IN_TEXT.findall(node.value):
                for name in imported.split(","):
                    self._import(where, name.strip(), "")

    def _look_at(self, node: ast.AST) -> None:
        """Note the members that an expression or a class uses."""
        if isinstance(node, ast.Attribute):
            self._behind_dots(node)
            if not _is_itself(node.value):
                self._of_others(node.attr)
        elif isinstance(node, ast.ClassDef) and isinstance(self._names.get(node.name), type):
            self._inherited(node, self._names[node.name])

    def _import(self, where: str, name: str, bound: str) -> None:
        if where.partition(".")[0] not in (*LIBRARIES, "cellar"):
            return
        module = importlib.import_module(where)
        thing = getattr(module, name) if hasattr(module, name) else importlib.import_module(f"{where}.{name}")
        self._names[bound] = thing
        if where.partition(".")[0] in LIBRARIES:
            self._of_module(where, name, thing)

    def _of_module(self, where: str, name: str, thing: Any) -> None:
        """Note a name of a module of a library."""
        if isinstance(thing, ModuleType) or self._documented.has_name(where, name):
            return
        if isinstance(thing, type) and is_of_library(thing):
            if not self._documented.has_class(thing):
                self.found.add(place_of(thing))
        else:
            self.found.add(f"{where}:{name}")

    def _behind_dots(self, node: ast.Attribute) -> None:
        """Note what stands behind dots after a name that is a library's: `dispatcher._FunctionCompiler`."""
        first, *between = ast.unparse(node.value).split(".")
        thing = self._names.get(first)
        for name in between:
            thing = getattr(thing, name, None)
        if isinstance(thing, ModuleType) and is_of_library(thing) and hasattr(thing, node.attr):
            self._of_module(thing.__name__, node.attr, getattr(thing, node.attr))
        elif isinstance(thing, type) and is_of_library(thing):
            is_patched = isinstance(node.ctx, ast.Store)
            if is_patched or node.attr.startswith("_") or not self._documented.has_class(thing):
                self._member(thing, node.attr)

    def _inherited(self, node: ast.ClassDef, kind: type) -> None:
        """Note what a class overrides, and what it uses of itself."""
        used = {part.name for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)}
        used |= {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute) and _is_itself(part.value)}
        for name in used | set(_assigned(node.body)):
            self._member(kind, name)

    def _of_others(self, name: str) -> None:
        """Note a member of an object whose private class, or one made from it, the module knows."""
        for kind in self._private:
            self._member(kind, name)

    def _is_private(self, kind: type) -> bool:
        """Return whether a class is, or is made from, one of a library that is not documented."""
        base = next((each for each in kind.__mro__ if is_of_library(each)), None)
        return base is not None and not self._documented.has_class(base)

    def _member(self, kind: type, name: str) -> None:
        """Note a member by the class of a library that has it."""
        base = next((each for each in kind.__mro__ if is_of_library(each) and name in members(each)), None)
        if base is not None and not self._documented.has_member(base, name):
            self.found.add(f"{place_of(base)}.{name}")


def _imported(alias: ast.alias) -> Any:
    """Return the module that `import` binds."""
    module = importlib.import_module(alias.name)
    return module if alias.asname else importlib.import_module(alias.name.partition(".")[0])


def _is_itself(node: ast.expr) -> bool:
    """Return whether it is `self`, `cls` or `super()`."""
    return ast.unparse(node) in ("self", "cls", "super()")
