"""`chatctl connect`: connects to a peer; done when the link is up."""

import click

from chatctl.cli.verb import App, Verb
from chatctl.errors import Failure
from chatctl.text.format import peer_line
from chatd.paths import DEFAULT_PORT

HIGHEST_PORT = 65535


def run(
    app: App, address: str, port: str | None, plain: bool, keep: bool, dialect: str | None, nick: str | None
) -> None:
    host, number = split_address(address, port)
    params: dict[str, object] = {"host": host, "port": number, "plain": plain, "keep": keep}
    params |= {name: value for name, value in (("dialect", dialect), ("nick", nick)) if value is not None}
    result = app.call_with_timeout("connect", params)
    if app.out.json:
        app.out.result(result)
    else:
        app.out.line(f"connected: {peer_line(result.get('peer') or {})}")


def split_address(address: str, port: str | None) -> tuple[str, int]:
    """Host and port from `HOST`, `HOST:PORT`, `[v6]`, `[v6]:PORT` or a bare v6 address, and a separate port."""
    if address.startswith("["):
        host, closed, rest = address[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise Failure("usage", f"{address} is no address", "write HOST:PORT or [IPV6]:PORT")
        inside = rest[1:] if rest else None
    elif address.count(":") == 1:
        host, _, inside = address.partition(":")
    else:
        host, inside = address, None
    if not host:
        raise Failure("usage", f"{address or 'an empty word'} names no host", "write HOST:PORT or [IPV6]:PORT")
    if inside is not None and port is not None:
        raise Failure("usage", "the port is given twice", "write HOST:PORT or HOST PORT")
    return host, _parse_port(port if inside is None else inside)


def _parse_port(text: str | None) -> int:
    if text is None:
        return DEFAULT_PORT
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= HIGHEST_PORT):
        raise Failure("usage", f"{text or 'nothing'} is no port", f"ports are 1 to {HIGHEST_PORT}")
    return int(text)


command = Verb(
    "connect",
    run,
    [
        click.Argument(["address"], metavar="HOST[:PORT]"),
        click.Argument(["port"], required=False),
        click.Option(["--plain"], is_flag=True, help="Plain text, for peers that are not chatd (nc, telnet)."),
        click.Option(["--keep"], is_flag=True, help="Keep redialing, even if the peer does not answer now."),
        click.Option(
            ["--dialect"],
            type=click.Choice(["address", "name"]),
            help="The peer is a plain room server that shows addresses (address) or asks for a name first (name).",
        ),
        click.Option(["--nick"], metavar="NICK", help="Name for --dialect name (default: the name of this node)."),
    ],
    help=f"Connect to a peer and return when the link is up. The default port is {DEFAULT_PORT}. With --dialect this "
    "node is a client of a room server that is not chatd: `send` talks in the room, `terminate` leaves it. The dialect "
    "and nick of a server that is connected or redialed need not be repeated.",
)
