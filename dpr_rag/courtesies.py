"""Recognises messages without a question: greetings, thanks, assent and farewells."""

from __future__ import annotations

import re
from enum import Enum

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_PART = re.compile(r"[,.!;:，。！]\s*")


class Courtesy(Enum):
    """The kinds of messages that ask for nothing."""

    GREETING = "greeting"
    THANKS = "thanks"
    ASSENT = "assent"
    FAREWELL = "farewell"


def _phrases(listed: str) -> list[str]:
    return [" ".join(phrase.split()) for phrase in listed.split(",")]


# English, German, French, Spanish, Italian, Portuguese, Dutch, Scandinavian languages, Russian, Chinese, Japanese, Korean
_PHRASES = {
    Courtesy.FAREWELL: _phrases(
        "bye, bye bye, good bye, goodbye, see you, see you later, see you soon, cheerio, have a nice day, have a good day, "
        "good night, that's all, that is all, that was all, nothing else, no more questions, "
        "tschüss, tschüs, auf wiedersehen, bis bald, gute nacht, au revoir, bonne journée, adiós, hasta luego, arrivederci, "
        "tchau, até logo, tot ziens, hej då, farvel, ha det, пока, до свидания, 再见, 再見, さようなら, 안녕히 계세요"
    ),
    Courtesy.THANKS: _phrases(
        "thanks, thank you, thx, ty, many thanks, thank you very much, thanks a lot, cheers, "
        "much appreciated, that helps, that helped, "
        "danke, danke schön, danke sehr, vielen dank, merci, merci beaucoup, gracias, muchas gracias, grazie, grazie mille, "
        "obrigado, obrigada, dank je, dank je wel, bedankt, dank u, tack, tack så mycket, tak, takk, спасибо, 谢谢, 謝謝, "
        "ありがとう, ありがとうございます, 감사합니다"
    ),
    Courtesy.GREETING: _phrases(
        "hi, hello, hey, hiya, howdy, good morning, good afternoon, good evening, good day, how are you, "
        "how do you do, nice to meet you, "
        "hallo, guten morgen, guten tag, guten abend, moin, servus, grüß gott, wie geht's, wie geht es dir, "
        "bonjour, bonsoir, salut, ça va, hola, buenos días, buenas tardes, buenas noches, ciao, buongiorno, buonasera, "
        "olá, oi, bom dia, boa tarde, goedemorgen, goedemiddag, goedenavond, dag, hej, hei, god morgon, god dag, goddag, привет, "
        "здравствуйте, 你好, 您好, こんにちは, 안녕하세요"
    ),
    Courtesy.ASSENT: _phrases(
        "ok, okay, okey, k, great, good, fine, perfect, super, nice, cool, wonderful, excellent, awesome, brilliant, amazing, "
        "alright, all right, right, sure, yes, yep, yeah, no, nope, i see, got it, understood, makes sense, "
        "well done, good to know, that's great, that's good, sounds good, very good, lovely, wow, sorry, never mind, no problem, "
        "ja, nein, gut, sehr gut, prima, klar, alles klar, verstanden, schön, oui, non, d'accord, bien, très bien, parfait, "
        "sí, vale, muy bien, perfecto, bene, perfetto, va bene, sim, não, está bem, goed, prima, begrepen, godt, да, нет, "
        "хорошо, 好, 好的, はい, わかりました, 네"
    ),
}
_FILLERS = _phrases(
    "then, again, so, so much, very much, a lot, there, all, everyone, everybody, team, bot, chatbot, assistant, you too, "
    "for now, for your help, for the help, for that, for the information, for the info, for the answer, oh, ah, well, and, "
    "dann, auch, für die hilfe, zusammen, pour votre aide, por la ayuda, per l'aiuto, pela ajuda"
)
_KINDS = {phrase: kind for kind, phrases in _PHRASES.items() for phrase in phrases} | dict.fromkeys(_FILLERS)
_MOST_WORDS = max(phrase.count(" ") + 1 for phrase in _KINDS)


def courtesy(message: str) -> Courtesy | None:
    """The kind of a message that consists of courtesies: farewell, thanks, greeting or assent, the first that occurs in it.

    Args:
        message: The message in any language.

    Returns:
        None for a question, as which a message with an unknown phrase counts.
    """
    words = [word.lower().replace("’", "'") for word in _WORD.findall(message)]
    if any(map(str.isdigit, message)):
        return None
    kinds, at = set[Courtesy](), 0
    while at < len(words):
        parts = (" ".join(words[at : at + length]) for length in range(min(_MOST_WORDS, len(words) - at), 0, -1))
        phrase = next((part for part in parts if part in _KINDS), None)
        if phrase is None:
            return None
        at += phrase.count(" ") + 1
        kind = _KINDS[phrase]
        if kind is not None:
            kinds.add(kind)
    main = next((kind for kind in _PHRASES if kind in kinds), None)
    return None if main is Courtesy.ASSENT and message.rstrip().endswith(("?", "？")) else main


def without_courtesies(message: str) -> str:
    """A question without the courtesies before it, as in ``Thanks! And hotels?``; a message without a question is unchanged."""
    for end in _PART.finditer(message):
        if courtesy(message[: end.start()]) is None:
            break
        if any(map(str.isalnum, message[end.end() :])):
            return without_courtesies(message[end.end() :])
    return message
