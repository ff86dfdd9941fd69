"""What one experiment is told: every choice with its range, its default and the words for it, written once.

A field's `Meta` has the range; its `description` is the help of the option that `secagg fedavg` makes of the field.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta

from secagg.arguments import FINITE, check_fields
from secagg.encoding.encoding import weight_range
from secagg.errors import ConfigError

Partition: TypeAlias = Literal["iid", "dirichlet", "uneven", "site"]
ModelName: TypeAlias = Literal["logistic", "mlp"]

CLIENTS, ALPHA, HIDDEN = 10, 0.5, 16
"""What `clients`, `alpha` and `hidden` are where they are in force and not given."""

MIN_COHORT = 3
"""Fewest hospitals in one secure sum; the default of the engine's `Policy.min_cohort`."""


def _under(panel: str) -> Callable[..., Meta]:
    """Makes what a field says of itself: its help, in `panel` of the command's help, its range, another name there."""

    def meta(description: str, option: str | None = None, **limits: Any) -> Meta:
        return Meta(description=description, extra={"panel": panel, "option": option}, **limits)

    return meta


_sums, _patients, _learning = _under("Secure sums"), _under("Patients"), _under("Learning")


@dataclass(frozen=True, kw_only=True)
class SGD:
    """Local training: plain stochastic gradient descent.

    Attributes:
        epochs: passes over a hospital's own patients, >= 1.
        batch_size: patients per gradient step, >= 1.
        learning_rate: of a step, > 0.
    """

    epochs: int
    batch_size: int
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class Training:
    """Options of the FedAvg loop (McMahan et al. 2017, Algorithm 1) and of its secure sums.

    Whatever `fraction` says, a round samples three hospitals or more. What lies beyond `clip` is clipped and counted.
    `weight_min` and `weight_max` are figures that the operator states, never the cohort's own; the error bound grows
    with `weight_max`, and hospitals refuse weights that spread too far for the bits (`Policy.levels`).
    """

    rounds: Annotated[int, _learning("Rounds of training.", ge=1)] = 20
    fraction: Annotated[float, _learning("Share of the hospitals asked in a round.", gt=0, le=1)] = 1.0
    epochs: Annotated[int, _learning("Passes over a hospital's patients in a round.", ge=1)] = 5
    batch_size: Annotated[int, _learning("Patients a gradient step.", ge=1)] = 16
    learning_rate: Annotated[float, _learning("Step of SGD.", gt=0, le=FINITE)] = 0.2
    dropout: Annotated[
        float,
        _sums(
            "Odds that a hospital goes silent in a round, at any phase.", ge=0, le=1, title="a probability in [0, 1]"
        ),
    ] = 0.1
    bits: Annotated[int, _sums("Bits of one quantized parameter.", ge=2, le=32)] = 16
    clip: Annotated[float, _sums("Largest change of one parameter in a round.", gt=0, le=FINITE)] = 1.0
    weight_max: Annotated[int, _sums("Most training patients of one hospital, a public bound.", ge=1)] = 1000
    weight_min: (
        Annotated[
            int,
            _sums("Fewest training patients of one hospital, a public bound; a hundredth of the most.", ge=1),
        ]
        | None
    ) = None
    seed: Annotated[int, _learning("Of partition, batches and dropout; never of keys.", ge=0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        weight_range(self.weight_max, self.weight_min)

    @property
    def weights(self) -> tuple[int, int]:
        """Range of a hospital's training patients."""
        found = weight_range(self.weight_max, self.weight_min)
        assert found is not None, "there is a largest"
        return found

    @property
    def sgd(self) -> SGD:
        """Local training in one round."""
        return SGD(epochs=self.epochs, batch_size=self.batch_size, learning_rate=self.learning_rate)


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """A whole experiment: the loop's options, the patients, how they are spread and which model learns.

    Where nothing is given, an option in force takes its default and one that is not stays None; `clients` by site
    stays None until the data are read, for their number is the column's. The greater of the two outcomes counts as
    positive. Rows of one hospital with the same id are one record; without ids no row is taken for another's repeat,
    and since two patients with the same values look like that too, `drop_duplicates` is off. The L2 penalty is
    l2/2 * |w|^2 on weights (biases go free).

    Raises:
        OutOfRange, ConfigError: a field is not what its annotation says, or would go unused.
    """

    data: Annotated[str, _patients("breast-cancer, or a CSV file with a header.")] = "breast-cancer"
    target: Annotated[str | None, _patients("The CSV's outcome column, with two values.")] = None
    site: Annotated[str | None, _patients("The CSV's column of hospitals.")] = None
    record_id: Annotated[
        str | None,
        _patients("The CSV's column of ids: of a hospital's rows with the same id, the first is kept.", option="--id"),
    ] = None
    drop_duplicates: Annotated[
        bool, _patients("Remove rows that equal an earlier one of their hospital in every column.")
    ] = False
    drop: Annotated[tuple[str, ...], _patients("A column to leave out; may be repeated.")] = ()
    partition: Annotated[
        Partition | None,
        _patients("How patients are spread over hospitals; site where --site is given, else iid."),
    ] = None
    clients: (
        Annotated[int, _patients(f"Hospitals; by site as many as the column names, else {CLIENTS}.", ge=MIN_COHORT)]
        | None
    ) = None
    alpha: (
        Annotated[
            float, _patients(f"dirichlet: the smaller, the more skewed; {ALPHA} where not given.", gt=0, le=FINITE)
        ]
        | None
    ) = None
    test_fraction: Annotated[float, _patients("Share of each hospital's patients held out.", gt=0, lt=1)] = 0.25
    model: Annotated[ModelName, _learning("Which model learns.")] = "logistic"
    hidden: Annotated[int, _learning(f"mlp: width of the hidden layer; {HIDDEN} where not given.", ge=1)] | None = None
    l2: Annotated[float, _learning("Weight of the L2 penalty.", ge=0, le=FINITE)] = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.partition == "site" and self.site is None:
            raise ConfigError("partition is 'site': no site column is named, expected `site`")
        self._resolve()

    def _resolve(self) -> None:
        """Give every option in force its value, and refuse one that would go unused.

        Raises:
            ConfigError: alpha without "dirichlet", or hidden without "mlp".
        """
        self._set("partition", self.spread)
        if self.spread != "site" and self.clients is None:
            self._set("clients", CLIENTS)
        self._in_force("alpha", ALPHA, self.spread == "dirichlet", "partition 'dirichlet'")
        self._in_force("hidden", HIDDEN, self.model == "mlp", "model 'mlp'")

    def _in_force(self, name: str, default: Any, used: bool, by: str) -> None:
        given = getattr(self, name)
        if used and given is None:
            self._set(name, default)
        if not used and given is not None:
            raise ConfigError(f"{name} is {given!r}: only {by} takes it, expected none")

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # of a frozen instance, while it is made

    @property
    def spread(self) -> Partition:
        """The partition in force, the default resolved."""
        if self.partition is not None:
            return self.partition
        return "iid" if self.site is None else "site"
