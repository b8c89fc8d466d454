"""What the library's messages say on each face, read off syntax trees."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from house import ROOT, modules

import dpr_rag.errors
from dpr_rag.faces import ByFace

FACES = ("python", "cli", "page")
LEFT_OUT = ByFace("").page
"""What stands where a page leaves something out."""
_OURS = {name for name, one in vars(dpr_rag.errors).items() if isinstance(one, type)} | {"SegmentDamagedError"}


class Said(NamedTuple):
    """A text of the source, as each face says it; what is known at run time alone is ``…``."""

    place: str
    python: str
    cli: str
    page: str


def sources() -> dict[str, tuple[Path, ast.Module]]:
    """The modules of the library, without the commands."""
    return {
        name: (path, ast.parse(path.read_text("utf-8")))
        for name, path in modules().items()
        if path.relative_to(ROOT).parts[0] != "cli"
    }


def texts() -> Iterator[Said]:
    """Every text that is no docstring, with all that is joined to it by ``+``."""
    for name, (path, tree) in sources().items():
        yield from _Texts(path, name).of(tree)


class _Texts:
    def __init__(self, path: Path, module: str) -> None:
        self._path, self._module = path, module

    def of(self, node: ast.AST) -> Iterator[Said]:
        if isinstance(node, ast.expr) and _is_text(node):
            yield Said(f"{self._path}:{node.lineno}", *(self._on(node, face) for face in FACES))
        for child in _parts(node):
            yield from self.of(child)

    def _on(self, node: ast.expr, face: str) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        if isinstance(node, ast.BinOp):
            return self._on(node.left, face) + self._on(node.right, face)
        if isinstance(node, ast.IfExp):
            return self._on(node.body, face) or self._on(node.orelse, face)
        if isinstance(node, ast.Call) and _is_by_face(node):
            given = {one.arg: one.value for one in node.keywords}
            words = given.get(face) or (None if face == "page" else node.args[0])
            return LEFT_OUT if words is None else self._on(words, face)
        said = _constant(self._module, node)
        if isinstance(said, str):
            return said if face == "python" or not isinstance(said, ByFace) else str(getattr(said, face))
        return "…"


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add) and (_is_text(node.left) or _is_text(node.right))
    return (
        (isinstance(node, ast.Constant) and isinstance(node.value, str))
        or isinstance(node, ast.JoinedStr)
        or _is_by_face(node)
    )


def _is_by_face(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ByFace"


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """What stands inside, without docstrings, and without the pieces of a text."""
    if isinstance(node, ast.expr) and _is_text(node):
        return
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
            yield child


def _constant(module: str, node: ast.expr) -> object:
    """What a name in capitals stands for; other modules are not imported for what they say."""
    if not isinstance(node, ast.Name) or not node.id.isupper():
        return None
    return getattr(importlib.import_module(module), node.id, None)


def cut() -> list[str]:
    """Where an f-string, or ``str()``, keeps Python's words alone of an error of the library, or of a text that has others."""
    found = []
    for name, path in modules().items():
        tree = ast.parse(path.read_text("utf-8"))
        kept = [(node, one) for node in ast.walk(tree) if (one := _flattened(node)) is not None]
        lost = {node for node, one in kept if isinstance(_constant(name, one), ByFace)}
        for names, scope in _errors_in(tree):
            inside = set(ast.walk(scope))
            lost |= {node for node, one in kept if one.id in names and node in inside}
        found += [f"{path.relative_to(ROOT)}: {ast.unparse(node)}" for node in lost]
    return sorted(found)


def _errors_in(tree: ast.Module) -> Iterator[tuple[set[str], ast.AST]]:
    """Names of errors of the library, and where they are called so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.name and node.type is not None and _names(node.type) & _OURS:
            yield {node.name}, node
        elif isinstance(node, ast.FunctionDef):
            given = [one for one in (*node.args.args, *node.args.kwonlyargs) if one.annotation is not None]
            errors = {one.arg for one in given if _kinds(one.annotation) & _OURS}
            if errors:
                yield errors, node


def _kinds(annotation: ast.expr | None) -> set[str]:
    """The classes that an annotation names, but for those of which something is made."""
    return _names(annotation) if isinstance(annotation, ast.Name | ast.BinOp) else set()


def _names(node: ast.expr | None) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} if node is not None else set()


def _flattened(node: ast.AST) -> ast.Name | None:
    """The name whose value an f-string, or ``str()``, makes a plain string of."""
    if isinstance(node, ast.FormattedValue):
        value = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str" and node.args:
        value = node.args[0]
    else:
        return None
    return value if isinstance(value, ast.Name) else None
