"""The characters of every Unicode category, for tests of what may be shown, typed or sent.

Unicode has a million code points, most of them in a few long runs (CJK, Hangul, private use, unassigned). Of a run of
more than 512 neighbours in one category, both ends and every 61st character stand for the others.
"""

import sys
import unicodedata
from collections import defaultdict
from functools import cache
from itertools import groupby

RUN = 512
ENDS = 64
STRIDE = 61


def characters(*categories: str) -> str:
    """The characters of those categories, or of all."""
    found = _by_category()
    return "".join(found[category] for category in categories or found)


@cache
def _by_category() -> dict[str, str]:
    found = defaultdict[str, list[str]](list)
    for category, neighbours in groupby(map(chr, range(sys.maxunicode + 1)), unicodedata.category):
        run = "".join(neighbours)
        found[category].append(run if len(run) <= RUN else run[:ENDS] + run[ENDS:-ENDS:STRIDE] + run[-ENDS:])
    return {category: "".join(runs) for category, runs in found.items()}
