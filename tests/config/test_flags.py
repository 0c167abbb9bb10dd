from chatd.config import flags
from chatd.config.settings import SETTINGS


def test_help_and_version_win_over_what_else_is_wrong() -> None:
    assert flags.parse_flags(["--help", "--bogus"]).action == "help"
    assert flags.parse_flags(["--check-config", "--version"]).action == "version"
    assert flags.parse_flags(["--check-config", "--max-links", "--help"]).texts == {"max_links": ["--help"]}


def test_help_names_every_setting_and_fits_into_80_columns() -> None:
    text = flags.usage()
    assert all(f" {flags.flag_of(name)}" in text for name in SETTINGS)
    assert max(map(len, text.splitlines())) <= 80
    assert {setting.group for setting in SETTINGS.values()} <= {line.rstrip(":") for line in text.splitlines()}


def test_a_switch_does_not_take_the_next_word() -> None:
    assert flags.parse_flags(["--allow-faults", "-n", "bob"]).texts == {"allow_faults": ["yes"], "node": ["bob"]}
