"""What reads like a language and what does not, by example."""

from __future__ import annotations

import pytest

from dpr_rag.lexical.prose import is_prose

PROSE = {
    "english": "Visitors park in the garage below building C. The first two hours are free, and each one after that is 2 euros.",
    "german": "Die Gäste parken in der Garage unter dem Gebäude, und die ersten beiden Stunden sind frei.",
    "polish": "Goście parkują w garażu pod budynkiem, a pierwsze dwie godziny są za darmo, jak i dla każdego z nas.",
    "russian": "Гости могут оставить машину в гараже под зданием, и первые два часа для них бесплатно, как и для всех.",
    "japanese": "お客様は建物の地下にある駐車場をご利用ください。最初の2時間は無料です。",
    "thai": "ผู้มาเยือนจอดรถได้ที่โรงรถใต้อาคาร สองชั่วโมงแรกไม่เสียค่าใช้จ่าย",
    "korean": "방문객은 건물 아래 주차장에 주차할 수 있으며 처음 두 시간은 무료입니다.",
}
OTHERS = {
    "nothing": "",
    "spaces": " \n\t ",
    "a name": "Parking Garage",
    "words": "granite lantern velvet orbit copper meadow thimble anchor quartz saddle willow magnet",
    "words and one of Japanese": "granite lantern velvet 東 orbit copper meadow thimble anchor quartz saddle willow",
    "log lines": "2024-03-12 10:22:41 ERROR [http-12] failed to connect to the server at 10.0.0.7:5432 in 30 ms",
    "encoded": "U29tZSBieXRlcyBvZiBhIGZpbGUgdGhhdCBubyBvbmUgcmVhZHM+aW4vYQ9xk7Zt0Lw8fQ3JbHn4vE5+Rk1yT2a6==",
    "a table": "12.50 | 7.25 | 3.75\n14.00 | 8.50 | 4.25",
    "code": "for i in range(len(rows)):\n    if rows[i] is not None and i > 3:\n        found.append(rows[i])\nreturn found",
}


@pytest.mark.parametrize("name", PROSE)
def test_running_text_of_any_language_is_prose(name: str) -> None:
    assert is_prose(PROSE[name])
    assert is_prose(f"{PROSE[name]} " * 200)


@pytest.mark.parametrize("name", OTHERS)
def test_what_nobody_asks_about_is_none(name: str) -> None:
    assert not is_prose(OTHERS[name])
