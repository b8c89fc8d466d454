"""Proves what `docs/reference/guarantees.md` promises, at the size of a release: ``make prove``, in pieces of any length.

    make prove                                    every part goes on from where it stopped, up to its aim
    make prove PROVE='fuzz --minutes 30'          one part for so long; parts: crash, fuzz, machine, soak
    make prove PROVE='--report'                   what was done so far, and nothing else
    make prove PROVE='--only damage:417'          one trial again, as a failure named it
    make prove PROVE='mutants --rooms filters --trials 40'

Each trial is made from its number alone. Which numbers were done, at which commit and with what outcome is kept in `.prove/`;
`make clean` forgets it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trials import mutants
from trials.running import Kind, Ledger, again, go_on, report

FOLDER = Path(".prove")
PARTS = {"crash": ("kill", "torn"), "fuzz": ("damage",), "machine": ("steps",), "soak": ("crowd", "growth")}


def kinds() -> dict[str, Kind]:
    """Every kind of trial by name; imported here, as mutants are tried where dpr_rag has not been imported."""
    from trials import crash, fuzz, machine, soak, torn

    every = (crash.KILL, torn.TORN, fuzz.DAMAGE, machine.STEPS, soak.CROWD, soak.GROWTH)
    return {one.name: one for one in every}


def main() -> int:
    """Run what was asked for; 1 where a trial ever failed."""
    if sys.argv[1:2] == ["mutants"]:
        return mutants.main(sys.argv[2:], FOLDER)
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--minutes", type=float, help="for each kind of trial, at most")
    parser.add_argument("--trials", type=int, help="of each kind, at most")
    parser.add_argument("--first", type=int, help="number of the first trial; default: the next one that was not done")
    parser.add_argument("--only", metavar="KIND:NUMBER", help="run one trial again")
    parser.add_argument("--report", action="store_true", help="only say what was done so far")
    given = parser.parse_args()
    known = kinds()
    if given.only:
        name, _, number = given.only.partition(":")
        return again(known[name], int(number))
    ledger = Ledger(FOLDER / "state.json")
    if not given.report:
        for part in given.parts or PARTS:
            for name in PARTS[part]:
                go_on(known[name], ledger, minutes=given.minutes, trials=given.trials, first=given.first)
    return report(known.values(), ledger)


if __name__ == "__main__":
    sys.exit(main())
