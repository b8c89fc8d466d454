"""``Reader``: DPR's reader, a cross-encoder that scores passages for a question and extracts the answer span."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from dpr_rag.answer import Answer
from dpr_rag.encoders.folders import find_folder
from dpr_rag.encoders.runtime import Runtime, batches_for
from dpr_rag.encoders.runtime_choice import RuntimeName, choose_runtime
from dpr_rag.encoders.saving import save_folder
from dpr_rag.encoders.tokens import PlacedTokens, Tokens
from dpr_rag.encoders.towers import Tower, load_tower
from dpr_rag.errors import ModelError, VectorError
from dpr_rag.faces import ByFace
from dpr_rag.forking import cached
from dpr_rag.passages import Hit, Passage, check_question
from dpr_rag.paths import place_of
from dpr_rag.reading.balance import Scale, log_softmax
from dpr_rag.reading.heads import END, SELECTION, START, body_of, heads_of
from dpr_rag.reading.pairs import BODY, PairTokens, Window
from dpr_rag.reading.profiles import DPR, ReaderProfile, reader_profile_from
from dpr_rag.reading.reranking import ranked_anew
from dpr_rag.reading.spans import Scores, Span, best_span, characters_of
from dpr_rag.sharing import Shared

READER_FILE = "dpr_rag_reader.json"
_FORMAT = 1
_DEFAULT = Path(__file__).with_name("default")
DEFAULT_SOURCE = "dpr-rag-reader-v1"


@dataclass(frozen=True, slots=True)
class Reading:
    """A reader's output for one passage.

    Attributes:
        selection: The passage's score; higher is better, comparable between passages of one question.
        answer: The most probable span, even if the passage holds no answer.
        none: Probability that the passage holds no answer; 0 if the reader does not model that.
    """

    selection: float
    answer: Answer
    none: float


class Reader(Shared):
    """Scores passages for a question, and extracts the span that answers it (Karpukhin et al. 2020, section 6.1).

    Args:
        tower: A BERT with the heads ``span`` (start and end logits of every token) and ``selection`` (of the first token).
        profile: How question and passage are joined to one input.
        source: Origin of the weights, for people to read.
        device: See ``DualEncoder.from_pretrained``, as for the next two.
        dtype: Precision.
        runtime: Runtime.

    Attributes:
        tower: See above, as for the next two.
        profile: The profile.
        source: The origin.
        scale: How selection scores are combined with those of a search, see :func:`dpr_rag.reading.balance.balanced`; as
            log-likelihoods, since selection is trained as a choice among passages.

    Raises:
        ModelError: The tower is not a reader, or a weight is missing or has the wrong shape.
    """

    scale: Final[Scale] = "likelihood"

    def __init__(
        self,
        tower: Tower,
        *,
        profile: ReaderProfile,
        source: str,
        device: str | None = None,
        dtype: str | None = None,
        runtime: RuntimeName | None = None,
    ) -> None:
        if tower.role != "reader":
            raise ModelError(f"{tower.tokenizer.name} is {tower.architecture}, an encoder; pass a reader (DPRReader)")
        self.tower, self.profile, self.source = tower, profile, source
        self.pairs = PairTokens(tower, profile)
        self._wanted = (runtime, device, dtype)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        device: str | None = None,
        dtype: str | None = None,
        runtime: RuntimeName | None = None,
    ) -> Reader:
        """Load a reader from a folder or hub name: one that :meth:`save_pretrained` wrote, or a ``DPRReader`` of transformers.

        Args:
            model: The folder or hub name.
            device: See ``DualEncoder.from_pretrained``, as for the next two.
            dtype: Precision.
            runtime: Runtime; ``"openvino"`` needs no PyTorch.

        Raises:
            ModelError: It is not a reader, or files are missing or damaged.
            UnsafeFileError: ``pytorch_model.bin`` holds something other than tensors and plain containers.
            MissingExtraError: The runtime is not installed.
        """
        folder = find_folder(model)
        profile = DPR
        if (folder.path / READER_FILE).is_file():
            about, where = folder.json(READER_FILE), f"{folder.name}/{READER_FILE}"
            if not isinstance(about, dict) or about.get("format") != _FORMAT:
                raise ModelError(
                    f"{where}: expected an object of format {_FORMAT}; if a newer dpr-rag wrote it, upgrade"
                )
            profile = reader_profile_from(about.get("profile"), where=where)
        tower, source = load_tower(folder), str(model)
        reader = cls(tower, profile=profile, source=source, device=device, dtype=dtype, runtime=runtime)
        _ = reader.runtime  # a missing weight raises here, not on first use
        return reader

    @classmethod
    def default(
        cls, *, device: str | None = None, dtype: str | None = None, runtime: RuntimeName | None = None
    ) -> Reader:
        """Load the reader that comes with this package, if one does; ``MODEL_CARD.md`` beside its weights describes it.

        Raises:
            ModelError: None comes with this version.
            MissingExtraError: What runs it is not installed.
        """
        if not _DEFAULT.is_dir():
            raise ModelError(
                "no reader comes with this version of dpr-rag; name one"
                + ByFace(": Reader.from_pretrained(folder)", cli=" with --reader")
                + ", such as DPR's facebook/dpr-reader-single-nq-base, or one of your own"
            )
        reader = cls.from_pretrained(_DEFAULT, device=device, dtype=dtype, runtime=runtime)
        reader.source = DEFAULT_SOURCE
        return reader

    def save_pretrained(self, path: str | Path) -> None:
        """Write a folder that :meth:`from_pretrained` loads, and transformers as a ``DPRReader``.

        Raises:
            ModelError: Something other than a saved reader is at the path, or it cannot be written.
        """

        def build(folder: Path) -> None:
            self.tower.write(folder)
            about = {"format": _FORMAT, "profile": self.profile.as_dict(), "source": self.source}
            (folder / READER_FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

        save_folder(place_of(path), build, marked_by=READER_FILE, kind="reader")

    @cached
    def fingerprint(self) -> str:
        """SHA-256 over weights, tokenizer and profile; the same on any runtime and in any precision."""
        settings = self.profile.as_dict()
        del settings["name"]
        return hashlib.sha256(json.dumps([settings, self.tower.digest], sort_keys=True).encode()).hexdigest()

    @cached
    def runtime(self) -> Runtime:
        """The runtime, created on first use."""
        body, heads = body_of(self.tower), heads_of(self.tower)
        name, device, dtype = self._wanted
        tokens = Tokens(body, BODY)
        return choose_runtime(
            body, BODY, tokens, runtime=name, device=device, dtype=dtype, model=self.fingerprint, each_token=heads
        )

    def read(self, question: str, passages: Sequence[Passage]) -> list[Reading]:
        """Score passages and extract an answer span from each, in their order.

        A passage too long for one input is read in overlapping windows: its score is the highest of their scores, its answer
        the best of their spans.

        Raises:
            PassageError: The question is not a string, or is blank.
            VectorError: A score is not finite.
        """
        question = check_question(question)
        (question_ids,) = self.pairs.bodies([question])
        titles = self.pairs.bodies([passage.title for passage in passages])
        texts = self.pairs.texts([passage.text for passage in passages])
        windows = [self.pairs.windows(question_ids, title, text.ids) for title, text in zip(titles, texts, strict=True)]
        scores = iter(self._scores([window for group in windows for window in group], question))
        return [
            self._reading(group, [next(scores) for _ in group], tokens, passage.text)
            for group, tokens, passage in zip(windows, texts, passages, strict=True)
        ]

    def rerank(self, question: str, hits: Sequence[Hit], k: int | None = None) -> list[Hit]:
        """Rerank hits by their selection scores, with the extracted answers; see :class:`dpr_rag.reading.reranking.Reranker`.

        The probability of an answer is that of its passage (a softmax over the given hits) times that of its span.

        Raises:
            PassageError: The question is not a string, or is blank.
            VectorError: A score is not finite.
        """
        readings = self.read(question, [hit.passage for hit in hits])
        scores = np.array([reading.selection for reading in readings])
        shares = np.exp(log_softmax(scores))
        answered = [
            replace(hit, answer=_answer(reading, float(share)))
            for hit, reading, share in zip(hits, readings, shares, strict=True)
        ]
        return ranked_anew(answered, scores.tolist(), k)

    def _scores(self, windows: Sequence[Window], question: str) -> list[Scores]:
        """Start, end and selection logits of every token of every window, each float32 [length, 3]."""
        sequences = [window.sequence for window in windows]
        by_window: list[Scores] = [np.empty((0, 3), np.float32)] * len(windows)
        pending = batches_for(self.runtime, sequences, pad=self.pairs.pad, segments="zero")
        for batch, logits in self.runtime.encode_all(pending):
            for row, padded in zip(batch.rows, logits, strict=True):
                by_window[row] = padded[: len(sequences[row].ids)]
        if not all(np.isfinite(logits).all() for logits in by_window):
            raise VectorError(
                f"{self.source} gives scores for {question!r:.80} that are not finite; its weights are damaged"
            )
        return by_window

    def _reading(self, windows: list[Window], scores: list[Scores], tokens: PlacedTokens, text: str) -> Reading:
        spans = [self._span(window, logits) for window, logits in zip(windows, scores, strict=True) if window.count]
        selection = max(float(logits[0, SELECTION]) for logits in scores)
        if not spans:  # the tokenizer sees nothing in the text
            return Reading(selection, Answer("", 0, 0, 0.0), 1.0)
        best = max(spans, key=lambda span: span.score)
        start, end = characters_of(best, tokens, text)
        return Reading(
            selection, Answer(text[start:end], start, end, best.probability), min(span.none for span in spans)
        )

    def _span(self, window: Window, scores: Scores) -> Span:
        logits = scores[window.sequence.second : window.sequence.second + window.count]
        null = (float(scores[0, START]), float(scores[0, END])) if self.profile.null else None
        return best_span(logits[:, START], logits[:, END], null, first=window.first, longest=self.profile.answer)

    def _instead_of_pickling(self) -> str:
        return (
            f"the reader {self.source!r:.120} is loaded and cannot be pickled; load it where it is used, with "
            "Reader.from_pretrained"
        )


def _answer(reading: Reading, share: float) -> Answer | None:
    """The answer of a passage with its share of the probability; None if it more probably holds none."""
    if reading.none > reading.answer.probability or not reading.answer.text:
        return None
    return replace(reading.answer, probability=reading.answer.probability * share)
