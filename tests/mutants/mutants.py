"""All mutants, a table for each package of the product.

Each breaks one promise by a change as small as a slip of the pen, and names the test that has to notice it.
"""

from tests.mutants.mutant import Mutant
from tests.mutants.tables import chatctl, control, daemon, faults, journal, messages, net, peers, query, rooms, wire

MUTANTS: tuple[Mutant, ...] = (
    *chatctl.MUTANTS,
    *control.MUTANTS,
    *daemon.MUTANTS,
    *faults.MUTANTS,
    *journal.MUTANTS,
    *messages.MUTANTS,
    *net.MUTANTS,
    *peers.MUTANTS,
    *query.MUTANTS,
    *rooms.MUTANTS,
    *wire.MUTANTS,
)
