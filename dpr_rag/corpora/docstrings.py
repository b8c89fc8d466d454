"""Docstrings of Python modules as passages: from source by ``ast``, of the standard library's C modules by import."""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import importlib.util
import inspect
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from types import ModuleType

from dpr_rag.arguments import is_blank
from dpr_rag.corpora.lines import LeftOut, OnBad, tell
from dpr_rag.corpora.splitting import split_lines
from dpr_rag.errors import CorpusError, PassageError
from dpr_rag.faces import message_of
from dpr_rag.passages import Passage

WORDS = 100
_log = getLogger(__name__)
_TESTS = {"test", "tests"}
# jokes, tests, demonstrations, and tables with hardly a word of documentation
_EXCLUDED = _TESTS | {"antigravity", "distutils", "encodings", "idlelib", "lib2to3", "pydoc_data", "this", "turtledemo"}
_EXAMPLES = {"xxlimited", "xxlimited_35", "xxsubtype"}
# importing these says something to the terminal or warns that they are going to be removed
_NOT_IMPORTED = {"audioop", "nis", "ossaudiodev", "readline", "spwd"}
_SYSTEM = {"posix", "nt"}  # whose functions are documented as those of os
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    kind: str
    signature: str
    doc: str


def read_docstrings(
    modules: Sequence[str] | None = None, *, words: int = WORDS, on_bad: OnBad = None, left_out: LeftOut | None = None
) -> Iterator[Passage]:
    """Read the docstrings of modules, classes, methods and functions as passages.

    Source files are parsed, not imported. Modules of the standard library that are written in C have no source
    and are imported; modules of anybody else never are, but finding a submodule such as ``a.b`` by its name
    imports its parent package ``a``, as Python itself does.

    A passage's title is the qualified name, such as ``gzip.GzipFile.write``; its text the signature and the
    docstring; its metadata ``module`` and ``kind`` (module, class, method, function). Its id is the title, followed
    by ``#2`` and so on for the further parts of a docstring that is longer than ``words``.

    Args:
        modules: Names of modules; a package stands for its public submodules too. None means the public modules
            of the standard library.
        words: Largest number of words of a passage.
        on_bad: Takes the errors of files that cannot be parsed; None raises the first.
        left_out: Takes the number of modules that this Python cannot import.

    Yields:
        The passages, sorted by module, in the order of the source.

    Raises:
        CorpusError: A module is not found or has no source, or its source cannot be parsed.
    """
    return (passage for passage, _ in read_by_module(modules, words=words, on_bad=on_bad, left_out=left_out))


def read_by_module(
    modules: Sequence[str] | None = None, *, words: int = WORDS, on_bad: OnBad = None, left_out: LeftOut | None = None
) -> Iterator[tuple[Passage, Path | str]]:
    """Read passages as :func:`read_docstrings` does, each with its module's file, or its name in the standard library."""
    seen: set[str] = set()
    for module, source in _sources(modules):
        loaded = _imported(source) if isinstance(source, str) else None
        if isinstance(source, str) and loaded is None and left_out is not None:
            left_out["module that cannot be imported"] += 1
        try:
            entries = list(_of_file(module, source) if isinstance(source, Path) else _of_import(module, loaded))
        except CorpusError as error:
            tell(on_bad, error)
            continue
        own = module.partition(".")[0] in sys.stdlib_module_names
        for entry in entries:
            if entry.name not in seen:
                seen.add(entry.name)
                for passage in _passages(module, entry, words, on_bad):
                    yield passage, module if own else source


def _passages(module: str, entry: _Entry, words: int, on_bad: OnBad) -> Iterator[Passage]:
    text = f"{entry.signature}\n{entry.doc}" if entry.signature else entry.doc
    for number, part in enumerate(split_lines(text.split("\n"), words), 1):
        name = entry.name if number == 1 else f"{entry.name}#{number}"
        try:
            yield Passage(name, part, entry.name, {"module": module, "kind": entry.kind})
        except PassageError as error:
            tell(on_bad, CorpusError(f"{module}: " + message_of(error)))


def _sources(modules: Sequence[str] | None) -> Iterator[tuple[str, Path | str]]:
    """Modules with their source file, or with the name to import where they are C of the standard library."""
    if modules is None:
        for name in sorted(sys.stdlib_module_names - _EXCLUDED - _EXAMPLES):
            if not name.startswith("_") and name not in _SYSTEM:
                yield from _located(name)
        return
    for name in modules:
        files = list(_located(name))
        if not files:
            raise CorpusError(f"the module {name!r:.120} has no Python source here; name a module that is installed")
        yield from files


def _located(name: str) -> Iterator[tuple[str, Path | str]]:
    source = _own_source(name)
    if source is None:
        if _is_importable_c(name):
            yield name, name
        return
    yield name, source
    if source.name == "__init__.py":
        yield from _below(name, source.parent)


def _below(package: str, folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()):
        name = path.stem
        if name.startswith("_") or name in _TESTS or not name.isidentifier():
            continue
        if path.suffix == ".py":
            yield f"{package}.{name}", path
        elif (path / "__init__.py").is_file():
            yield f"{package}.{name}", path / "__init__.py"
            yield from _below(f"{package}.{name}", path)


