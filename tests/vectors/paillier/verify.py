"""Reads known_answers.json with Python's integers alone: no code of secagg, no gmpy2, no phe.

python verify.py known_answers.json
"""

import hashlib
import json
import random
import sys
from itertools import combinations
from math import factorial, gcd
from pathlib import Path


def number(text):
    return int(text, 16)


def is_prime(n, rounds=16):
    """Miller and Rabin."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(rounds):
        x = pow(random.randrange(2, n - 1), odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def coefficients(digest, count):
    stream = hashlib.shake_256(b"secagg/paillier/coefficients/1" + digest).digest(16 * count)
    return [int.from_bytes(stream[16 * i : 16 * i + 16], "big") for i in range(count)]


def product(values, powers, modulus):
    total = 1
    for value, power in zip(values, powers, strict=True):
        total = total * pow(value, power, modulus) % modulus
    return total


def verify(known):
    p, q, n, h, base = (number(known[name]) for name in ("p", "q", "n", "h", "base"))
    halves = (p - 1) // 2, (q - 1) // 2
    assert all(map(is_prime, (p, q, *halves))), "safe primes"
    assert n == p * q
    assert n.bit_length() == 2048
    n2, m, threshold = n * n, len(known["shares"]), known["threshold"]
    delta = factorial(m)
    assert pow(-h, (p - 1) // 2, p) == pow(-h, (q - 1) // 2, q) == 1, "h is minus a square"
    shares = [number(share) for share in known["shares"]]
    verifiers = [number(verifier) for verifier in known["verifiers"]]
    assert [pow(base, delta * share, n2) for share in shares] == verifiers
    assert pow(base, n * halves[0] * halves[1], n2) == 1, "v is a square"
    plaintexts, exponents, ciphertexts = (
        [number(text) for text in known[name]] for name in ("plaintexts", "exponents", "ciphertexts")
    )
    blind = pow(h, n, n2)
    assert [(1 + n * x) * pow(blind, s, n2) % n2 for x, s in zip(plaintexts, exponents, strict=True)] == ciphertexts
    whole = (p - 1) * (q - 1)
    for x, c in zip(plaintexts, ciphertexts, strict=True):
        assert gcd(c, n) == 1
        assert (pow(c, whole, n2) - 1) // n * pow(whole, -1, n) % n == x, "Paillier 1999"
    partials = [[number(text) for text in row] for row in known["partials"]]
    for share, row in zip(shares, partials, strict=True):
        assert [pow(c, 2 * delta * share, n2) for c in ciphertexts] == row
    for holder in range(1, m + 1):
        verify_proof(known, holder, n, h, base, verifiers[holder - 1], ciphertexts, partials[holder - 1])
    for chosen in combinations(range(1, m + 1), threshold):
        assert combined(chosen, partials, n, delta) == plaintexts, chosen


def verify_proof(known, holder, n, h, base, verifier, ciphertexts, partials):
    n2, size = n * n, 512
    label, proof = bytes.fromhex(known["label"]), bytes.fromhex(known["proofs"][holder - 1])
    statement = b"partial" + holder.to_bytes(2, "big") + label
    hashed = hashlib.sha256(
        len(statement).to_bytes(8, "big") + statement + n.to_bytes(256, "big") + h.to_bytes(256, "big")
    )
    for row in ((base, verifier), ciphertexts, partials):
        hashed.update(len(row).to_bytes(8, "big") + b"".join(value.to_bytes(size, "big") for value in row))
    digest = hashed.digest()
    powers = coefficients(digest, len(ciphertexts))
    c4, p2 = pow(product(ciphertexts, powers, n2), 4, n2), pow(product(partials, powers, n2), 2, n2)
    challenge, answer = int.from_bytes(proof[:16], "big"), int.from_bytes(proof[16:], "big")
    commitments = [
        pow(element, answer, n2) * pow(image, -challenge, n2) % n2 for element, image in ((c4, p2), (base, verifier))
    ]
    told = b"".join(value.to_bytes(size, "big") for value in (c4, p2, *commitments))
    again = hashlib.sha256(b"secagg/paillier/challenge/1" + digest + told).digest()[:16]
    assert int.from_bytes(again, "big") == challenge, f"proof of holder {holder}"


def combined(chosen, partials, n, delta):
    n2 = n * n
    plaintexts = []
    for place in range(len(partials[0])):
        power = 1
        for i in chosen:
            above = below = 1
            for j in chosen:
                if j != i:
                    above, below = above * -j, below * (i - j)
            weight = delta * above // below
            power = power * pow(partials[i - 1][place], 2 * weight, n2) % n2
        plaintexts.append((power - 1) // n * pow(4 * delta * delta, -1, n) % n)
    return plaintexts


if __name__ == "__main__":
    for path in sys.argv[1:]:
        verify(json.loads(Path(path).read_text("utf-8")))
        sys.stdout.write(f"{path}: as the protocol says\n")
