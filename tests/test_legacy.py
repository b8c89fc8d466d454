"""The unpickler: reads what DPR, torch, numpy and LangChain wrote, and runs nothing that anybody else wrote."""

from __future__ import annotations

import functools
import json
import operator
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict, namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr_rag.errors import CorpusError, ModelError, UnsafeFileError
from dpr_rag.legacy import (
    Skipped,
    read_checkpoint,
    read_embeddings,
    read_langchain_docstore,
    read_state_dict,
    write_checkpoint,
)

torch = pytest.importorskip("torch")
CONTAINERS = [True, False]
TRUSTED = r"\. Use a file from a trusted source, converted to safetensors or JSON there$"


class Call:
    """Pickles as a call of ``function(*args)``."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def save(path: Path, value, *, container: bool = True) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=container)
    return path


def dump(path: Path, value, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def zipped(path: Path, data: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
    return path


def fake_module(monkeypatch, name: str) -> None:
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        parent = ".".join(parts[:end])
        monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
        sys.modules[parent].__path__ = []


def fake_class(monkeypatch, module: str, name: str, base: type = object) -> type:
    fake_module(monkeypatch, module)
    kind = type(name, (base,), {"__module__": module})
    setattr(sys.modules[module], name, kind)
    return kind


@pytest.mark.parametrize("container", CONTAINERS)
def test_checkpoint_by_value(tmp_path: Path, container: bool) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    weights = OrderedDict(
        plain=base,
        sliced=base[1:3, 2:4],
        turned=base.t(),
        tied=base[0],
        expanded=torch.tensor([7.0]).expand(3),
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3),
        half=torch.tensor([1.5, -2.0], dtype=torch.float16),
        brain=torch.tensor([1.5, -3.0e20], dtype=torch.bfloat16),
        double=torch.tensor([1e-300], dtype=torch.float64),
        long=torch.tensor([2**40, -1]),
        byte=torch.tensor([255], dtype=torch.uint8),
        truth=torch.tensor([True, False]),
        parameter=torch.nn.Parameter(torch.tensor([[1.0]])),
    )
    state = {"model_dict": weights, "optimizer_dict": {"state": {0: {"step": 3}}}, "offset": 5, "encoder_params": None}
    read = read_checkpoint(save(tmp_path / "a.cp", state, container=container))
    assert list(read["model_dict"]) == list(weights)
    for name, tensor in weights.items():
        expected = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
        np.testing.assert_array_equal(read["model_dict"][name], expected.numpy(), strict=True)
    assert read["optimizer_dict"] == {"state": {0: {"step": 3}}}
    assert (read["offset"], read["encoder_params"]) == (5, None)
    assert type(read["model_dict"]) is dict
    assert np.shares_memory(read["model_dict"]["plain"], read["model_dict"]["tied"])


@pytest.mark.parametrize("container", CONTAINERS)
def test_state_dict_of_a_module_loses_only_its_private_metadata(tmp_path: Path, container: bool) -> None:
    module = torch.nn.Linear(3, 2)
    read = read_checkpoint(save(tmp_path / "a.cp", {"model_dict": module.state_dict()}, container=container))
    np.testing.assert_array_equal(read["model_dict"]["weight"], module.weight.detach().numpy())
    assert list(read["model_dict"]) == ["weight", "bias"]


def test_checkpoint_is_read_without_torch(tmp_path: Path, monkeypatch) -> None:
    path = save(tmp_path / "a.cp", {"model_dict": {"a": torch.ones(2)}})
    monkeypatch.setitem(sys.modules, "torch", None)
    assert read_checkpoint(path)["model_dict"]["a"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("container", CONTAINERS)
def test_named_tuple_and_omegaconf(tmp_path: Path, monkeypatch, container: bool) -> None:
    config = fake_class(monkeypatch, "omegaconf.dictconfig", "DictConfig")()
    config.content = {"kind": int, "hidden": torch.zeros(1)}
    fake_module(monkeypatch, "dpr.utils.model_utils")
    fields = ["model_dict", "optimizer_dict", "scheduler_dict", "offset", "epoch", "encoder_params"]
    raw = [b"", b"\xff", {1, 2}]
    kind = namedtuple("CheckpointState", fields)
    kind.__module__ = "dpr.utils.model_utils"
    sys.modules["dpr.utils.model_utils"].CheckpointState = kind
    state = kind(
        {"w": torch.ones(1)}, {}, {}, 1, 2, {"encoder": config, "do_lower_case": True, "type": int, "raw": raw}
    )
    path = save(tmp_path / "a.cp", state, container=container)
    monkeypatch.undo()
    read = read_checkpoint(path)
    assert list(read) == fields
    assert (read["offset"], read["epoch"], read["model_dict"]["w"].tolist()) == (1, 2, [1.0])
    params = read["encoder_params"]
    assert params["do_lower_case"] is True
    assert isinstance(params["encoder"], Skipped)
    assert repr(params["encoder"]) == "Skipped('omegaconf.dictconfig.DictConfig')"
    assert repr(params["type"]) == "Skipped('__builtin__.long')"
    assert params["raw"] == [b"", b"\xff", {1, 2}]


def test_written_checkpoint_loads_in_torch_and_here(tmp_path: Path) -> None:
    weights = {"ctx_model.a": np.arange(6, dtype=np.float32).reshape(2, 3), "question_model.b": np.ones(2, np.float16)}
    path = tmp_path / "out.cp"
    write_checkpoint(path, {"model_dict": weights, "epoch": 3, "encoder_params": {"projection_dim": 0, "l": [1, "x"]}})
    loaded = torch.load(path, weights_only=True)
    assert list(loaded) == ["model_dict", "optimizer_dict", "scheduler_dict", "offset", "epoch", "encoder_params"]
    assert torch.equal(loaded["model_dict"]["ctx_model.a"], torch.arange(6.0).reshape(2, 3))
    read = read_checkpoint(path)
    np.testing.assert_array_equal(read["model_dict"]["question_model.b"], weights["question_model.b"], strict=True)
    rest = {"optimizer_dict": {}, "scheduler_dict": {}, "offset": 0, "epoch": 3}
    assert {name: read[name] for name in rest} == rest
    assert read["encoder_params"] == {"projection_dim": 0, "l": [1, "x"]}
    assert [item.name for item in tmp_path.iterdir()] == ["out.cp"]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, "model_dict"),
        ({"model_dict": {}, "extra": 1}, "extra"),
        ({"model_dict": {}, "encoder_params": {"a": object()}}, "encoder_params.a"),
    ],
)
def test_write_refuses_what_dpr_cannot_read(tmp_path: Path, state, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        write_checkpoint(tmp_path / "a.cp", state)
    assert list(tmp_path.iterdir()) == []


def test_no_checkpoint_but_a_torch_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="model_dict"):
        read_checkpoint(save(tmp_path / "a.cp", {"weights": torch.ones(1)}))


@pytest.mark.parametrize("container", CONTAINERS)
def test_state_dict_by_value(tmp_path: Path, container: bool, monkeypatch) -> None:
    module = torch.nn.Sequential(OrderedDict(a=torch.nn.Linear(3, 2), b=torch.nn.LayerNorm(2)))
    state = module.state_dict()
    assert state._metadata["a"] == {"version": 1}  # set through BUILD
    tied = torch.arange(12.0).reshape(3, 4)
    state.update(
        parameter=torch.nn.Parameter(torch.tensor([[1.5]]), requires_grad=True),
        half=torch.tensor([1.5, -2.0], dtype=torch.float16),
        brain=torch.tensor([1.5, -3.0e20], dtype=torch.bfloat16),
        counter=torch.arange(4).expand((1, -1)),
        tied=tied,
        turned=tied.t(),
    )
    path = save(tmp_path / "pytorch_model.bin", state, container=container)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "torch", None)
        read = read_state_dict(path)
    assert list(read) == list(state)
    for name, tensor in state.items():
        expected = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
        np.testing.assert_array_equal(read[name], expected.numpy(), strict=True)
    assert np.shares_memory(read["tied"], read["turned"])
    assert type(read) is dict


def shards(folder: Path, weight_map: object) -> Path:
    save(folder / "pytorch_model-00001-of-00002.bin", OrderedDict(a=torch.ones(2)))
    save(folder / "pytorch_model-00002-of-00002.bin", OrderedDict(b=torch.zeros(1)), container=False)
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 12}, "weight_map": weight_map}))
    return index


def test_state_dict_in_shards(tmp_path: Path) -> None:
    names = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    read = read_state_dict(shards(tmp_path, {"a": names[0], "b": names[1]}))
    assert {name: array.tolist() for name, array in read.items()} == {"a": [1.0, 1.0], "b": [0.0]}
    with pytest.raises(ModelError, match=r"absent\.bin: cannot be read"):
        read_state_dict(shards(tmp_path, {"a": names[0], "b": "absent.bin"}))
    index = shards(tmp_path, {"a": names[0], "b": names[1]})
    save(tmp_path / names[1], {"b": Call(os.system, "true")})
    with pytest.raises(UnsafeFileError, match=r"00002-of-00002\.bin: .*'posix\.system'"):
        read_state_dict(index)


@pytest.mark.parametrize("weight_map", [None, {}, [], {"a": "../pytorch_model.bin"}, {"a": "/etc/x"}, {"a": 1}])
def test_index_of_shards_must_name_files_beside_it(tmp_path: Path, weight_map: object) -> None:
    with pytest.raises(ModelError, match=r"index\.json: expected a weight_map from .* to files beside it"):
        read_state_dict(shards(tmp_path, weight_map))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([torch.ones(1)], "holds list, expected a state dict"),
        ({"state_dict": {"a": torch.ones(1)}}, "'state_dict' is dict, expected tensors by name alone"),
        ({"a": torch.ones(1), "epoch": 3}, "'epoch' is int"),
        ({1: torch.ones(1)}, "1 is ndarray"),
    ],
)
def test_state_dict_of_another_form(tmp_path: Path, value, said: str) -> None:
    with pytest.raises(ModelError, match=rf"pytorch_model\.bin: {said}"):
        read_state_dict(save(tmp_path / "pytorch_model.bin", value))


@pytest.mark.parametrize("name", ["omegaconf.base.Node", "builtins.int", "dpr.utils.model_utils.CheckpointState"])
def test_state_dict_allows_less_than_a_checkpoint(tmp_path: Path, name: str) -> None:
    module, _, last = name.rpartition(".")
    path = zipped(tmp_path / "pytorch_model.bin", G + f"{module}\n{last}\n.".encode())
    with pytest.raises(UnsafeFileError, match=f"asks for '{name}'"):
        read_state_dict(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_embeddings_by_value(tmp_path: Path, protocol: int) -> None:
    strided = np.arange(8, dtype=np.float32)[::2]
    records = [
        ("wiki:1", np.array([1, 2, 3, 4], np.float32)),
        (2, strided),
        (np.int64(3), np.array([0.5] * 4, np.float64)),
        ["x", np.array([1, 0, 0, -1], ">f4")],
    ]
    read = list(read_embeddings(dump(tmp_path / "shard", records, protocol)))
    assert [name for name, _ in read] == ["wiki:1", "2", "3", "x"]
    for (_, vector), (_, given_vector) in zip(read, records, strict=True):
        assert vector.dtype == np.float32
        assert vector.tolist() == given_vector.tolist()


@pytest.mark.parametrize("protocol", [2, 3])
def test_embeddings_of_numpy_1(tmp_path: Path, protocol: int) -> None:
    data = pickle.dumps([("1", np.array([1.5, -2], np.float32))], protocol)
    assert b"numpy._core" in data
    (tmp_path / "old").write_bytes(data.replace(b"numpy._core", b"numpy.core"))
    assert [(name, vector.tolist()) for name, vector in read_embeddings(tmp_path / "old")] == [("1", [1.5, -2.0])]


@pytest.mark.parametrize("protocol", [2, 5])
def test_object_arrays_are_refused(tmp_path: Path, protocol: int) -> None:
    said = r"shard: an array that is no block of plain numbers \(object dtype\?\)" + TRUSTED
    with pytest.raises(UnsafeFileError, match=said):
        list(read_embeddings(dump(tmp_path / "shard", [("1", np.array([1, "x"], object))], protocol)))


def test_a_name_with_which_a_message_begins_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dump(Path("a"), [("1", np.array([1, "x"], object))], 5)
    with pytest.raises(UnsafeFileError, match=r"^a: an array that is no block of plain numbers"):
        list(read_embeddings("a"))


def test_an_entry_of_a_length_beyond_the_file_is_refused_by_name(tmp_path: Path) -> None:
    path = save(tmp_path / "long.cp", {"model_dict": {}})
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")  # the first of the directory, data.pkl
    data[entry + 24 : entry + 28] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(
        UnsafeFileError, match=r"long\.cp: unpacks to more than [0-9]+ times its size, .* does" + TRUSTED
    ):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"1": [1.0]}, "list"),
        ([("1",)], "record 0"),
        ([("1", np.ones(2, np.float32)), ("2", [1.0])], "record 1"),
        ([("1", np.ones((2, 2), np.float32))], "record 0"),
        ([("", np.ones(2, np.float32))], "id of record 0"),
        ([(True, np.ones(2, np.float32))], "id of record 0"),
        ([("1", np.ones(2, np.int64))], "record 0"),
    ],
)
def test_embeddings_of_another_form(tmp_path: Path, value, said: str) -> None:
    with pytest.raises(CorpusError, match=said) as caught:
        list(read_embeddings(dump(tmp_path / "shard", value)))
    assert "shard" in str(caught.value)


@pytest.mark.parametrize("pydantic", [1, 2])
def test_langchain_docstore(tmp_path: Path, monkeypatch, pydantic: int) -> None:
    store = fake_class(monkeypatch, "langchain_community.docstore.in_memory", "InMemoryDocstore")()
    document = fake_class(monkeypatch, "langchain_core.documents.base", "Document")

    def state(self) -> dict[str, object]:
        private = {"__fields_set__": {"x"}} if pydantic == 1 else {"__pydantic_fields_set__": {"x"}}
        return {"__dict__": dict(vars(self)), **private}

    document.__getstate__ = state
    first, second = document(), document()
    vars(first).update(id="a", page_content="Hamlet", metadata={"page": 1, "tags": ["x"]}, type="Document")
    vars(second).update(page_content="Macbeth", metadata={})
    store._dict = {"a": first, "b": second}
    path = dump(tmp_path / "index.pkl", (store, {0: "a", 1: "b"}))
    monkeypatch.undo()
    documents, rows = read_langchain_docstore(path)
    assert rows == {0: "a", 1: "b"}
    assert documents == {
        "a": {"id": "a", "page_content": "Hamlet", "metadata": {"page": 1, "tags": ["x"]}},
        "b": {"id": "b", "page_content": "Macbeth", "metadata": {}},
    }


def test_docstore_of_another_form(tmp_path: Path) -> None:
    for value in [{}, ({}, {}), ({"_dict": {"a": {}}}, {}), ({"_dict": {}}, {"a": "b"})]:
        with pytest.raises(CorpusError, match=r"index\.pkl"):
            read_langchain_docstore(dump(tmp_path / "index.pkl", value))


def test_documents_of_which_only_some_have_ids_are_no_docstore(tmp_path: Path) -> None:
    """LangChain's FAISS keeps all others under None: the last of them, for the rows of all."""
    path = dump(tmp_path / "index.pkl", ({"_dict": {"a": {}, None: {}}}, {0: "a", 1: None, 2: None}))
    with pytest.raises(
        CorpusError, match=r"others none, of which LangChain keeps one; give all documents ids, or none, and"
    ):
        read_langchain_docstore(path)