def _own_source(name: str) -> Path | None:
    """The source file of a module; the standard library is looked up on disk, before anything that shadows it."""
    if name.partition(".")[0] in sys.stdlib_module_names:
        base = Path(sysconfig.get_path("stdlib"), *name.split("."))
        candidates = [base.with_name(f"{base.name}.py"), base / "__init__.py"]
        return next((path for path in candidates if path.is_file()), None)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:
        raise CorpusError(f"the module {name!r:.120} is not found ({error}); install it or check the name") from error
    origin = Path(spec.origin) if spec and spec.has_location and spec.origin else None
    return origin if origin and origin.suffix == ".py" else None


def _is_importable_c(name: str) -> bool:
    if name.partition(".")[0] not in sys.stdlib_module_names or "." in name or name in _NOT_IMPORTED | _EXAMPLES:
        return False
    if name in sys.builtin_module_names:
        return True
    spec = importlib.machinery.PathFinder.find_spec(name, [str(Path(sysconfig.get_path("stdlib"), "lib-dynload"))])
    return spec is not None


def _of_file(module: str, path: Path) -> Iterator[_Entry]:
    tree = _parsed(path)
    doc = ast.get_docstring(tree)
    if doc:
        yield _Entry(module, "module", "", doc)
    yield from _of_body(tree.body, module, "function")
    if module.partition(".")[0] in sys.stdlib_module_names:
        yield from _exported(tree, module, path)


def _parsed(path: Path) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # escapes such as "\d" are the module's own affair
            return ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise CorpusError(
            f"{path}:{error.lineno or 1}: is no source for this Python ({error.msg}); check the file"
        ) from error
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise CorpusError(f"{path}: is no Python source ({error}); check the file") from error


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body, those under ``if`` and ``try`` included."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from _statements(
                [*node.body, *(it for handler in node.handlers for it in handler.body), *node.orelse]
            )


def _of_body(body: Iterable[ast.stmt], owner: str, kind: str) -> Iterator[_Entry]:
    for node in _statements(body):
        if not isinstance(node, _Definition) or node.name.startswith("_"):
            continue
        name = f"{owner}.{node.name}"
        doc = ast.get_docstring(node)
        if doc:
            yield _Entry(name, "class" if isinstance(node, ast.ClassDef) else kind, _signature(node, name), doc)
        if isinstance(node, ast.ClassDef):
            yield from _of_body(node.body, name, "method")


def _signature(node: _Definition, name: str) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {name}({bases})" if bases else f"class {name}"
    start = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{start}{name}({ast.unparse(node.args)}){returns}"


def _exported(tree: ast.Module, module: str, path: Path) -> Iterator[_Entry]:
    """Names that a module of the standard library exports from a private one, as ``pathlib`` from ``pathlib._local``."""
    for node in _statements(tree.body):
        if not isinstance(node, ast.ImportFrom):
            continue
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        source = f"{package}.{node.module}" if node.level == 1 else node.module or ""
        last = source.rpartition(".")[2]
        if node.level > 1 or not (last.startswith("_") or last in _SYSTEM) or last.startswith("__"):
            continue
        names = {alias.name for alias in node.names}
        if any(not name.startswith("_") for name in names):
            yield from _taken(source, module, names)


def _taken(source: str, module: str, names: set[str]) -> Iterator[_Entry]:
    path = _own_source(source)
    if path is not None:
        entries = list(_of_body(_parsed(path).body, module, "function"))
    elif _is_importable_c(source):
        entries = list(_of_import(module, _imported(source)))
    else:
        return
    wanted = {f"{module}.{name}" for name in names}
    for entry in entries:
        public = ".".join(entry.name.split(".")[: module.count(".") + 2])
        if entry.name != module and ("*" in names or public in wanted):
            yield entry


def _imported(name: str) -> ModuleType | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        _log.info("left out %s, which this Python cannot import: %s", name, error)
        return None


def _of_import(module: str, loaded: ModuleType | None) -> Iterator[_Entry]:
    if loaded is None:
        return
    if loaded.__doc__:
        yield _Entry(module, "module", "", inspect.cleandoc(loaded.__doc__))
    yield from _of_members(loaded, module)


def _of_members(owner: ModuleType | type, name: str) -> Iterator[_Entry]:
    for member, value in sorted(vars(owner).items()):
        if member.startswith("_"):
            continue
        doc = getattr(value, "__doc__", None)
        is_class = isinstance(value, type)
        if not (is_class or inspect.isroutine(value)) or not isinstance(doc, str) or is_blank(doc):
            continue
        kind = "class" if is_class else "method" if isinstance(owner, type) else "function"
        signature = f"{name}.{member}{_text_signature(value)}"
        yield _Entry(f"{name}.{member}", kind, f"class {signature}" if is_class else signature, inspect.cleandoc(doc))
        if is_class and not isinstance(owner, type):
            yield from _of_members(value, f"{name}.{member}")


def _text_signature(value: object) -> str:
    """The signature that C code gives, without the markers of bound arguments such as ``$self, /,``."""
    return re.sub(r"\$\w+(, /)?(, )?", "", getattr(value, "__text_signature__", None) or "")
