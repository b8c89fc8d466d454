"""The towers of an encoder as trainable modules; built by the inference runtime, and saved as an encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dpr_rag.encoders.dual import DualEncoder
from dpr_rag.encoders.saving import save_towers
from dpr_rag.encoders.sides import Side
from dpr_rag.encoders.torch_runtime import TorchRuntime
from dpr_rag.encoders.towers import Role, Tower
from dpr_rag.encoders.weights import Array
from dpr_rag.errors import TrainingError, VectorError
from dpr_rag.faces import ByFace, message_of
from dpr_rag.passages import Passage
from dpr_rag.training.settings import Towers

if TYPE_CHECKING:
    import torch

_DROPOUT = {
    "bert": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "roberta": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "mpnet": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "distilbert": ("dropout", "attention_dropout"),
}
_CLASSES: Mapping[Role, str] = {"question": "DPRQuestionEncoder", "context": "DPRContextEncoder"}


class Model:
    """Question and context tower in training: float32 copies of an encoder's weights, which stay as they are.

    Args:
        start: The encoder whose weights are the starting point.
        towers: One tower or two, see ``TrainingSettings.towers``.
        dropout: Of the hidden states and the attention; None keeps what the configuration says.
        device: Where to train; None takes a GPU where there is one.

    Attributes:
        start: The encoder that training starts from.
        encoder: Encodes with the weights of the moment, for validation and refreshes; its fingerprint stays that of the start.
        separate: Whether there are two towers.
        momentum: Whether a tower that follows the question tower encodes the passages in training.

    Raises:
        TrainingError: One tower was asked for where the encoder has two.
    """

    def __init__(
        self,
        start: DualEncoder,
        *,
        towers: Towers = "as-given",
        dropout: float | None = None,
        device: str | None = None,
    ) -> None:
        if towers in ("shared", "momentum") and not start.shared:
            raise TrainingError(
                f"{start.source} has two towers, and "
                + ByFace(f"towers={towers!r}", cli=f"--towers {towers}", page=f"the setting {towers}")
                + " asks for one; start from a single model, or train with "
                + ByFace("towers='as-given'", cli="--towers as-given")
            )
        self.start = start
        self.momentum = towers == "momentum"
        self.separate = not start.shared or towers == "separate"
        self._towers = _towers_of(start, untied=towers == "separate")
        question = with_dropout(self._towers["question"], dropout)
        context = with_dropout(self._towers["context"], dropout) if self.separate else None

        def build(question: Tower, context: Tower | None) -> DualEncoder:
            return DualEncoder(
                *(question, context),
                profile=start.profile,
                source=start.source,
                device=device,
                dtype="float32",
                runtime="torch",
            )

        self.encoder = build(question, context)
        self.question, self.context = (_runtime(side) for side in self.encoder.sides)
        if self.momentum:  # it encodes the passages in training only; what is written and measured is the one tower
            self.context = _runtime(build(question, None).sides[1])
        for runtime in (self.question, self.context):
            own_weights(runtime)
        if self.momentum:
            for parameter in _parts(self.context).values():
                parameter.requires_grad_(False)

    @property
    def device(self) -> Any:
        """Where the towers are."""
        return self.question.device

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """Everything that learns, by name."""
        named = {f"question.{name}": tensor for name, tensor in _parts(self.question).items()}
        if self.separate:
            named |= {f"context.{name}": tensor for name, tensor in _parts(self.context).items()}
        return named

    def tensors(self) -> dict[str, torch.Tensor]:
        """All weights of the moment by name, a momentum tower's included; they share memory with the modules."""
        named: dict[str, torch.Tensor] = dict(self.parameters())
        if self.momentum:
            named |= {f"context.{name}": parameter for name, parameter in _parts(self.context).items()}
        return {name: tensor.detach() for name, tensor in named.items()}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over weights by name."""
        import torch

        own = self.tensors()
        if set(own) != set(tensors):
            odd = sorted(set(own) ^ set(tensors))[:3]
            raise TrainingError(
                f"the saved weights do not fit the model (for example {odd}); start with the same model"
            )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])

    def check_finite(self) -> None:
        """Refuse weights that give no vectors any more, as the last step may leave them.

        Raises:
            TrainingError: They give infinite or NaN ones.
        """
        try:
            self.encoder.encode_questions(["who"])
            self.encoder.encode_passages([Passage("any", "who")])
        except VectorError as error:
            raise TrainingError(
                "what was trained gives no finite vectors ("
                + message_of(error)
                + "); choose another folder for the output and a lower learning rate"
            ) from error

    def follow(self, momentum: float) -> None:
        """Move the momentum tower towards the question tower: ``m * old + (1 - m) * new`` (MoCo, He et al. 2020).

        Raises:
            TrainingError: There is none.
        """
        import torch

        if not self.momentum:
            raise TrainingError("there is no momentum tower to follow; train with towers='momentum'")
        with torch.no_grad():
            for old, new in zip(_parts(self.context).values(), _parts(self.question).values(), strict=True):
                old.mul_(momentum).add_(new, alpha=1 - momentum)

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Dropout is on inside; outside the towers serve."""
        modules = [part for runtime in (self.question, self.context) for part in _modules(runtime)]
        for module in modules:
            module.train()
        try:
            yield
        finally:
            for module in modules:
                module.eval()

    @contextmanager
    def averaged(self, start_share: float) -> Iterator[None]:
        """Inside, the weights are their average with the starting ones; outside they are as they were.

        Args:
            start_share: Share of the starting weights; 0 changes nothing, 1 gives the start.
        """
        import torch

        learnt = self._runtimes() if start_share else {}
        kept = {
            role: {name: tensor.detach().clone() for name, tensor in _parts(runtime).items()}
            for role, runtime in learnt.items()
        }
        with torch.no_grad():
            for role, runtime in learnt.items():
                for name, parameter in _parts(runtime).items():
                    before = torch.from_numpy(np.array(self._towers[role].state[name], np.float32)).to(parameter.device)
                    parameter.copy_(
                        before if start_share == 1 else (1 - start_share) * parameter + start_share * before
                    )
        try:
            yield
        finally:
            with torch.no_grad():
                for role, runtime in learnt.items():
                    for name, parameter in _parts(runtime).items():
                        parameter.copy_(kept[role][name])

    def save(self, path: Path) -> None:
        """Write the weights of the moment as an encoder into a folder."""
        towers = {role: self._tower(role, runtime) for role, runtime in self._runtimes().items()}
        save_towers(path, towers, self.start.profile, source=self.start.source)

    def _runtimes(self) -> dict[Role, TorchRuntime]:
        """The towers that are written."""
        runtimes: dict[Role, TorchRuntime] = {"question": self.question}
        return runtimes | ({"context": self.context} if self.separate else {})

    def _tower(self, role: Role, runtime: TorchRuntime) -> Tower:
        tower = self._towers[role]
        state: dict[str, Array] = dict(tower.state)  # a pooler stays as it came
        for name, tensor in _parts(runtime).items():
            state[name] = tensor.detach().float().cpu().numpy().copy()
        return replace(tower, state=state)