def attacks(sentinel: Path) -> dict[str, object]:
    touch = f"touch {sentinel}"
    code = f"open({str(sentinel)!r}, 'w')"
    return {
        "os.system": Call(os.system, touch),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "open": Call(open, str(sentinel), "w"),
        "partial": Call(functools.partial(os.system, touch)),
        "reduce": Call(functools.reduce, os.system, [touch]),
        "methodcaller": Call(operator.methodcaller("write_text", ""), sentinel),
        "getattr": Call(getattr, OrderedDict, "fromkeys"),
        "dotted": Call(OrderedDict.fromkeys, [1]),
        "path": sentinel,
        "nested": {"model_dict": {"a": [{"b": (Call(os.system, touch),)}]}},
        "module": torch.nn.Linear(1, 1),
        "import": Call(__import__, "antigravity"),
        "type": Call(type, "X", (), {}),
    }


@pytest.mark.parametrize("name", attacks(Path("x")))
@pytest.mark.parametrize("form", ["zip", "stream", "state", "state stream", "bare", "shard", "docstore"])
def test_attack_is_refused_and_nothing_runs(tmp_path: Path, form: str, name: str) -> None:
    sentinel = tmp_path / "sentinel"
    path = tmp_path / "bad.cp"
    value = attacks(sentinel)[name]
    if form in {"bare", "shard", "docstore"}:
        dump(path, value)
    else:
        save(path, value, container="stream" not in form)
    read = {
        **{"shard": lambda it: list(read_embeddings(it)), "docstore": read_langchain_docstore},
        **{"state": read_state_dict, "state stream": read_state_dict},
    }.get(form, read_checkpoint)
    with pytest.raises(UnsafeFileError, match=r"bad\.cp"):
        read(path)
    assert not sentinel.exists()


