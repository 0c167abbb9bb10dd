"""`python -m bench [NAME…]`: run the benchmarks; without names all of them, and the table in README.md is renewed.

Exit status 1 when a target is missed.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from bench import backlog, fanout, idle, latency, start, throughput
from bench.result import Result, machine, table

BENCHMARKS: dict[str, Callable[[], list[Result]]] = {
    "throughput": throughput.run,
    "backlog": backlog.run,
    "fanout": fanout.run,
    "latency": latency.run,
    "start": start.run,
    "idle": idle.run,
}
README = Path(__file__).parent / "README.md"
MARKS = ("<!-- table: written by make bench -->\n", "<!-- end of table -->")


def main(names: list[str]) -> int:
    """Run what was asked for."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {unknown[0]!r}: there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    print(machine(), flush=True)
    results: list[Result] = []
    for name in names or BENCHMARKS:
        found = BENCHMARKS[name]()
        results += found
        for result in found:
            print(result.line, *result.notes, sep="\n       ", flush=True)
    if not names:
        _write(results)
    return 0 if all(result.met for result in results) else 1


def _write(results: list[Result]) -> None:
    before, rest = README.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    README.write_text(f"{before}{MARKS[0]}{table(results)}\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
