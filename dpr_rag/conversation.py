"""Resolves follow-up questions without a language model: which questions depend on earlier ones, and how to expand them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from dpr_rag.courtesies import courtesy, without_courtesies
from dpr_rag.lexical.unspaced import holds_units

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_FRAGMENT, _BARE = 3, 2


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Danish and Norwegian, Russian; words that mean something
# else in another of these (es, er, die, il, lo, su) are left out.
_OPENING = _words(
    "and or but also so then otherwise und oder aber auch sonst et ou mais sinon y o pero e ed però en maar och eller men "
    "og и а или но"
)
_POINTING = _words(
    "it its it's itself they they're them their theirs he she him her his hers this that that's those these one ones same other "
    "others another else there instead both former latter such "
    "sie ihn ihm ihnen ihre ihren ihrer dafür davon damit dazu daran darüber darauf dabei dort dessen deren diese dieser dieses "
    "diesem diesen jener jene welches beide "
    "elle ils elles lui leur leurs cela ça celui celle ceux celles ce cet cette ces là "
    "él ella ellos ellas eso esto ese esa esos esas este esta estos estas allí "
    "lui lei loro questo questa quello quella questi queste ciò essa esso "
    "ele ela eles elas isso isto esse essa aquele aquela lá "
    "hij zij hem haar hun daar dat dit deze ervoor ervan daarvoor daarvan "
    "han hon där denna detta hun denne dette "
    "он она оно они его её ее их им это этот эта эти там"
)
_ASKING = _words(
    "who whom whose what which when where why how long much many often far "
    "wer wen wem was welche welcher wann wo wohin woher warum wieso wie viel viele lange oft "
    "qui que quoi quel quelle quels quelles quand où pourquoi comment combien "
    "quién quiénes qué cuál cuáles cuándo dónde cómo cuánto cuánta cuántos "
    "chi che cosa quale quali quando dove perché come quanto quanti "
    "quem qual quais onde porquê como quanto wie wat welke wanneer waar waarom hoe hoeveel "
    "vem vad vilken när var varför hur hvem hvad hva hvilken hvornår hvor hvorfor hvordan кто что какой когда где "
    "почему как сколько"
)
_SMALL = _words(
    "a an the of to for from in on at by with auf aus bei im mit nach zum zur de en con da em à dans pour chez"
)
# Verbs that say nothing of their own in a question, and what stands between.
_EMPTY = _words(
    "about if not no is are was were be been do does did has have had can could may might "
    "must should shall will would need i me my you your we us our he'd ask pay cost costs take takes get go apply contact "
    "happen happens happened mean means work works know say tell more exactly please again ok yes if late longer "
    "ist sind war hat haben kann muss soll darf wird ich mir mich man wir uns kostet der die das ein eine und zu für "
    "von bei mit est sont a ont peut faut dois je on nous le la les un une de du des pour avec "
    "coûte t es son hay puedo debo tengo se el los las para con cuesta è sono posso devo si il "
    "un per costa é são posso o os um para custa "
    "is zijn kan moet mag ik wij het een voor met kost är kan måste jag vi en ett för er kan må jeg vi et for"
)
_BACK = _POINTING - _words("one ones same other others another else there instead both former latter such")
_BEGINNING = 40
_OTHERS = _POINTING | _OPENING | _ASKING | _EMPTY | _SMALL
_ABOUT = re.compile(
    r"(?:what|how) about\b|what if\b|why not\b|wie (?:ist|sieht) es mit\b|was ist mit\b|qu'en est-il\b|(?:y|e) se\b",
    re.I,
)
# words that point at nothing
_IDLE = re.compile(
    r"\b(?:(?:is|are|was|were) there|there (?:is|are)|(?:does|did|will|would) it take|it takes|is it (?:possible|allowed|true)|"
    r"est-ce)\b",
    re.IGNORECASE,
)
_UNSPACED_POINTING = re.compile(
    "它|他|她|那|这|這|其中|还有|還有|呢[？?]?$|それ|その|これ|この|あれ|そこ|では|じゃあ|それで|彼|그것|그거|그럼|그리고|거기"
)
_UNSPACED_SHORT = 4


class Leaning(Enum):
    """How much of what a question means stands in the conversation before it.

    ``NONE`` and ``ALL`` are nothing and everything. ``SOME`` points back, or has one word of its own. ``SHORT`` points at
    nothing and has two or three words, as people type them into a search box: a new subject, or more about the one before.
    """

    NONE = "none"
    SHORT = "short"
    SOME = "some"
    ALL = "all"


_STANDS = frozenset({Leaning.NONE, Leaning.SHORT})


def leaning(question: str) -> Leaning:
    """How much a question leans on the conversation: by its pronouns, its first word, and whether it has words of its own.

    Args:
        question: As it was asked, in any language; a language whose pronouns are not known here is judged by its length.
    """
    words = _words_of(question)
    if holds_units(question):
        short = len("".join(words)) <= _UNSPACED_SHORT
        return Leaning.SOME if short or _UNSPACED_POINTING.search(question) else Leaning.NONE
    opens = words[:1] != [] and words[0] in _OPENING
    points = (
        opens
        or not _POINTING.isdisjoint(_words_of(_IDLE.sub(" ", question)))
        or _ABOUT.match(question.strip()) is not None
    )
    if _OTHERS.issuperset(words):
        return Leaning.ALL
    if points:
        return Leaning.SOME
    if len(words) <= (_FRAGMENT if words[0] not in (_ASKING | _EMPTY) - _SMALL else _BARE):
        return Leaning.SHORT if len(own_words(question)) > 1 else Leaning.SOME
    return Leaning.NONE


def _words_of(question: str) -> list[str]:
    return [_plain(word) for word in _WORD.findall(question)]


def _plain(word: str) -> str:
    return word.lower().replace("’", "'")


def own_words(question: str) -> list[str]:
    """The words that say what a question is about, in lower case."""
    return [word for word in _words_of(question) if word not in _OTHERS]


def narrowing(question: str) -> list[str]:
    """The words of its own by which a follow-up without a pronoun changes the subject: ``london`` of "and in London?"."""
    return [] if not _POINTING.isdisjoint(_words_of(question)) else own_words(question)


def points_back(sentence: str) -> bool:
    """Whether a sentence begins with a pronoun, so that what it is about stands in the one before."""
    return any(word in _BACK for word in _words_of(sentence[:_BEGINNING])[:1])


def with_context(question: str, before: Sequence[str]) -> str:
    """The question behind the subject of the last one with a meaning of its own, and of no other: each more would drown it.

    Args:
        question: As it was asked.
        before: The questions before it, oldest first; courtesies among them are none.
    """
    asked = [without_courtesies(one) for one in before if courtesy(one) is None]
    if not asked:
        return question
    head = next((one for one in reversed(asked) if leaning(one) in _STANDS), asked[0])
    return f"{subject(head)} {question}"


def subject(question: str) -> str:
    """What a question is about: what stands from its first to its last word of its own, or all of it without one."""
    own = [found for found in _WORD.finditer(question) if _plain(found[0]) not in _OTHERS]
    return question[own[0].start() : own[-1].end()] if own else question.strip()


def standalone(question: str, before: Sequence[str]) -> str:
    """The question as it can be looked up: as it is, or where it leans on the ones before it, behind their subject.

    Args:
        question: As it was asked.
        before: The questions before it, oldest first.
    """
    bare = without_courtesies(question)
    if courtesy(question) is not None or leaning(bare) in _STANDS:
        return bare
    return with_context(bare, before)