def test_refusal_names_the_global(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError, match=r"'posix\.system'"):
        read_checkpoint(save(tmp_path / "a.cp", {"model_dict": Call(os.system, "true")}))


G = b"\x80\x02c"
BUILD_ATTACKS = {
    "class through slots": G + b"omegaconf.base\nNode\nN}X\x04\x00\x00\x00nameK\x01s\x86b.",
    "class through dict": G + b"omegaconf.base\nNode\n}X\x04\x00\x00\x00nameK\x01sb.",
    "named tuple": G + b"dpr.utils.model_utils\nCheckpointState\nN}X\x07\x00\x00\x00__new__K\x01s\x86b.",
    "function": G + b"torch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__)s\x86b.",
    "storage type": G + b"torch\nFloatStorage\n}X\x04\x00\x00\x00codeK\x01sb.",
    "storage called": G + b"torch\nFloatStorage\nK\x05\x85R.",
    "OrderedDict": G + b"collections\nOrderedDict\n}X\x05\x00\x00\x00itemsK\x01sb.",
    "tensor without storage": G + b"torch._utils\n_rebuild_tensor_v2\n(NK\x00K\x01\x85K\x01\x85\x89NtR.",
    "foreign persistent id": b"\x80\x02X\x01\x00\x00\x00xQ.",
    "storage of a foreign type": b"\x80\x02(X\x07\x00\x00\x00storageK\x01X\x01\x00\x00\x000NK\x01tQ.",
    "module as persistent id": b"\x80\x02(X\x06\x00\x00\x00moduleNNNtQ.",
    "encoding": G + b"_codecs\nencode\nX\x01\x00\x00\x00xX\x03\x00\x00\x00hex\x86R.",
    "memo bomb": b"\x80\x02}r\xff\xff\xff\x7f.",
    "list in itself": b"\x80\x02]q\x00h\x00a.",
    "deep": b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".",
    "function as a value": G + b"_codecs\nencode\n.",
    "dtype of objects": G + b"numpy\ndtype\nX\x02\x00\x00\x00O8\x85R.",
}


