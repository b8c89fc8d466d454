"""Measure the parts of a question's and a passage's time, and compare encoding with the machine's matrix throughput.

    python benchmarks/parts.py PASSAGES.jsonl.gz QUESTIONS.jsonl.gz [--passages N] [--questions N]

The limit is the rate at which OpenVINO multiplies the same int8 matrices with many rows, and nothing else: with all cores on
one batch as a question is encoded, and in parallel streams as passages are. Prints one JSON line: milliseconds of a
question (medians) and of a passage, and the share of the limit that the encoder reaches.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from index_kinds import milliseconds
from llama_index.retrievers.dpr_rag import DPRRetriever as LlamaIndexRetriever
from stack import lines, passages_of

from dpr_rag import DualEncoder, PassageStore, Retriever
from dpr_rag.encoders.graph import openvino_core
from dpr_rag.encoders.runtime import Batch, batches, budget_for
from langchain_dpr_rag import DPRRetriever

ROWS, REPEATS = 1024, 30


def median_ms(call: Callable[[Any], object], items: Iterable[Any]) -> float:
    """Median milliseconds of a call, without the first 20 items."""
    times = [milliseconds(partial(call, item)) for item in items]
    return float(np.median(times[20:]))


def best_of(call: Callable[[], Any]) -> tuple[float, Any]:
    """The minimum of three times in seconds, and the result of the last call."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), result


def operations(config: dict[str, Any], length: float) -> float:
    """Multiplications and additions for one text of ``length`` tokens: the layers' matrices, and attention."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    matrices = 2 * length * (4 * width * width + 2 * width * inner)
    return float(config["num_hidden_layers"] * (matrices + 4 * length * length * width))


def limit(config: dict[str, Any], streams: int, cores: int) -> float:
    """Operations a second of the layers' int8 matrices alone, multiplied with many rows."""
    import openvino
    from openvino import opset13 as op

    draw = np.random.default_rng(0)
    hidden = rows = op.parameter([-1, config["hidden_size"]], openvino.Type.f32)
    shapes = [
        (config["intermediate_size"], config["hidden_size"]),
        (config["hidden_size"], config["intermediate_size"]),
    ]
    for shape in shapes * 4:
        weights = op.constant(draw.integers(-127, 128, shape).astype(np.int8))
        scale = op.constant(np.full((shape[0], 1), 0.001, np.float32))
        hidden = op.matmul(hidden, op.multiply(op.convert(weights, "f32"), scale), False, True)
    settings = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": cores,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": config["hidden_size"],
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = openvino_core().compile_model(openvino.Model([op.result(hidden)], [rows]), "CPU", settings)
    data = draw.standard_normal((ROWS, config["hidden_size"])).astype(np.float32)
    requests = [model.create_infer_request() for _ in range(streams)]
    best_rate = 0.0
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(REPEATS):
            for request in requests:
                request.start_async({0: data})
            for request in requests:
                request.wait()
        seconds = time.perf_counter() - start
        best_rate = max(best_rate, REPEATS * streams * 2 * ROWS * 8 * shapes[0][0] * shapes[0][1] / seconds)
    return best_rate


def main() -> None:
    """Measure every part and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("passages_file")
    parser.add_argument("questions_file")
    parser.add_argument("--passages", type=int, default=2000)
    parser.add_argument("--questions", type=int, default=300)
    args = parser.parse_args()
    questions = [record["question"] for record in random.Random(0).sample(lines(args.questions_file), args.questions)]
    passages = passages_of(lines(args.passages_file)[: args.passages])
    encoder = DualEncoder.default()
    side, config = encoder.sides[0], encoder.question_tower.config

    def batched(sequences: list[Any]) -> list[Batch]:
        budget, segments = budget_for(side.runtime, sequences), encoder.profile.segments
        return list(batches(sequences, budget=budget, pad=side.tokens.pad, segments=segments))

    def indexed() -> None:
        with PassageStore.temporary(encoder=encoder) as store:
            store.add(passages)

    encoder.encode_passages(passages[:100])
    token_seconds, sequences = best_of(lambda: side.tokens.passages(passages))
    padding_seconds, padded_batches = best_of(lambda: batched(sequences))
    graph_seconds, _ = best_of(lambda: list(side.runtime.encode_all(padded_batches)))
    total_seconds, _ = best_of(indexed)
    with PassageStore.temporary(encoder=encoder) as store:
        store.add(passages)
        retriever = Retriever(store, k=20)
        langchain, llama_index = DPRRetriever(store=store, k=20), LlamaIndexRetriever(store, similarity_top_k=20)
        pairs = [(question, batched(side.tokens.questions([question]))[0]) for question in questions]
        milliseconds = {
            "tokens": median_ms(lambda pair: side.tokens.questions([pair[0]]), pairs),
            "graph": median_ms(lambda pair: side.runtime.encode(pair[1]), pairs),
            "encoder": median_ms(lambda pair: encoder.encode_questions([pair[0]]), pairs),
            "retriever": median_ms(lambda pair: retriever.retrieve(pair[0]), pairs),
            "LangChain retriever": median_ms(lambda pair: langchain.invoke(pair[0]), pairs),
            "LlamaIndex retriever": median_ms(lambda pair: llama_index.retrieve(pair[0]), pairs),
        }
    count = len(passages)
    streams = side.runtime.streams
    batch_limit, parallel_limit = limit(config, 1, streams), limit(config, streams, streams)
    lengths = [len(sequence.ids) for sequence in sequences]
    rate = sum(operations(config, length) for length in lengths) / graph_seconds
    question_operations = float(np.mean([operations(config, pair[1].ids.shape[1]) for pair in pairs]))
    print(
        json.dumps(
            {
                "question_ms": {name: round(value, 3) for name, value in milliseconds.items()},
                "question_tokens": round(float(np.mean([pair[1].ids.shape[1] for pair in pairs])), 1),
                "question_share_of_limit": round(question_operations / (milliseconds["graph"] / 1000) / batch_limit, 3),
                "passage_ms": {
                    "tokens": round(1000 * token_seconds / count, 3),
                    "padding": round(1000 * padding_seconds / count, 3),
                    "graph": round(1000 * graph_seconds / count, 3),
                    "whole": round(1000 * total_seconds / count, 3),
                },
                "passage_tokens": round(float(np.mean(lengths)), 1),
                "passage_share_of_limit": round(rate / parallel_limit, 3),
                "limit_gops": {"one batch": round(batch_limit / 1e9), "side by side": round(parallel_limit / 1e9)},
            }
        )
    )


if __name__ == "__main__":
    main()
