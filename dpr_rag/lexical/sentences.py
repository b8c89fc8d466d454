"""Sentence boundaries; abbreviations, initials, ordinals and numbers do not end a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Enders also of Arabic, Urdu, Armenian, Hindi, Tibetan, Burmese, Amharic and Khmer, and what may close behind them.
_UNSPACED = "。！？｡"
_ENDERS = rf".!?…{_UNSPACED}．‼⁇-⁉؟۔։।॥།༎၊။።፧។៕"
_CLOSING = r"""\"'”’»)\]」』】）〉》〕］｝｣"""
_LAST = re.compile(rf"[{_ENDERS}][{_CLOSING}]*$")
# possessive, and begun at the first of a row of signs alone: a text of nothing but dots takes no longer than others
_END = re.compile(rf"(?<![{_ENDERS}])(?:[{_ENDERS}]++[{_CLOSING}]*+(?=\s|\Z)|[{_UNSPACED}]++[{_CLOSING}]*+(?!と))|\n")
_DOTTED = re.compile(r"[^\W\d_](?:\.[^\W\d_])*")
_ORDINAL = re.compile(r"\d{1,2}(?:\.\d{1,2})*|[IVX]{2,5}")
_QUOTED = re.compile(rf"(?:[?!][{_CLOSING}]+|…|\.{{2,}})[{_CLOSING}]*$")
_LABEL = re.compile(r"\s*(?:[-*+•–|>#]|\d{1,3}[.)]\s|[^\W\d_][.)]\s)")
_WRAPPED = 50
_NEAR = 40


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# Something always follows these; those with a capital are words, too, in small letters. In English, German, French, Spanish,
# Italian, Portuguese, Dutch and the languages of the North.
_LEADING = _words(
    "mr mrs ms mx dr drs prof Rev Gen Col Sen Rep Gov capt cmdr Lt sgt Maj Hon Pres e.g i.e eg vs cf approx viz "
    "Hr Fr Frl Dipl z.b d.h u.a i.d.r v.a o.ä s.o s.u bzw vgl ggf evtl inkl exkl zzgl bspw sog Mme mme mlle Mgr p.ex t.ex f.eks "
    "Hrn ext Sra sra Dra dra Dña Profa profa srta p.ej aprox núm pág págs Sig sig.ra dott Avv bijv dhr mevr o.a bl.a"
)
# A number, or a name, follows these; "No." may be an answer, too.
_NUMBERED = _words(
    "no nos nr nrn art Art abs Abs fig Fig figs Figs vol Vol pp pg Ch Sec Eq Tab nº n° Bd Kap Ziff Tel Abb Sect Nr"
)
# These may end a sentence, which shows in the word behind.
_EITHER = _words(
    "St Ste Mt Av ft ph.d b.sc m.sc etc inc Inc ltd Co corp llc jr sr esq Bros dept univ al Ave blvd Rd ca usw gmbh u.dgl "
    "str max min "
    "env ex ej Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thur Thurs Fri Sat Sun Okt Dez Mär"
)
_STARTERS = _words(
    "the a an this that these those it its he she they we you i his her their our your my there here in on at by for from to "
    "with if when while where who what why how but and or so then as after before since because although all some no not yes "
    "der die das ein eine es er sie wir ich dies diese dieser im am wenn aber und auch dann wer wie wo was nach vor "
    "le la les un une il elle ils elles nous vous je ce cette dans si mais et pour el los las una en si pero y para "
    "lo gli i uno o os as um uma em se mas de het een hij zij wij"
)
# Words before a number with a dot that make it an ordinal in German and the languages of the North, and months behind it.
_BEFORE_ORDINAL = _words(
    "der die das dem den des im am vom zum zur ab bis seit jeder jeden jede jedes den det til fra i på"
)
_MONTHS = _words(
    "januar jänner februar märz april mai juni juli august september oktober november dezember januari februari mars maj marts "
    "desember tammikuuta jh jhd jahrhundert weltkrieg etage stock auflage klasse"
)


def ends_sentence(before: str, word: str, following: str) -> bool:
    """Whether a sentence ends behind a word.

    Args:
        before: The word in front of it, or an empty string where it is the first of its sentence.
        word: The word with its signs, as it stands between spaces.
        following: The word behind it, or an empty string where the text ends.
    """
    word = word[-_NEAR:]  # signs without end are looked at once
    if not following or _LAST.search(word) is None:
        return _LAST.search(word) is not None
    if _QUOTED.search(word):
        return not following[:1].islower()
    bare = word.strip(f"([{{“„‚‘«‹¿¡{_CLOSING}")
    if not bare.endswith(".") or bare.endswith(".."):
        return True
    return not _goes_on(_plain(before), bare[:-1], following)


def _goes_on(before: str, name: str, following: str) -> bool:
    """Whether a word with a dot is an abbreviation or an ordinal, which ends no sentence."""
    starts = following[:1].isupper() and _plain(following) in _STARTERS
    if _is_of(name, _LEADING):
        return True
    if _is_of(name, _NUMBERED):
        return following[:1].isdigit() or (name.lower() != "no" and not starts)
    if _is_of(name, _EITHER) or _DOTTED.fullmatch(name):
        return not starts
    if _ORDINAL.fullmatch(name):
        return not before or before in _BEFORE_ORDINAL or _plain(following) in _MONTHS or following[:1].islower()
    return False


def _is_of(name: str, known: frozenset[str]) -> bool:
    return name in known or name.lower() in known


def _plain(word: str) -> str:
    return word.strip(".,;:!?()[]\"'“”„‘’«»").lower()


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text; joined, they are the text.

    A blank line ends one, and so does the end of a line that is not one of a paragraph's: a short one, or one before a list's.
    """
    start = 0
    for end in _END.finditer(text):
        if _is_end(text, start, end):
            yield text[start : end.end()]
            start = end.end()
    yield text[start:]


def _is_end(text: str, start: int, end: re.Match[str]) -> bool:
    if end[0] == "\n":
        return _line_ends(text, start, end.start())
    if end[0][0] in _UNSPACED:
        return True
    words = text[max(start, end.start() - _NEAR) : end.end()].split()
    behind = text[end.end() : end.end() + _NEAR]
    following = behind.split(maxsplit=1)
    if not following or "\n\n" in behind[: behind.find(following[0])]:
        return True
    return ends_sentence(words[-2] if len(words) > 1 else "", words[-1], following[0])


def _line_ends(text: str, start: int, at: int) -> bool:
    following = text[at + 1 : at + 1 + _NEAR]
    if not following.strip(" \t") or following.lstrip(" \t").startswith(("\n", "\r")) or _LABEL.match(following):
        return True
    line = at - max(text.rfind("\n", max(0, at - 2 * _WRAPPED), at), at - 2 * _WRAPPED)
    return line < _WRAPPED and not following.lstrip()[:1].islower()