@pytest.mark.parametrize("name", BUILD_ATTACKS)
def test_crafted_pickle_is_refused(tmp_path: Path, name: str) -> None:
    for read in (read_checkpoint, read_state_dict):
        with pytest.raises(UnsafeFileError, match=r"bad\.cp"):
            read(zipped(tmp_path / "bad.cp", BUILD_ATTACKS[name]))


def test_attack_leaves_no_trace_in_the_reader(tmp_path: Path) -> None:
    for name, data in BUILD_ATTACKS.items():
        with pytest.raises(UnsafeFileError):
            read_checkpoint(zipped(tmp_path / f"{len(name)}.cp", data))
    good = save(tmp_path / "good.cp", {"model_dict": OrderedDict(a=torch.ones(2, 2))})
    assert read_checkpoint(good)["model_dict"]["a"].tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_persistent_id_in_a_shard(tmp_path: Path) -> None:
    (tmp_path / "shard").write_bytes(b"\x80\x02X\x01\x00\x00\x00xQ.")
    with pytest.raises(UnsafeFileError, match="persistent id"):
        list(read_embeddings(tmp_path / "shard"))


def test_omegaconf_is_skipped_in_checkpoints_only(tmp_path: Path) -> None:
    (tmp_path / "shard").write_bytes(G + b"omegaconf.base\nNode\n.")
    with pytest.raises(UnsafeFileError, match=r"omegaconf\.base\.Node"):
        list(read_embeddings(tmp_path / "shard"))


