"""Measure encoding on a GPU: two BERT-base towers with random weights, passages of about 100 words.

    python benchmarks/gpu.py [--passages 20000] [--rounds 5] [--device cuda]

Figures, medians of the rounds: passages a second from text to vectors on the host, the share of the card's rate of bfloat16
matrix products that their arithmetic reaches, the ratio to sentence-transformers on the same card with the same weights,
where it is installed (``rivals.txt``), and what 21,015,324 passages would take (Karpukhin et al. 2020: 8.8 hours on 8 GPUs).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from parts import operations

import dpr_rag
from dpr_rag import DualEncoder, Passage

WIKIPEDIA = 21_015_324
WORDS = 100


def model(folder: Path) -> Path:
    """BERT-base with random weights and the default encoder's vocabulary, as a context and question encoder in one."""
    import torch
    import transformers

    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig()).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["Contriever"]}))
    shipped = Path(dpr_rag.__file__).parent / "encoders" / "default" / "question"
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(shipped / name, folder)
    return folder


def passages(count: int) -> list[Passage]:
    """Passages of 80 to 120 random words of the vocabulary."""
    shipped = Path(dpr_rag.__file__).parent / "encoders" / "default" / "question" / "vocab.txt"
    words = [word for word in shipped.read_text(encoding="utf-8").split("\n") if word.isalpha() and word.isascii()]
    draw = random.Random(0)
    texts = (" ".join(draw.choices(words, k=draw.randint(WORDS - 20, WORDS + 20))) for _ in range(count))
    return [Passage(str(at), text) for at, text in enumerate(texts)]


def product_rate(device: str) -> float:
    """Operations a second of a large matrix product in bfloat16; the best of five."""
    import torch

    size = 8192 if device.startswith("cuda") else 1024
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(5):
        _wait(device)
        start = time.perf_counter()
        for _ in range(10):
            left @ right
        _wait(device)
        best = max(best, 10 * 2 * size**3 / (time.perf_counter() - start))
    return best


def _wait(device: str) -> None:
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize()


def rate(encode: Callable[[], object], count: int, rounds: int) -> list[float]:
    """Passages a second of each round, after a warm-up."""
    encode()
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        encode()
        rates.append(count / (time.perf_counter() - start))
    return rates


def rival(folder: Path, device: str) -> Any:
    """sentence-transformers with the same weights in bfloat16, or None where it is not installed."""
    if importlib.util.find_spec("sentence_transformers") is None:
        return None
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device=device, model_kwargs={"dtype": "bfloat16"})


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    import torch

    if args.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("PyTorch sees no GPU here; --device cpu runs the same, slowly")
    corpus = passages(args.passages)
    with tempfile.TemporaryDirectory() as temporary:
        folder = model(Path(temporary))
        encoder = DualEncoder.from_pretrained(folder, runtime="torch", device=args.device, dtype="bfloat16")
        ours = rate(lambda: encoder.encode_passages(corpus), len(corpus), args.rounds)
        rival_model = rival(folder, args.device)
        texts = [passage.text for passage in corpus]
        theirs = rival_model and rate(lambda: rival_model.encode(texts, batch_size=256), len(corpus), args.rounds)
    sequences = encoder.sides[1].tokens.passages(corpus)
    config = encoder.context_tower.config
    work = sum(operations(config, len(sequence.ids)) for sequence in sequences) / len(corpus)
    products = product_rate(args.device)
    figures = {
        "device": torch.cuda.get_device_name() if args.device.startswith("cuda") else args.device,
        "torch": torch.__version__,
        "tokens_a_passage": round(sum(len(sequence.ids) for sequence in sequences) / len(corpus), 1),
        "passages_per_second": [round(f(ours), 1) for f in (median, min, max)],
        "product_tflops": round(products / 1e12, 1),
        "share_of_products": round(work * median(ours) / products, 3),
        "ratio_to_sentence_transformers": round(median(ours) / median(theirs), 2) if theirs else None,
        "hours_for_wikipedia": round(WIKIPEDIA / median(ours) / 3600, 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
