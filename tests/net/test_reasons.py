from chatd.net import reasons
from chatd.wire.frames import BYE_REASONS


def test_every_bye_reason_has_words_of_its_own_in_both_places() -> None:
    for words in (reasons.ended, reasons.refused):
        assert len({words(reason) for reason in BYE_REASONS}) == len(BYE_REASONS)


def test_a_reason_of_a_later_version_is_taken_like_a_protocol_error() -> None:
    assert reasons.ended("something_new") == reasons.ended("protocol")
    assert reasons.refused("something_new") == reasons.refused("protocol")


def test_a_node_that_waits_to_be_accepted_is_told_what_to_type() -> None:
    assert reasons.refused("pending", "k3v9") == "it waits for `chatctl peer accept k3v9` there"


def test_what_is_told_is_in_the_vocabulary_of_the_wire() -> None:
    assert set(BYE_REASONS) >= reasons.SENT_IN_BYE


def test_only_a_connection_thrown_away_is_a_reset() -> None:
    assert reasons.is_reset(ConnectionResetError(104, "reset"))
    assert reasons.is_reset(BrokenPipeError(32, "broken pipe"))
    assert not reasons.is_reset(TimeoutError(110, "timed out"))
    assert not reasons.is_reset(None)


def test_how_a_connection_broke_is_said_in_the_words_of_the_system() -> None:
    assert reasons.broken(ConnectionResetError(104, "Connection reset by peer")) == "reset"
    assert reasons.broken(TimeoutError(110, "Connection timed out")) == "connection timed out"
    assert reasons.broken(OSError("Something else")) == "something else"