def test_shared_containers_stay_cheap(tmp_path: Path) -> None:
    shared = list(range(100))
    path = save(tmp_path / "a.cp", {"model_dict": {}, "encoder_params": [shared] * 1000})
    params = read_checkpoint(path)["encoder_params"]
    assert params == [shared] * 1000
    assert params[0] is params[999]


def tensor_pickle(size: int, stride: int, offset: int) -> bytes:
    first, length, step = (b"J" + value.to_bytes(4, "little", signed=True) for value in (offset, size, stride))
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + first + length + b"\x85" + step + b"\x85\x89NtR"
    return b"\x80\x02}X\x0a\x00\x00\x00model_dict}X\x01\x00\x00\x00a" + tensor + b"ss."


@pytest.mark.parametrize(
    ("size", "stride", "offset", "fits"),
    [
        (4, 1, 0, True),
        (2, 2, 1, True),
        (5, 1, 0, False),
        (2, 4, 0, False),
        (1, 1, 4, False),
        (2, -1, 1, False),
        (1, 1, -1, False),
    ],
)
def test_tensor_must_lie_inside_its_storage(tmp_path: Path, size: int, stride: int, offset: int, fits: bool) -> None:
    path = tmp_path / "a.cp"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", tensor_pickle(size, stride, offset))
        archive.writestr("archive/data/0", np.arange(4, dtype="<f4").tobytes())
    if fits:
        expected = np.arange(4.0)[offset::stride][:size].tolist()
        assert read_checkpoint(path)["model_dict"]["a"].tolist() == expected
    else:
        with pytest.raises(CorpusError, match=r"a\.cp"):
            read_checkpoint(path)


