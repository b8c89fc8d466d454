"""Recognises models that cannot be used as dual encoders, and refuses them with a reason."""

from __future__ import annotations

import re
from typing import Any

from dpr_rag.encoders.folders import ModelFolder
from dpr_rag.errors import ModelError
from dpr_rag.faces import ByFace

_SPARSE = (
    "a sparse encoder (SPLADE), whose vectors are weights of the vocabulary's words; dpr-rag searches dense vectors"
)
_LATE = "a late-interaction model (ColBERT), with a vector for every token; dpr-rag searches one vector a passage"
_CROSS = "a cross-encoder, which scores a question and a passage together; it reranks what was retrieved, see examples/rerank.py"
_READER = "DPR's reader, which reads what was retrieved and gives no vectors; load it with Reader.from_pretrained"
_BY_MODULE = {"SpladePooling": _SPARSE, "MLMTransformer": _SPARSE, "SparseAutoEncoder": _SPARSE}
_BY_TYPE = {"SparseEncoder": _SPARSE, "MultiVectorEncoder": _LATE, "CrossEncoder": _CROSS}
_TCT = (
    "a TCT-ColBERT, which puts [CLS] [Q] or [CLS] [D] before its texts and leaves those out of the mean; dpr-rag takes the mean "
    "of all tokens, and would give other vectors; encode with Pyserini, whose embeddings dpr-rag reads, or take another model"
)
_BY_NAME = (
    (re.compile(r"\bsplade|\bopensearch-neural-sparse"), _SPARSE),
    (re.compile(r"\bcolbert"), _LATE),
    (re.compile(r"\btct[_-]colbert"), _TCT),
)
_IN_TRANSFORMERS = ("nomic_bert", "gte", "jina_embeddings_v3")
"""Types that were code of the models' own before transformers had classes of the same weights."""


def refuse_incomplete(folder: ModelFolder) -> None:
    """Refuse what is no whole model: an adapter, or one whose vectors pass through another file's weights.

    Args:
        folder: The model's files.

    Raises:
        ModelError: It is one.
    """
    if (folder.path / "adapter_config.json").is_file():
        base = folder.json("adapter_config.json", default={}).get("base_model_name_or_path")
        raise ModelError(
            f"{folder.name} holds a LoRA adapter (adapter_config.json) of {base!r:.120}, which is no model by itself; merge "
            "the two with peft (merge_and_unload), and save model and tokenizer in a folder of their own"
        )
    if (folder.path / "pooler_config.json").is_file():
        raise ModelError(
            f"{folder.name} holds the linear pooler of Tevatron's --add_pooler (pooler.pt), which dpr-rag does not run; take "
            "a model that was trained without it"
        )


def refuse_own_code(folder: ModelFolder) -> None:
    """Refuse a model that brings along the code that runs it.

    Without that code, libraries take their own class of the same type and of the same weights, whose attention or positions
    are others, and so are the vectors.

    Args:
        folder: The model's files.

    Raises:
        ModelError: It is one.
    """
    mapped = folder.config.get("auto_map")
    code_files: list[Any] = list(folder.foreign_modules())
    if isinstance(mapped, dict) and folder.config.get("model_type") not in _IN_TRANSFORMERS:
        code_files += [code for name, code in mapped.items() if name.startswith("AutoModel")]
    if code_files:
        raise ModelError(
            f"{folder.name} needs code of its own ({code_files[0]!s:.120}) to be itself, and dpr-rag runs no code of a model; "
            "take another model"
            + ByFace(
                ", or, in Python, read that code, load the model with SentenceTransformer(…, trust_remote_code=True), and pass "
                "LibraryEncoder(model, source=…)",
                cli="",
                page="",
            )
        )


def refuse_other_kinds(folder: ModelFolder, names: tuple[str, ...]) -> None:
    """Refuse what would give vectors, but none that inner products compare.

    Args:
        folder: The model's files.
        names: What it may be called.

    Raises:
        ModelError: It is a model of another kind.
    """
    refuse_incomplete(folder)
    kind = _kind(folder, names)
    if kind is not None:
        raise ModelError(f"{folder.name} is {kind}")


def _kind(folder: ModelFolder, names: tuple[str, ...]) -> str | None:
    modules = [name for name, _ in folder.modules()]
    model_type = folder.top_json("config_sentence_transformers.json", default={}).get("model_type")
    kinds = [_BY_MODULE[name] for name in modules if name in _BY_MODULE]
    if isinstance(model_type, str) and model_type in _BY_TYPE:
        kinds.append(_BY_TYPE[model_type])
    if any(kind.startswith("pylate.") for kind in folder.foreign_modules()):
        kinds.append(_LATE)
    if "ColBERT" in folder.architecture or (folder.path / "artifact.metadata").is_file():
        kinds.append(_LATE)
    if folder.architecture == "DPRReader":
        kinds.append(_READER)
    if folder.architecture.endswith("ForSequenceClassification"):
        kinds.append(_CROSS)
    if not modules:
        kinds += [kind for pattern, kind in _BY_NAME if any(pattern.search(name.lower()) for name in names)]
    return kinds[0] if kinds else None
