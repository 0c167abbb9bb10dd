"""Mutants of `chatd/rooms/`: membership, posting, moderation, what a host tells."""

from tests.mutants.mutant import Mutant, caught_by, simulation

MUTANTS = (
    Mutant(
        "no mark is raised for what comes of rooms",
        "chatd.rooms.router:RoomRouter.receive",
        "raise_watermarks(self._journal, node, new[:done])",
        "pass",
        caught_by("tests/rooms/test_posting.py::test_the_same_again_is_a_duplicate"),
    ),
    Mutant(
        "members get what happened before they came",
        "chatd.rooms.intervals:MembershipInterval.contains",
        "self.since <= seq <= self.until",
        "seq <= self.until",
        caught_by("tests/net/test_room_updates.py::test_a_member_gets_what_happens_from_its_coming_to_its_going"),
    ),
    Mutant(
        "members get what happens after they went",
        "chatd.rooms.intervals:MembershipInterval.contains",
        "self.since <= seq <= self.until",
        "self.since <= seq",
        caught_by("tests/net/test_room_updates.py::test_a_member_gets_what_happens_from_its_coming_to_its_going"),
    ),
    Mutant(
        "the end of a time in a room is not written down",
        "chatd.rooms.hosted:HostedRooms._end_interval",
        "self._journal.execute(SAVE_INTERVAL, room.stream_id, member.node, member.nick, interval.since, seq)",
        "pass",
        caught_by("tests/rooms/test_hosted.py::test_rooms_are_as_before_after_a_restart"),
    ),
    Mutant(
        "the host does not look who has a nick by now",
        "chatd.rooms.posting:RoomPosting._refusal",
        "to.node == say.to_node",
        "to",
        caught_by(
            "tests/integration/test_rooms.py::test_a_nick_that_has_another_owner_by_then_does_not_get_what_was_said_to_the_first"
        ),
    ),
    Mutant(
        "a refusal is not owed",
        "chatd.rooms.posting:RoomPosting._refuse",
        "peer.delivery.add_refusal(batch)",
        "pass",
        simulation(20, "rooms", "kick"),
    ),
    Mutant(
        "our own message is shown again when it comes back",
        "chatd.rooms.following:RoomFollowing._receive_messages",
        "frame.id is not None",
        "not frame.nick",
        simulation(5, "rooms"),
    ),
    Mutant(
        "a host speaks of messages that were not said in its room",
        "chatd.rooms.following:RoomFollowing._own_seq",
        "seq in peer.delivery.unechoed if reference is None else reference.room == frame.room",
        "reference is not None or seq in peer.delivery.unechoed",
        caught_by("tests/rooms/test_joined.py::test_no_host_speaks_of_what_was_said_to_others"),
    ),
    Mutant(
        "who was kicked while away is let in again",
        "chatd.rooms.declarations:Declarations.apply",
        "not is_join and not is_member and hosted_rooms.intervals.has_past(node, name)",
        "not node",
        caught_by(
            "tests/integration/test_rooms.py::test_who_was_kicked_while_away_gets_what_was_before_and_what_it_says_is_refused"
        ),
    ),
    Mutant(
        "a member is told that it is in before that is on disk",
        "chatd.rooms.declarations:Declarations.is_committed_member",
        "member is not None and member.since <= self._journal.committed",
        "member is not None",
        caught_by("tests/net/native/test_room_sync.py::test_a_member_is_told_that_it_is_in_once_that_is_on_disk"),
    ),
    Mutant(
        "who could not be let in stays in",
        "chatd.rooms.hosted:HostedRooms._enter",
        "batch.if_failed(None, partial(self._undo_enter, room, member))",
        "",
        caught_by("tests/rooms/test_hosted.py::test_nothing_has_happened_when_its_commit_fails"),
    ),
    Mutant(
        "a ban ends with the run",
        "chatd.rooms.moderation:Moderation.ban",
        "self._journal.execute(SAVE_BAN, room.stream_id, who, member.nick)",
        "self._journal.next_batch",
        caught_by("tests/rooms/test_hosted.py::test_rooms_are_as_before_after_a_restart"),
    ),
    Mutant(
        "a nick lifts the ban of whoever was banned under it",
        "chatd.rooms.moderation:_find_ban",
        "len(found) > 1",
        "not found",
        caught_by(
            "tests/rooms/test_hosted.py::test_a_nick_under_which_several_were_banned_lifts_no_ban_and_the_refusal_names_them"
        ),
    ),
    Mutant(
        "two nicks are the same only if they are written so",
        "chatd.rooms.room:HostedRoom.named",
        "fold(nick)",
        "nick",
        caught_by("tests/rooms/test_hosted.py::test_who_cannot_be_in_a_room_is_told_why"),
    ),
    Mutant(
        "what is owed to strangers is remembered, though it is nothing",
        "chatd.rooms.intervals:MembershipIntervals.of_node",
        "return ()",
        "self._by_node[node] = []",
        caught_by("tests/rooms/test_intervals.py"),
    ),
    Mutant(
        "a node may leave a room as often as it likes without acknowledging it",
        "chatd.rooms.declarations:Declarations._admit",
        "node not in room.by_node and hosted_rooms.intervals.count_past(node) >= MOST_PAST",
        "False",
        caught_by(
            "tests/rooms/test_hosted.py::test_a_node_that_never_acknowledges_its_leaving_comes_back_only_so_often"
        ),
    ),
    Mutant(
        "a host speaks for what was said in any room",
        "chatd.rooms.following:RoomFollowing._own_seq",
        "seq if in_room else 0",
        "seq",
        simulation(40, "liar"),
    ),
    Mutant(
        "a host speaks for another room of its own",
        "chatd.rooms.following:RoomFollowing._own_seq",
        "seq in peer.delivery.unechoed if reference is None else reference.room == frame.room",
        "seq in peer.delivery.unechoed or (reference is not None and reference.room == frame.room)",
        caught_by(
            "tests/adversary/test_rooms.py::test_a_host_tells_what_became_of_a_message_only_in_the_room_where_it_was_said"
        ),
    ),
)
