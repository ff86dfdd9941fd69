import msgspec
import pytest

from secagg.errors import ConfigError, OutOfRange
from secagg.fedavg import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rounds", 0),
        ("rounds", 2.5),
        ("epochs", 0),
        ("batch_size", 0),
        ("weight_max", 0),
        ("seed", -1),
        ("bits", 1),
        ("bits", 33),
        ("bits", 8.0),
        ("clip", 0.0),
        ("clip", float("inf")),
        ("learning_rate", float("nan")),
        ("fraction", 0.0),
        ("fraction", 1.1),
        ("fraction", float("nan")),
        ("dropout", -0.1),
        ("dropout", 1.1),
        ("clients", 2),
        ("hidden", 0),
        ("alpha", 0.0),
        ("l2", -1.0),
        ("l2", float("inf")),
        ("test_fraction", 0.0),
        ("test_fraction", 1.0),
    ],
)
def test_a_number_out_of_range_is_named_with_its_value(name, value):
    with pytest.raises(OutOfRange, match=rf"^{name}: {value}, expected"):
        Settings(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("partition", "random"), ("model", "forest")])
def test_an_unknown_choice_lists_the_known_ones(name, value):
    with pytest.raises(ConfigError, match=rf"^{name}: '{value}', expected one of"):
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
