"""Resolves follow-up questions without a language model: which questions depend on earlier ones, and how to expand them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from dpr_rag.courtesies import courtesy, without_courtesies
from dpr_rag.lexical.unspaced import holds_units

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_FRAGMENT, _FRAGMENT_OF_QUESTION = 3, 2
"""Most words of a fragment, and of one that begins with a question word or a verb."""


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Danish and Norwegian, Russian. Words that mean
# something else in another of these languages (es, er, die, il, lo, su) are left out.
_CONJUNCTIONS = _words(
    "and or but also so then otherwise und oder aber auch sonst et ou mais sinon y o pero e ed però en maar och eller men "
    "og и а или но"
)
# pronouns, and other words that refer to something named before
_PRONOUNS = _words(
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
_QUESTION_WORDS = _words(
    "who whom whose what which when where why how long much many often far "
    "wer wen wem was welche welcher wann wo wohin woher warum wieso wie viel viele lange oft "
    "qui que quoi quel quelle quels quelles quand où pourquoi comment combien "
    "quién quiénes qué cuál cuáles cuándo dónde cómo cuánto cuánta cuántos "
    "chi che cosa quale quali quando dove perché come quanto quanti "
    "quem qual quais onde porquê como quanto wie wat welke wanneer waar waarom hoe hoeveel "
    "vem vad vilken när var varför hur hvem hvad hva hvilken hvornår hvor hvorfor hvordan кто что какой когда где "
    "почему как сколько"
)
_PREPOSITIONS = _words(
    "a an the of to for from in on at by with auf aus bei im mit nach zum zur de en con da em à dans pour chez"
)
# auxiliary verbs, articles and the like, and verbs that say nothing about the subject of a question
_FUNCTION_WORDS = _words(
    "about if not no is are was were be been do does did has have had can could may might "
    "must should shall will would need i me my you your we us our he'd ask pay cost costs take takes get go apply contact "
    "happen happens happened mean means work works know say tell more exactly please again ok yes if late longer "
    "ist sind war hat haben kann muss soll darf wird ich mir mich man wir uns kostet der die das ein eine und zu für "
    "von bei mit est sont a ont peut faut dois je on nous le la les un une de du des pour avec "
    "coûte t es son hay puedo debo tengo se el los las para con cuesta è sono posso devo si il "
    "un per costa é são posso o os um para custa "
    "is zijn kan moet mag ik wij het een voor met kost är kan måste jag vi en ett för er kan må jeg vi et for"
)
_SENTENCE_PRONOUNS = _PRONOUNS - _words("one ones same other others another else there instead both former latter such")
_START = 40  # characters of a sentence that hold its first word
_NO_CONTENT = _PRONOUNS | _CONJUNCTIONS | _QUESTION_WORDS | _FUNCTION_WORDS | _PREPOSITIONS
_WHAT_ABOUT = re.compile(
    r"(?:what|how) about\b|what if\b|why not\b|wie (?:ist|sieht) es mit\b|was ist mit\b|qu'en est-il\b|(?:y|e) se\b",
    re.I,
)
# pronouns and adverbs that refer to nothing, as in "there is"
_EXPLETIVES = re.compile(
    r"\b(?:(?:is|are|was|were) there|there (?:is|are)|(?:does|did|will|would) it take|it takes|is it (?:possible|allowed|true)|"
    r"est-ce)\b",
    re.IGNORECASE,
)
_UNSPACED_PRONOUNS = re.compile(
    "它|他|她|那|这|這|其中|还有|還有|呢[？?]?$|それ|その|これ|この|あれ|そこ|では|じゃあ|それで|彼|그것|그거|그럼|그리고|거기"
)
_UNSPACED_FRAGMENT = 4


class Dependence(Enum):
    """How far a question can be understood only with the conversation before it.

    ``NONE``: it stands alone. ``SHORT``: two or three words without a pronoun, as people type them into a search box, which
    are a new subject or add to the previous one. ``PARTIAL``: it has a pronoun, or a single content word. ``FULL``: it has no
    content word.
    """

    NONE = "none"
    SHORT = "short"
    PARTIAL = "partial"
    FULL = "full"


_STANDALONE = frozenset({Dependence.NONE, Dependence.SHORT})


def dependence(question: str) -> Dependence:
    """Judge how far a question depends on the conversation, by its pronouns, its first word and its content words.

    Args:
        question: The question in any language; where the pronouns of its language are not known here, its length decides.
    """
    words = _words_of(question)
    if holds_units(question):
        short = len("".join(words)) <= _UNSPACED_FRAGMENT
        return Dependence.PARTIAL if short or _UNSPACED_PRONOUNS.search(question) else Dependence.NONE
    refers_back = (
        (words[:1] != [] and words[0] in _CONJUNCTIONS)
        or not _PRONOUNS.isdisjoint(_words_of(_EXPLETIVES.sub(" ", question)))
        or _WHAT_ABOUT.match(question.strip()) is not None
    )
    if _NO_CONTENT.issuperset(words):
        return Dependence.FULL
    if refers_back:
        return Dependence.PARTIAL
    has_question_word = words[0] in (_QUESTION_WORDS | _FUNCTION_WORDS) - _PREPOSITIONS
    if len(words) <= (_FRAGMENT_OF_QUESTION if has_question_word else _FRAGMENT):
        return Dependence.SHORT if len(content_words(question)) > 1 else Dependence.PARTIAL
    return Dependence.NONE


def _words_of(question: str) -> list[str]:
    return [_plain(word) for word in _WORD.findall(question)]


def _plain(word: str) -> str:
    return word.lower().replace("’", "'")


def content_words(question: str) -> list[str]:
    """The content words of a question, which name its subject, in lower case."""
    return [word for word in _words_of(question) if word not in _NO_CONTENT]


def narrowing_words(question: str) -> list[str]:
    """The content words by which a follow-up without a pronoun narrows the subject: ``london`` of "and in London?"."""
    return [] if not _PRONOUNS.isdisjoint(_words_of(question)) else content_words(question)


def points_back(sentence: str) -> bool:
    """Whether a sentence begins with a pronoun, so that the sentence before it names its subject."""
    return any(word in _SENTENCE_PRONOUNS for word in _words_of(sentence[:_START])[:1])


def with_context(question: str, before: Sequence[str]) -> str:
    """Prefix a question with the subject of the last question that stands alone; more subjects would outweigh its own words.

    Args:
        question: The question.
        before: The messages before it, oldest first; courtesies among them are ignored.
    """
    questions = [without_courtesies(message) for message in before if courtesy(message) is None]
    if not questions:
        return question
    last_alone = next((earlier for earlier in reversed(questions) if dependence(earlier) in _STANDALONE), questions[0])
    return f"{subject(last_alone)} {question}"


def subject(question: str) -> str:
    """The part of a question from its first to its last content word; all of it if it has none."""
    content = [word for word in _WORD.finditer(question) if _plain(word[0]) not in _NO_CONTENT]
    return question[content[0].start() : content[-1].end()] if content else question.strip()


def standalone(question: str, before: Sequence[str]) -> str:
    """The question as it can be searched for: unchanged, or behind the subject of earlier questions that it depends on.

    Args:
        question: The question.
        before: The messages before it, oldest first.
    """
    without = without_courtesies(question)
    if courtesy(question) is not None or dependence(without) in _STANDALONE:
        return without
    return with_context(without, before)
