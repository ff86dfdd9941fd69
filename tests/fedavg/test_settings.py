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
        ("weight_min", 0),
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


def test_what_is_in_force_has_a_value_and_nothing_else_does():
    default, site = Settings(), Settings(site="clinic")
    assert (default.partition, default.clients, default.alpha, default.hidden) == ("iid", 10, None, None)
    assert (site.partition, site.clients) == ("site", None)
    assert Settings(partition="dirichlet").alpha == 0.5
    assert Settings(model="mlp").hidden == 16


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha": 0.5}, "alpha is 0.5: only partition 'dirichlet' takes it"),
        ({"alpha": 0.5, "site": "clinic"}, "alpha is 0.5: only partition 'dirichlet' takes it"),
        ({"hidden": 4}, "hidden is 4: only model 'mlp' takes it"),
        ({"drop": ["a"]}, "drop is .*: expected a tuple of texts"),
        ({"drop": (1,)}, "drop is .*: expected a tuple of texts"),
        ({"drop_duplicates": 1}, "drop_duplicates is 1: expected True or False"),
        ({"record_id": 1}, "record_id is 1: expected a text or None"),
    ],
)
def test_an_option_that_would_go_unused_or_has_another_type_is_refused(given, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        Settings(**given)


def test_settings_survive_json():
    settings = Settings(rounds=3, data="a.csv", target="ill", site="clinic", record_id="id", drop=("a", "b"))
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings
