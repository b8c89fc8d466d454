"""`DualEncoder`: the question tower, the context tower, and the way of a text to its vector."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dpr_rag.arguments import names_known
from dpr_rag.encoder import Vectors
from dpr_rag.encoders.describing import describe
from dpr_rag.encoders.folders import PROFILE_FILE, ModelFolder, find_folder
from dpr_rag.encoders.kinds import refuse_incomplete
from dpr_rag.encoders.loaded import LoadedEncoder
from dpr_rag.encoders.precision_choice import choice_key
from dpr_rag.encoders.profiles import PROFILES, Profile
from dpr_rag.encoders.prompts import PromptNames
from dpr_rag.encoders.recognition import recognise_all, refuse_others
from dpr_rag.encoders.runtime_choice import RuntimeName, choose_runtime
from dpr_rag.encoders.saving import read_profile_file, save_towers
from dpr_rag.encoders.sides import Progress, Side
from dpr_rag.encoders.special_tokens import refuse_other_readings
from dpr_rag.encoders.tokens import Tokens
from dpr_rag.encoders.towers import Role, Tower, load_tower
from dpr_rag.errors import ModelError
from dpr_rag.forking import cached
from dpr_rag.passages import Passage
from dpr_rag.paths import place_of

_log = logging.getLogger(__name__)
_DEFAULT = Path(__file__).with_name("default")
DEFAULT_SOURCE = "dpr-rag-mini-v2"
FORMER_DEFAULT_SOURCES = frozenset({"dpr-rag-mini-v1"})
"""Default encoders of earlier versions: there are stores of their vectors, and their weights are in no package any more."""


class DualEncoder(LoadedEncoder):
    """Encodes questions and passages into one vector space, with two towers or a shared one.

    Most callers use :meth:`from_pretrained` or :meth:`default`. Encoding may be called from several threads.

    Args:
        question: The question tower.
        context: The context tower; None shares the question tower.
        profile: Tokenisation, pooling and similarity of the model family.
        source: Origin of the weights, for people to read.
        device: See :meth:`from_pretrained`.
        dtype: See :meth:`from_pretrained`.
        runtime: See :meth:`from_pretrained`.

    Attributes:
        profile: How text becomes tokens and tokens a vector.
        source: Where the weights came from.
        progress: Called as ``progress(done, total)`` while encoding; None is silent.
        truncated: Passages cut to the profile's length so far.

    Raises:
        ModelError: A weight is missing, a tower is in the wrong role, or the towers' dimensions differ.
        MissingExtraError: What runs it is not installed.
    """

    def __init__(
        self,
        question: Tower,
        context: Tower | None = None,
        *,
        profile: Profile,
        source: str,
        device: str | None = None,
        dtype: str | None = None,
        runtime: RuntimeName | None = None,
    ) -> None:
        _check_roles(question, context)
        super().__init__(source)
        self.profile = profile
        self.progress: Progress | None = None
        self.question_tower = question
        self.context_tower = question if context is None else context

        def side(tower: Tower, role: Role) -> Side:
            tokens = Tokens(tower, profile)
            name = choice_key(self.fingerprint, role)
            chosen = choose_runtime(tower, profile, tokens, runtime=runtime, device=device, dtype=dtype, model=name)
            return Side(tokens, chosen, profile)

        self._question = side(question, "question")
        self._context = self._question if context is None else side(context, "context")
        _check_dimensions(self._question, self._context, source)

    @classmethod
    @names_known(
        **dict.fromkeys(
            ("model", "model_name", "model_id", "model_name_or_path", "model_path", "question_model"), "question"
        ),
        **dict.fromkeys(("context_model", "ctx_model", "passage_model", "document_model"), "context"),
        torch_dtype="dtype",
        backend="runtime",
    )
    def from_pretrained(
        cls,
        question: str | Path,
        context: str | Path | None = None,
        *,
        profile: str | Profile | None = None,
        question_prompt_name: str | None = None,
        passage_prompt_name: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        runtime: RuntimeName | None = None,
    ) -> DualEncoder:
        """Load an encoder from folders or hub names.

        Weights are read from safetensors, and where a model has none from ``pytorch_model.bin``, by a restricted reader
        that builds arrays and plain containers only.

        Args:
            question: The question encoder; or the only model, shared by both sides; or a folder that
                :meth:`save_pretrained` wrote; or one with Tevatron's ``query_model/`` and ``passage_model/``.
            context: The context encoder, where it is a model of its own.
            profile: Name of a profile, perhaps with other fields (``tevatron:passage_length=256``), or a profile;
                recognised from the files where it is None.
            question_prompt_name: Name of the prompt, in the files of a sentence-transformers model, that goes before
                questions; None takes the one called ``query`` or ``question``, or else the family's.
            passage_prompt_name: The same before passages, ``document``, ``passage`` or ``corpus``.
            device: ``"cpu"``, ``"cuda"``, ...; None takes a GPU where PyTorch finds one.
            dtype: ``"int8"`` (OpenVINO), ``"float32"``, ``"bfloat16"`` or ``"float16"`` (PyTorch). None is bfloat16 on a GPU;
                on a CPU the quickest that is true to the model there: bfloat16, int8 or float32.
            runtime: ``"torch"``, or ``"openvino"``, which needs no PyTorch and runs on the CPU. None takes PyTorch on a GPU
                or where ``dtype`` names a precision and PyTorch is there, and OpenVINO else.

        Raises:
            ModelError: Not a model, missing weights, unknown architecture, profile or prompt, swapped roles.
            UnsafeFileError: ``pytorch_model.bin`` asks for more than tensors and plain containers.
            MissingExtraError: What runs it is not installed.
        """
        folders, saved_profile = _folders(question, context)
        known_profile = profile or saved_profile
        for folder in folders:
            refuse_incomplete(folder)
        if known_profile is None:
            for folder in folders:
                refuse_others(folder)  # before its weights are looked for
        towers = [load_tower(folder) for folder in folders]
        source = " + ".join(str(model) for model in (question, context) if model is not None)
        chosen = recognise_all(
            folders, profile=known_profile, prompts=PromptNames(question_prompt_name, passage_prompt_name)
        )
        if known_profile is None:
            for tower in towers:
                refuse_other_readings(tower, chosen)  # before its graph is built, and the precision chosen
        return cls(*towers, profile=chosen, source=source, device=device, dtype=dtype, runtime=runtime)

    @classmethod
    def default(
        cls, *, device: str | None = None, dtype: str | None = None, runtime: RuntimeName | None = None
    ) -> DualEncoder:
        """Load the encoder that comes with this package, dpr-rag-mini-v2; ``MODEL_CARD.md`` beside its weights describes it.

        Raises:
            MissingExtraError: What runs it is not installed.
        """
        encoder = cls.from_pretrained(_DEFAULT, device=device, dtype=dtype, runtime=runtime)
        encoder.source = DEFAULT_SOURCE
        return encoder

    def save_pretrained(self, path: str | Path) -> None:
        """Write a folder that :meth:`from_pretrained` loads by itself, replacing an encoder saved there before.

        The layout is ``question/`` and, unless the tower is shared, ``context/``, each a folder that plain
        transformers loads, and ``dpr_rag.json`` with the profile. Weights are written as they were loaded, whatever
        precision they run in, so the fingerprint stays.

        Raises:
            ModelError: Something other than a saved encoder is at the path.
        """
        towers: dict[Role, Tower] = {"question": self.question_tower}
        if not self.shared:
            towers["context"] = self.context_tower
        save_towers(place_of(path), towers, self.profile, source=self.source)

    def _instead_of_pickling(self) -> str:
        return f"{super()._instead_of_pickling()} or DualEncoder.default, or save it for that with save_pretrained"

    @property
    def dim(self) -> int:
        """Number of components of every vector."""
        return self._question.dim

    @property
    def shared(self) -> bool:
        """Whether both sides use one tower."""
        return self.context_tower is self.question_tower

    @property
    def runtime(self) -> str:
        """What runs the towers, and in which precision, for people to read."""
        return " and ".join(dict.fromkeys(str(side.runtime) for side in self.sides))

    @property
    def description(self) -> dict[str, Any]:
        """How texts become vectors, as a JSON object, for people to read: profile, pooling, prompts, lengths; stores keep it."""
        question, passage = self._question.tokens.question_length, self._context.tokens.passage_length
        return describe(self.profile, question_length=question, passage_length=passage).as_dict()

    @property
    def sides(self) -> tuple[Side, Side]:
        """The question's side and the passage's, one object where the tower is shared: for those who train them."""
        return self._question, self._context

    @cached
    def fingerprint(self) -> str:
        """SHA-256 over the towers' weights, tokenizers and the profile; the same on any runtime, device, precision."""
        settings = self.profile.as_dict()
        del settings["name"]
        towers = [self.question_tower.digest, None if self.shared else self.context_tower.digest]
        return hashlib.sha256(json.dumps([settings, towers], sort_keys=True).encode()).hexdigest()

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Encode questions to float32 vectors of shape [n, dim], in their order.

        Raises:
            PassageError: A question is no string or blank.
            VectorError: A vector holds NaN or infinite values.
        """
        checked = self._checked(questions)
        side = self._question
        return side.encode(checked, side.tokens.questions, checked, self.progress)[0]

    def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        """Encode passages to float32 vectors of shape [n, dim], in their order.

        Passages longer than the profile's length are cut and counted in ``truncated``; the first time, that is logged.

        Raises:
            VectorError: A vector holds NaN or infinite values; the message names the passage.
        """
        side = self._context
        names = [passage.id for passage in passages]
        vectors, cut = side.encode(passages, side.tokens.passages, names, self.progress)
        self._count_cut(cut, of=len(names), longest=side.tokens.passage_length)
        return vectors


def _folders(question: str | Path, context: str | Path | None) -> tuple[list[ModelFolder], Profile | None]:
    """The folders of the towers, and the profile where they were saved together."""
    first = find_folder(question)
    if not (first.path / PROFILE_FILE).is_file():
        towers = _untied(first, context)
        if towers:
            return towers, PROFILES["tevatron"]
        return [first] if context is None else [first, find_folder(context)], None
    if context is not None:
        raise ModelError(f"{first.name} was saved with all its towers; pass it alone, without {str(context)!r}")
    saved, roles = read_profile_file(first)
    return [ModelFolder(first.path / role, f"{first.name}/{role}") for role in roles], saved


def _untied(folder: ModelFolder, context: str | Path | None) -> list[ModelFolder]:
    """The two towers of a folder that Tevatron wrote, or none."""
    towers = folder.untied()
    if towers:
        refuse_incomplete(folder)  # what lies beside them
    if towers and context is not None:
        raise ModelError(f"{folder.name} holds both of Tevatron's towers; pass it alone, without {str(context)!r}")
    return towers


def _check_roles(question: Tower, context: Tower | None) -> None:
    name = question.tokenizer.name
    for tower in (question, context):
        if tower is not None and tower.role == "reader":
            raise ModelError(
                f"{tower.tokenizer.name} is a reader ({tower.architecture}), which gives no vectors; load it with "
                "Reader.from_pretrained, and pass an encoder here"
            )
    if question.role == "context":
        raise ModelError(
            f"{name} is a context encoder ({question.architecture}) in the role of the question encoder: the roles are "
            "swapped; pass the question encoder first, then the context encoder"
        )
    if context is not None and context.role == "question":
        raise ModelError(
            f"{context.tokenizer.name} is a question encoder ({context.architecture}) in the role of the context encoder: "
            "the roles are swapped; pass the question encoder first, then the context encoder"
        )
    if context is None and question.role == "question":
        partner = name.replace("question", "ctx") if "question" in name else "the context encoder it was trained with"
        raise ModelError(f"{name} is a question encoder alone; pass its context encoder too: {partner}")


def _check_dimensions(question: Side, context: Side, source: str) -> None:
    if question.runtime.dim != context.runtime.dim:
        raise ModelError(
            f"{source}: the question encoder gives {question.runtime.dim} dimensions, the context encoder "
            f"{context.runtime.dim}; pass two towers that were trained together"
        )
