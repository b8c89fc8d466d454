"""Runs one tower on a CPU with OpenVINO, without PyTorch: one batch on all cores, or many side by side."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from dpr_rag.encoder import Vectors
from dpr_rag.encoders.architectures import FORMS, first_position
from dpr_rag.encoders.graph import build_graph, group_of, openvino_core
from dpr_rag.encoders.native import NATIVE
from dpr_rag.encoders.processor import cores, this_processor
from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.runtime import OR_AUTO, PRECISION, Batch, stepped
from dpr_rag.encoders.towers import Tower
from dpr_rag.encoders.weights import Layer
from dpr_rag.errors import ModelError, unknown
from dpr_rag.forking import new_lock, was_loaded

if TYPE_CHECKING:
    from openvino import InferRequest, Model

FAST_DTYPES = ("int8", "float32", "bfloat16")
_TOKEN_BUDGET = 2048
EQUAL_LENGTHS_BUDGET = 512
"""Most padded tokens of a batch of inputs of one length."""
_MOST_STREAMS = 8
_LENGTH_STEP = 8
_TILE_ROWS = 16
"""Of AMX: there a text of 168 tokens takes 10.1 ms, one of 176 8.5 (seen on a Xeon with OpenVINO 2026.4)."""
_MOST_SINGLE_STREAMS = 64


class FastRuntime:
    """One tower as an OpenVINO graph.

    In float32 a single batch runs on all cores together, which gives it the shortest wait. Many batches, and those of several
    callers at once, run side by side, as many as there are cores, eight at most, which gets most out of the machine. Each
    form of the graph is compiled when it is first needed.

    Where numbers are rounded on their way through the layers, sums in another order (other padding, more threads) end in other
    roundings, and the vectors move by as much as the rounding does. So there every text is padded to a length of its own,
    whatever it came with, and runs by itself, or with texts of the same padded length where that has been seen to change no
    vector: one text, one vector, to the bit.

    Args:
        tower: Weights and configuration.
        profile: Pooling and head.
        dtype: ``"float32"``, the reference. ``"int8"`` stores the layers' matrices in 8 bits and, where the processor multiplies
            bytes, rounds what they are multiplied with, both in groups of 32, or row by row where the widths are no multiples of
            it. ``"bfloat16"`` calculates in bfloat16 where the processor can, and else in float32.
        each_token: A layer over every token instead of pooling and head: the output has the shape [n, length, rows], where
            some of the length is padding.
        like: A runtime of the same tower in another precision; its graph is shared where int8 is in both or neither.
        lone_threads: How many threads encode a text that nothing runs beside, in other precisions than float32; 1 where there
            are fewer cores. More than 1 only where that has been seen to change no vector.
        together: Whether texts of the same padded length run in one batch in other precisions than float32. Only where that
            has been seen to change no vector.

    Attributes:
        dim: Number of components of every vector.
        dtype: The precision that it runs in.
        length_step: What lengths are rounded up to that have to be equal in a batch; None in float32, where they may differ.
        token_budget: Most padded tokens of one batch.
        streams: How many batches it runs side by side.
        lone_threads: How many threads encode a batch that nothing runs beside.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ModelError: The graph cannot be built, see :func:`dpr_rag.encoders.graph.build_graph`.
    """

    def __init__(
        self,
        tower: Tower,
        profile: Profile,
        *,
        dtype: str = "int8",
        each_token: Layer | None = None,
        like: FastRuntime | None = None,
        lone_threads: int = 1,
        together: bool = False,
    ) -> None:
        if dtype not in FAST_DTYPES:
            raise ModelError(unknown(PRECISION, dtype, FAST_DTYPES, more=" with OpenVINO" + OR_AUTO))
        self._core = openvino_core()
        # asked of a processor that lacks it, bfloat16 would be imitated, which is slower than float32
        self.dtype = "float32" if dtype == "bfloat16" and "bf16" not in this_processor().abilities else dtype
        self._graph: Model = (
            like._graph
            if like is not None and (like.dtype == "int8") == (dtype == "int8")
            else build_graph(tower, profile, int8=dtype == "int8", each_token=each_token)
        )
        self.dim = int(self._graph.output(0).partial_shape[-1].get_length())
        self._cores = cores()
        self._each_alone = self.dtype != "float32"
        self.streams = min(self._cores, _MOST_SINGLE_STREAMS if self._each_alone else _MOST_STREAMS)
        alone = lone_threads if lone_threads <= self._cores else 1  # a number between them has not been tried
        self.lone_threads = alone if self._each_alone else self._cores
        self._streams_alone = 0 if self._each_alone and self.lone_threads == 1 else 1
        self._padding_step = (
            _TILE_ROWS if self.dtype == "bfloat16" and "amx" in this_processor().abilities else _LENGTH_STEP
        )
        self.length_step = self._padding_step if self._each_alone else None
        self.token_budget = 1 if self._each_alone else _TOKEN_BUDGET
        if together:
            self.run_together()
        self._longest = tower.config["max_position_embeddings"] - first_position(tower)
        self._lock, self._compiling = new_lock(), new_lock()
        self._compiled: dict[tuple[int, int], _Compiled] = {}  # by process: a fork leaves those of its parent alone
        self._running = 0
        group = group_of(tower) or tower.config[FORMS[tower.backbone].hidden]
        self._settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.dtype == "bfloat16" else "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": group if self.dtype == "int8" else 0,
            "ENABLE_CPU_PINNING": False,  # several processes would all hold on to the first cores
        }

    def __str__(self) -> str:
        return f"OpenVINO in {self.dtype}"

    def run_together(self) -> None:
        """Run texts of the same padded length in one batch from now on."""
        self.token_budget = max(self.token_budget, EQUAL_LENGTHS_BUDGET)

    def encode(self, batch: Batch) -> Vectors:
        """Pooled float32 vectors of shape [n, dim]."""
        with self._counted() as running:
            compiled = self._compiled_for(self._streams_alone if running == 1 else self.streams)
            return compiled.encode(self._padded(batch))

    def encode_all(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Vectors]]:
        """Encode many batches; each comes back with its vectors, in their order."""
        waiting = iter(batches)
        fewest = min(self.streams, 2) if self._each_alone else self.streams
        first = list(islice(waiting, fewest))
        if len(first) < fewest or self.streams == 1:
            yield from ((batch, self.encode(batch)) for batch in chain(first, waiting))
            return
        compiled = self._compiled_for(self.streams)
        with self._counted(), ThreadPoolExecutor(self.streams) as pool:
            running: deque[tuple[Batch, Future[Vectors]]] = deque()
            for batch in chain(first, waiting):
                running.append((batch, pool.submit(compiled.encode, self._padded(batch))))
                if len(running) > self.streams:
                    done, future = running.popleft()
                    yield done, future.result()
            for done, future in running:
                yield done, future.result()

    @contextmanager
    def _counted(self) -> Iterator[int]:
        """How many callers encode now, this one among them."""
        with self._lock:
            self._running += 1
            running = self._running
        try:
            yield running
        finally:
            with self._lock:
                self._running -= 1

    def _padded(self, batch: Batch) -> Batch:
        """Pad a batch to a multiple of some tokens: for each new length OpenVINO compiles first, which takes milliseconds."""
        rows, length = batch.ids.shape
        padded_length = min(stepped(length, self._padding_step), self._longest)
        if length >= padded_length:
            return batch
        ids, mask, segments = np.zeros((3, rows, padded_length), np.int64)
        ids[:, :length], mask[:, :length], segments[:, :length] = batch.ids, batch.mask, batch.segments
        return Batch(ids, mask, segments, batch.rows)

    def _compiled_for(self, streams: int) -> _Compiled:
        """The graph compiled for ``streams`` batches at once; the first caller compiles it."""
        threads = self.streams if self._each_alone and streams > 1 else self.lone_threads
        settings = {**self._settings, "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": threads}
        if not streams or was_loaded("openvino"):
            # in a fork OpenVINO would wait for the parent's threads; without streams it works in the thread that calls
            settings |= {"NUM_STREAMS": 0, "INFERENCE_NUM_THREADS": 1}
        key = (os.getpid(), int(settings["NUM_STREAMS"]))
        if compiled := self._compiled.get(key):
            return compiled
        with self._compiling:
            if key not in self._compiled:
                with NATIVE.held():
                    model = self._core.compile_model(self._graph, "CPU", settings)
                self._compiled[key] = _Compiled(model)
            return self._compiled[key]


class _Compiled:
    """A compiled graph, and the requests that threads borrow to run it."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._idle: SimpleQueue[InferRequest] = SimpleQueue()

    def encode(self, batch: Batch) -> Vectors:
        """Run one batch on a request of its own."""
        with NATIVE.held():
            request = self._borrowed()
            vectors: Vectors = request.infer((batch.ids, batch.mask, batch.segments), share_inputs=True)[0]
        self._idle.put(request)
        return vectors

    def _borrowed(self) -> InferRequest:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self._model.create_infer_request()
