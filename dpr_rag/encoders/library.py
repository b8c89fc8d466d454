"""`LibraryEncoder`: any model that sentence-transformers runs, as an encoder; and `load_encoder`, which takes it where needed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from dpr_rag.encoder import Vectors, check_vectors
from dpr_rag.encoders.choosing import RuntimeName
from dpr_rag.encoders.dual import DualEncoder
from dpr_rag.encoders.folders import find_folder
from dpr_rag.encoders.kinds import refuse_other_kinds
from dpr_rag.encoders.loaded import LoadedEncoder
from dpr_rag.encoders.native import NATIVE
from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.recognition import names_of
from dpr_rag.encoders.torch_runtime import import_torch
from dpr_rag.encoders.unread import Unread
from dpr_rag.encoders.weights import hash_arrays
from dpr_rag.errors import MissingExtraError, ModelError, UnsupportedModelError, install, unknown
from dpr_rag.forking import cached
from dpr_rag.passages import Passage

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

Backend = Literal["torch", "onnx", "openvino"]
_BEGINNING = 2000
_log = logging.getLogger(__name__)
# of a configuration's differences from its class, what changes no vector
_IDLE = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "tokenizer_class"}


class LibraryEncoder(LoadedEncoder):
    """A model that sentence-transformers runs: ``encode_query`` for questions, ``encode_document`` for passages.

    A title goes before its text with a space between them. Vectors of models that are compared by cosine have length 1.

    Args:
        model: What the library loaded. Changing it later changes neither the fingerprint nor stores.
        source: Where its weights came from, for people to read.

    Attributes:
        model: The same.
        source: The same.
        truncated: Passages cut to the model's length so far.

    Raises:
        ModelError: It is compared by a distance, or its vectors have no fixed dimension.
    """

    def __init__(self, model: SentenceTransformer, *, source: str) -> None:
        super().__init__(source)
        self.model = model
        similarity = model.similarity_fn_name
        if similarity not in ("cosine", "dot"):
            raise ModelError(
                f"{source}: similarity_fn_name is {similarity!r}; dpr-rag ranks by inner product, expected cosine or dot"
            )
        self._unit = similarity == "cosine"

    @classmethod
    def from_pretrained(
        cls, model: str | Path, *, device: str | None = None, backend: Backend = "torch"
    ) -> LibraryEncoder:
        """Load a folder or a model of the hub; code that it brings along is not run.

        Args:
            model: Path of a folder, or a hub name.
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
        try:
            with NATIVE.held():
                loaded = library.SentenceTransformer(
                    str(folder.top), device=device, backend=backend, local_files_only=True
                )
        except (ValueError, OSError, KeyError, TypeError, ImportError, RuntimeError, AttributeError) as error:
            raise ModelError(
                f"{folder.name}: sentence-transformers cannot load it ({type(error).__name__}: {error!s:.300})"
            ) from error
        return cls(loaded, source=str(model))

    @cached
    def dim(self) -> int:
        """Number of components of every vector."""
        found = self.model.truncate_dim or self.model.get_embedding_dimension()
        return int(found) if found else int(self._encoded([""], self.model.encode_document).shape[1])

    @property
    def runtime(self) -> str:
        """What runs it, for people to read."""
        return f"sentence-transformers ({self.model.get_backend()}) on {self.model.device}"

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
        }
        return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Encode questions to float32 vectors of shape [n, dim], in their order.

        Raises:
            PassageError: A question is no string or blank.
            VectorError: A vector holds NaN or infinite values.
        """
        checked = self._checked(questions)
        self._look_at(checked)
        return check_vectors(self._encoded(checked, self.model.encode_query), rows=len(checked), names=checked)

    def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        """Encode passages to float32 vectors of shape [n, dim], in their order.

        Raises:
            VectorError: A vector holds NaN or infinite values; the message names the passage.
        """
        texts = [f"{passage.title} {passage.text}" if passage.title else passage.text for passage in passages]
        self._count_long(texts)
        self._look_at(texts)
        names = [passage.id for passage in passages]
        return check_vectors(self._encoded(texts, self.model.encode_document), rows=len(texts), names=names)

    def _encoded(self, texts: Sequence[str], encode: Any) -> Vectors:
        if not texts:
            return np.empty((0, self.dim), np.float32)
        import_torch()
        with NATIVE.held():
            found = encode(list(texts), convert_to_numpy=True, show_progress_bar=False, normalize_embeddings=self._unit)
        return np.asarray(found, np.float32)

    def _count_long(self, texts: Sequence[str]) -> None:
        longest = self.model.max_seq_length
        if not longest:
            return
        long = [text for text in texts if len(text) > longest]  # a token is at least a character
        cut = sum(len(ids) > longest for ids in self._ids_of(long, specials=True)) if long else 0
        self._count_cut(cut, of=len(texts), longest=longest)

    def _look_at(self, texts: Sequence[str]) -> None:
        """Say once where the model hardly reads the script of many texts."""
        if self._unread is not None:
            self._unread.look_through(texts, lambda chosen: self._ids_of([texts[at][:_BEGINNING] for at in chosen]))

    @cached
    def _unread(self) -> Unread | None:
        own = self._own_tokenizer
        return None if own is None else Unread(own, getattr(self.model.tokenizer, "unk_token", None))

    @cached
    def _own_tokenizer(self) -> Tokenizer | None:
        """A copy of the model's tokenizer that never cuts; None where it is none of the library of that name.

        The model's own is told before every call how to cut, so that no other thread may use it in between.
        """
        backend = getattr(getattr(self.model[0], "tokenizer", None), "backend_tokenizer", None)
        if backend is None:
            return None
        own: Tokenizer = type(backend).from_str(backend.to_str())
        own.no_truncation()
        own.no_padding()
        return own

    def _ids_of(self, texts: Sequence[str], *, specials: bool = False) -> list[list[int]]:
        if self._own_tokenizer is None:
            found: list[list[int]] = self.model.tokenizer(list(texts), verbose=False)["input_ids"]
            return found
        return [one.ids for one in self._own_tokenizer.encode_batch(list(texts), add_special_tokens=specials)]


def _settings_of(module: Any) -> list[Any]:
    """What a module does beside its weights."""
    found: list[Any] = [type(module).__name__]
    if (tokenizer := getattr(module, "tokenizer", None)) is not None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        said = json.loads(backend.to_str()) if backend is not None else {"vocab": tokenizer.get_vocab()}
        found.append({**said, "truncation": None, "padding": None})
    if (inner := getattr(module, "auto_model", None)) is not None:
        differs = inner.config.to_diff_dict()
        found.append({name: value for name, value in differs.items() if name not in _IDLE})
    elif hasattr(module, "get_config_dict"):
        found.append(module.get_config_dict())
    return found


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


def load_encoder(
    question: str | Path,
    context: str | Path | None = None,
    *,
    profile: str | Profile | None = None,
    device: str | None = None,
    dtype: str | None = None,
    runtime: RuntimeName | Literal["sentence-transformers"] | None = None,
) -> DualEncoder | LibraryEncoder:
    """Load whatever model it is: by itself where dpr-rag runs it, else through sentence-transformers, where that is installed.

    Args:
        question: As for :meth:`DualEncoder.from_pretrained`.
        context: The same.
        profile: The same; a model with a profile is run by dpr-rag.
        device: The same.
        dtype: The same.
        runtime: The same, or ``"sentence-transformers"``.

    Raises:
        ModelError: Nothing runs it.
        MissingExtraError: What would run it is not installed.
    """
    if runtime == "sentence-transformers":
        if context is not None or profile is not None or dtype is not None:
            raise ModelError("runtime 'sentence-transformers' takes one model, without context, profile and dtype")
        return LibraryEncoder.from_pretrained(question, device=device)
    try:
        return DualEncoder.from_pretrained(
            question, context, profile=profile, device=device, dtype=dtype, runtime=runtime
        )
    except UnsupportedModelError as error:
        if any(given is not None for given in (context, profile, dtype, runtime)):
            raise
        if find_spec("sentence_transformers") is None:
            raise MissingExtraError(
                f"{error}; sentence-transformers may run it: {install('sentence-transformers')}"
            ) from error
        _log.info("%s; loading it through sentence-transformers", error)
    return LibraryEncoder.from_pretrained(question, device=device)
