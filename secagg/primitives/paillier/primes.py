"""Primes for keys: ordinary ones, and safe ones, p = 2q + 1 with q prime too, for keys that are shared."""

from collections.abc import Callable, Iterator
from functools import cache
from math import isqrt

import gmpy2
import numpy as np
from numpy.typing import NDArray

from secagg.errors import OutOfRange
from secagg.primitives.entropy import Entropy, draw

Progress = Callable[[int, int], object]
"""progress(found, tried): primes found so far, and candidates that were tested; called now and then."""

LEAST_PRIME_BITS = 16
ROUNDS = 64
"""Of Miller and Rabin's test, Baillie's and Pomerance's first: odds of 2**-128 even for numbers made to deceive."""
_REPORT = 64


def silent(_found: int, _tried: int) -> None:
    """Progress that nobody watches."""


def distinct_primes(bits: int, safe: bool, entropy: Entropy, progress: Progress = silent) -> tuple[int, int]:
    """Two primes p < q of exactly `bits` bits each, both 3 mod 4, whose product has exactly 2 * bits.

    Safe ones take a second or so at 1024 bits, times a factor that is drawn by chance.

    Args:
        bits: 16 and more.
        safe: both (p - 1) / 2 and (q - 1) / 2 are prime too.
        entropy: source of the candidates.
        progress: called while candidates are tested.
    """
    if bits < LEAST_PRIME_BITS:
        raise OutOfRange(f"primes of {bits} bits: expected {LEAST_PRIME_BITS} or more")
    found: list[int] = []
    tried = 0

    def report(now: int) -> None:
        nonlocal tried
        tried += now
        progress(len(found), tried)

    while len(found) < 2:
        prime = _search(bits, safe, entropy, report)
        # 2 is the only factor that p - 1 and q - 1 share (Damgard, Jurik and Nielsen 2010, 4.1)
        if not found or (found[0] != prime and gmpy2.gcd(found[0] - 1, prime - 1) == 2):
            found.append(prime)
    report(0)
    return min(found), max(found)


def _search(bits: int, safe: bool, entropy: Entropy, report: Callable[[int], None]) -> int:
    """A prime that is 3 mod 4; or, if safe, a prime q of one bit less for which 2q + 1 is prime too."""
    step, is_wanted = (2, _is_safe_half) if safe else (4, _is_prime)
    for tried, candidate in enumerate(_candidates(bits - safe, step, safe, entropy), 1):
        if is_wanted(candidate):
            report(tried % _REPORT)
            break
        if tried % _REPORT == 0:
            report(_REPORT)
    return 2 * candidate + 1 if safe else candidate


def _candidates(bits: int, step: int, safe: bool, entropy: Entropy) -> Iterator[int]:
    """Numbers of `bits` bits, the two highest set, -1 mod `step`, without small factors: after random starts."""
    # A few times the mean distance: of primes, or of pairs of them.
    window = bits * bits // 4 + 64 if safe else 2 * bits + 64
    primes = _odd_primes(min(4 * window, isqrt(1 << (bits - 1))))
    while True:
        drawn = int.from_bytes(draw(entropy, (bits + 7) // 8)) % (1 << bits)
        start = (drawn | 3 << (bits - 2)) // step * step + step - 1
        for place in _survivors(start, step, window, primes, safe=safe):
            candidate = start + step * int(place)
            if candidate.bit_length() == bits:
                yield candidate


def _survivors(start: int, step: int, window: int, primes: tuple[int, ...], *, safe: bool) -> NDArray[np.int64]:
    """Places i < window at which start + step * i, and if safe twice that plus 1, is divisible by none of `primes`."""
    alive = np.ones(window, np.bool_)
    big = gmpy2.mpz(start)
    for prime in primes:
        inverse = (prime + 1) // 2 if step == 2 else pow(step, -1, prime)
        remainder = int(big % prime)
        alive[-remainder * inverse % prime :: prime] = False
        if safe:
            alive[((prime - 1) // 2 - remainder) * inverse % prime :: prime] = False
    return np.flatnonzero(alive)


def _is_prime(candidate: int) -> bool:
    return bool(gmpy2.is_prime(candidate, ROUNDS))


def _is_safe_half(candidate: int) -> bool:
    """Whether candidate and 2 * candidate + 1 are prime; Fermat's test first, which nearly all others fail."""
    double = 2 * gmpy2.mpz(candidate) + 1
    for number in (candidate, double):
        if gmpy2.powmod(2, number - 1, number) != 1:
            return False
    return _is_prime(candidate) and _is_prime(double)


@cache
def _odd_primes(limit: int) -> tuple[int, ...]:
    """Odd primes below `limit`."""
    sieve = np.ones(max(limit, 3), np.bool_)
    sieve[:2] = False
    for number in range(2, isqrt(limit) + 1):
        if sieve[number]:
            sieve[number * number :: number] = False
    return tuple(np.flatnonzero(sieve)[1:].tolist())