def _towers_of(start: DualEncoder, *, untied: bool) -> dict[Role, Tower]:
    if not start.shared:
        return {"question": start.question_tower, "context": start.context_tower}
    if not untied:
        return {"question": start.question_tower}
    roles: tuple[Role, Role] = ("question", "context")
    return {role: _for_role(start.question_tower, role, dpr=start.profile.head == "projection") for role in roles}


def _for_role(tower: Tower, role: Role, *, dpr: bool) -> Tower:
    """One of two towers made of one model; a BERT with DPR's profile becomes what transformers calls DPR."""
    if not dpr or tower.architecture != "BertModel":
        return replace(tower)
    config = {**tower.config, "model_type": "dpr", "projection_dim": 0}
    state = {name: array for name, array in tower.state.items() if not name.startswith("pooler.")}
    return replace(tower, architecture=_CLASSES[role], config=config, state=state)


def with_dropout(tower: Tower, dropout: float | None) -> Tower:
    """A tower whose configuration says another dropout; None leaves it as it is."""
    if dropout is None:
        return tower
    return replace(tower, config={**tower.config, **dict.fromkeys(_DROPOUT[tower.backbone], dropout)})


def _runtime(side: Side) -> TorchRuntime:
    return cast("TorchRuntime", side.runtime)


def _modules(runtime: TorchRuntime) -> list[torch.nn.Module]:
    return [runtime.backbone] if runtime.head is None else [runtime.backbone, runtime.head]


def own_weights(runtime: TorchRuntime) -> None:
    """Copy the weights: as loaded they share memory with the starting encoder's file."""
    for module in _modules(runtime):
        for parameter in module.parameters():
            parameter.data = parameter.data.clone()
            parameter.requires_grad_(True)


def _parts(runtime: TorchRuntime) -> dict[str, torch.nn.Parameter]:
    """Parameters by the names that towers give them."""
    named = dict(runtime.backbone.named_parameters())
    if runtime.head is not None:
        named |= {f"head.{name}": parameter for name, parameter in runtime.head.named_parameters()}
    return named
