"""Texts in a script that the tokenizer does not know are said to be hardly read, once; others are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dpr_rag import DualEncoder, Passage
from dpr_rag.cli import terminal
from dpr_rag.encoders.unknown_scripts import ScriptMonitor

ENGLISH = "The harvest begins in April, when the leaves in the hills are young and small."
UNREAD = {
    "chinese": "春茶四月在山中采摘，秋茶则要等到十月，湖边的茶园最晚。",
    "japanese": "春の茶は四月に摘まれ、秋の茶は十月を待つ。湖畔の茶畑が最も遅い。",
    "korean": "봄에 딴 차는 맛이 부드럽고 가을에 딴 차는 향이 진하다.",
    "thai": "ชาฤดูใบไม้ผลิเก็บในเดือนเมษายน",
    "russian": "Весенний чай собирают в апреле, а осенний в октябре.",
    "hindi": "वसंत की चाय अप्रैल में तोड़ी जाती है।",
    "amharic": "የፀደይ ሻይ በሚያዝያ ይሰበሰባል",
}
READ = {
    "english": ENGLISH,
    "french": "Où l’été a été très chaud, les élèves ont été fatigués à Orléans.",
    "vietnamese": "Trà xuân được hái vào tháng tư ở trên núi.",
    "names": "Who wrote the poems of 李白, and when was the book of 杜甫 printed for the first time?",
    "title": "茶道",
    "signs": "It is done 😀 → √2 ≤ “two” — great 🎉",
}


@pytest.fixture
def encoder() -> DualEncoder:
    return DualEncoder.default(runtime="openvino")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.endswith("unknown_scripts")]


@pytest.mark.parametrize("name", UNREAD)
def test_a_script_that_the_model_does_not_read_is_said_once_with_a_remedy(
    encoder: DualEncoder, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    texts = [ENGLISH, UNREAD[name], ENGLISH, UNREAD[name]]
    for _ in range(2):
        encoder.encode_passages([Passage(str(at), text) for at, text in enumerate(texts)])
    (message,) = said(caplog)
    assert message.startswith("2 of 4 texts are in a script that ")
    assert repr(UNREAD[name][:40]) in message
    assert "take a multilingual model" in message
    assert "--model" not in message
    terminal.LogNotes().emit(next(record for record in caplog.records if record.getMessage() == message))
    assert "such as intfloat/multilingual-e5-small, by --model, or rank" in capsys.readouterr().err.replace("\n", " ")


def test_questions_are_looked_at_too(encoder: DualEncoder, caplog: pytest.LogCaptureFixture) -> None:
    encoder.encode_questions(["แมวกินอะไร"])
    (message,) = said(caplog)
    assert "such as 'แมวกินอะไร'" in message


@pytest.mark.parametrize("name", READ)
def test_texts_that_the_model_reads_are_not(encoder: DualEncoder, caplog: pytest.LogCaptureFixture, name: str) -> None:
    encoder.encode_passages([Passage("1", READ[name])])
    encoder.encode_questions([READ[name]])
    assert said(caplog) == []


def test_few_texts_among_many_are_not(encoder: DualEncoder, caplog: pytest.LogCaptureFixture) -> None:
    encoder.encode_questions([ENGLISH] * 19 + [UNREAD["thai"]])
    assert said(caplog) == []


@pytest.mark.parametrize("prefix", ["", "##"])
def test_characters_in_the_vocabulary_are_read(caplog: pytest.LogCaptureFixture, prefix: str) -> None:
    """As in models for Chinese and Japanese, where each character is a token."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece

    chars = [prefix + char for char in sorted(set(UNREAD["japanese"]))]
    vocabulary = {token: at for at, token in enumerate(["[UNK]", UNREAD["japanese"][0], *chars])}
    tokenizer = Tokenizer(WordPiece(vocabulary))
    texts = [UNREAD["japanese"]] if prefix else list(UNREAD["japanese"])
    found = [one.ids for one in tokenizer.encode_batch(texts)]
    ScriptMonitor(tokenizer, "[UNK]").check(texts, found)
    assert (said(caplog), max(map(max, found)) > 0) == ([], True)


def test_pieces_of_bytes_are_not_read(caplog: pytest.LogCaptureFixture) -> None:
    vocabulary = {"<unk>": 0, "Ġ": 1, "the": 2, "æ": 3, "ĺ": 4}

    class Bytes:
        def get_vocab(self, *, with_added_tokens: bool) -> dict[str, int]:
            return vocabulary

    ScriptMonitor(Bytes(), "<unk>").check(["春春春春"], [[3, 4, 4] * 4])  # type: ignore[arg-type]
    assert len(said(caplog)) == 1


def test_bytes_that_a_tokenizer_falls_back_to_are_not_read(caplog: pytest.LogCaptureFixture) -> None:
    class Pieces:
        def get_vocab(self, *, with_added_tokens: bool) -> dict[str, int]:
            return {"<unk>": 0, "▁the": 1, "<0x41>": 2, "<0xE6>": 3, "<0x98>": 4, "<0xA5>": 5, "茶": 6}

    ScriptMonitor(Pieces(), None).check(["茶茶茶茶"], [[6] * 4])  # type: ignore[arg-type]
    assert said(caplog) == []
    ScriptMonitor(Pieces(), None).check(["春春春春"], [[3, 4, 5] * 4])  # type: ignore[arg-type]
    assert len(said(caplog)) == 1


def test_a_long_prompt_does_not_hide_a_script_that_is_not_read(caplog: pytest.LogCaptureFixture) -> None:
    default = DualEncoder.default(runtime="openvino")
    profile = replace(default.profile, title="prefix", question_prefix="Represent this sentence for searching: " * 3)
    prompted = DualEncoder(default.question_tower, profile=profile, source="prompted", runtime="openvino")
    prompted.encode_questions([ENGLISH])
    assert said(caplog) == []
    prompted.encode_questions(["แมวกินอะไร"])
    (message,) = said(caplog)
    assert "such as 'แมวกินอะไร'" in message
