import re

import msgspec
import pytest

from secagg.errors import ConfigError, OutOfRange
from secagg.fedavg import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rounds", 0),
        ("rounds", 2.5),
        ("rounds", True),
        ("rounds", "3"),
        ("rounds", None),
        ("epochs", 0),
        ("batch_size", 0),
        ("weight_max", 0),
        ("seed", -1),
        ("seed", False),
        ("bits", 1),
        ("bits", 33),
        ("bits", 8.0),
        ("bits", True),
        ("bits", "16"),
        ("clip", 0.0),
        ("clip", "x"),
        ("clip", None),
        ("clip", True),
        ("clip", [1.0]),
        ("clip", 1j),
        ("clip", float("inf")),
        ("learning_rate", float("nan")),
        ("learning_rate", "0.1"),
        ("fraction", "1"),
        ("fraction", True),
        ("fraction", 0.0),
        ("fraction", 1.1),
        ("fraction", float("nan")),
        ("dropout", -0.1),
        ("dropout", 1.1),
        ("dropout", None),
        ("dropout", False),
        ("clients", 2),
        ("hidden", 0),
        ("alpha", 0.0),
        ("alpha", "0.5"),
        ("l2", None),
        ("l2", -1.0),
        ("l2", float("inf")),
        ("test_fraction", 0.0),
        ("test_fraction", 1.0),
        ("test_fraction", "half"),
    ],
)
def test_a_number_out_of_range_is_named_with_its_value(name, value):
    with pytest.raises(OutOfRange, match=f"^{name} is {re.escape(repr(value))}: expected an? "):
        Settings(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("data", 3), ("target", 1), ("site", True), ("data", None)])
def test_a_name_that_is_no_text_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"^{name} is {value!r}: expected a text"):
        Settings(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("partition", "random"), ("partition", []), ("partition", 1), ("model", "forest"), ("model", None), ("model", {})],
)
def test_an_unknown_choice_lists_the_known_ones(name, value):
    with pytest.raises(ConfigError, match=f"^{name} is {re.escape(repr(value))}: expected one of"):
        Settings(**{name: value})


def test_partition_by_site_needs_a_site_column():
    with pytest.raises(ConfigError, match="no site column is named"):
        Settings(partition="site")


@pytest.mark.parametrize(
    ("given", "spread"),
    [({}, "iid"), ({"site": "clinic"}, "site"), ({"site": "clinic", "partition": "iid"}, "iid")],
)
def test_default_partition_follows_the_site_column(given, spread):
    assert Settings(**given).spread == spread


def test_settings_survive_json():
    settings = Settings(rounds=3, data="a.csv", target="ill", site="clinic")
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings
