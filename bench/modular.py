"""Paillier's arithmetic by engine and threads, GMP beside it: blinding factors of encryptions, and products."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import gmpy2

from bench.measure import Work, on_threads, side_by_side
from bench.options import Tell
from bench.results import Case, Row, row
from secagg.kernels import _cpu, montgomery
from secagg.primitives.modular import Modulus

POWMOD = "gmpy2 powmod(r, n, n*n)"
GMP = "gmpy2 a * b % n"


def rows(bits: int, count: int, runs: int, _tell: Tell) -> list[Row]:
    """What the table of targets compares, in turns within one loop.

    Args:
        bits: of Paillier's n.
        count: encryptions, or products, of one run.
        runs: how many.
    """
    return _encryptions(bits, count, runs) + _products(2 * bits, 16 * count, runs)


def _names() -> list[str]:
    return [*montgomery.IMPLEMENTATIONS, montgomery.PORTABLE]


def _odd(bits: int) -> int:
    return int.from_bytes(os.urandom(bits // 8), "big") | 1 << (bits - 1) | 1


def _on(count: int, function: Callable[..., object], *arguments: Any) -> Work:
    def work() -> None:
        with on_threads(count):
            function(*arguments)

    return work


def _encryptions(bits: int, count: int, runs: int) -> list[Row]:
    """(h**n)**s mod n**2 with s of half n's bits, by windows, against r**n mod n**2."""
    n = _odd(bits)
    square = n * n
    base = int(gmpy2.powmod(_odd(bits - 8), n, square))
    exponents = [int.from_bytes(os.urandom(bits // 16), "big") for _ in range(count)]
    few = [_odd(bits - 8) for _ in range(max(1, count // 64))]
    works: dict[str, Work] = {POWMOD: lambda: [gmpy2.powmod(r, n, square) for r in few]}
    cases: dict[str, Case] = {POWMOD: {"by": POWMOD, "bits": bits, "threads": 1}}
    for name in _names():
        table = Modulus.square(n, name).fixed_base(base, bits // 2)
        for at_most in _threads(name):
            key = f"{name} {at_most}"
            works[key] = _on(at_most, table.powers, exponents)
            cases[key] = {"by": name, "bits": bits, "threads": at_most}
    times = side_by_side(works, runs)
    done = {key: float(len(few) if key == POWMOD else count) for key in works}
    return [row("Paillier encryption", cases[key], times[key], encryptions=done[key]) for key in works]


def _products(bits: int, count: int, runs: int) -> list[Row]:
    """The product of many values, so that each costs one product and its way into lanes."""
    n = _odd(bits)
    values = [_odd(bits) % n for _ in range(count)]
    data = b"".join(value.to_bytes(bits // 8) for value in values)
    numbers = [gmpy2.mpz(value) for value in values]
    modulus = gmpy2.mpz(n)
    works: dict[str, Work] = {GMP: lambda: [number * number % modulus for number in numbers]}
    for name in _names():
        works[name] = partial(_product, Modulus(n, name), data)
    times = side_by_side(works, runs)
    return [row("modular product", {"by": name, "bits": bits}, times[name], products=float(count)) for name in works]


def _product(modulus: Modulus, data: bytes) -> int:
    return modulus.read(data).product()


def _threads(name: str) -> tuple[int, ...]:
    """GMP's numbers need Python's lock, so a second thread is of no use to them."""
    return (1, 2) if _cpu.threads() > 1 and name != montgomery.PORTABLE else (1,)
