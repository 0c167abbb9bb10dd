import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatd.config import loading
from chatd.config.link_faults import FAULTS, PeerFaults, format_link_faults
from chatd.config.loading import Loaded, load, load_flags
from chatd.config.printing import describe, template, toml
from chatd.config.settings import SETTINGS, Config
from chatd.config.values import Kind

ENV = {"HOME": "/home/zoe", "CHATD_NODE": "testnode"}
ARGV = ["--peers", "b", "--plain-pace", "20ms", "--socket", "/tmp/é 'x\"\\\x7f\n'.sock", "--known", "k3v" + "a" * 49]
ARGV += ["--room-port", "[::1]:1=lobby,dialect=name,x:2=den,dialect=address", "--retain-age", "1000001.5"]
ARGV += ["--allow-faults", "--link-faults", "bob delay=200ms out.loss=5%, * flap=50ms", "--outbox-bytes", "65537"]


@pytest.fixture(scope="module")
def reread(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Loaded]:
    """Read a text as the configuration file of `testnode`, and nothing else."""
    path = tmp_path_factory.mktemp("printing") / "printed.toml"

    def read(text: str) -> Loaded:
        path.write_text(text, encoding="utf-8")
        return load(["--config", str(path)], ENV, 1000)

    return read


def values(config: Config) -> dict[str, object]:
    return {name: getattr(config, name) for name in SETTINGS if name not in loading.NOT_IN_FILES}


def uncommented(text: str) -> str:
    """The text with every commented-out setting set; comments that explain have a space after `#`."""
    return re.sub(r"^#(?=[a-z])", "", text, flags=re.MULTILINE)


def test_a_printed_file_changes_nothing_and_has_every_setting_with_its_default(
    reread: Callable[[str], Loaded],
) -> None:
    defaults = load([], ENV, 1000).config
    text = template(load_flags([], ENV, 1000))
    assert tomllib.loads(text) == {}
    assert values(reread(text).config) == values(defaults)
    assert tomllib.loads(uncommented(text)).keys() == values(defaults).keys()
    assert values(reread(uncommented(text)).config) == values(defaults)


def test_every_line_of_a_printed_file_fits_into_80_columns() -> None:
    assert max(map(len, template(load_flags([], ENV, 1000)).splitlines())) <= 80


def test_every_setting_that_is_empty_by_default_has_an_example_that_can_be_used(
    reread: Callable[[str], Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grp.getgrnam", lambda name: None)
    text = template(load_flags([], ENV, 1000))
    examples = dict(re.findall(r"^# Example: ((\w+) = .*)$", text, re.MULTILINE)).items()
    empty = {name for name, value in values(load([], ENV, 1000).config).items() if value in ("", [])}
    assert {name for _, name in examples} == empty
    for line, name in examples:
        assert getattr(reread(f"allow_faults = true\n{line}\n").config, name) not in ("", [])
    tables = "".join(re.findall(r"^#   ((?!/|~).*\n)", text, re.MULTILINE))
    assert reread(f"allow_faults = true\n{tables}").config.link_faults == ["bob delay=200ms out.loss=5%"]


def test_settings_given_as_flags_are_set_in_a_printed_file_and_variables_are_not(
    reread: Callable[[str], Loaded],
) -> None:
    env = ENV | {"CHATD_TRUST": "nonsense", "CHATD_CONFIG": "/none.toml", "STATE_DIRECTORY": "/s"}
    text = template(load_flags(["--sessions", "7", "--peers", "bob"], env, 1000))
    assert tomllib.loads(text) == {"sessions": 7, "peers": ["bob:7420"]}
    assert values(reread(text).config) == values(load(["--sessions", "7", "--peers", "bob"], ENV, 1000).config)


@pytest.mark.parametrize("argv", [[], ARGV])
def test_a_described_configuration_can_be_used_as_a_file(argv: list[str], reread: Callable[[str], Loaded]) -> None:
    found = load(argv, ENV, 1000)
    text = describe(found)
    assert [line.split(" = ")[0].removeprefix("#") for line in text.splitlines()] == list(SETTINGS)
    assert "# CHATD_NODE" in text
    assert ("# --peers" in text) is bool(argv)
    assert values(reread(text).config) == values(found.config)


def test_described_values_have_the_units_that_settings_accept() -> None:
    text = describe(load([], ENV, 1000))
    for line in (
        'retain_age = "720h"',
        'tail_bytes = "16MiB"',
        'plain_pace = "30ms"',
        "sessions = 256",
        "max_text = 0",
    ):
        assert f"\n{line} " in text
    assert "\nallow_faults = false " in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_path_with_a_line_break_ends_no_comment_and_one_that_is_not_utf_8_is_one(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.toml"
    path.write_text("sessions = 7\n", encoding="utf-8")
    text = describe(load(["--config", str(path), "--state", "/\udcff"], ENV, 1000))
    assert "\n#state = " in text
    assert tomllib.loads(text)["sessions"] == 7


def amounts() -> st.SearchStrategy[dict[str, float | int | bool]]:
    """Faults of one direction, each within its bounds."""
    each = {
        name: st.booleans() if name == "cut" else st.floats(fault.least, fault.most)
        for name, fault in FAULTS.items()
        if name != "rate"
    }
    return st.fixed_dictionaries({}, optional=each | {"rate": st.integers(100, 10**12)})


def texts_of(name: str) -> st.SearchStrategy[str]:
    """Texts that a setting accepts."""
    kind = SETTINGS[name].kind
    host_port = st.builds("{}:{}".format, st.sampled_from(["bob", "10.0.0.2", "[::1]"]), st.integers(1, 65535))
    by_metavar = {
        "N": st.integers(*bounds(kind)).map(str),
        "SIZE": st.integers(*bounds(kind)).map(str),
        "TIME": st.floats(*bounds(kind)).map(repr),
        "NAME": st.from_regex(r"[a-z][a-z0-9._-]{0,62}", fullmatch=True),
        "PATH": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
        "GROUP": st.sampled_from(["", "0", "root"]),
        "[=no]": st.booleans().map(str),
        "HOST[:PORT],…": host_port,
        "ID,…": st.from_regex(r"[a-z2-7]{16,52}", fullmatch=True),
        "HOST:PORT=ROOM,dialect=…": host_port.map("{}=lobby,dialect=name".format),
        "PEER FAULT=…,…": st.builds(PeerFaults, st.sampled_from(["bob", "*"]), amounts(), amounts())
        .filter(lambda faults: bool(faults.out or faults.in_))
        .map(format_link_faults),
    }
    return by_metavar[kind.metavar] if "|" not in kind.metavar else st.sampled_from(kind.metavar.split("|"))


def bounds(kind: Kind) -> tuple[Any, Any]:
    """The least and the greatest value, as the error of a number, size or duration names them."""
    found = re.search(r" from (\S+) to ([^\s,]+)", kind.allowed)
    return (kind.parse(found[1]), kind.parse(found[2])) if found else (None, None)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in loading.NOT_IN_FILES])
@settings(max_examples=20)  # of each setting: many have the same kind of value
@given(data=st.data())
def test_every_value_of_every_setting_is_read_as_it_was_printed(name: str, data: st.DataObject) -> None:
    kind = SETTINGS[name].kind
    parsed = kind.parse(data.draw(texts_of(name)))
    value = [parsed] if kind.many else parsed
    table = tomllib.loads(f"{name} = {toml(name, value)}\n")
    texts, labels = loading._file_texts("printed.toml", table)
    assert loading._parse(kind, texts[name], labels[name]) == value
