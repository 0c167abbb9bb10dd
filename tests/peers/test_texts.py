from pathlib import Path

from chatd.core.journal import Journal
from chatd.peers.texts import Outgoing, first_over
from chatd.wire.frames import Text
from tests.core.parts import open_journal, running, said

TOPIC = 7


async def fill(journal: Journal, *texts: str, topic: int = TOPIC, direction: str = "out") -> None:
    for text in texts:
        journal.append(said(text, direction), topic, direction)
    await journal.settled()


async def test_only_what_goes_out_to_the_peer_is_sent_and_once(tmp_path: Path) -> None:
    async with running(open_journal(tmp_path)) as journal:
        await fill(journal, "1")
        await fill(journal, "from it", direction="in")
        await fill(journal, "to another", topic=8)
        await fill(journal, "4")
        outgoing = Outgoing(journal, TOPIC, 100, 0)
        assert await outgoing.next() == [Text(journal.epoch, 1, "1"), Text(journal.epoch, 4, "4")]
        assert outgoing.at_tail
        assert await outgoing.next() == []
        await fill(journal, "5")
        assert not outgoing.at_tail
        assert await outgoing.next() == [Text(journal.epoch, 5, "5")]


async def test_messages_of_earlier_starts_keep_their_epoch(tmp_path: Path) -> None:
    async with running(open_journal(tmp_path)) as journal:
        first = journal.epoch
        await fill(journal, "1", "2")
    async with running(open_journal(tmp_path)) as journal:
        await fill(journal, "3")
        outgoing = Outgoing(journal, TOPIC, 100, 0)
        outgoing.start(1)
        found = [*await outgoing.next(), *await outgoing.next()]
        assert found == [Text(first, 2, "2"), Text(journal.epoch, 3, "3")]


async def test_a_message_that_the_peer_would_not_take_any_more_is_where_it_stops(tmp_path: Path) -> None:
    async with running(open_journal(tmp_path)) as journal:
        await fill(journal, "short", "far too long", "short again")
        outgoing = Outgoing(journal, TOPIC, 100, 5)
        assert [text.text for text in await outgoing.next()] == ["short"]
        assert outgoing.stuck == f"{journal.epoch}:2"


def test_the_first_text_over_a_limit_is_found_by_bytes_and_by_characters() -> None:
    texts = [Text("a" * 8, 1, "ab"), Text("a" * 8, 2, "äöü"), Text("a" * 8, 3, "abcd")]
    assert first_over(texts, 6, 0) is None
    assert first_over(texts, 5, 0) == 1
    assert first_over(texts, 100, 3) == 2
