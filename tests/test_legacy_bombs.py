"""Small pickled files that describe endless work end at once, with an error that names them."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

GUARD = 250  # seconds; each of these would take years
HEAD = b"\x80\x04"
READ = """
import sys
from dpr_rag.errors import DprRagError
from dpr_rag.legacy import read_checkpoint, read_embeddings, read_langchain_docstore, read_state_dict
readers = [read_checkpoint, read_state_dict, lambda path: list(read_embeddings(path)), read_langchain_docstore]
for path in sys.argv[1:]:
    for reader in readers:
        try:
            reader(path)
        except DprRagError as error:
            assert path in str(error) and len(str(error)) < 1000, error
        else:
            raise SystemExit(f"read {path}")
print("refused")
"""
COMMAND = "from dpr_rag.cli import main; main()"


def doubled(levels: int, step: bytes, seed: bytes = b")") -> bytes:
    """Pickled code that leaves one object on the stack, which holds itself twice at every level."""
    links = [seed + b"q\x00"]
    for level in range(1, levels):
        link = step.replace(b"?", b"h" + bytes([level - 1]))
        links.append(b"0" + link + b"q" + bytes([level]))
    return b"".join(links)


TUPLES = doubled(50, b"??\x86")
FROZEN = doubled(50, b"(?K\x01?\x86\x91")
LISTS = doubled(50, b"](??e", b"]")


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def call(name: str, arguments: bytes) -> bytes:
    module, _, last = name.rpartition(".")
    return f"c{module}\n{last}\n".encode() + arguments + b"R"


def whole(body: bytes) -> bytes:
    return HEAD + text("model_dict") + b"0" + body + b"."


# every hash has the same value modulo 2**61 - 1
COLLIDING = b"".join(
    b"\x8a\x10" + (n * (2**61 - 1)).to_bytes(16, "little", signed=True) + b"N" for n in range(1, 50_000)
)
PICKLES = {
    "tuples as a key": whole(b"}" + TUPLES + b"Ns"),
    "tuples as keys": whole(b"}(" + TUPLES + b"Nu"),
    "tuples as keys of a marked dict": whole(b"(" + TUPLES + b"Nd"),
    "tuples as members": whole(b"\x8f(" + TUPLES + b"\x90"),
    "tuples as frozen members": whole(b"(" + TUPLES + b"\x91"),
    "frozen sets as a key": whole(b"}" + FROZEN + b"Ns"),
    "tuples in a called set": whole(call("builtins.set", b"](" + TUPLES + b"e\x85")),
    "tuples in a called frozen set": whole(call("builtins.frozenset", b"](" + TUPLES + b"e\x85")),
    "tuples in an ordered dict": whole(call("collections.OrderedDict", b"](" + TUPLES + b"N\x86e\x85")),
    "tuples set in an ordered dict": whole(call("collections.OrderedDict", b")") + TUPLES + b"Ns"),
    "tuples as an encoding": whole(call("_codecs.encode", text("x") + TUPLES + b"\x86")),
    "tuples as an order of bytes": whole(
        b"](" + text("a") + call("numpy.core.multiarray.scalar", call("numpy.dtype", text("f4") + b"\x85")
        + b"(K\x03" + TUPLES + b"tbC\x04\x00\x00\x00\x00\x86") + b"\x86e"
    ),
    "a deep tuple as a key": whole(b"})" + b"\x85" * 200_000 + b"Ns"),
    "a deep tuple": whole(b")" + b"\x85" * 200_000),
    "keys that collide": whole(b"}(" + COLLIDING + b"u"),
    "lists as ids": whole(b"](" + LISTS + b"N\x86e"),
    "lists as fields": whole(b"}(" + text("model_dict") + b"}" + text("epoch") + LISTS + b"u"),
    "lists as ids of documents": whole(b"}" + text("_dict") + b"}s}K\x00" + LISTS + b"s\x86"),
    "an integer of a million digits": whole(b"](\x8b" + struct.pack("<i", 415_000) + b"\x7f" * 415_000 + b"N\x86e"),
    "a line of a million digits": whole(b"](L" + b"9" * 1_000_000 + b"L\nN\x86e"),
    "a text of 2**62 bytes": whole(b"\x8d" + struct.pack("<Q", 2**62)),
    "bytes of a terabyte": whole(b"\x8e" + struct.pack("<Q", 2**40)),
    "a byte array of 2**62 bytes": whole(b"\x96" + struct.pack("<Q", 2**62)),
    "a large memo number": whole(b"}r\xff\xff\xff\x7f"),
    "one text encoded without end": whole(
        b"](" + text("x" * 100_000) + b"q\x00" + text("latin1") + b"q\x01c_codecs\nencode\nq\x02"
        + b"h\x02h\x00h\x01\x86R" * 20_000 + b"e"
    ),
    "a size walked without end": whole(
        b"(" + b"K\x01" * 100_000 + b"tq\x00ctorch\nSize\nq\x01](" + b"h\x01h\x00\x85R" * 20_000 + b"e"
    ),
    "types without end": whole(b"](" + b"".join(b"ctyping\n%d\n" % n for n in range(20_000)) + b"e"),
    "an opcode of extensions": whole(b"\x82\x01"),
    "marks without end": whole(b"(" * 200_000),
}  # fmt: skip


def child(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=GUARD)


@pytest.mark.parametrize("name", PICKLES)
def test_bomb_is_refused_at_once_by_every_reader(tmp_path: Path, name: str) -> None:
    paths = [tmp_path / form for form in ("bare", "zip", "stream")]
    for path, content in zip(paths, (PICKLES[name], zipped(PICKLES[name]), streamed(PICKLES[name])), strict=True):
        path.write_bytes(content)
    done = child(READ, *paths)
    assert (done.stdout, done.returncode) == ("refused\n", 0), done.stderr


def zipped(data: bytes, **blocks: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for key, block in blocks.items():
            archive.writestr(f"archive/data/{key}", block)
    return file.getvalue()


def streamed(data: bytes, keys: bytes = HEAD + b"].") -> bytes:
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    return b"".join(pickle.dumps(item, 2) for item in head) + data + keys


def test_keys_of_a_stream_are_names(tmp_path: Path) -> None:
    path = tmp_path / "bomb.cp"
    path.write_bytes(streamed(pickle.dumps({"model_dict": {}}, 2), HEAD + b"](" + TUPLES + b"e."))
    done = child(READ, path)
    assert (done.stdout, done.returncode) == ("refused\n", 0), done.stderr


def tensor(size: tuple[int, ...], stride: tuple[int, ...], count: int) -> bytes:
    """Pickled code of a tensor over the first storage of the file."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("a") + text("cpu") + b"J"
    storage += struct.pack("<i", count) + b"tQ"
    shape = b"".join(b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in it) + b"t" for it in (size, stride))
    return call("torch._utils._rebuild_tensor_v2", b"(" + storage + b"K\x00" + shape + b"\x89Nt")


