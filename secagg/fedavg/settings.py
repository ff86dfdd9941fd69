"""What one experiment is told: every choice with its default and its range."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from secagg.errors import ConfigError, OutOfRange

Partition = Literal["iid", "dirichlet", "uneven", "site"]
PARTITIONS: tuple[Partition, ...] = ("iid", "dirichlet", "uneven", "site")

ModelName = Literal["logistic", "mlp"]
MODELS: tuple[ModelName, ...] = ("logistic", "mlp")

CLIENTS, ALPHA, HIDDEN = 10, 0.5, 16
"""What `clients`, `alpha` and `hidden` are where they are in force and not given."""

MIN_COHORT = 3
"""Fewest hospitals in one secure sum; the default of the engine's `Policy.min_cohort`."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Options of the FedAvg loop (McMahan et al. 2017, Algorithm 1) and of its secure sums.

    Attributes:
        rounds: communication rounds, >= 1.
        fraction: share of the hospitals sampled each round, in (0, 1]; never fewer than three of them.
        epochs: passes over a hospital's own patients per round, >= 1.
        batch_size: patients per gradient step, >= 1.
        learning_rate: step of plain SGD, > 0.
        dropout: probability, in [0, 1], that a sampled hospital goes silent, at a random phase of the scheme.
        bits: bits per quantized entry, 2..32.
        clip: largest magnitude of one entry of an update, > 0; what lies beyond is clipped and counted.
        weight_max: public bound on a hospital's training patients, >= 1. It is a figure that the operator
            states, never the cohort's own maximum; the error bound grows with it.
        seed: of batches, sampling, partition and the dropout schedule, >= 0; never of cryptography.
    """

    rounds: int = 20
    fraction: float = 1.0
    epochs: int = 5
    batch_size: int = 16
    learning_rate: float = 0.2
    dropout: float = 0.1
    bits: int = 16
    clip: float = 1.0
    weight_max: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rounds", "epochs", "batch_size", "weight_max"):
            _integer(name, getattr(self, name), 1)
        _integer("seed", self.seed, 0)
        _integer("bits", self.bits, 2, 32)
        _positive("learning_rate", self.learning_rate)
        _positive("clip", self.clip)
        _number("fraction", self.fraction, lambda share: 0 < share <= 1, "a number in (0, 1]")
        _number("dropout", self.dropout, lambda share: 0 <= share <= 1, "a probability in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """A whole experiment: the loop's options, the patients, how they are spread and which model learns.

    Attributes:
        data: "breast-cancer", or the path of a CSV file with a header.
        target: the CSV's column of outcomes: exactly two values, the greater one counts as positive.
        site: the CSV's column that names each patient's hospital, if there is one.
        record_id: the CSV's column of ids: rows of one hospital with the same id are one record, and the first
            of them is kept. None: no row is taken for another's repeat.
        drop_duplicates: whether a hospital removes rows that equal an earlier one in every column. Two patients
            with the same values look like that too, so it is off.
        drop: columns of the source to leave out.
        partition: how patients are spread; None becomes "site" where a site column is named, else "iid".
        clients: number of hospitals, >= 3. None becomes 10; by site it stays None until the data are read, for
            their number is the column's.
        alpha: concentration of the Dirichlet label skew, > 0: small means that outcomes differ strongly. None
            becomes 0.5 for "dirichlet" and stays None elsewhere.
        test_fraction: share of each hospital's patients that is held out, in (0, 1).
        model: "logistic", or "mlp" with one hidden layer.
        hidden: width of that hidden layer, >= 1. None becomes 16 for "mlp" and stays None elsewhere.
        l2: weight of the penalty l2/2 * |w|^2 on weights (biases go free), >= 0.
    """

    data: str = "breast-cancer"
    target: str | None = None
    site: str | None = None
    record_id: str | None = None
    drop_duplicates: bool = False
    drop: tuple[str, ...] = ()
    partition: Partition | None = None
    clients: int | None = None
    alpha: float | None = None
    test_fraction: float = 0.25
    model: ModelName = "logistic"
    hidden: int | None = None
    l2: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clients is not None:
            _integer("clients", self.clients, MIN_COHORT)
        if self.hidden is not None:
            _integer("hidden", self.hidden, 1)
        if self.alpha is not None:
            _positive("alpha", self.alpha)
        _number("l2", self.l2, lambda weight: 0 <= weight < math.inf, "a finite number, 0 or more")
        _number("test_fraction", self.test_fraction, lambda share: 0 < share < 1, "a number in (0, 1)")
        _one_of("model", self.model, MODELS)
        _text("data", self.data)
        for name in ("target", "site", "record_id"):
            if getattr(self, name) is not None:
                _text(name, getattr(self, name), " or None")
        _texts("drop", self.drop)
        if not isinstance(self.drop_duplicates, bool):
            raise ConfigError(f"drop_duplicates is {self.drop_duplicates!r}: expected True or False")
        self._check_partition()
        self._resolve()

    def _check_partition(self) -> None:
        if self.partition is not None:
            _one_of("partition", self.partition, PARTITIONS, " or None")
        if self.partition == "site" and self.site is None:
            raise ConfigError("partition is 'site': no site column is named, expected `site`")

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


def _integer(name: str, value: object, least: int, most: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        wanted = f"an integer, {least} or more" if most == math.inf else f"an integer in {least}..{most}"
        raise OutOfRange(f"{name} is {value!r}: expected {wanted}")


def _number(name: str, value: object, fits: Callable[[float], bool], wanted: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not fits(value):
        raise OutOfRange(f"{name} is {value!r}: expected {wanted}")


def _positive(name: str, value: object) -> None:
    _number(name, value, lambda number: 0 < number < math.inf, "a finite number above 0")


def _text(name: str, value: object, otherwise: str = "") -> None:
    if not isinstance(value, str):
        raise ConfigError(f"{name} is {value!r}: expected a text{otherwise}")


def _texts(name: str, value: object) -> None:
    if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{name} is {value!r}: expected a tuple of texts")


def _one_of(name: str, value: object, known: Sequence[str], otherwise: str = "") -> None:
    if value not in known:
        raise ConfigError(f"{name} is {value!r}: expected one of {', '.join(known)}{otherwise}")
