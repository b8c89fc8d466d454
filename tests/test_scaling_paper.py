"""The steps to the paper's Table 2 in docs/scaling.md, run line by line on small data."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import tiny_models as tiny
from learning import make_samples
from typer.testing import CliRunner

from dpr_rag import Passage, PassageStore
from dpr_rag.cli.app import app
from dpr_rag.corpora import write_training, write_tsv

PAGE = (Path(__file__).parent.parent / "docs" / "scaling.md").read_text("utf-8").split("## The paper's Table 2")[1]
LINES = [line.strip() for line in PAGE.splitlines() if line.strip().startswith("dpr-rag ")]
# What small data and a machine without a GPU take instead.
HERE = {
    "--bf16": "--steps 2 --batch 2",
    "bert-base-uncased": "bert",
    "--device cuda:0": "--device cpu",
    "--candidates 2000": "--candidates 9",
}
TEXTS = ("hamlet is a tragedy", "the king of denmark", "a tragedy by the king", "who wrote it ?")


def test_the_steps_to_table_2_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.bert(tmp_path / "bert")
    write_tsv(tmp_path / "psgs_w100.tsv", [Passage(str(n), text, f"title {n}") for n, text in enumerate(TEXTS, 1)])
    for name in ("train", "dev"):
        write_training(tmp_path / f"biencoder-nq-{name}.json", make_samples(4))
    (tmp_path / "nq-test.csv").write_text("who is the king of denmark\t['king', 'hamlet']\n")
    for line in [line for line in LINES if "--engine ray" not in line]:
        for there, here in HERE.items():
            line = line.replace(there, here)
        done = CliRunner().invoke(app, shlex.split(line)[1:], prog_name="dpr-rag")
        assert done.exit_code == 0, f"{line}: {done.output}"
    with PassageStore.open(tmp_path / "wiki.dpr", create=False, read_only=True) as store:
        info = store.info()
    assert (info.passages, info.index, info.dtype) == (4, "flat", "float16")
    assert re.search(r"top-100 accuracy +100\.0", done.stdout), (
        done.stdout
    )  # one of both passages with an answer is among four
