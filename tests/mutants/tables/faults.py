"""Mutants of `chatd/net/faults/`: cuts, delays, losses and rates on purpose."""

from tests.mutants.mutant import Mutant, caught_by

MUTANTS = (
    Mutant(
        "what is cut gets through",
        "chatd.net.faults.shaper:Shaper._advance",
        "self.is_cut(now)",
        "now < 0",
        caught_by("tests/net/faults/test_shaper.py::test_a_cut_holds_everything_until_it_is_healed"),
    ),
    Mutant(
        "a rate is that of each piece by itself",
        "chatd.net.faults.shaper:Shaper._due",
        "max(at, self._out_at)",
        "at",
        caught_by("tests/net/faults/test_shaper.py::test_a_rate_lets_bytes_out_at_its_pace_and_smoothly"),
    ),
    Mutant(
        "twice as much is lost as was asked",
        "chatd.net.faults.shaper:Shaper._retransmission",
        "not loss or self._random.random() >= loss",
        "not loss or self._random.random() >= 2 * loss",
        caught_by("tests/net/faults/test_shaper.py::test_the_share_of_resent_segments_is_what_was_asked"),
    ),
    Mutant(
        "megabytes wait for a slow rate",
        "chatd.net.faults.shaper:Shaper.capacity",
        "min(WINDOW, max(LEAST_WINDOW, int(rate * (2 * delay + QUEUE_S)))) if rate else WINDOW",
        "min(WINDOW, max(LEAST_WINDOW, int(rate * (2 * delay + QUEUE_S)))) if rate < 0 else WINDOW",
        caught_by("tests/net/faults/test_shaper.py::test_only_so_much_is_under_way_and_with_a_rate_much_less"),
    ),
    Mutant(
        "a cut connection tells the other end when it is closed",
        "chatd.net.faults.connection:FaultySocket.close",
        "self._out.is_empty and not cut",
        "self._out.is_empty",
        caught_by(
            "tests/net/faults/test_connection.py::test_one_with_nothing_under_way_that_is_closed_while_cut_says_nothing_either"
        ),
    ),
    Mutant(
        "a cut connection is read",
        "chatd.net.faults.connection:FaultySocket._read_some",
        "cut or not capacity",
        "not capacity",
        caught_by("tests/net/faults/test_connection.py::test_a_cut_link_is_not_read_so_its_sender_is_slowed"),
    ),
    Mutant(
        "a stop loses what is on its way",
        "chatd.net.faults.connection:FaultySocket._flush",
        "await self._write(self._out.rest())",
        "self._out.rest()",
        caught_by("tests/net/faults/test_connection.py::test_when_the_node_stops_what_is_on_its_way_goes_out_at_once"),
    ),
    Mutant(
        "a stop tells what a cut has held",
        "chatd.net.faults.connection:FaultySocket._flush",
        "not self._socket_closed.is_set() and self._out_error is None and not self._out.is_cut(trio.current_time())",
        "not self._socket_closed.is_set() and self._out_error is None",
        caught_by("tests/net/faults/test_connection.py::test_when_the_node_stops_a_cut_link_still_says_nothing"),
    ),
    Mutant(
        "a dial gets through a cut",
        "chatd.net.faults.faults:Faults.wait_passable",
        "faults.out.cut or faults.in_.cut",
        "not faults",
        caught_by("tests/net/faults/test_faults.py::test_a_dial_gets_through_only_when_nothing_is_cut"),
    ),
    Mutant(
        "faults for a while never end",
        "chatd.net.faults.faults:Faults._restore",
        "self._set(peer, timed.restored)",
        "continue",
        caught_by("tests/net/faults/test_faults.py::test_after_its_time_what_was_before_comes_back"),
    ),
    Mutant(
        "connections that are kept silent pile up",
        "chatd.net.faults.faults:Faults._socket_changed",
        "other.close_now()",
        "continue",
        caught_by("tests/net/faults/test_faults.py::test_only_so_many_closed_connections_are_kept_silent"),
    ),
    Mutant(
        "faults are made where they are not allowed",
        "chatd.net.faults.faults:Faults._refuse_if_forbidden",
        "self.allowed",
        "self",
        caught_by(
            "tests/net/faults/test_faults.py::test_where_faults_are_not_allowed_connections_are_left_alone_and_changes_refused"
        ),
    ),
)
