"""What messages advise in Python, said as it is done on the command line."""

from __future__ import annotations

import re

_HERE = [
    (re.escape(python), here.replace("\\", r"\\"))
    for python, here in {
        "make one with create=True": "make one with: dpr-rag index CORPUS --store DIR",
        "open it once with PassageStore.open(…, bind=True)": "pass --bind",
        'give {"id": {"$exists": True}}': """give --filter '{"id": {"$exists": true}}'""",
        ", or a Profile of your own": "",
        "; take another model, or, in Python, read that code, load the model with SentenceTransformer(…, "
        "trust_remote_code=True), and pass LibraryEncoder(model, source=…)": "; take another model",
        "name one: Reader.from_pretrained(folder), such": "name one with --reader, such",
        "pass profile=": "pass --profile",
        "or profile=": "or --profile",
        "pass base= (on the command line --base)": "pass --base",
        ", or give ids=": "",
        "comes twice in one call": "comes twice in one run",
        "add them in two calls, where the second replaces the first": (
            "index them in two runs, where the second replaces the first"
        ),
        ", or pass on_bad_text='replace' or 'skip'": ", or pass --on-bad-text replace or skip",
        "; convert it with str()": "; write it as a string",
        ", or all of the metadata with dpr_rag.to_json_metadata(metadata), as vector stores of the frameworks do with "
        "on_metadata='convert'": "",
        "; decode it, as with .decode('utf-8')": "; write it as text",
        "pass one string for each, as retrieve_batch() takes them": "ask one question after the other",
        ", dates for example with .isoformat()": ", dates for example to strings",
        "pass encoder= to PassageStore.open, or vectors= to add": "name one with --model",
        "pass encoder= to PassageStore.open, or search with vectors": "name one with --model",
        "pass encoder= to open_store, or vectors= to add": "name one with --model",
        "pass encoder= to open_store, or search with vectors": "name one with --model",
        "; open it with create=True": "; fill one with: dpr-rag copy STORE ADDRESS",
        "pass token=, or set": "set",
        "pass token='user:password' or an API key, or set MILVUS_TOKEN": "set MILVUS_TOKEN to user:password or an API key",
        "leave partition_key out": "leave out --partition-key",
        "partition_key is": "--partition-key is",
        "use mode='dense', or": "use --mode dense, or",
        "open it with that encoder, or reencode() it": (
            "name that encoder with --model, or encode it anew with: dpr-rag reencode DIR --model MODEL"
        ),
        "or call reencode() again": "or run reencode again",
        "optimize() builds": "dpr-rag optimize DIR builds",
        "pass encoder=, the one that did": "name it with --model, and pass --bind where the store knows none",
        "pass encoder=, the model itself": "name it with --model",
        "pass encoder=, the encoder that filled it,": "name the encoder that filled it with --model",
        "recover it with that encoder, or with none, and passages": "name that encoder with --model, or none, and passages",
        "the folder that backup() made": "the folder that dpr-rag backup made",
        "columns=Columns(id=…, text=…, title=…)": "--id-column, --text-column and --title-column",
        "pass mode='hybrid' beside them": "pass --mode hybrid beside them",
        "candidates goes with mode='hybrid'": "--candidates goes with --mode hybrid",
        "parameters of BM25 go with mode='bm25' or mode='hybrid'": "parameters of BM25 go with --mode bm25 or --mode hybrid",
        "; open it for writing, or pass keep=False": "; open it for writing, or pass --dry-run",
        "and keep=True": "and --keep",
        "with write_dpr_results instead": "with --output instead",
        "train with towers='as-given'": "train with --towers as-given",
        "pass runtime='torch'": "pass --runtime torch",
        "pass dtype='float32'": "pass --precision float32",
        "without context, profile, dtype and runtime": "without --context-model, --profile, --precision and --runtime",
        "without context, profile and dtype": "without --context-model, --profile and --precision",
        "question_prompt_name is": "--question-prompt is",
        "passage_prompt_name is": "--passage-prompt is",
        "pass question_prompt_name= or passage_prompt_name=": "pass --question-prompt or --passage-prompt",
    }.items()
]
_HERE += [
    (r"are asked for; pass k=(\d+)", r"are asked for; pass --k \1"),
    (r"; judge by passage, or measure MRR", r"; pass --by passage, or measure MRR"),
    (
        r"dtype is ('[^']*'), (expected one of .*) with (OpenVINO|PyTorch), or None",
        r"precision is \1, \2 with \3, or auto",
    ),
    (r"(runtime is '[^']*', expected one of .*), or None", r"\1, or auto"),
    (r"columns=Columns\((id|text|title)=…\)", r"--\1-column NAME"),
    (r"positive_last=(\S+), expected (.*) last=([^:]+)", r"--positive-last is \1, expected \2 --last \3"),
    (r"name the split with part=NAME", "name the split with --split NAME"),
    (r"with part=NAME", "with --collection NAME"),
    (r"move in without vectors", "leave out --keep-vectors"),
    (r"leave them to the encoder, or give files of vectors", "leave out --keep-vectors, or give files with --vectors"),
    (r"call it again to go on", "run the same command again to go on"),
    (r"optimize\((index|language)='([^']*)'\) changes it", r"change it with: dpr-rag optimize DIR --\1 \2"),
]
_PATTERNS = [(re.compile(python), here) for python, here in _HERE]


def on_the_command_line(message: str) -> str:
    """A message of the library as one line, with its advice in the words of the command line."""
    line = " ".join(message.split())
    for python, here in _PATTERNS:
        line = python.sub(here, line)
    return line
