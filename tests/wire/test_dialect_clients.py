"""Our side of a link with a room server: what can be sent there, and as which bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.wire.dialect_clients import AddressClient, DialectClient, NameClient
from chatd.wire.dialects import AddressServer, Enter, Leave, NameServer, Speak
from chatd.wire.errors import LocalError
from chatd.wire.lines import TextRefused

LIMIT = 4096


def test_a_client_of_an_address_server_says_texts_as_they_are_and_leaves_with_quit() -> None:
    client = AddressClient()
    assert (client.greeting, client.farewell, client.waits_for_close) == (b"", b"QUIT", True)
    assert client.encode("  é *users") == "  é *users".encode()
    for text in ("*exit", "quit", "QUIT ", "Close Connection"):
        client.check(text, 1024)


def test_a_client_of_a_name_server_says_its_name_and_then_lines() -> None:
    client = NameClient("Ольга")
    assert (client.greeting, client.farewell, client.waits_for_close) == ("Ольга".encode(), b"*exit\n", True)
    assert client.encode("@jane hi") == b"@jane hi\n"
    for text in ("*users", "QUIT", "*exit now", "Close Connection"):
        client.check(text, 1024)


@pytest.mark.parametrize(("client", "farewell"), [(AddressClient(), "QUIT"), (NameClient("jane"), "*exit")])
def test_the_word_that_leaves_cannot_be_said(client: DialectClient, farewell: str) -> None:
    with pytest.raises(TextRefused, match="would leave that room") as caught:
        client.check(farewell, 1024)
    assert (caught.value.kind, caught.value.hint) == ("bad_text", "`chatctl terminate` does that")


@pytest.mark.parametrize("client", [AddressClient(), NameClient("jane")])
@pytest.mark.parametrize(
    ("text", "kind"),
    [("", "bad_text"), ("a\nb", "bad_text"), ("\x1b", "bad_text"), ("\ud800", "bad_text"), ("x" * 11, "too_large")],
)
def test_what_a_plain_peer_could_not_be_sent_is_refused_there_too(client: DialectClient, text: str, kind: str) -> None:
    with pytest.raises(TextRefused) as caught:
        client.check(text, 10)
    assert caught.value.kind == kind


@pytest.mark.parametrize("nick", ["", " ", "jane\n", " jane", "ja\nne", "ja\x1bne"])
def test_a_name_that_would_break_the_first_line_is_our_mistake(nick: str) -> None:
    with pytest.raises(LocalError):
        NameClient(nick)


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=40),
        max_size=6,
    )
)
def test_our_client_is_understood_by_our_server(texts: list[str]) -> None:
    texts = [text for text in texts if text[0] not in "@*" and text != "QUIT"]
    client, server = NameClient("jane"), NameServer(LIMIT)
    assert server.receive(client.greeting) == [Enter("jane")]
    for text in texts:
        client.check(text, 1024)
        assert server.receive(client.encode(text)) == [Speak(text)]
    assert server.receive(client.farewell) == [Leave()]
    speaker, listener = AddressClient(), AddressServer(LIMIT)
    for text in texts:
        assert listener.receive(speaker.encode(text)) + listener.flush() == [Speak(text)]
    assert listener.receive(speaker.farewell) == [Leave()]
