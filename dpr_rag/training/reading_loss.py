"""The loss of a reader: selection among a question's passages, and the marginal likelihood of the answer's spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dpr_rag.reading.heads import END, START
from dpr_rag.training.reading_batches import Example

if TYPE_CHECKING:
    import torch


def span_losses(scores: torch.Tensor, examples: Sequence[Example]) -> torch.Tensor:
    """The negative log-likelihood of the right spans of each input, all of them together (section 6.1 of the paper).

    Start and end are softmaxes over the text's tokens and ``[CLS]``; a span's likelihood is the product of the two, and
    those of all places where the answer stands are added up.

    Args:
        scores: Start, end and selection of every token, float32 [n, length, 3].
        examples: What is right for each of the n; of one without spans the loss is 0.

    Returns:
        float32 [n].
    """
    import torch

    rows, length = scores.shape[:2]
    allowed = torch.zeros((rows, length), dtype=torch.bool)
    allowed[:, 0] = True
    spans = [(row, *span) for row, example in enumerate(examples) for span in example.spans]
    for row, example in enumerate(examples):
        second = example.window.sequence.second
        allowed[row, second : second + example.window.count] = True
    starts, ends = (
        torch.log_softmax(scores[..., which].masked_fill(~allowed.to(scores.device), -torch.inf), dim=1)
        for which in (START, END)
    )
    which, first, last = torch.tensor(spans, dtype=torch.long, device=scores.device).reshape(-1, 3).T
    scored = starts[which, first] + ends[which, last]
    return torch.stack(
        [
            -torch.logsumexp(scored[which == row], dim=0) if example.spans else scores.new_zeros(())
            for row, example in enumerate(examples)
        ]
    )


def question_loss(selection: torch.Tensor, spans: torch.Tensor) -> torch.Tensor:
    """The loss of one question.

    Args:
        selection: Selection scores of its passages, the positive first, float32 [m].
        spans: What :func:`span_losses` gave for them.

    Returns:
        Cross-entropy of the positive, plus the positive's span loss, plus the mean of the negatives' "no answer here".
    """
    import torch

    chosen = -torch.log_softmax(selection, dim=0)[0]
    return chosen + spans[0] + (spans[1:].mean() if len(spans) > 1 else 0)
