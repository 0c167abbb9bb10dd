"""chatd with short timers: what it does every second or waits for on purpose takes a fraction of that.

python -m tests.harness.hasty FLAGS…    as `chatd FLAGS…`
"""

import sys

from chatd import __main__ as chatd
from chatd import acceptor, daemon, maintenance
from chatd.journal import files

TICK_S = 0.05


def main() -> int:
    """Run it; the exit status."""
    maintenance.TICK_S = maintenance.SHORTEST_S = files.CHECK_S = TICK_S
    maintenance.STOP_AFTER_S = 0.3
    daemon.LOCK_S = 0.1
    acceptor.RECENT_S = 0.3
    return chatd.main()


if __name__ == "__main__":
    sys.exit(main())
