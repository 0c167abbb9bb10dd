"""A process of the pool that runs seeds: it ends with whoever made it, and no seed can hold it up for ever."""

import ctypes
import os
import signal

from tests.sim import simulation

LONGEST_S = 120  # of real time for one seed, which takes less than one second: it hangs, without an await
PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with(parent: int) -> None:
    """A process of the pool ends with the one that made it, whatever it is at."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def run(seed: int) -> simulation.Result:
    """One seed, which must not hang."""
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(LONGEST_S)
    try:
        return simulation.run(seed)
    except BaseException as error:  # noqa: BLE001  (trio may wrap the alarm)
        return simulation.Result(seed, [f"it hangs, or ends with {error!r}"], "", f"seed {seed}", 0)
    finally:
        signal.alarm(0)
