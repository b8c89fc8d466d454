"""Where an encoder runs, by what and in which precision; and the encoder that a training starts from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr_rag.cli.describing import describe_encoder
from dpr_rag.cli.options import ContextModel, Profile
from dpr_rag.cli.terminal import note
from dpr_rag.cli.usage import usage

if TYPE_CHECKING:
    from dpr_rag import DualEncoder


class Runtime(StrEnum):
    """What runs an encoder."""

    auto = "auto"
    openvino = "openvino"
    torch = "torch"
    library = "sentence-transformers"


class Precision(StrEnum):
    """The number type in which an encoder calculates; a store's vectors may have another."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    int8 = "int8"


@dataclass(frozen=True, slots=True)
class Running:
    """The options ``--device``, ``--runtime`` and ``--precision`` of commands that encode."""

    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="NAME",
            help="Where the encoder runs: cpu, cuda, cuda:1, mps (default: a GPU if there is one).",
        ),
    ] = None
    runtime: Annotated[
        Runtime, typer.Option("--runtime", help="What runs the encoder; auto is PyTorch on a GPU, OpenVINO on a CPU.")
    ] = Runtime.auto
    precision: Annotated[
        Precision,
        typer.Option("--precision", help="The encoder's numbers; auto is the quickest that is true to the model here."),
    ] = Precision.auto

    def as_options(self) -> dict[str, Any]:
        """Arguments of ``load_encoder``.

        Raises:
            typer.BadParameter: They do not go together.
        """
        from dpr_rag.encoders.runtime_choice import PRECISIONS

        precisions = PRECISIONS.get(self.runtime.value)
        if precisions is not None and self.precision.value not in ("auto", *precisions):
            raise typer.BadParameter(
                f"--runtime {self.runtime} does not run in {self.precision}; expected {', '.join(('auto', *precisions))}",
                param_hint="--precision",
            )
        if self.runtime == Runtime.openvino and self.device not in (None, "cpu"):
            raise typer.BadParameter(
                f"openvino runs on cpu, not on {self.device!r:.60}; pass --runtime torch for others",
                param_hint="--device",
            )
        return {
            "device": self.device,
            "runtime": None if self.runtime == Runtime.auto else self.runtime.value,
            "dtype": None if self.precision == Precision.auto else self.precision.value,
        }


@dataclass(frozen=True, slots=True)
class Start(Running):
    """The options for the encoder that a training starts from, and for where it trains."""

    init: Annotated[
        str | None,
        typer.Option(
            "--init", metavar="MODEL", help="Folder or hub name to start from (default: the built-in encoder)."
        ),
    ] = None
    context: ContextModel = None
    profile: Profile = None

    def in_bfloat16(self, bf16: bool) -> bool:
        """Whether the towers are to run in bfloat16.

        Args:
            bf16: The value of ``--bf16``, an older option for the same.

        Raises:
            typer.BadParameter: ``--precision`` names another one.
        """
        if bf16 and self.precision not in (Precision.auto, Precision.bfloat16):
            raise typer.BadParameter(f"--bf16 and --precision {self.precision} are two precisions", param_hint="--bf16")
        return bf16 or self.precision == Precision.bfloat16

    def load(self, *, quiet: bool) -> DualEncoder:
        """Load the named encoder or the default one, as weights to train.

        Args:
            quiet: Write no note about the encoder; one process of a group writes it.

        Raises:
            typer.BadParameter: Options do not go together, or training has no such runtime or precision.
            MissingExtraError: PyTorch is not installed.
            ModelError: The model cannot be used.
        """
        from dpr_rag import DualEncoder

        self.check()
        if self.init is not None:
            check_profile(self.profile)
            encoder = DualEncoder.from_pretrained(
                self.init, self.context, profile=self.profile, device="cpu", runtime="torch"
            )
        elif self.context or self.profile:
            raise typer.BadParameter("--context-model and --profile need --init beside them", param_hint="--init")
        else:
            encoder = DualEncoder.default(device="cpu", runtime="torch")
        if not quiet:
            note(describe_encoder(encoder))
        return encoder

    def check(self) -> None:
        """Refuse a runtime or precision that cannot train, before any work.

        Raises:
            typer.BadParameter: Training has no such runtime or precision.
        """
        if self.runtime not in (Runtime.auto, Runtime.torch):
            raise typer.BadParameter(f"{self.runtime} does not train; expected torch or auto", param_hint="--runtime")
        if self.precision in (Precision.float16, Precision.int8):
            raise typer.BadParameter(
                f"{self.precision} does not train; expected float32, bfloat16 or auto", param_hint="--precision"
            )


def check_profile(name: str | None) -> None:
    """Refuse an unknown profile.

    Raises:
        typer.BadParameter: No profile has this name.
    """
    from dpr_rag.encoders.profiles import named_profile

    if name is not None:
        with usage("--profile"):
            named_profile(name)
