"""Model folders: finds a model's files on disk or on the Hugging Face hub and reads the small ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dpr_rag.errors import MissingExtraError, ModelError
from dpr_rag.forking import cached
from dpr_rag.paths import place_of

PROFILE_FILE = "dpr_rag.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
PICKLED_WEIGHTS = "pytorch_model.bin"
PICKLED_INDEX = "pytorch_model.bin.index.json"
_DOWNLOADED = ["*.json", "*.txt", "*.safetensors", "*.model", "README.md"]
UNTIED = ("query_model", "passage_model")
"""Folders of the two towers where Tevatron trained them apart; their tokenizer lies beside them."""
_CARD_LENGTH = 20_000
_WITH_WEIGHTS = ("Dense", "LayerNorm")


@dataclass(frozen=True)
class ModelFolder:
    """One transformers folder.

    Attributes:
        path: Where the files are.
        name: What the caller named it by, a path or a hub name; used in messages and to recognise families.
        root: Where the files beside the modules are, if the transformer's own lie in a sub-folder.
    """

    path: Path
    name: str
    root: Path | None = None

    @cached
    def config(self) -> dict[str, Any]:
        """The contents of ``config.json``.

        Raises:
            ModelError: There is none, or it is no JSON object.
        """
        config = self.json("config.json")
        if not isinstance(config, dict):
            raise ModelError(f"{self.name}: config.json holds {type(config).__name__}, expected a JSON object")
        return config

    @property
    def architecture(self) -> str:
        """The first of the config's ``architectures``, or ``""`` where it names none."""
        architectures = self.config.get("architectures")
        return str(architectures[0]) if isinstance(architectures, list) and architectures else ""

    @property
    def top(self) -> Path:
        """The folder that holds the files of all modules."""
        return self.root or self.path

    def json(self, name: str, *, default: Any = None) -> Any:
        """Read one JSON file of the transformer's folder.

        Args:
            name: Path inside the folder.
            default: Returned where the file does not exist; None means that it must.

        Raises:
            ModelError: It is missing without a default, no JSON, or of another type than the default.
        """
        return self._json(self.path / name, default)

    def top_json(self, name: str, *, default: Any) -> Any:
        """Read one JSON file from the folder of all modules; see :meth:`json`."""
        return self._json(self.top / name, default)

    def _json(self, path: Path, default: Any) -> Any:
        if not path.is_file():
            if default is not None:
                return default
            raise ModelError(
                f"{self.name}: there is no {path.name} in {path.parent}; expected a transformers model folder"
            )
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{self.name}: {path} is not JSON ({error}); fetch the file again") from error
        if default is not None and not isinstance(content, type(default)):
            raise ModelError(
                f"{self.name}: {path} holds {type(content).__name__}, expected {type(default).__name__}; fetch the file again"
            )
        return content

    def card(self) -> str:
        """The beginning of the model's card, ``README.md``, or nothing."""
        try:
            with (self.top / "README.md").open(encoding="utf-8", errors="replace") as file:
                return file.read(_CARD_LENGTH)
        except OSError:
            return ""

    def modules(self) -> list[tuple[str, str]]:
        """The sentence-transformers modules as pairs of class name and sub-folder; empty for other folders.

        Raises:
            ModelError: ``modules.json`` is not a list of modules.
        """
        return [(kind.rsplit(".", 1)[-1], path) for kind, path in self._module_entries()]

    def foreign_modules(self) -> list[str]:
        """The types of those modules that are of another package than sentence-transformers.

        Raises:
            ModelError: ``modules.json`` is not a list of modules.
        """
        return [kind for kind, _ in self._module_entries() if kind.partition(".")[0] != "sentence_transformers"]

    def _module_entries(self) -> list[tuple[str, str]]:
        entries = self.top_json("modules.json", default=[])
        try:
            return [(str(entry["type"]), str(entry["path"])) for entry in entries]
        except (TypeError, KeyError) as error:
            raise ModelError(f"{self.name}: modules.json is no list of modules with type and path") from error

    def untied(self) -> list[ModelFolder]:
        """Tevatron's two towers, question first; empty where it is one model.

        Raises:
            ModelError: One of the two is missing.
        """
        present = [(self.path / tower).is_dir() for tower in UNTIED]
        if not any(present) or (self.path / "config.json").is_file():
            return []
        if not all(present):
            raise ModelError(
                f"{self.name}: there is {UNTIED[present.index(True)]}/ and no {UNTIED[present.index(False)]}/; expected both of "
                "Tevatron's towers"
            )
        return [ModelFolder(self.path / tower, f"{self.name}/{tower}") for tower in UNTIED]

    def head_folders(self) -> list[str]:
        """The sub-folders of the sentence-transformers modules that have weights of their own."""
        return [path for kind, path in self.modules() if kind in _WITH_WEIGHTS]

    def without_safetensors(self) -> list[str]:
        """The folders without weights as safetensors, among the transformer's own (``""``) and the head's sub-folders."""
        return [
            inside
            for inside in ("", *self.head_folders())
            if not any((self._module_folder(inside) / name).is_file() for name in (WEIGHTS, WEIGHTS_INDEX))
        ]

    def _module_folder(self, inside: str) -> Path:
        return self.top / inside if inside else self.path

    def _shards(self, folder: Path) -> list[Path]:
        files = self._json(folder / WEIGHTS_INDEX, {}).get("weight_map")
        if not isinstance(files, dict) or not files or not all(isinstance(shard, str) for shard in files.values()):
            raise ModelError(f"{self.name}: {folder / WEIGHTS_INDEX} has no weight_map of files; fetch the file again")
        return [folder / Path(shard).name for shard in sorted(set(files.values()))]

    def weight_files(self, inside: str = "") -> list[Path]:
        """The files that hold the weights: safetensors, or else ``pytorch_model.bin`` or the index of its shards.

        Args:
            inside: Sub-folder of a sentence-transformers module.

        Raises:
            ModelError: There are none.
        """
        folder = self._module_folder(inside)
        if (folder / WEIGHTS).is_file():
            return [folder / WEIGHTS]
        if (folder / WEIGHTS_INDEX).is_file():
            return self._shards(folder)
        for name in (PICKLED_WEIGHTS, PICKLED_INDEX):
            if (folder / name).is_file():
                return [folder / name]
        raise ModelError(
            f"{self.name}: neither {WEIGHTS} nor {PICKLED_WEIGHTS} in {folder}; fetch the model's weights in one of these "
            "two forms"
        )


