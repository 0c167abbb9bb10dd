"""A process that writes a journal until it is killed: each run prints the committed messages.

    python -m tests.harness.writer DIRECTORY FIRST

The messages are numbered from FIRST; a line is `POSITION NUMBER`, written after the commit.
"""

import sys
from pathlib import Path

import trio

from chatd.journal.journal import Journal
from tests.harness.parts import open_journal, said

SIZES = (1, 7, 40, 3, 200)


async def write(journal: Journal, number: int) -> None:
    """Write batches of different sizes until killed."""
    while True:
        for size in SIZES:
            messages = [said(str(number + each)) for each in range(size)]
            for message in messages:
                journal.append(message, 1, "out")
            await journal.raise_watermark("bob", "aaaaaaaa", number + size).wait()
            sys.stdout.write("".join(f"{message.position} {message.text}\n" for message in messages))
            sys.stdout.flush()
            number += size


async def main() -> None:
    journal = open_journal(Path(sys.argv[1]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        await write(journal, int(sys.argv[2]))


if __name__ == "__main__":
    trio.run(main)
