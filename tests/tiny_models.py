"""Tiny random models with the classes, layers and files of the published ones, and plain transformers beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

from dpr_rag import DualEncoder, Passage

torch.set_num_threads(1)  # models this small only lose time to several

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    "who",
    "wrote",
    "hamlet",
    "is",
    "a",
    "tragedy",
    "by",
    "the",
    "king",
    "of",
    "den",
    "##mark",
    "it",
    "?",
    ".",
    "'",
]
CASED = ["Hamlet", "Who", "’", '"', "query", "passage", ":"]
VOCABULARY = [*SPECIALS, *WORDS, *CASED]
IDS = {token: at for at, token in enumerate(VOCABULARY)}
SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def texts(count: int, *, longest: int = 60, seed: int = 0) -> list[str]:
    """Sentences of 1 to `longest` words, every length among them."""
    rng = np.random.default_rng(seed)
    lengths = [1 + at * (longest - 1) // max(1, count - 1) for at in range(count)]
    words = [word for word in WORDS if not word.startswith("##")] + ["denmark", "unheard"]
    found = [" ".join(rng.choice(words, size=length)) for length in lengths]
    return [found[at] for at in rng.permutation(count)]


def bert_tokenizer(folder: Path, *, lower: bool | None = None, words: Sequence[str] = VOCABULARY) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    config: dict[str, Any] = {"model_max_length": int(1e30)}
    if lower is not None:
        config["do_lower_case"] = lower
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def roberta_tokenizer(folder: Path) -> Path:
    """Byte-level BPE with one merge (`Ġ` + `a`), ids laid out as RoBERTa's."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = [*map(chr, range(33, 127)), "Ġ", "Ġa", "Ã", "©"]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *letters, "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({token: at for at, token in enumerate(tokens)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\nĠ a\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text("{}")
    return folder


def bert_config(*, dpr: bool = False, **changes: Any) -> Any:
    kind = transformers.DPRConfig if dpr else transformers.BertConfig
    sizes = {**SIZES, "vocab_size": len(VOCABULARY), "max_position_embeddings": 64, "initializer_range": 0.2, **changes}
    return kind(**sizes)


def seeded(cls: Any, config: Any, seed: int, **options: Any) -> Any:
    torch.manual_seed(seed)
    model = cls(config, **options)
    with torch.no_grad():  # transformers starts every bias at 0, which would hide one that is not loaded
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.2)
    return model.eval()


def dpr(folder: Path, role: str, *, seed: int = 0, lower: bool | None = None, **changes: Any) -> Path:
    cls = transformers.DPRQuestionEncoder if role == "question" else transformers.DPRContextEncoder
    seeded(cls, bert_config(dpr=True, **changes), seed + (role == "context")).save_pretrained(folder)
    return bert_tokenizer(folder, lower=lower)


