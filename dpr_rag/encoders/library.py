"""`LibraryEncoder`: any model that sentence-transformers runs, as an encoder."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from dpr_rag.encoder import Vectors, check_vectors
from dpr_rag.encoders.describing import Description
from dpr_rag.encoders.folders import ModelFolder, find_folder
from dpr_rag.encoders.kinds import refuse_other_kinds, refuse_own_code
from dpr_rag.encoders.loaded import LoadedEncoder
from dpr_rag.encoders.missing_weights import no_weights_made_up
from dpr_rag.encoders.native import NATIVE
from dpr_rag.encoders.plain_letters import PlainLetters
from dpr_rag.encoders.prompts import PromptNames, named_prompt, warn_of_unused
from dpr_rag.encoders.recognition import names_of
from dpr_rag.encoders.torch_runtime import import_torch
from dpr_rag.encoders.unknown_scripts import ScriptMonitor
from dpr_rag.encoders.weights import hash_arrays
from dpr_rag.errors import MissingExtraError, ModelError, install, unknown
from dpr_rag.forking import cached
from dpr_rag.passages import Passage

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

_DEFAULTS = {"question": ("query",), "passage": ("document", "passage", "corpus")}
Backend = Literal["torch", "onnx", "openvino"]
_SAMPLE = 2000
_NO_PROMPTS = "%s names no prompts for questions and passages; if its card asks for some, it lacks them"
_log = logging.getLogger(__name__)
# settings that change no vector, and so do not take part in the fingerprint
_IDLE = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "tokenizer_class"}


class LibraryEncoder(LoadedEncoder):
    """A model that sentence-transformers runs: ``encode_query`` for questions, ``encode_document`` for passages.

    A title goes before its text with a space between them, and letters are read as :class:`DualEncoder` reads them. Vectors
    of models that are compared by cosine have length 1.

    Args:
        model: What the library loaded. Changing it later changes neither the fingerprint nor stores.
        source: Where its weights came from, for people to read.
        prompts: Which of the model's prompts go before questions and passages; what is not named is the library's choice.

    Attributes:
        model: The same.
        source: The same.
        truncated: Passages cut to the model's length so far.

    Raises:
        ModelError: It is compared by a distance, its vectors have no fixed dimension, or it has no prompt of such a name.
    """

    def __init__(self, model: SentenceTransformer, *, source: str, prompts: PromptNames | None = None) -> None:
        super().__init__(source)
        self.model = model
        similarity = model.similarity_fn_name
        if similarity not in ("cosine", "dot"):
            raise ModelError(
                f"{source}: similarity_fn_name is {similarity!r}; dpr-rag ranks by inner product, expected cosine or dot"
            )
        self._unit = similarity == "cosine"
        prompt_texts = {name: text or "" for name, text in model.prompts.items()}
        prompt_names = prompts or PromptNames()
        named = {side: named_prompt(prompt_texts, name, side, source) for side, name in prompt_names.given}
        self._named = {side: text for side, text in named.items() if text != _default(model, _DEFAULTS[side])}

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        question_prompt_name: str | None = None,
        passage_prompt_name: str | None = None,
        device: str | None = None,
        backend: Backend = "torch",
    ) -> LibraryEncoder:
        """Load a folder or a model of the hub; code that it brings along is not run.

        Args:
            model: Path of a folder, or a hub name.
            question_prompt_name: Which of the model's prompts goes before questions; None takes the library's choice.
            passage_prompt_name: The same before passages.
            device: ``"cpu"``, ``"cuda"``, ...; None lets the library choose.
            backend: What the library runs it with; the fingerprint is that of the weights in its form.

        Raises:
            MissingExtraError: sentence-transformers is not installed.
            ModelError: The library cannot load it, or it is no dual encoder.
        """
        library = _import_library()
        if backend not in get_args(Backend):
            raise ModelError(unknown("backend", backend, get_args(Backend)))
        folder = find_folder(model)
        refuse_other_kinds(folder, names_of(folder))
        if backend == "torch":  # the others run a graph that holds all of the code
            refuse_own_code(folder)
        with no_weights_made_up(folder.name):
            loaded = _loaded(library, folder, device=device, backend=backend)
        names = PromptNames(question_prompt_name, passage_prompt_name)
        encoder = cls(loaded, source=str(model), prompts=names)
        if not names and not encoder._prompts[0]:
            prompt_texts = {name: text or "" for name, text in loaded.prompts.items()}
            if not warn_of_unused(prompt_texts, str(model)) and not any(prompt_texts.values()):
                _log.warning(_NO_PROMPTS, model)
        return encoder

    @cached
    def dim(self) -> int:
        """Number of components of every vector."""
        size = self.model.truncate_dim or self.model.get_embedding_dimension()
        return int(size) if size else int(self._encoded([""], self.model.encode_document, "passage").shape[1])

    @property
    def runtime(self) -> str:
        """What runs it, for people to read."""
        return f"sentence-transformers ({self.model.get_backend()}) on {self.model.device}"

    @property
    def description(self) -> dict[str, Any]:
        """How texts become vectors, as a JSON object, for people to read: pooling, prompts, lengths; stores keep it."""
        model, longest = self.model, self.model.max_seq_length
        question, passage = self._prompts
        return Description(
            "sentence-transformers",
            ", ".join(mode for module in model for mode in _poolings(module)) or "own",
            str(model.similarity_fn_name),
            "prefix",
            question,
            passage,
            longest,
            longest,
            model.truncate_dim,
        ).as_dict()

    @property
    def _prompts(self) -> tuple[str, ...]:
        """What goes before questions and before passages."""
        return tuple(self._named.get(side, _default(self.model, names)) for side, names in _DEFAULTS.items())

    @cached
    def fingerprint(self) -> str:
        """SHA-256 over weights, tokenizers, modules' settings, prompts, similarity and lengths."""
        model = self.model
        weights = sorted(
            (name, tensor) for name, tensor in model.state_dict().items() if not name.endswith("position_ids")
        )
        about = {
            "weights": hash_arrays((name, tensor.detach().cpu().float().numpy()) for name, tensor in weights),
            "modules": [_settings_of(module) for module in model],
            "prompts": {name: text for name, text in model.prompts.items() if text},
            "similarity": model.similarity_fn_name,
            "dim": self.dim,
            "length": model.max_seq_length,
            "title": "prefix",
            **({"named": self._named} if self._named else {}),
        }
        return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Encode questions to float32 vectors of shape [n, dim], in their order.

        Raises:
            PassageError: A question is no string or blank.
            VectorError: A vector holds NaN or infinite values.
        """
        checked = self._plain(self._checked(questions))
        self._watch_scripts(checked)
        return check_vectors(
            self._encoded(checked, self.model.encode_query, "question"), rows=len(checked), names=checked
        )

    def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        """Encode passages to float32 vectors of shape [n, dim], in their order.

        Raises:
            VectorError: A vector holds NaN or infinite values; the message names the passage.
        """
        texts = self._plain(
            f"{passage.title} {passage.text}" if passage.title else passage.text for passage in passages
        )
        self._count_long(texts)
        self._watch_scripts(texts)
        names = [passage.id for passage in passages]
        return check_vectors(self._encoded(texts, self.model.encode_document, "passage"), rows=len(texts), names=names)

    def _encoded(self, texts: Sequence[str], encode: Any, side: str) -> Vectors:
        if not texts:
            return np.empty((0, self.dim), np.float32)
        import_torch()
        prompt = {"prompt": self._named[side]} if side in self._named else {}
        with NATIVE.held():
            vectors = encode(
                list(texts), convert_to_numpy=True, show_progress_bar=False, normalize_embeddings=self._unit, **prompt
            )
        return np.asarray(vectors, np.float32)

    def _count_long(self, texts: Sequence[str]) -> None:
        longest = self.model.max_seq_length
        if not longest:
            return
        long = [text for text in texts if len(text) > longest]  # a token is at least a character
        cut = sum(len(ids) > longest for ids in self._ids_of(long, specials=True)) if long else 0
        self._count_cut(cut, of=len(texts), longest=longest)

    def _watch_scripts(self, texts: Sequence[str]) -> None:
        """Warn once where the model hardly knows the script of many texts."""
        if self._scripts is not None:
            self._scripts.check_lazily(texts, lambda chosen: self._ids_of([texts[at][:_SAMPLE] for at in chosen]))

    def _plain(self, texts: Iterable[str]) -> list[str]:
        """The texts with plain letters in place of ligatures and the like that the model cannot read."""
        return list(texts if self._letters is None else map(self._letters.read, texts))

    @cached
    def _letters(self) -> PlainLetters | None:
        tokenizer = self._own_tokenizer
        return None if tokenizer is None else PlainLetters(tokenizer, getattr(self.model.tokenizer, "unk_token", None))

    @cached
    def _scripts(self) -> ScriptMonitor | None:
        tokenizer = self._own_tokenizer
        return None if tokenizer is None else ScriptMonitor(tokenizer, getattr(self.model.tokenizer, "unk_token", None))

    @cached
    def _own_tokenizer(self) -> Tokenizer | None:
        """A copy of the model's tokenizer that never truncates; None where it is not of the ``tokenizers`` library.

        The model sets truncation on its own tokenizer before every call, so that no other thread may use it meanwhile.
        """
        backend = getattr(getattr(self.model[0], "tokenizer", None), "backend_tokenizer", None)
        if backend is None:
            return None
        tokenizer: Tokenizer = type(backend).from_str(backend.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def _ids_of(self, texts: Sequence[str], *, specials: bool = False) -> list[list[int]]:
        if self._own_tokenizer is None:
            return self.model.tokenizer(list(texts), verbose=False)["input_ids"]  # type: ignore[no-any-return]
        return [encoding.ids for encoding in self._own_tokenizer.encode_batch(list(texts), add_special_tokens=specials)]


def _loaded(library: Any, folder: ModelFolder, **options: Any) -> SentenceTransformer:
    try:
        with NATIVE.held():
            return library.SentenceTransformer(str(folder.top), local_files_only=True, **options)  # type: ignore[no-any-return]
    except (ValueError, OSError, KeyError, TypeError, ImportError, RuntimeError, AttributeError) as error:
        raise ModelError(
            f"{folder.name}: sentence-transformers cannot load it ({type(error).__name__}: {error!s:.300})"
        ) from error


def _default(model: SentenceTransformer, names: Sequence[str]) -> str:
    """The prompt that the library takes where none is named."""
    name = next((one for one in names if one in model.prompts), model.default_prompt_name)
    return (model.prompts.get(name) or "") if name else ""


def _poolings(module: Any) -> list[str]:
    """How a module pools, if it does."""
    mode = getattr(module, "pooling_mode", None)
    return [mode] if isinstance(mode, str) else [str(mode) for mode in mode or ()]


def _settings_of(module: Any) -> list[Any]:
    """The settings of a module that change vectors, besides its weights."""
    settings: list[Any] = [type(module).__name__]
    if (tokenizer := getattr(module, "tokenizer", None)) is not None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        specification = json.loads(backend.to_str()) if backend is not None else {"vocab": tokenizer.get_vocab()}
        settings.append({**specification, "truncation": None, "padding": None})
    if (inner := getattr(module, "auto_model", None)) is not None:
        settings.append({name: value for name, value in inner.config.to_diff_dict().items() if name not in _IDLE})
    elif hasattr(module, "get_config_dict"):
        settings.append(module.get_config_dict())
    return settings


def _import_library() -> Any:
    try:
        import_torch()
        with NATIVE.held():
            import sentence_transformers
    except ImportError as error:
        raise MissingExtraError(
            f"this needs sentence-transformers ({error}); {install('sentence-transformers')}"
        ) from error
    return sentence_transformers
