"""Recognises questions that ask for a person, and names of persons in a sentence."""

from __future__ import annotations

import re

_WHO = re.compile(r"\b(?:who|whom|whose|wer|wem|wen|qui|quién|quiénes|chi|quem|vem|hvem|кто)\b", re.IGNORECASE)
# a form of address, or two capitals in a row inside a sentence: days and places that stand alone are none
_UPPER = r"[^\W\d_a-zß-ÿ][^\W\d_]+"
_NAME = re.compile(rf"\b(?:Mrs?|Ms|Dr|Prof|Frau|Herrn?|Mme|Sra?|Sig|Dott)\.? [^\W\d_]+|(?<=[\w,;:] ){_UPPER} {_UPPER}")


def asks_for_person(question: str) -> bool:
    """Whether a question asks who does something."""
    return _WHO.search(question) is not None


def names_person(sentence: str) -> bool:
    """Whether a sentence names somebody, as far as its capitals tell."""
    return _NAME.search(sentence) is not None
