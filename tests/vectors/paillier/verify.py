"""Reads known_answers.json and whole rounds with Python's integers: no code of secagg, no gmpy2, no phe.

python verify.py known_answers.json dealt.json fresh.json

Every message of a round is computed from the secrets in the file, or opened with them. Raises at the first difference.
"""

import hashlib
import json
import random
import struct
import sys
from functools import cache
from itertools import combinations
from math import factorial, gcd
from pathlib import Path

import msgspec

SIZE = 2048 // 8
"""Bytes of a number mod n; one mod n squared has twice as many."""
ROOTS = 9


powmod = cache(pow)
"""Remembered: of a round with one message changed, most are the same."""


def number(text):
    return int(text, 16)


@cache
def is_prime(n, rounds=8):
    """Miller and Rabin."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(rounds):
        x = powmod(random.randrange(2, n - 1), odd, n)
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
    for value, exponent in zip(values, powers, strict=True):
        total = total * powmod(value, exponent, modulus) % modulus
    return total


def verify(known):
    p, q, n, h, base = (number(known[name]) for name in ("p", "q", "n", "h", "base"))
    halves = (p - 1) // 2, (q - 1) // 2
    assert all(map(is_prime, (p, q, *halves))), "safe primes"
    assert n == p * q
    assert n.bit_length() == 2048
    n2, m, threshold = n * n, len(known["shares"]), known["threshold"]
    delta = factorial(m)
    assert powmod(-h, (p - 1) // 2, p) == powmod(-h, (q - 1) // 2, q) == 1, "h is minus a square"
    shares = [number(share) for share in known["shares"]]
    verifiers = [number(verifier) for verifier in known["verifiers"]]
    assert [powmod(base, delta * share, n2) for share in shares] == verifiers
    assert powmod(base, n * halves[0] * halves[1], n2) == 1, "v is a square"
    plaintexts, exponents, ciphertexts = (
        [number(text) for text in known[name]] for name in ("plaintexts", "exponents", "ciphertexts")
    )
    blind = powmod(h, n, n2)
    assert [(1 + n * x) * powmod(blind, s, n2) % n2 for x, s in zip(plaintexts, exponents, strict=True)] == ciphertexts
    whole = (p - 1) * (q - 1)
    for x, c in zip(plaintexts, ciphertexts, strict=True):
        assert gcd(c, n) == 1
        assert (powmod(c, whole, n2) - 1) // n * powmod(whole, -1, n) % n == x, "Paillier 1999"
    partials = [[number(text) for text in row] for row in known["partials"]]
    for share, row in zip(shares, partials, strict=True):
        assert [powmod(c, 2 * delta * share, n2) for c in ciphertexts] == row
    label, proofs = bytes.fromhex(known["label"]), [bytes.fromhex(proof) for proof in known["proofs"]]
    for holder in range(1, m + 1):
        verify_proof(proofs[holder - 1], label, holder, n, h, base, verifiers, ciphertexts, partials[holder - 1])
    for chosen in combinations(range(1, m + 1), threshold):
        assert combined(chosen, partials, n, delta) == plaintexts, chosen


def written(numbers, size=2 * SIZE):
    return b"".join(value.to_bytes(size, "big") for value in numbers)


def digest_of(statement, n, h, *rows):
    hashed = hashlib.sha256(len(statement).to_bytes(8, "big") + statement + written((n, h), SIZE))
    for row in rows:
        hashed.update(len(row).to_bytes(8, "big") + written(row))
    return hashed.digest()


def verify_proof(proof, label, holder, n, h, base, verifiers, ciphertexts, partials):
    """That a holder's partial decryptions have the logarithm of its verification value."""
    n2, verifier = n * n, verifiers[holder - 1]
    digest = digest_of(b"partial" + holder.to_bytes(2, "big") + label, n, h, (base, verifier), ciphertexts, partials)
    powers = coefficients(digest, len(ciphertexts))
    c4, p2 = powmod(product(ciphertexts, powers, n2), 4, n2), powmod(product(partials, powers, n2), 2, n2)
    challenge, answer = int.from_bytes(proof[:16], "big"), int.from_bytes(proof[16:], "big")
    commitments = [
        powmod(element, answer, n2) * powmod(image, -challenge, n2) % n2
        for element, image in ((c4, p2), (base, verifier))
    ]
    told = written((c4, p2, *commitments))
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
            power = power * powmod(partials[i - 1][place], 2 * weight, n2) % n2
        plaintexts.append((power - 1) // n * powmod(4 * delta * delta, -1, n) % n)
    return plaintexts


def same(found, expected, what):
    if found != expected:
        raise ValueError(what)


def read(data, count, size=2 * SIZE):
    """Numbers of equal size."""
    same(len(data), count * size, f"{count} numbers of {size} bytes")
    return [int.from_bytes(data[i : i + size], "big") for i in range(0, len(data), size)]


class Round:
    """One file: its session and its messages, decoded."""

    def __init__(self, document):
        self.document, session = document, bytes.fromhex(document["session"])
        version, _, parties, encoding, context, *_ = msgspec.msgpack.decode(session)
        layout, self.bits, _, weights, _, inputs = encoding
        same((version, weights), (4, None), "the session's version, and no weights")
        self.n, self.dim = len(parties), layout[0][1][0] + 2  # and counts of clipped entries and abstentions
        same(inputs, self.n - len(document["helpers"]), "all but the helpers give a vector")
        self.ring = (inputs * (2**self.bits - 1)).bit_length()
        self.each = (8 * SIZE - 1) // self.ring
        self.plaintexts = -(-self.dim // self.each)
        self.digest = hashlib.sha256(session).digest()
        name, version, _ = document["scheme"].split("/", 2)
        same((name, version), ("paillier-sum", "1"), "protocol")
        scheme = hashlib.sha256(document["scheme"].encode()).digest()
        self.tag = hashlib.sha256(b"secagg/tag/1" + scheme + self.digest).digest()[:16]
        self.context = hashlib.sha256(b"secagg/paillier/context/1" + context).digest()
        self.asks, self.replies = {}, {}
        for place, phase in enumerate(document["phases"]):
            checksums = {}
            self.asks[phase["name"]] = {
                int(i): self.message(bytes.fromhex(data), 0, place, int(i), checksums)
                for i, data in phase["asks"].items()
            }
            self.replies[phase["name"]] = {
                int(i): self.message(bytes.fromhex(data), 1, place, int(i), checksums)
                for i, data in phase["replies"].items()
            }

    def message(self, data, direction, place, party, checksums):
        """The message in a frame whose every field is right; notes the checksum of an ask, which its reply answers."""
        answers = checksums[party] if direction else bytes(16)
        header = struct.pack("<4sBBBBI", b"SAGG", 3, direction, place, 0, party) + self.tag + answers
        same(data[:44], header, "frame header")
        checksum = hashlib.sha256(header + data[60:]).digest()[:16]
        same(data[44:60], checksum, "frame checksum")
        checksums[party] = checksum
        found = msgspec.msgpack.decode(data[60:])
        same(msgspec.msgpack.encode(found), data[60:], "canonical encoding")
        return found

    def unpacked(self, plaintexts):
        """The entries in them."""
        entries = []
        for plaintext in plaintexts:
            count = min(self.each, self.dim - len(entries))
            same(plaintext >> (count * self.ring), 0, "a plaintext that leaves its slots")
            entries += [plaintext >> (i * self.ring) & (2**self.ring - 1) for i in range(count)]
        return entries


def verify_round(document, known):
    """`known` is known_answers.json, whose key a round without keys of its own uses."""
    r = Round(document)
    clients = [i for i in range(r.n) if i not in document["helpers"]]
    if document["keys"]:
        holder, p, q, n, h = verify_deals(document, r)
        ask, holders = [holder, written((n, h), SIZE)], {holder: 1}
    else:
        p, q, n, h = (number(known[name]) for name in ("p", "q", "n", "h"))
        ask, holders = [r.n, b""], {int(i): number for i, number in document["holders"].items()}
    same(r.asks["encrypted"], dict.fromkeys(clients, ask), "who is asked to encrypt, and under which key")
    total = verify_ciphertexts(document, r, p, q, n, h)
    contributors = sorted(r.replies["encrypted"])
    same(document["contributors"], contributors, "who contributed")
    chosen = sum(1 << i for i in contributors).to_bytes((r.n + 7) // 8, "little")
    asked = [i for i in holders if i in contributors or i in document["helpers"]]
    decrypt = [r.context, chosen, written(total)]
    same(r.asks["decrypt"], dict.fromkeys(asked, decrypt), "the product of the ciphertexts, to those who open it")
    label = r.digest + r.context + chosen
    plaintexts = opened(p, q, total)
    for i, (values, proof) in r.replies["decrypt"].items():
        if document["keys"]:
            same(read(values, r.plaintexts, SIZE), plaintexts, "the plaintexts")
            verify_opening(n, h, proof, label, total, plaintexts)
        else:
            verify_partial(known, holders[i], total, values, proof, label)
    same(len(r.replies["decrypt"]) >= (1 if document["keys"] else known["threshold"]), True, "enough holders")
    entries = r.unpacked(plaintexts)
    same(document["ring_sum"], entries[:-2], "the sum as it is opened")
    updates = [read_update(document["updates"][str(i)]) for i in contributors]
    same(entries, [*(sum(column) for column in zip(*updates, strict=True)), 0, 0], "the sum of the updates")


def read_update(text):
    data = bytes.fromhex(text)
    return struct.unpack(f"<{len(data) // 4}I", data)


def opened(p, q, ciphertexts):
    """Paillier 1999, with the factors."""
    n, whole = p * q, (p - 1) * (q - 1)
    return [(powmod(c, whole, n * n) - 1) // n * powmod(whole, -1, n) % n for c in ciphertexts]


def verify_deals(document, r):
    """Goldberg et al. 2019, 3.2, of each fresh key; the first of those that were dealt is the round's."""
    same(r.asks["deal"], {i: [] for i in range(min(r.n, 3))}, "candidates")
    same(set(map(str, r.replies["deal"])), set(document["keys"]), "who dealt")
    for i, (key, proof) in r.replies["deal"].items():
        p, q, h = (number(document["keys"][str(i)][name]) for name in ("p", "q", "h"))
        n = p * q
        same((is_prime(p), is_prime(q), n.bit_length()), (True, True, 8 * SIZE), f"factors of {i}")
        same((p % 4, q % 4, gcd(p - 1, q - 1)), (3, 3, 2), f"factors of {i}")
        same([powmod(-h, (f - 1) // 2, f) for f in (p, q)], [1, 1], f"h of {i} is minus a square")
        same(key, written((n, h), SIZE), f"key of {i}")
        label = r.digest + i.to_bytes(4, "big")
        statement = b"secagg/paillier/key-proof/1" + len(label).to_bytes(8, "big") + label + key
        stream = hashlib.shake_256(statement).digest(ROOTS * (SIZE + 16))
        targets = [int.from_bytes(stream[j : j + SIZE + 16], "big") % n for j in range(0, len(stream), SIZE + 16)]
        roots = read(proof, ROOTS, SIZE)
        same([root < n for root in roots], [True] * ROOTS, "roots below n")
        same([powmod(root, n, n) for root in roots], targets, f"proof of the key of {i}")
    holder = min(r.replies["deal"])
    p, q, h = (number(document["keys"][str(holder)][name]) for name in ("p", "q", "h"))
    return holder, p, q, p * q, h


def verify_ciphertexts(document, r, p, q, n, h):
    """Each client's vector, opened; the product of all."""
    total = [1] * r.plaintexts
    under = hashlib.sha256(b"secagg/paillier/key/1" + written((n, h), SIZE)).digest()
    for i, (context, key, data, least) in r.replies["encrypted"].items():
        same((context, key, least), (r.context, under, document["least"]), f"what {i} says of its ciphertexts")
        ciphertexts = read(data, r.plaintexts)
        same([c < n * n and gcd(c, n) == 1 for c in ciphertexts], [True] * r.plaintexts, f"ciphertexts of {i}")
        entries = r.unpacked(opened(p, q, ciphertexts))
        same(entries, [*read_update(document["updates"][str(i)]), 0, 0], f"update of {i}")
        total = [a * c % (n * n) for a, c in zip(total, ciphertexts, strict=True)]
    return total


def verify_opening(n, h, proof, label, ciphertexts, plaintexts):
    """A single holder's n-th roots of nine products, with the plaintexts taken off."""
    digest = digest_of(b"opening" + label, n, h, ciphertexts, plaintexts)
    count, roots = len(ciphertexts), read(proof, ROOTS, SIZE)
    stream = hashlib.shake_256(b"secagg/paillier/opening/1" + digest).digest(2 * ROOTS * count)
    for batch, root in enumerate(roots):
        powers = struct.unpack_from(f">{count}H", stream, 2 * count * batch)
        told = sum(power * plaintext for power, plaintext in zip(powers, plaintexts, strict=True))
        same(root < n, True, "roots below n")
        same(
            product(ciphertexts, powers, n * n),
            (1 + told * n) * powmod(root, n, n * n) % (n * n),
            "proof of the opening",
        )


def verify_partial(known, holder, ciphertexts, values, proof, label):
    """One holder's partial decryptions, as its share gives them, and their proof."""
    n, h, base = (number(known[name]) for name in ("n", "h", "base"))
    power = 2 * factorial(len(known["shares"])) * number(known["shares"][holder - 1])
    partials = read(values, len(ciphertexts))
    same(partials, [powmod(c, power, n * n) for c in ciphertexts], f"partial decryptions of holder {holder}")
    bits = 2 * 8 * SIZE + 256 + factorial(len(known["shares"])).bit_length()
    same(len(proof), 16 + bits // 8 + 1, "size of the proof")
    verifiers = [number(verifier) for verifier in known["verifiers"]]
    verify_proof(proof, label, holder, n, h, base, verifiers, ciphertexts, partials)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        found = json.loads(path.read_text("utf-8"))
        if "phases" in found:
            verify_round(found, json.loads((path.parent / "known_answers.json").read_text("utf-8")))
        else:
            verify(found)
        sys.stdout.write(f"{path}: as the protocol says\n")
