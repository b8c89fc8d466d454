"""Tokenizer files of a model folder, as one specification in the form of ``tokenizer.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dpr_rag.encoders.folders import UNTIED, ModelFolder
from dpr_rag.errors import ModelError, UnsupportedModelError

_LIBRARY = "sentence_bert_config.json"
_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt"),
    _LIBRARY,
)
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json")
_NORMALISER_FLAGS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
_KNOWN_CLASSES = {
    *(
        "BertTokenizer",
        "DistilBertTokenizer",
        "DPRQuestionEncoderTokenizer",
        "DPRContextEncoderTokenizer",
        "MPNetTokenizer",
    ),
    *("ElectraTokenizer", "RobertaTokenizer", "PreTrainedTokenizer", "TokenizersBackend"),
}
"""Classes that a vocabulary describes by itself, with the flags of ``tokenizer_config.json``."""
_ADDED: Mapping[str, Any] = {
    **dict.fromkeys(("single_word", "lstrip", "rstrip", "special"), False),
    "normalized": True,
    "content": "",
}
_NAMED = ("type", "vocab", "merges", "unk_token", "unk_id")
_USUAL: Mapping[str, Any] = {
    "max_input_chars_per_word": 100,
    "end_of_word_suffix": "",
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}
_BERT_SPECIALS = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
_ROBERTA_SPECIALS = {"unk": "<unk>", "sep": "</s>", "pad": "<pad>", "cls": "<s>", "mask": "<mask>"}


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """A tokenizer as its files' bytes, so that it can be copied into another folder unchanged.

    Attributes:
        files: Contents by file name.
        name: The model they belong to, for messages.
    """

    files: Mapping[str, bytes]
    name: str

    @classmethod
    def read(cls, folder: ModelFolder) -> TokenizerFiles:
        """Read the files from a model folder.

        Raises:
            ModelError: The folder holds no ``tokenizer.json``, ``vocab.txt``, or ``vocab.json`` with ``merges.txt``.
        """
        places = [folder.path, *([folder.path.parent] if folder.path.name in UNTIED else [])]
        path = next((place for place in places if any((place / name).is_file() for name in _VOCABULARIES)), folder.path)
        files = {name: (path / name).read_bytes() for name in _FILES if (path / name).is_file()}
        if not ("tokenizer.json" in files or "vocab.txt" in files or {"vocab.json", "merges.txt"} <= set(files)):
            raise UnsupportedModelError(
                f"{folder.name}: no tokenizer in {folder.path}; expected tokenizer.json, vocab.txt, or vocab.json with "
                "merges.txt; copy them from the model that it was trained from (of SentencePiece's file, transformers makes a "
                "tokenizer.json when it saves the tokenizer)"
            )
        return cls(files, folder.name)

    @property
    def lowercase(self) -> bool | None:
        """Whether text is lower-cased; None where the tokenizer has no such switch."""
        normaliser = self.specification().get("normalizer") or {}
        flag = normaliser.get("lowercase")
        return None if flag is None else bool(flag)

    def specification(self) -> dict[str, Any]:
        """The tokenizer as the object in ``tokenizer.json``, with the flags of ``tokenizer_config.json`` applied."""
        flags = self.json("tokenizer_config.json")
        specification = self._read() | {"truncation": None, "padding": None}
        normaliser, splitter = specification.get("normalizer"), specification.get("pre_tokenizer")
        if isinstance(normaliser, dict) and normaliser.get("type") == "BertNormalizer":
            specification["normalizer"] = normaliser | {
                to: flags[flag] for flag, to in _NORMALISER_FLAGS.items() if flag in flags
            }
        if isinstance(splitter, dict) and splitter.get("type") == "ByteLevel" and "add_prefix_space" in flags:
            specification["pre_tokenizer"] = splitter | {"add_prefix_space": bool(flags["add_prefix_space"])}
        specification["added_tokens"] = self._added_tokens(specification, flags)
        if self.json(_LIBRARY).get("do_lower_case") is True:
            specification["normalizer"] = _lowering(specification.get("normalizer"))
        return specification

    def _read(self) -> dict[str, Any]:
        if "tokenizer.json" in self.files:
            specification = self.json("tokenizer.json")
            if not isinstance(specification.get("model"), dict):
                raise ModelError(f"{self.name}: tokenizer.json describes no tokenizer model; fetch the file again")
            return specification
        kind = self.json("tokenizer_config.json").get("tokenizer_class")
        if kind is not None and str(kind).removesuffix("Fast") not in _KNOWN_CLASSES:
            raise UnsupportedModelError(
                f"{self.name}: its tokenizer is a {kind!s:.60}, which its vocabulary alone does not describe; make a "
                "tokenizer.json of it with transformers, if that has a fast tokenizer for it"
            )
        if "vocab.txt" in self.files:
            return _wordpiece(self._text("vocab.txt"))
        return _byte_level(self.json("vocab.json"), self._text("merges.txt"))

    def _added_tokens(self, specification: Mapping[str, Any], flags: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The tokens that stand beside the vocabulary, those that only ``tokenizer_config.json`` names included."""
        added = specification.get("added_tokens") or []
        if not isinstance(added, list) or not all(
            isinstance(token, dict) and isinstance(token.get("content"), str) for token in added
        ):
            raise ModelError(
                f"{self.name}: the added_tokens of tokenizer.json are no list of tokens; fetch the file again"
            )
        added = list(added)
        contents = {token["content"] for token in added}
        by_id = flags.get("added_tokens_decoder") or {}
        if not isinstance(by_id, dict) or not all(
            isinstance(token, dict) and "content" in token for token in by_id.values()
        ):
            raise ModelError(f"{self.name}: added_tokens_decoder in tokenizer_config.json is no object of tokens by id")
        for number, token in by_id.items():
            if token["content"] not in contents:
                settings = {name: token[name] for name in _ADDED if name in token}
                added.append({**_ADDED, **settings, "id": int(number)})
        return added

    def _text(self, name: str) -> str:
        try:
            return self.files[name].decode("utf-8")
        except UnicodeDecodeError as error:
            raise ModelError(f"{self.name}: {name} is not UTF-8 ({error}); fetch the model's file again") from error

    def specials(self) -> dict[str, str]:
        """The special tokens by role: cls, sep, pad, unk, mask."""
        bert = self.specification()["model"].get("type") == "WordPiece"
        specials = dict(_BERT_SPECIALS if bert else _ROBERTA_SPECIALS)
        for file in ("special_tokens_map.json", "tokenizer_config.json"):
            settings = self.json(file)
            for role in specials:
                token = settings.get(f"{role}_token")
                if token:
                    specials[role] = str(token.get("content")) if isinstance(token, dict) else str(token)
        return specials

    def digest(self) -> str:
        """SHA-256 over everything that determines token ids, in whichever files it is written."""
        specification = self.specification()
        model = {key: value for key, value in specification["model"].items() if key in _NAMED}
        if "merges" in model:
            model["merges"] = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
        parts = [specification.get("normalizer"), specification.get("pre_tokenizer"), model, self.specials()]
        if unusual := self._unusual(specification):
            parts.append(unusual)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _unusual(self, specification: Mapping[str, Any]) -> list[Any]:
        """Uncommon settings that change token ids; empty for most tokenizers, whose fingerprints are older than this."""
        specials = set(self.specials().values())
        prefix = "##" if specification["model"].get("type") == "WordPiece" else ""
        usual: dict[str, Any] = {**_USUAL, "continuing_subword_prefix": prefix}
        model = {
            name: value
            for name, value in specification["model"].items()
            if name in usual and (value or "") != usual[name] and value != usual[name]
        }
        added = [
            {name: value for name, value in token.items() if name != "special"}
            for token in specification["added_tokens"]
            if token.get("content") not in specials or token.get("single_word") or token.get("rstrip")
        ]
        return [model, sorted(added, key=lambda token: str(token.get("content")))] if model or added else []

    def json(self, name: str) -> dict[str, Any]:
        """The object in a file, empty where there is no such file.

        Raises:
            ModelError: It holds none.
        """
        try:
            content = json.loads(self.files.get(name, b"{}"))
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{self.name}: {name} is not JSON ({error}); fetch the file again") from error
        if not isinstance(content, dict):
            raise ModelError(f"{self.name}: {name} holds {type(content).__name__}, expected a JSON object")
        return content