def test_compressed_and_doubled_archives_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.cp", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"model_dict": {}}, 2))
    with pytest.raises(
        UnsafeFileError, match=r"^.*bomb\.cp: the entry 'archive/data\.pkl' is compressed .* never does" + TRUSTED
    ):
        read_checkpoint(tmp_path / "bomb.cp")
    with zipfile.ZipFile(tmp_path / "two.cp", "w") as archive:
        archive.writestr("a/data.pkl", b"")
        archive.writestr("b/data.pkl", b"")
    with pytest.raises(CorpusError, match="2 entries"):
        read_checkpoint(tmp_path / "two.cp")


@pytest.mark.parametrize("container", CONTAINERS)
def test_truncated_or_flipped_checkpoint_never_escapes(tmp_path: Path, container: bool) -> None:
    good = save(tmp_path / "good.cp", {"model_dict": {"a": torch.arange(8.0)}}, container=container).read_bytes()
    path = tmp_path / "bad.cp"
    for end in range(0, len(good) - 1, 7):
        path.write_bytes(good[:end])
        with pytest.raises((CorpusError, UnsafeFileError), match=r"bad\.cp"):
            read_checkpoint(path)
        with pytest.raises((ModelError, UnsafeFileError), match=r"bad\.cp"):
            read_state_dict(path)
    for at in range(0, len(good), 5):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
        try:
            read_checkpoint(path)
        except (CorpusError, UnsafeFileError, ModelError) as error:
            assert "bad.cp" in str(error)  # noqa: PT017 - a flip may also be harmless


@settings(max_examples=150)
@given(st.binary(max_size=60))
def test_garbage_is_refused(tmp_path_factory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("g") / "garbage"
    path.write_bytes(data)
    with pytest.raises((CorpusError, UnsafeFileError), match="garbage"):
        read_checkpoint(path)


def test_missing_file(tmp_path: Path) -> None:
    for read in (read_checkpoint, lambda it: list(read_embeddings(it)), read_langchain_docstore):
        with pytest.raises(CorpusError, match="nowhere"):
            read(tmp_path / "nowhere")
