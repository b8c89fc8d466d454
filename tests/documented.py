"""The names in docstrings: what stands under *Args* is a parameter, what stands under *Attributes* an attribute."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def docstring_breaches(sources: Mapping[str, str]) -> list[str]:
    """Names under *Args* and *Attributes* that are neither; a class has those of its bases as well.

    Args:
        sources: The source of each module.
    """
    trees = {module: ast.parse(source) for module, source in sources.items()}
    classes = {node.name: node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    return [
        f"{module}:{node.lineno}: {node.name} has no {name!r}, which its docstring names under {section}"
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, Documented)
        for section, name in _named(ast.get_docstring(node) or "")
        if name not in (_names_of_class(node, classes) if isinstance(node, ast.ClassDef) else _parameters(node))
    ]


def _named(docstring: str) -> Iterator[tuple[str, str]]:
    for section, body in re.findall(r"^(Args|Attributes):\n((?:    .*\n?|\n)+)", docstring, re.MULTILINE):
        for names in re.findall(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: \([^)]*\))?:", body, re.MULTILINE):
            yield from ((section, name.lstrip("*")) for name in names.split(", "))


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return {one.arg for one in every if one is not None}


def _names_of_class(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> set[str]:
    found, looked_at = set[str](), list[ast.ClassDef]()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if one not in looked_at:
            looked_at.append(one)
            found.update(_own(one.body))
            waiting += [classes[name] for base in one.bases for name in _names_in(base) if name in classes]
    return found


def _own(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Fields, methods, what methods set on ``self``, and the parameters of those that make an instance."""
    for one in body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            yield one.name
            yield from _parameters(one) if one.name in ("__init__", "__new__") else ()
            yield from (
                inner.attr
                for inner in ast.walk(one)
                if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store)
            )
        elif isinstance(one, ast.AnnAssign | ast.Assign):
            targets = [one.target] if isinstance(one, ast.AnnAssign) else one.targets
            yield from (name for target in targets for name in _names_in(target))


def _names_in(node: ast.AST) -> Iterator[str]:
    yield from (one.id for one in ast.walk(node) if isinstance(one, ast.Name))
