"""Encodes on a Ray cluster: workers encode parts and write them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dpr_rag.arguments import check_callable, check_count
from dpr_rag.corpora.parts import Mark, read_part, write_part
from dpr_rag.encoder import Encoder, check_encoder
from dpr_rag.errors import EncoderMismatchError, MissingExtraError, ScalingError, install
from dpr_rag.passages import Passage
from dpr_rag.scaling.cutting import ROWS, parts
from dpr_rag.scaling.encoding import Encoded, encoded
from dpr_rag.scaling.part_marks import folder_of_parts, is_there, marked

Progress = Callable[[int], None]
_WAITING = ".waiting"
_RAISED = re.compile(r"[\w.]+(Error|Exception): ")


def encode_on_ray(
    passages: Iterable[Passage],
    make_encoder: Callable[[], Encoder],
    out: str | Path,
    *,
    address: str | None = None,
    workers: int | None = None,
    rows: int = ROWS,
    progress: Progress | None = None,
) -> Encoded:
    """Encode a corpus to a folder of parts, as :func:`~dpr_rag.scaling.encode` does, by the workers of a Ray cluster.

    The corpus is read here, and its parts that are missing are laid into the folder; Ray Data hands them out to workers, each
    of which loads the encoder once. A worker or a node that is killed has its part done by another one; when this process
    is killed, the call is repeated, and goes on.

    Args:
        passages: The corpus.
        make_encoder: Loads the encoder, here and on every worker, where dpr-rag and the model's files have to be.
        out: The folder, which all nodes see under the same path.
        address: Of the cluster; None joins the one of the environment, or starts one on this machine.
        workers: How many to start, each on one CPU, or on one GPU where the cluster has some; None takes all but one CPU, or
            all GPUs. One CPU is left for Ray's own tasks, without which it would wait for ever.
        rows: Most passages of a part.
        progress: Called with the passages that are done.

    Raises:
        CorpusError: The corpus is empty, the folder cannot be written, or holds parts of another corpus or encoder.
        ScalingError: The cluster cannot be reached, is too small, or a worker failed.
        MissingExtraError: Ray or pyarrow is not installed.
    """
    ray = _import_ray()
    rows = check_count("rows", rows, ScalingError)
    check_callable("progress", progress)
    encoder = check_encoder(make_encoder())
    out = folder_of_parts(out)
    waiting = out / _WAITING
    done, todo = _laid_out(passages, encoder, out, waiting, rows)
    if todo:
        with _joined(ray, address):
            finished = done.there
            for count in _spread(ray, todo, make_encoder, encoder.fingerprint, out, workers):
                finished += count
                if progress is not None:
                    progress(finished)
    shutil.rmtree(waiting, ignore_errors=True)
    return done


def _laid_out(
    passages: Iterable[Passage], encoder: Encoder, out: Path, waiting: Path, rows: int
) -> tuple[Encoded, list[Mark]]:
    """Lay the parts that are missing into a folder, without vectors, and say what will have been done, and which they are."""
    done, todo = Encoded(), []
    for part in parts(passages, rows):
        count, mark = len(part.passages), marked(part, encoder)
        fresh = not is_there(out, mark)
        if fresh:
            write_part(waiting, replace(mark, dim=0), part.passages, None)
            todo.append(mark)
        done = done.with_part(count, fresh=fresh)
    return done.checked(), todo


@contextmanager
def _joined(ray: Any, address: str | None) -> Iterator[None]:
    """A connection to a cluster; one that the caller has is used, and left open."""
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ScalingError(
            f"the Ray cluster {address or 'of this machine'!r} cannot be reached ({error!s:.200}); check its address, and that "
            "it runs the same versions of Ray and Python"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _spread(
    ray: Any, todo: list[Mark], make_encoder: Callable[[], Encoder], fingerprint: str, out: Path, workers: int | None
) -> Iterator[int]:
    """Have the parts encoded, and yield how many passages each that is done holds."""
    resources = ray.cluster_resources()
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    most = gpus or cpus - 1
    if most < 1:
        raise ScalingError(f"the cluster has {cpus} CPU, expected 2 or more: one stays free for Ray's own tasks")
    count = min(most if workers is None else workers, len(todo))
    if not 1 <= count <= most:
        raise ScalingError(f"workers is {workers}, expected 1 to {most}: the cluster has {gpus} GPUs and {cpus} CPUs")
    items = ray.data.from_items([json.dumps(asdict(mark)) for mark in todo], override_num_blocks=len(todo))
    encoding = items.map_batches(
        _Worker,
        fn_constructor_kwargs={"make_encoder": make_encoder, "fingerprint": fingerprint, "out": str(out.resolve())},
        batch_size=1,
        batch_format="numpy",
        concurrency=count,
        num_gpus=1 if gpus else None,
        num_cpus=None if gpus else 1,
    )
    try:
        for row in encoding.iter_rows():
            yield int(row["passages"])
    except ray.exceptions.RayError as error:
        raise ScalingError(
            f"a worker failed: {_cause(error)}; mend it and run the same again, which goes on"
        ) from error


def _cause(error: BaseException) -> str:
    """What happened first on a worker: Ray gives tracebacks as text, the cause before what it led to."""
    lines = [line.strip() for line in str(error).splitlines()]
    found = next((line for line in lines if _RAISED.match(line)), type(error).__name__)
    return f"{found:.300}"


class _Worker:
    """An actor: it loads the encoder, and encodes one part after the other."""

    def __init__(self, make_encoder: Callable[[], Encoder], fingerprint: str, out: str) -> None:
        self._encoder, self._out = make_encoder(), Path(out)
        if self._encoder.fingerprint != fingerprint:
            raise EncoderMismatchError(
                f"a worker loaded the encoder {self._encoder.fingerprint!r}, expected {fingerprint!r}; lay the same model onto "
                "every node"
            )

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Encode one part, write it, and remove what waited."""
        mark = Mark(**json.loads(batch["item"][0]))
        passages, _ = read_part(self._out / _WAITING / mark.name)
        write_part(self._out, mark, passages, encoded(self._encoder, passages))
        return {"passages": [len(passages)]}


def _import_ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError(f"encoding on a cluster needs Ray ({error}); {install('ray')}") from error
    return ray
