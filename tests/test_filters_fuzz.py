"""Random filters over random metadata: SQL, columns and plain evaluation say the same."""

from __future__ import annotations

import random
from typing import Any

import pytest
from test_filters import select

from dpr_rag import Passage
from dpr_rag.filters import OPERATORS, Filter

TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "a.b",
    "\u00e9",
    "e\u0301",
    "\u00c9x",
    "E\u0301x",
    "\u00df",
    "SS",
    "a\0",
    "\u0390",
    "{",
    "true",
]
NUMBERS = [0, 1, -1, 1.0, 0.5, -0.0, 2**53 + 1, float(2**53), 2**63 - 1, 1e300]
NAMES = ["f", "g", "f.g", "f.g.h", "g.h", "h", "\u00e9", "e\u0301", "f.\u00e9", "f.e\u0301", "id", "title", "f.", ""]


def scalar(chance: random.Random) -> Any:
    return chance.choice([chance.choice(TEXTS), chance.choice(TEXTS), chance.choice(NUMBERS), True, False, None])


def value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if depth < 3 and kind < 0.3:
        return {chance.choice(NAMES): value(chance, depth + 1) for _ in range(chance.randrange(4))}
    if depth < 3 and kind < 0.5:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return scalar(chance)


def operand(chance: random.Random, operator: str) -> Any:
    match operator:
        case "in" | "nin" | "any" | "all":
            return [scalar(chance) for _ in range(chance.randrange(6))]
        case "eq" | "ne" if chance.random() < 0.2:
            return [scalar(chance) for _ in range(chance.randrange(3))]
        case "between":
            return sorted(chance.sample(chance.choice([TEXTS, NUMBERS]), 2))
        case "lt" | "lte" | "gt" | "gte":
            return chance.choice(chance.choice([TEXTS, NUMBERS]))
        case "like" | "ilike":
            return "".join(chance.choice(["%", "_", *TEXTS[1:]]) for _ in range(chance.randrange(3)))
        case "startswith" | "endswith" | "text_match" | "text_match_insensitive":
            return chance.choice(TEXTS)
        case "exists" | "is_empty":
            return chance.random() < 0.5
    return scalar(chance)


def condition(chance: random.Random, depth: int = 0) -> dict[str, Any]:
    kind = chance.random()
    if depth < 3 and kind < 0.3:
        parts = [condition(chance, depth + 1) for _ in range(chance.randrange(3))]
        return {chance.choice(["$and", "$or", "$not"]): parts}
    if kind < 0.4:
        return {"$not": condition(chance, depth + 1)} if depth < 3 else {}
    name = chance.choice(NAMES)
    if kind < 0.5:
        return {name: chance.choice([scalar(chance), [scalar(chance) for _ in range(chance.randrange(3))]])}
    operator = chance.choice(list(OPERATORS))
    spelled = "$neq" if operator == "ne" and chance.random() < 0.5 else f"${operator}"
    return {name: {spelled: operand(chance, operator)}}


@pytest.mark.parametrize("seed", range(150))
def test_three_ways_say_the_same(seed: int) -> None:
    chance = random.Random(seed)
    passages = [
        Passage(
            f"{at}{chance.choice(TEXTS)}",
            "t",
            chance.choice(TEXTS),
            {chance.choice(NAMES): value(chance) for _ in range(chance.randrange(5))},
        )
        for at in range(8)
    ]
    for _ in range(6):
        where = Filter.from_dict(condition(chance))
        select(passages, where)
        assert Filter.from_dict(where.to_dict()) == where
