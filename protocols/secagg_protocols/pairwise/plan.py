"""Degree and threshold of SecAgg+, found from the rates of corruption and dropout.

Bell, Bonawitz, Gascón, Lepoint and Raykova, "Secure Single-Server Aggregation with (Poly)Logarithmic
Overhead", CCS 2020. The graph is Harary's on a random permutation, so the corrupt and the lost among a
client's k neighbours are hypergeometric. A pair (k, t) works when three odds are small:

* the graph on the honest survivors falls apart: below 2^-(sigma+1);
* some client has enough corrupt neighbours to open its secrets: at most 2^-(sigma+1), summed over the n
  clients;
* some client has fewer than t surviving neighbours: at most 2^-eta, summed over the n clients.

`plan` returns the smallest even k for which such a t exists, with the smallest such t. Every probability
here is a natural logarithm, because the interesting ones lie far below the least float.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import gammaln

from secagg.arguments import checked, whole
from secagg.errors import OutOfRange
from secagg.scheme import Draw
from secagg_protocols.pairwise.demand import MAX_BITS, MAX_CLIENTS, Adversary, Demand, Rate, clients

_SUMMED = 4096  # factors of a falling factorial that are summed one by one; beyond, gammaln is close enough
_NEGLIGIBLE = 2.0**-60  # a term of a tail too small to move the double it is added to
_MARGIN = 2  # see _Setting.nearly


@dataclass(frozen=True, kw_only=True)
class Plan(Demand):
    """A graph and a threshold for one cohort, with the odds that they fail.

    Attributes:
        neighbours: degree k of the graph; even, or n - 1 when complete.
        threshold: shares t that open a secret.
        complete: whether no regular graph short of the complete one meets the odds asked for.
        log2_insecure: log2 of a bound on the odds that the honest survivors' graph is disconnected or some
            client's secrets can be opened; at most -sigma unless complete. 0.0 is certainty, -inf
            impossibility.
        log2_incorrect: log2 of a bound on the odds that some secret has fewer than t holders left; at most
            -eta unless complete, and then either 0.0 or -inf.
    """

    neighbours: int
    threshold: int
    complete: bool
    log2_insecure: float
    log2_incorrect: float


def plan(
    n: int,
    corrupt: float = 0.05,
    dropout: float = 0.05,
    sigma: int = 40,
    eta: int = 30,
    adversary: Adversary = "passive",
) -> Plan:
    """The smallest degree and threshold of SecAgg+ that meet the odds asked for.

    Against an "active" server the threshold also covers one that tells half of a client's neighbours that it lives
    and half that it is lost (semi-malicious in the paper). Such a server can also redraw the graph by leaving key
    advertisements out: the caller adds 64 bits to `sigma` for that, this function adds none.

    Where only the complete graph is left (small n) the threshold is floor(2n/3) + 1; that rule asks for no
    odds, so read the two logarithms before use.

    Arguments and errors are those of `Demand`.
    """
    return _planned(Demand(n, corrupt, dropout, sigma, eta, adversary), majority=False)


def majority_plan(n: int, corrupt: float = 0.05, dropout: float = 0.05, sigma: int = 40, eta: int = 30) -> Plan:
    """`plan` against a passive server, with a threshold of more than half of the neighbours besides.

    That is more than the paper asks for: no two halves of a client's neighbours, whatever they are told, then
    open both of its secrets. It takes more neighbours where many are lost. Arguments and errors as of `plan`.
    """
    return _planned(Demand(n, corrupt, dropout, sigma, eta), majority=True)


def with_threshold(found: Plan, threshold: int) -> Plan:
    """The regular graph of `found` with another threshold, and the odds that come with it."""
    insecure, incorrect = _in_bits(_setting(found).odds(found.neighbours, threshold))
    return replace(found, threshold=threshold, log2_insecure=insecure, log2_incorrect=incorrect)


@lru_cache(maxsize=1024)
def corrupt_neighbours(n: int, neighbours: int, corrupt: float, sigma: int, absent: int = 0) -> int:
    """The most corrupt neighbours that any client has, up to odds of 2^-(sigma+1) for all of them together.

    Args:
        n, corrupt, sigma: as in `plan`.
        neighbours: degree of the random graph, 1..n-absent-1.
        absent: clients that the graph is drawn without, none of them corrupt.
    """
    drawn = n - absent
    colluding = min(clients(n, corrupt), drawn)
    return _Setting(drawn, colluding, 0, sigma, 1, active=True, majority=False).colluders(neighbours) - 1


@lru_cache(maxsize=1024)
def fewest_drawn(n: int, neighbours: int, threshold: int, corrupt: float, sigma: int) -> int:
    """The least graph that keeps 2 * threshold above a client's neighbours, the corrupt ones counted twice.

    A server that hides honest clients from one client does not hide the corrupt ones, so their share among its
    neighbours grows. 0 where no graph, however small, brings enough of them together.

    Args:
        n, neighbours, corrupt, sigma: as in `corrupt_neighbours`.
        threshold: more than half of all neighbours and corrupt ones where all n clients are drawn.
    """

    def holds(drawn: int) -> bool:
        return 2 * threshold > neighbours + corrupt_neighbours(n, neighbours, corrupt, sigma, n - drawn)

    return 0 if holds(neighbours + 1) else _first(holds, neighbours + 2, n)


def corrupt_of_draw(draw: Draw, members: int, corrupt: float = 0.05, sigma: int = 40) -> float:
    """The rate of corrupt clients that cohorts have where a roster has another: for `corrupt` of the scheme.

    A server that may run any of `draw.rounds` rounds has the best of as many cohorts, which costs log2(rounds) bits:
    P[some cohort has more than c corrupt] <= rounds * P[X > c], X hypergeometric. c is the least that makes this at
    most 2^-sigma, and the rate lies just below c / draw.size, so that it is c whole clients.

    Args:
        draw: how cohorts are drawn.
        members: of the roster, at least `draw.size`.
        corrupt: rate of the roster, in [0, 1): who they are was settled before the beacon was.
        sigma: bits of security, 1..1024.

    Raises OutOfRange, also where a whole cohort may be corrupt.
    """
    size = draw.size
    checked("members", members, whole(size, MAX_CLIENTS, " (cohorts are drawn from them)"))
    colluding = clients(members, checked("corrupt", corrupt, Rate))
    allowed = -checked("sigma", sigma, whole(1, MAX_BITS)) * math.log(2) - math.log(draw.rounds)
    most = _first(lambda c: log_at_least(members, colluding, size, c + 1) <= allowed, 0, size)
    if most >= size:
        raise OutOfRange(f"cohorts of {size}: all of one may be corrupt, of {colluding} among {members} members")
    return math.nextafter(most / size, 0)


def _planned(asked: Demand, *, majority: bool) -> Plan:
    setting = _setting(asked, majority=majority)
    found = _least_regular(setting)
    neighbours, threshold = found or (asked.n - 1, 2 * asked.n // 3 + 1)
    odds = setting.odds(neighbours, threshold) if found else setting.complete_odds(threshold)
    insecure, incorrect = _in_bits(odds)
    return Plan(
        **vars(asked),
        neighbours=neighbours,
        threshold=threshold,
        complete=found is None,
        log2_insecure=insecure,
        log2_incorrect=incorrect,
    )


def _in_bits(odds: tuple[float, float]) -> tuple[float, float]:
    """Natural logarithms to base 2."""
    insecure, incorrect = odds
    return insecure / math.log(2), incorrect / math.log(2)


def log_at_least(pool: int, marked: int, drawn: int, least: int) -> float:
    """ln P[X >= least], X the marked ones among `drawn` of a pool (hypergeometric).

    Accurate in both tails: the smaller one is summed, the larger one is its complement.

    Args:
        pool: size of the pool, >= 0.
        marked: marked ones in the pool, 0..pool.
        drawn: drawn without replacement, 0..pool.
        least: any integer.

    Returns:
        A logarithm in [-inf, 0].
    """
    if least <= max(0, drawn - (pool - marked)):
        return 0.0
    if least > min(drawn, marked):
        return -math.inf
    if least > (drawn + 1) * (marked + 1) // (pool + 2):  # above the mode: terms fall from here on
        return _log_upper_sum(pool, marked, drawn, least)
    return math.log1p(-math.exp(_log_upper_sum(pool, pool - marked, drawn, drawn - least + 1)))


def log_at_most(pool: int, marked: int, drawn: int, most: int) -> float:
    """ln P[X <= most] for the X of `log_at_least`: the same tail, of the unmarked ones."""
    return log_at_least(pool, pool - marked, drawn, drawn - most)


def log_disconnected(n: int, degree: int, bad: int) -> float:
    """ln of a bound on P[a Harary graph loses its connection with `bad` random nodes removed].

    To part the circle one needs two separate runs of degree/2 removed nodes with a survivor in each arc
    between them. There are n(n - degree - 1)/2 such pairs of runs, and `degree` given nodes are all removed
    with odds (bad)_degree / (n)_degree, falling factorials.

    Args:
        n: nodes, placed at random.
        degree: even, 2..n-2.
        bad: removed nodes, 0..n.

    Returns:
        A logarithm, -inf where the graph cannot part; positive where the bound says nothing.
    """
    if degree > bad:
        return -math.inf
    pairs = math.log(n * (n - degree - 1) / 2)
    return pairs + _log_falling(bad, degree) - _log_falling(n, degree)


@dataclass(frozen=True)
class _Setting:
    """Whole clients, and the odds allowed to each of them as logarithms."""

    n: int
    corrupt: int
    dropped: int
    sigma: int
    eta: int
    active: bool
    majority: bool

    def connected(self, degree: int) -> bool:
        """Whether the honest survivors' graph parts with odds below 2^-(sigma+1)."""
        bad = min(self.corrupt + self.dropped, self.n)
        return log_disconnected(self.n, degree, bad) < -(self.sigma + 1) * math.log(2)

    def colluders(self, degree: int, start: int = 0) -> int:
        """Corrupt neighbours that no client has, up to odds 2^-(sigma+1)/n; known to be at least `start`.

        It never falls as the degree grows, so a scan passes the last answer as `start`.
        """
        allowed = -(self.sigma + 1) * math.log(2) - math.log(self.n)
        return _first(lambda x: self.log_colluders(degree, x) <= allowed, start, degree + 1)

    def threshold(self, degree: int, colluders: int) -> int:
        """The least t out of reach of fewer than `colluders` corrupt neighbours.

        An active server gets one share from each honest neighbour, of the mask key or of the self-mask
        seed, and both from each corrupt one: it needs 2t of them in all, so x corrupt neighbours suffice
        from x + degree >= 2t.
        """
        if self.active:
            return (degree + colluders + 1) // 2
        return max(colluders, degree // 2 + 1) if self.majority else colluders

    def holds(self, degree: int, threshold: int) -> bool:
        """Whether each client keeps `threshold` neighbours, up to odds 2^-eta/n."""
        return self.log_short(degree, threshold) <= -self.eta * math.log(2) - math.log(self.n)

    def nearly(self, degree: int) -> bool:
        """Whether the degree works but for the rounding of thresholds to integers.

        Rounded thresholds make `holds` flicker along the degrees around the answer. Unrounded, the room
        between the two thresholds is a linear function of the degree less a multiple of a standard
        deviation, so it is convex, starts at zero and turns positive once. It differs from the rounded one
        by less than 2, so with `_MARGIN` shares given away this is false below some degree and true from
        there on.
        """
        if not self.connected(degree):
            return False
        return self.holds(degree, self.threshold(degree, self.colluders(degree)) - _MARGIN)

    def log_colluders(self, degree: int, least: int) -> float:
        """ln P[an honest client has at least `least` corrupt neighbours]."""
        return log_at_least(self.n - 1, min(self.corrupt, self.n - 1), degree, least)

    def log_short(self, degree: int, threshold: int) -> float:
        """ln P[a client has fewer than `threshold` surviving neighbours]."""
        return log_at_most(self.n - 1, max(self.n - 1 - self.dropped, 0), degree, threshold - 1)

    def odds(self, degree: int, threshold: int) -> tuple[float, float]:
        """ln of the bounds on insecurity and on incorrectness, at most 0, of a regular graph."""
        bad = min(self.corrupt + self.dropped, self.n)
        enough = 2 * threshold - degree if self.active else threshold
        opened = math.log(self.n) + self.log_colluders(degree, enough)
        insecure = float(np.logaddexp(log_disconnected(self.n, degree, bad), opened))
        return min(insecure, 0.0), min(math.log(self.n) + self.log_short(degree, threshold), 0.0)

    def complete_odds(self, threshold: int) -> tuple[float, float]:
        """The same of the complete graph: certainties, since all n clients hold a share of each secret."""
        shares = self.corrupt + self.n if self.active else self.corrupt
        opened = shares >= (2 * threshold if self.active else threshold)
        short = self.n - self.dropped < threshold
        return 0.0 if opened else -math.inf, 0.0 if short else -math.inf


def _setting(asked: Demand, *, majority: bool = False) -> _Setting:
    active = asked.adversary == "active"
    return _Setting(asked.n, asked.colluding, asked.lost, asked.sigma, asked.eta, active, majority)


def _least_regular(setting: _Setting) -> tuple[int, int] | None:
    """The smallest even degree below n - 1 that works, and its threshold; None where there is none."""
    half = _first(lambda h: setting.nearly(2 * h), 1, (setting.n - 2) // 2)
    colluders = 0
    for degree in range(2 * half, setting.n - 1, 2):
        colluders = setting.colluders(degree, colluders)
        threshold = setting.threshold(degree, colluders)
        if setting.holds(degree, threshold):
            return degree, threshold
    return None


def _first(true: Callable[[int], bool], low: int, high: int) -> int:
    """The first integer of low..high from which on `true` is true, or high + 1; galloping, then bisection."""
    false, step, here = low - 1, 1, low
    while here <= high and not true(here):
        false, here, step = here, min(here + step, high) if here < high else high + 1, 2 * step
    while here - false > 1:
        middle = (false + here) // 2
        if true(middle):
            here = middle
        else:
            false = middle
    return here


def _log_upper_sum(pool: int, marked: int, drawn: int, least: int) -> float:
    """ln P[X >= least] for `least` at or above the mode: the first term times what follows it."""
    highest = min(drawn, marked)
    total, term, here, width = 1.0, 1.0, least, 64
    while here < highest and term > _NEGLIGIBLE * total:
        x = np.arange(here, min(here + width, highest), dtype=np.float64)
        terms = term * np.cumprod((marked - x) * (drawn - x) / ((x + 1) * (pool - marked - drawn + x + 1)))
        total, term, here, width = total + float(terms.sum()), float(terms[-1]), here + x.size, 2 * width
    first = _log_choose(marked, least) + _log_choose(pool - marked, drawn - least) - _log_choose(pool, drawn)
    return first + math.log(total)


def _log_choose(n: int, k: int) -> float:
    """ln of n over k, 0 <= k <= n."""
    k = min(k, n - k)
    return _log_falling(n, k) - float(gammaln(k + 1))


def _log_falling(n: int, k: int) -> float:
    """ln of n (n-1) ... (n-k+1), 0 <= k <= n.

    A difference of log-gammas loses about n ln n * 2^-53, which is felt where k is small; there the
    logarithms are summed.
    """
    if k <= _SUMMED:
        return float(np.log(np.arange(n - k + 1, n + 1, dtype=np.float64)).sum())
    return float(gammaln(n + 1) - gammaln(n - k + 1))
