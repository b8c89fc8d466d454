"""The house rules, read off syntax trees: floors, rooms, circles and forbidden calls."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dpr_rag

ROOT = Path(dpr_rag.__file__).parent

FLOORS = {
    **{"_version": 0, "faces": -3, "errors": -2, "arguments": -1, "derived": 0, "forking": 0},
    **{"answer": 0, "paths": 0, "sharing": 0, "ending_threads": -1, "listening": 0, "courtesies": 0},
    **{"passages": 1, "metadata": 1, "filters": 1, "encoder": 1, "legacy": 1, "index": 1, "lexical": 1},
    **{"corpora": 2, "encoders": 2, "storage": 2, "fusion": 2, "prompting": 2, "conversation": 2, "handed_over": 2},
    **{"store": 3, "remote": 3, "milvus": 4, "stores": 5, "reading": 5, "fillable": 6, "retriever": 6},
    **{"evaluation": 7, "training": 8, "scaling": 8, "agents": 9, "pages": 9, "service": 9, "cli": 10, "__main__": 11},
}
# The vocabulary of floor 1: its other rooms may say these types, and each of these the ones before it.
VOCABULARY = ("passages", "encoder")
SPEAKERS = {
    "faiss": {"index", "training"},
    "fastapi": {"pages", "service"},
    "gradio": {"pages"},
    "grpc": {"milvus"},
    "langchain": {"pages"},
    "h11": {"service"},
    "httpx": {"remote", "service"},
    "prometheus_client": {"service"},
    "starlette": {"agents", "pages", "service"},
    "uvicorn": {"pages", "service"},
    "openvino": {"encoders"},
    "Stemmer": {"lexical"},
    "stop_words": {"lexical"},
    "markdown_it": {"pages"},
    "mcp": {"agents"},
    "ray": {"scaling"},
    "matplotlib": {"evaluation"},
    "huggingface_hub": {"encoders"},
    "ir_measures": {"evaluation"},
    "numpy": set(FLOORS),
    "pydantic": {"agents", "service"},
    "pyarrow": {"corpora"},
    "pymilvus": {"milvus"},
    "milvus_lite": {"milvus"},
    "pypdf": {"corpora"},
    "regex": {"evaluation"},
    "rich": {"cli"},
    "safetensors": {"encoders", "training"},
    "sentence_transformers": {"encoders", "training"},
    "sqlite3": {"corpora", "storage", "pages"},
    "tokenizers": {"encoders"},
    "torch": {"encoders", "legacy", "training"},
    "transformers": {"encoders", "training"},
    "typer": {"cli"},
    "xxhash": {"derived"},
}
PICKLERS = {"pickle", "_pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
UNPICKLER_NAMES = {"Unpickler", "UnpicklingError", "PickleError"}
BARE_CALLS = {"eval", "exec", "compile", "print"}
IMPORTING_CALLS = {"import_module", "__import__", "find_spec"}
# Under another name, what these modules and functions do would escape the rules below.
KEEP_THEIR_NAMES = {*PICKLERS, "torch", "torch.serialization", "builtins", "importlib"}
LOADERS = {"load", "serialization"}


class Import(NamedTuple):
    line: int
    name: str


def room_of(module: str) -> str:
    """`dpr_rag.index.kinds` lives in the room `index`; the front door itself in the room ``."""
    return module.split(".")[1] if "." in module else ""


def imports_of(tree: ast.AST, module: str, *, package: bool = False) -> Iterator[Import]:
    """Every import of a module wherever it stands: in functions, under TYPE_CHECKING, by name through importlib."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, package)
            yield from (Import(node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in IMPORTING_CALLS and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield Import(node.lineno, name.value)


def _absolute(node: ast.ImportFrom, module: str, package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    base = parts[: len(parts) - node.level + (1 if package else 0)]
    return ".".join([*base, node.module] if node.module else base)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _home(name: str) -> str:
    """The module behind a name that the front door exports."""
    parts = name.split(".")
    if len(parts) > 1 and parts[0] == "dpr_rag":
        if parts[1] == "__version__":
            return "dpr_rag._version"
        if parts[1] in dpr_rag._HOMES:
            return f"dpr_rag.{dpr_rag._HOMES[parts[1]]}"
    return name


def floor_breaches(source: str, module: str, *, package: bool = False) -> list[str]:
    room = room_of(module)
    if not room:
        return []  # the front door exports from every floor
    if room not in FLOORS:
        return [f"{module}: the room {room!r} is in no floor of the house"]
    found = []
    for line, name in imports_of(ast.parse(source), module, package=package):
        target = room_of(_home(name)) if name.split(".")[0] == "dpr_rag" else room
        if target != room and not _lies_below(target, room):
            found.append(f"{module}:{line}: floor {FLOORS[room]} imports {name!r} of floor {FLOORS.get(target, '?')}")
    return found


def _lies_below(target: str, room: str) -> bool:
    if target in VOCABULARY and FLOORS[room] == 1:
        return room not in VOCABULARY[: VOCABULARY.index(target)]
    return FLOORS.get(target, 99) < FLOORS[room]


def third_party_breaches(source: str, module: str) -> list[str]:
    found = []
    for line, name in imports_of(ast.parse(source), module):
        top = name.split(".")[0]
        if top in SPEAKERS:
            if room_of(module) not in SPEAKERS[top]:
                found.append(f"{module}:{line}: says {top!r} outside {sorted(SPEAKERS[top])}")
        elif top not in sys.stdlib_module_names and top != "dpr_rag":
            found.append(f"{module}:{line}: says {top!r}, which no room may say")
    return found


def forbidden_breaches(source: str, module: str) -> list[str]:
    tree = ast.parse(source)
    legacy = room_of(module) == "legacy"
    found = [
        f"{module}:{line}: imports {name!r}"
        for line, name in imports_of(tree, module)
        if name.split(".")[0] in PICKLERS and not (legacy and _may_import(name))
    ]
    for node in ast.walk(tree):
        what = [*_forbidden(node, legacy), *_disguised(node)]
        found.extend(f"{module}:{getattr(node, 'lineno', 0)}: {one}" for one in what)
    return found


def _may_import(name: str) -> bool:
    return name == "pickle" or name in {f"pickle.{item}" for item in UNPICKLER_NAMES}


def _forbidden(node: ast.AST, legacy: bool) -> Iterator[str]:
    if isinstance(node, ast.Name):
        if node.id in BARE_CALLS:
            yield f"names {node.id!r}"
        if node.id == "trust_remote_code":
            yield "names trust_remote_code"
    elif isinstance(node, ast.Attribute):
        yield from _forbidden_attribute(node, legacy)
    elif isinstance(node, ast.ImportFrom) and node.module in {"torch", "torch.serialization", "builtins"}:
        yield from (f"imports {alias.name!r}" for alias in node.names if alias.name in LOADERS | BARE_CALLS)
    elif isinstance(node, ast.keyword) and (node.arg == "trust_remote_code" or _unsafe_load(node)):
        yield f"passes {node.arg}="
    elif isinstance(node, ast.Constant) and node.value == "trust_remote_code":
        yield "names trust_remote_code"
    elif isinstance(node, ast.ClassDef) and any("Unpickler" in ast.unparse(base) for base in node.bases):
        if not any(isinstance(item, ast.FunctionDef) and item.name == "find_class" for item in node.body):
            yield f"{node.name} unpickles without a find_class of its own"


def _disguised(node: ast.AST) -> Iterator[str]:
    """Forbidden things under another name: renamed imports, and attributes asked for by string."""
    if isinstance(node, ast.Import):
        renamed = {alias.name for alias in node.names if alias.asname} & KEEP_THEIR_NAMES
        yield from (f"renames {name!r}" for name in sorted(renamed))
    elif isinstance(node, ast.ImportFrom):
        renamed = {alias.name for alias in node.names if alias.asname} & IMPORTING_CALLS
        yield from (f"renames {name!r}" for name in sorted(renamed))
    elif isinstance(node, ast.Name) and node.id == "__builtins__":
        yield "names '__builtins__'"
    elif isinstance(node, ast.Call) and _called(node) == "getattr" and len(node.args) > 1:
        owner, name = map(ast.unparse, node.args[:2])
        if owner in PICKLERS | {"builtins"} or (owner in KEEP_THEIR_NAMES and name.strip("'") in LOADERS):
            yield f"asks {owner} for {name}"


def _unsafe_load(keyword: ast.keyword) -> bool:
    refused = {"allow_pickle": False, "weights_only": True}
    if keyword.arg not in refused:
        return False
    return not (isinstance(keyword.value, ast.Constant) and keyword.value.value is refused[keyword.arg])


def _forbidden_attribute(node: ast.Attribute, legacy: bool) -> Iterator[str]:
    owner = ast.unparse(node.value)
    if owner in {"torch", "torch.serialization"} and node.attr == "load":
        yield "names torch.load"
    if owner in {"builtins", "__builtins__"} and node.attr in BARE_CALLS:
        yield f"names {owner}.{node.attr}"
    if owner in PICKLERS and not (legacy and node.attr in UNPICKLER_NAMES):
        yield f"names {owner}.{node.attr}"


def circles(edges: dict[str, set[str]]) -> list[str]:
    """Paths that come back to their own start, found depth first."""
    found: list[str] = []
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> None:
        if module in path:
            found.append(" -> ".join([*path[path.index(module) :], module]))
        elif module not in done:
            for target in sorted(edges.get(module, ())):
                walk(target, [*path, module])
            done.add(module)

    for start in sorted(edges):
        walk(start, [])
    return found


def modules() -> dict[str, Path]:
    names = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("dpr_rag", *path.relative_to(ROOT).with_suffix("").parts)
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def edges_of(sources: dict[str, tuple[str, bool]]) -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for module, (source, package) in sources.items():
        names = [_home(name) for _, name in imports_of(ast.parse(source), module, package=package)]
        known = {name if name in sources else name.rpartition(".")[0] for name in names}
        edges[module] = (known & set(sources)) - {module, "dpr_rag"}
    return edges


ADAPTERS = {
    "langchain_dpr_rag": ROOT.parent / "integrations" / "langchain" / "langchain_dpr_rag",
    "llama_index": ROOT.parent / "integrations" / "llama-index" / "llama_index",
}
ADAPTERS_MAY_SAY = {
    "langchain_dpr_rag": {"langchain_dpr_rag", "langchain_core", "numpy", "pydantic"},
    "llama_index": {"llama_index", "numpy", "pydantic"},
}
PUBLIC_MODULES = ("arguments", "corpora", "encoder", "errors", "fillable", "filters", "stores")


def adapter_files() -> dict[str, tuple[str, Path]]:
    return {
        str(path.relative_to(folder.parent)): (adapter, path)
        for adapter, folder in ADAPTERS.items()
        for path in sorted(folder.rglob("*.py"))
    }


def adapter_breaches(source: str, adapter: str) -> list[str]:
    """Imports of anything but public names of dpr_rag and the adapter's own framework."""
    public = {f"dpr_rag.{name}" for name in dpr_rag.__all__}
    found = []
    for line, name in imports_of(ast.parse(source), f"{adapter}.x.x"):
        top = name.split(".")[0]
        if top == "dpr_rag":
            module, _, last = name.rpartition(".")
            known = name in public or (module in {f"dpr_rag.{one}" for one in PUBLIC_MODULES} and last[0] != "_")
        else:
            known = top in sys.stdlib_module_names or top in ADAPTERS_MAY_SAY[adapter]
        if not known:
            found.append(f"{adapter}:{line}: imports {name!r}")
    return found