def bert(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    seeded(transformers.BertModel, bert_config(**changes), seed).save_pretrained(folder)
    return bert_tokenizer(folder)


def contriever(folder: Path, *, seed: int = 0) -> Path:
    return edit_config(bert(folder, seed=seed), architectures=["Contriever"])


def tas_b(folder: Path, *, seed: int = 0) -> Path:
    config = transformers.DistilBertConfig(
        **{"vocab_size": len(VOCABULARY), "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
        **{"max_position_embeddings": 64, "initializer_range": 0.2},
    )
    seeded(transformers.DistilBertModel, config, seed).save_pretrained(folder)
    edit_config(folder, _name_or_path="sebastian-hofstaetter/distilbert-dot-tas_b-b256-msmarco")
    return bert_tokenizer(folder)


def roberta(folder: Path, *, seed: int = 0) -> tuple[Path, Any, dict[str, torch.Tensor]]:
    """A RoBERTa backbone with a folder for it, and the tensors of ANCE's head."""
    config = transformers.RobertaConfig(
        **{**SIZES, "vocab_size": 103, "max_position_embeddings": 66, "type_vocab_size": 1, "initializer_range": 0.2},
        **{"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "layer_norm_eps": 1e-5},
    )
    model = seeded(transformers.RobertaModel, config, seed)
    model.save_pretrained(roberta_tokenizer(folder))
    head = {"embeddingHead.weight": torch.randn(32, 32), "embeddingHead.bias": torch.randn(32)}
    return folder, model, {**head, "norm.weight": torch.rand(32) + 0.5, "norm.bias": torch.randn(32)}


def xlm_roberta(folder: Path, *, seed: int = 0) -> Path:
    """XLM-RoBERTa with a Unigram tokenizer, as multilingual models have it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = [
        "▁who",
        "▁wrote",
        "▁hamlet",
        "▁is",
        "▁a",
        "▁tragedy",
        "▁by",
        "▁the",
        "▁king",
        "▁of",
        "▁den",
        "mark",
        "▁it",
        "▁",
    ]
    pieces = [*["<s>", "<pad>", "</s>", "<unk>"], *words, *map(chr, range(33, 127)), "<mask>"]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(at) / 10) for at, piece in enumerate(pieces)], unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    config = transformers.XLMRobertaConfig(
        **{**SIZES, "vocab_size": len(pieces), "max_position_embeddings": 66, "type_vocab_size": 1},
        **{"initializer_range": 0.2, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "layer_norm_eps": 1e-5},
    )
    seeded(transformers.XLMRobertaModel, config, seed).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "XLMRobertaTokenizer"}))
    return folder


def mpnet(folder: Path, *, seed: int = 0) -> Path:
    """MPNet: BERT's word pieces between RoBERTa's special tokens, and a table of distances."""
    words = ["<s>", "<pad>", "</s>", "[UNK]", *WORDS, *CASED, "<mask>"]
    config = transformers.MPNetConfig(
        **{**SIZES, "vocab_size": len(words), "max_position_embeddings": 66, "initializer_range": 0.2},
        **{"layer_norm_eps": 1e-5},
    )
    model = seeded(transformers.MPNetModel, config, seed)
    with torch.no_grad():
        model.encoder.relative_attention_bias.weight.normal_(std=1.0)
    model.save_pretrained(bert_tokenizer(folder, words=words))
    transformers.MPNetTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


def dense(folder: Path, *, activation: str, bias: bool, out: int = 24) -> tuple[Path, torch.nn.Linear]:
    """Give a folder of sentence-transformers modules a Dense module with weights."""
    torch.manual_seed(7)
    layer = torch.nn.Linear(32, out, bias=bias)
    save_file(
        {f"linear.{name}": tensor.detach() for name, tensor in layer.named_parameters()},
        folder / "2_Dense" / "model.safetensors",
        metadata={"format": "pt"},
    )
    about = {"in_features": 32, "out_features": out, "bias": bias, "activation_function": activation}
    (folder / "2_Dense" / "config.json").write_text(json.dumps(about))
    return folder, layer


def ance(folder: Path, *, prefix: str = "") -> Path:
    """castorini's form: `roberta.*`, `embeddingHead.*` and `norm.*` in one file."""
    _, model, head = roberta(folder)
    tensors = {f"roberta.{name}": tensor for name, tensor in model.state_dict().items()} | head
    named = {prefix + name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
    return edit_config(folder, architectures=["AnceEncoder"])


def ance_modules(folder: Path) -> Path:
    """The form of sentence-transformers: a RoBERTa folder with Pooling, Dense and LayerNorm modules."""
    _, _, head = roberta(folder)
    modules(folder, pooling="cls", names=("Dense", "LayerNorm"))
    for kind, own, published in (("2_Dense", "linear", "embeddingHead"), ("3_LayerNorm", "norm", "norm")):
        tensors = {f"{own}.{part}": head[f"{published}.{part}"] for part in ("weight", "bias")}
        save_file(tensors, folder / kind / "model.safetensors", metadata={"format": "pt"})
    activation = {"in_features": 32, "out_features": 32, "activation_function": "torch.nn.modules.linear.Identity"}
    (folder / "2_Dense" / "config.json").write_text(json.dumps(activation))
    return edit_config(folder, _name_or_path="sentence-transformers/msmarco-roberta-base-ance-firstp")


def modules(folder: Path, *, pooling: str, names: Sequence[str] = (), length: int | None = None) -> Path:
    """Files of sentence-transformers beside a model: modules.json and the pooling's config."""
    kinds = ["Transformer", "Pooling", *names]
    listed = [
        {
            "idx": at,
            "name": str(at),
            "path": f"{at}_{kind}" if at else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for at, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    for one in listed[1:]:
        (folder / one["path"]).mkdir(exist_ok=True)
    modes = ("cls_token", "mean_tokens", "max_tokens", "lasttoken")
    flags = {f"pooling_mode_{mode}": mode.startswith(pooling) for mode in modes}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **flags}))
    if length is not None:
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length}))
    return folder


def edit_config(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def edit_weights(folder: Path, change: Any) -> Path:
    """Rewrite the weights of a folder through a function from name-to-tensor dict to the same."""
    from safetensors.torch import load_file

    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})
    return folder


def pickled(folder: Path, *, stream: bool = False, change: Any = None) -> Path:
    """Replace every safetensors file of a folder by what `torch.save` of a state dict gives, old containers included."""
    from collections import OrderedDict

    from safetensors.torch import load_file

    for path in folder.rglob("model.safetensors"):
        state = OrderedDict(load_file(path))
        state = OrderedDict(change(state)) if change else state
        state._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
        torch.save(state, path.with_name("pytorch_model.bin"), _use_new_zipfile_serialization=not stream)
        path.unlink()
    return folder


def plain_ids(folder: Path, pairs: Sequence[tuple[str, ...]], length: int) -> list[list[int]]:
    """What transformers' own fast tokenizer makes of texts or (title, text) pairs, one by one."""
    if (folder / "tokenizer.json").exists():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    elif (folder / "vocab.txt").exists():
        tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    else:
        tokenizer = transformers.RobertaTokenizerFast.from_pretrained(folder)
    return [tokenizer(*pair, truncation=True, max_length=length)["input_ids"] for pair in pairs]


def hidden(model: Any, ids: Sequence[Sequence[int]], *, pad: int, wide: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The last layer and the mask of one padded batch, at least `wide` tokens long."""
    length = max(wide, *map(len, ids))
    padded = torch.tensor([[*row, *[pad] * (length - len(row))] for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in ids])
    with torch.inference_mode():
        return model(input_ids=padded, attention_mask=mask)[0], mask


def load(*folders: Path, **options: Any) -> DualEncoder:
    """The encoder in some folders, on the CPU."""
    return DualEncoder.from_pretrained(*folders, device="cpu", runtime="torch", **options)


QUESTIONS = texts(12, longest=40)
PASSAGES = [Passage(id=f"p{at}", title="hamlet" * (at % 2), text=text) for at, text in enumerate(texts(20, seed=1))]


def save_tiny_cross_encoder(folder: Path) -> Path:
    """A BERT that scores a pair with one logit, as cross-encoders are published."""
    model = seeded(transformers.BertForSequenceClassification, bert_config(num_labels=1), 5)
    model.save_pretrained(folder)
    transformers.BertTokenizerFast(vocab=str(bert_tokenizer(folder) / "vocab.txt")).save_pretrained(folder)
    return folder