def weights(body: bytes) -> bytes:
    return HEAD + b"}" + text("model_dict") + b"}(" + body + b"us."


@pytest.mark.parametrize(
    "body",
    [
        text("w") + tensor((10**6, 10**6), (0, 0), 4),
        text("w") + tensor((2**62, 2**62), (0, 0), 4),
        text("w") + tensor((10**6, 2), (0, 1), 4),
        text("w") + tensor((1,) * 100, (1,) * 100, 4),
        b"".join(text(f"w{n}") + tensor((4, 1000), (1, 0), 4) for n in range(1000)),
    ],
)
def test_tensor_far_larger_than_the_file_is_refused(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "bomb.cp"
    path.write_bytes(zipped(weights(body), a=bytes(16)))
    done = child(READ, path)
    assert (done.stdout, done.returncode) == ("refused\n", 0), done.stderr


def test_key_may_be_a_string_bytes_a_number_or_none(tmp_path: Path) -> None:
    from dpr_rag.legacy import read_checkpoint

    keys = {"a": 1, b"b": 2, 3: 3, -(2**63): 4, 0.5: 5, None: 6, True: 7}
    members = [{"x", 1}, frozenset({None, b"y"})]
    path = tmp_path / "good.cp"
    for protocol in (2, 4):
        state = {"model_dict": {}, "optimizer_dict": keys, "encoder_params": members}
        path.write_bytes(zipped(pickle.dumps(state, protocol)))
        read = read_checkpoint(path)
        assert read["optimizer_dict"] == keys
        assert read["encoder_params"] == members


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_protocol_is_read_by_value(tmp_path: Path, protocol: int) -> None:
    from dpr_rag.legacy import read_checkpoint

    values = [1, -1, 2**40, 2**100, -(2**127), 0.5, float("inf"), True, False, None, "é\n\\u", "", b"", b"\x00\xff"]
    values += [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [[]], {}, {"a": {"b": 1}}, set(), {1}, frozenset({"a"})]
    values += [list(range(3000)), "x" * 300, b"y" * 70_000, bytearray(b"z"), {str(n): n for n in range(2000)}]
    if protocol < 5:  # Python writes a bytearray there by a name that is not read
        values.remove(bytearray(b"z"))
    state = {"model_dict": {}, "encoder_params": values}
    path = tmp_path / "good.cp"
    path.write_bytes(zipped(pickle.dumps(state, protocol)))
    assert read_checkpoint(path)["encoder_params"] == values


@pytest.mark.parametrize("name", ["tuples as a key", "lists as ids", "an integer of a million digits"])
def test_command_line_names_the_bomb(tmp_path: Path, name: str) -> None:
    bomb, corpus, store = tmp_path / "bomb.cp", tmp_path / "corpus.tsv", tmp_path / "store.dpr"
    bomb.write_bytes(PICKLES[name])
    corpus.write_text("id\ttext\ttitle\n1\tHamlet\tH\n", encoding="utf-8")
    for args in (("convert", bomb, tmp_path / "out"), ("index", corpus, "--store", store, "--vectors", bomb)):
        done = child(COMMAND, *args)
        assert done.returncode not in (0, -11), done.stdout
        assert "bomb.cp" in done.stderr.replace("\n", "")
        assert "Traceback" not in done.stderr
