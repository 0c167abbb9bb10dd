"""Mutants of `chatd/peers/`: who is meant, who is believed, what is owed, what is remembered."""

from tests.mutants.mutant import Mutant, caught_by, simulation

MUTANTS = (
    Mutant(
        "the dates of certificates are checked",
        "chatd.peers.identity:_context",
        "context.verify_flags |= NO_CHECK_TIME",
        "",
        caught_by("tests/peers/test_certificate.py::test_the_times_of_certificates_mean_nothing_to_either_end"),
    ),
    Mutant(
        "what was owed is not owed after a restart",
        "chatd.peers.delivery:Delivery.recall",
        "messages > 0",
        "messages < 0",
        simulation(40, "kill"),
    ),
    Mutant(
        "that a link is open is not written down",
        "chatd.peers.delivery:Delivery._row",
        "_OPEN if self._is_open else max(self.written_before, self.written)",
        "max(self.written_before, self.written)",
        caught_by(
            "tests/messages/test_states.py::test_what_was_in_flight_when_a_node_was_killed_is_decided_by_the_next_hello"
        ),
    ),
    Mutant(
        "what came back is dealt with though its commit fails",
        "chatd.peers.delivery:Delivery.echo",
        "batch.if_failed(key, partial(self._revert_echo, self.echoed))",
        "True",
        caught_by("tests/peers/test_delivery.py::test_an_echo_counts_once_it_is_committed"),
    ),
    Mutant(
        "a whole node id may be a name",
        "chatd.peers.directory:Directory.find",
        "is_node_id(spec)",
        "spec in self._by_node",
        caught_by("tests/peers/test_directory.py"),
    ),
    Mutant(
        "a stranger is found by four characters of its id",
        "chatd.peers.directory:Directory.by_prefix",
        "peer.known or len(start) >= STRANGER_PREFIX",
        "peer.node",
        caught_by(
            "tests/peers/test_registry.py::test_a_node_at_the_address_of_another_one_stays_a_stranger_and_takes_no_name"
        ),
    ),
    Mutant(
        "an announced name may begin the id of another node",
        "chatd.peers.naming:NodeNames.misleads",
        "means_us or reads_as_other(name) or begins_an_id(name, self._directory.ids)",
        "means_us or reads_as_other(name)",
        caught_by("tests/peers/test_registry.py::test_a_name_that_reads_as_something_else_is_not_pinned"),
    ),
    Mutant(
        "the first digits of a long number are a slot",
        "chatd.peers.directory:Directory.find",
        "return self._only(spec, [])",
        "spec = spec[:SLOT_DIGITS]",
        caught_by("tests/peers/test_directory.py"),
    ),
    Mutant(
        "a stranger displaces the report of another one, and is logged each time",
        "chatd.peers.clones:Clones._displace",
        "not peer.known or not strangers",
        "not strangers",
        caught_by("tests/peers/test_clones.py::test_what_strangers_report_is_bounded"),
    ),
    Mutant(
        "whoever answers at the address of a peer may have its name",
        "chatd.peers.registry:Registry.native",
        "dialed is not None and dialed.known and dialed.node in (None, node)",
        "dialed is not None and dialed.known",
        caught_by(
            "tests/peers/test_registry.py::test_a_node_at_the_address_of_another_one_stays_a_stranger_and_takes_no_name"
        ),
    ),
    Mutant(
        "whoever has taken the address of a peer is known once it is redialed",
        "chatd.peers.registry:Registry.native",
        "dialed is not None and dialed.known and dialed.node in (None, node)",
        "dialed is not None and dialed.node in (None, node)",
        caught_by(
            "tests/peers/test_registry.py::test_a_node_at_the_address_of_another_one_stays_a_stranger_and_takes_no_name"
        ),
    ),
    Mutant(
        "a node decides about itself",
        "chatd.peers.trust:Trust._find",
        "isinstance(spec, str) and ID_PREFIX.fullmatch(spec) and self._registry.node.startswith(spec)",
        "isinstance(spec, str) and spec.isspace()",
        caught_by("tests/peers/test_trust.py::test_a_node_cannot_decide_about_itself"),
    ),
    Mutant(
        "a peer is meant by the beginning of our own id",
        "chatd.peers.naming:NodeNames.resolve",
        "begins_ours and peer.name != spec",
        "not begins_ours and peer.name == self._node",
        caught_by("tests/peers/test_registry.py::test_a_beginning_of_our_own_id_that_finds_a_peer_too_is_ambiguous"),
    ),
    Mutant(
        "a name that was given here is ambiguous with the beginning of our own id",
        "chatd.peers.naming:NodeNames.resolve",
        "begins_ours and peer.name != spec",
        "begins_ours",
        caught_by(
            "tests/peers/test_registry.py::test_a_name_that_was_given_here_is_meant_before_the_beginning_of_our_own_id"
        ),
    ),
    Mutant(
        "a stranger is accepted by the name that it chose",
        "chatd.peers.trust:Trust._find",
        """
        if len(matching) == 1:
            return matching[0]
        """,
        """
        matching = matching or self._registry.candidates(spec)
        if len(matching) == 1:
            return matching[0]
        """,
        caught_by(
            "tests/peers/test_trust.py::test_a_name_or_too_little_of_an_id_decides_nothing_and_is_told_what_would"
        ),
    ),
    Mutant(
        "a node that restarts is taken for two",
        "chatd.peers.epochs:PeerEpochs.add",
        "epoch in self._known",
        "self._known",
        caught_by("tests/peers/test_clones.py"),
    ),
    Mutant(
        "when something was written to a stranger is known for good",
        "chatd.peers.registry:Registry._evict",
        "self._journal.timings.writes.drop(peer.stream_id)",
        "",
        caught_by(
            "tests/integration/test_growth.py::test_nothing_grows_with_events_connections_and_room_joins[native]"
        ),
    ),
    Mutant(
        "a node may have the name of an address",
        "chatd.peers.names:reads_as_other",
        "name.isdigit() or ':' in name or is_ip(name) or is_node_id(name)",
        "name.isdigit() or ':' in name or is_node_id(name)",
        caught_by("tests/peers/test_names.py"),
    ),
    Mutant(
        "who is denied keeps its links",
        "chatd.peers.trust:Trust.deny",
        "self._close_links(peer, 'denied')",
        "",
        caught_by("tests/peers/test_trust.py::test_denying_cuts_every_link_and_ends_the_wish"),
    ),
    Mutant(
        "a node that runs twice is reported with each of its links",
        "chatd.peers.clones:Clones.record_epoch",
        "before or not peer.is_cloned",
        "not peer.is_cloned",
        caught_by("tests/peers/test_clones.py::test_two_epochs_that_alternate_are_told_once"),
    ),
    Mutant(
        "the key of a node can be read by others",
        "chatd.peers.identity:_write",
        "0o600",
        "0o644",
        caught_by("tests/peers/test_identity.py::test_nobody_else_can_read_the_key_whatever_the_umask"),
    ),
)
