"""Recognises numbers in questions and sentences, and whether two of them contradict each other."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"\d+(?:[.,:/-]\d+)*")
_WORD = re.compile(r"[^\W\d_]+")
_ASKED = re.compile(
    r"\b(?:how (?:much|many|long|often|old|far|large|big|high|late|early|soon)|when|what (?:time|date|day|year)|limit|price|"
    r"costs?|amount|number|budget|deadline|allowance|fee|rate|percentage|phone|extension|"
    r"wie ?(?:viele?|lange|oft|alt|weit|hoch|groß|spät)|wann|combien|quand|à quelle heure|cuánt[oa]s?|cuándo|quant[oiae]|quando|"
    r"hoeveel|hoe (?:lang|vaak)|wanneer|hur (?:många|mycket|länge|ofta)|när|hvor (?:mange|meget|mye|længe|lenge)|hvornår|"
    r"сколько|когда)\b|多少|几|幾|什么时候|何時|いくら|いつ|何",
    re.IGNORECASE,
)
_NAMED = {
    name: str(value)
    for names in (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty",
        "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
        "achtzehn neunzehn zwanzig",
        "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize",
        "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce",
    )
    for value, name in enumerate(names.split())
    if value > 1  # one is an article, too
} | {
    **{name: str(10 * at) for at, name in enumerate("thirty forty fifty sixty seventy eighty ninety".split(), 3)},
    **{
        name: str(10 * at)
        for at, name in enumerate("dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split(), 3)
    },
    **{"hundred": "100", "thousand": "1000", "million": "1000000", "once": "1", "twice": "2", "half": "1/2"},
    **dict.fromkeys(("hundert", "cent", "cien"), "100"),
    **dict.fromkeys(("tausend", "mille", "mil"), "1000"),
}
_MONTHS = {
    name: f"month {at % 12 + 1}"
    for at, name in enumerate(
        "january february march april may june july august september october november december "
        "januar februar märz april mai juni juli august september oktober november dezember".split()
    )
} | {
    name: f"day {at % 7}"
    for at, name in enumerate(
        (
            "monday tuesday wednesday thursday friday saturday sunday "
            "montag dienstag mittwoch donnerstag freitag samstag sonntag"
        ).split()
    )
}
_AS_NAMES = frozenset(("may", "march"))


def asks_for_number(question: str) -> bool:
    """Whether a question asks for a number or a time, in the languages that are known here."""
    return _ASKED.search(question) is not None


def numbers_of(text: str) -> frozenset[str]:
    """The numbers, months and days of the week of a text, each in one spelling."""
    written = {digits.replace(",", "") for digits in _DIGITS.findall(text)}
    words = _WORD.findall(text)
    named = {_NAMED[word.lower()] for word in words if word.lower() in _NAMED}
    # "may" is a verb, too
    dates = {
        _MONTHS[month]
        for word in words
        if (month := word.lower()) in _MONTHS and (month not in _AS_NAMES or word[0].isupper())
    }
    return frozenset(written | named | dates)


def differ(first: str, second: str) -> bool:
    """Whether each of two texts says a number that the other does not."""
    mine, yours = numbers_of(first), numbers_of(second)
    return bool(mine - yours and yours - mine)