def _lowering(normaliser: dict[str, Any] | None) -> dict[str, Any]:
    """A normaliser with lower case before it, as sentence-transformers puts it there where a model asks for it."""
    steps = [] if normaliser is None else [normaliser]
    if normaliser is not None and normaliser.get("type") == "Sequence":
        steps = list(normaliser.get("normalizers") or [])
    if any(step.get("type") == "Lowercase" for step in steps):
        return {"type": "Sequence", "normalizers": steps}
    return {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *steps]}


def _wordpiece(text: str) -> dict[str, Any]:
    vocabulary = {line.rstrip("\r"): at for at, line in enumerate(text.rstrip("\n").split("\n"))}
    return {
        "version": "1.0",
        "added_tokens": _added(vocabulary, _BERT_SPECIALS),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }


def _byte_level(vocabulary: dict[str, int], merges: str) -> dict[str, Any]:
    lines = [line for line in merges.split("\n") if line and not line.startswith("#version")]
    return {
        "version": "1.0",
        "added_tokens": _added(vocabulary, _ROBERTA_SPECIALS),
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "vocab": vocabulary,
            "merges": lines,
        },
    }


def _added(vocabulary: Mapping[str, int], specials: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "id": vocabulary[token],
            "content": token,
            "single_word": False,
            "lstrip": token == "<mask>",  # noqa: S105 - RoBERTa's mask swallows the space before it
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for token in specials.values()
        if token in vocabulary
    ]