def _transformer_folder(folder: ModelFolder) -> ModelFolder:
    """The transformer's own folder, where modules.json says that it is a sub-folder."""
    sub_folder = dict(folder.modules()).get("Transformer", "")
    if not sub_folder:
        return folder
    if not (folder.path / sub_folder).resolve().is_relative_to(folder.path.resolve()):
        raise ModelError(
            f"{folder.name}: modules.json names the folder {sub_folder!r:.80}, expected one inside the model's"
        )
    return ModelFolder(folder.path / sub_folder, folder.name, folder.path)


def find_folder(model: str | Path) -> ModelFolder:
    """Find a model: a folder, or else a name on the hub, whose files are downloaded into the hub's cache.

    Of a model on the hub, ``pytorch_model.bin`` is downloaded only where there is no safetensors file.

    Args:
        model: Path of a folder, or a hub name such as ``facebook/contriever``.

    Raises:
        ModelError: There is no such folder and no such model can be had from the hub.
        MissingExtraError: It is a hub name and the hub's client is not installed.
    """
    path = place_of(model)
    if path.is_dir():
        return _transformer_folder(ModelFolder(path, str(model)))
    name = str(model)
    if path.exists() or name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"{name} is not a folder; pass a transformers model folder or a hub name like owner/model")
    folder = ModelFolder(_snapshot(name, _DOWNLOADED), name)
    if (folder.path / PROFILE_FILE).is_file():  # saved by dpr-rag: all weights lie one level deeper, as safetensors
        return folder
    folder = _transformer_folder(folder)
    transformer_path = folder.path.relative_to(folder.top).as_posix()
    towers = [tower_folder.path.name for tower_folder in folder.untied() if tower_folder.without_safetensors()]
    pickled = [str(PurePosixPath(tower, "pytorch_model*.bin")) for tower in towers]
    pickled += [
        str(PurePosixPath(inside or transformer_path, "pytorch_model*.bin")) for inside in folder.without_safetensors()
    ]
    return _transformer_folder(ModelFolder(_snapshot(name, [*_DOWNLOADED, *pickled]), name)) if pickled else folder


def _snapshot(name: str, patterns: list[str]) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError as error:
        raise MissingExtraError(
            f"{name!r} is no folder, and fetching it from the hub needs huggingface_hub; pip install huggingface_hub"
        ) from error
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns=["onnx/*", "openvino/*"]))
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise ModelError(f"{name!r} is neither a folder here nor a public model on the hub; check the name") from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"{name!r} is no folder here, and the hub cannot be reached; check the name, or download the model where there is "
            f"a network and pass its folder ({type(error).__name__})"
        ) from error
