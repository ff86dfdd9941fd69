"""Checks the vectors of whole rounds from the protocol's description alone: `python verify.py FILE...`.

Shares no code with the engine and knows no SEAL: hashlib, hmac, the primitives of `cryptography`, MessagePack of
`msgspec` and Python's integers. Seeds are expanded by a BLAKE2Xb of its own, polynomials multiplied term by term. Every
message is computed from the secrets in the file, or opened with them. Raises `Mismatch` at the first difference.
"""

import hashlib
import hmac
import json
import struct
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

LABEL = b"secagg/ckks/1/"
N = 4096
NOISE = 21


class Mismatch(Exception):
    """What the file says is not what the protocol says."""


def same(found: Any, expected: Any, what: str) -> None:
    if found != expected:
        raise Mismatch(what)


# Primitives.


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def hkdf(secret: bytes, info: bytes, salt: bytes) -> bytes:
    """RFC 5869 with SHA-256, 32 bytes."""
    return hmac.digest(hmac.digest(salt, secret, "sha256"), info + b"\x01", "sha256")


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def exchange(private: bytes, peer: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(peer))


def is_prime(n: int) -> bool:
    """Miller and Rabin with the bases that decide below 2**64."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        powers = [pow(base, odd << k, n) for k in range(twos)]
        if n % base and powers[0] != 1 and n - 1 not in powers:
            return False
    return True


# BLAKE2Xb, the extendable-output BLAKE2b: SEAL's generator.

WORD = 2**64 - 1
IV = struct.unpack("<8Q", bytes.fromhex(
    "08c9bcf367e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5"
    "d182e6ad7f520e511f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b"
))  # fmt: skip
SIGMA = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
]
COLUMNS = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
DIAGONALS = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]


def blake2b(parameters: bytes, data: bytes) -> bytes:
    """RFC 7693 with a parameter block of 64 bytes; `data` is whole blocks, or one that is padded here."""
    state = [iv ^ word for iv, word in zip(IV, struct.unpack("<8Q", parameters), strict=True)]
    for start in range(0, len(data), 128):
        block = data[start : start + 128]
        words = struct.unpack("<16Q", block.ljust(128, b"\0"))
        v = [*state, *IV]
        v[12] ^= start + len(block)
        if start + 128 >= len(data):
            v[14] ^= WORD
        for rows in (*SIGMA, *SIGMA[:2]):
            for at, (a, b, c, d) in enumerate(COLUMNS + DIAGONALS):
                for word, turn, other in ((words[rows[2 * at]], 32, 24), (words[rows[2 * at + 1]], 16, 63)):
                    v[a] = (v[a] + v[b] + word) & WORD
                    v[d] = turned(v[d] ^ v[a], turn)
                    v[c] = (v[c] + v[d]) & WORD
                    v[b] = turned(v[b] ^ v[c], other)
        state = [h ^ low ^ high for h, low, high in zip(state, v[:8], v[8:], strict=True)]
    return struct.pack("<8Q", *state)


def turned(word: int, by: int) -> int:
    return (word >> by | word << (64 - by)) & WORD


def blake2xb(key: bytes, data: bytes, size: int) -> bytes:
    """`size` bytes, a multiple of 64, of a key of 64 bytes and data of up to 128."""
    tree = struct.Struct("<BBBBIIIBB46x")
    root = blake2b(tree.pack(64, 64, 1, 1, 0, 0, size, 0, 0), key.ljust(128, b"\0") + data)
    blocks = (blake2b(tree.pack(64, 0, 0, 0, 64, at, size, 0, 64), root) for at in range(size // 64))
    return b"".join(blocks)


@cache
def uniform(seed: bytes, q: int) -> tuple[int, ...]:
    """N residues that a ciphertext's seed stands for, in SEAL's transformed order."""
    refills = 8 * N // 4096
    stream = b"".join(blake2xb(seed, struct.pack("<Q", at), 4096) for at in range(refills + 1))
    words = [word for (word,) in struct.iter_unpack("<Q", stream)]
    found, later, most = words[:N], iter(words[N:]), WORD - WORD % q - 1
    for at in range(N):
        while found[at] >= most:
            found[at] = next(later)
    return tuple(word % q for word in found)


# Polynomials mod x^N + 1 and q.


@cache
def least_root(q: int) -> int:
    """The least primitive 2N-th root of one."""
    roots = (pow(base, (q - 1) // (2 * N), q) for base in range(2, q))
    some = next(root for root in roots if pow(root, N, q) == q - 1)
    powers, square = [some], some * some % q
    for _ in range(N - 1):
        powers.append(powers[-1] * square % q)
    return min(powers)


@cache
def coefficients(values: Sequence[int], q: int) -> list[int]:
    """Of the polynomial whose value at root^(2 r + 1) is values[i], r being i with its bits reversed."""
    width = N.bit_length() - 1
    ordered = [values[int(f"{k:0{width}b}"[::-1], 2)] for k in range(N)]
    return interpolated(ordered, least_root(q), q)


def interpolated(values: list[int], root: int, q: int) -> list[int]:
    """From the values at root^(2 k + 1): even and odd terms have half as many, at the squares."""
    if len(values) == 1:
        return values
    half, square = len(values) // 2, root * root % q
    two, step = pow(2, -1, q), pow(square, -1, q)
    below = two * pow(root, -1, q) % q
    evens, odds = [], []
    for a, b in zip(values[:half], values[half:], strict=True):
        evens.append((a + b) * two % q)
        odds.append((a - b) * below % q)
        below = below * step % q
    joined = zip(interpolated(evens, square, q), interpolated(odds, square, q), strict=True)
    return [term for pair in joined for term in pair]


def product(secret: list[int], other: list[int], terms: int, q: int) -> list[int]:
    """The first terms of the product of two polynomials, term by term."""
    found = []
    for k in range(terms):
        total = sum(s * other[k - i] if i <= k else -s * other[N + k - i] for i, s in enumerate(secret) if s)
        found.append(total % q)
    return found


def ternary(seed: bytes) -> list[int]:
    stream = hashlib.shake_256(b"secagg/ckks/ternary" + seed).digest(2 * N)
    digits = [byte // 3**place % 3 - 1 for byte in stream if byte < 243 for place in range(5)]
    return digits[:N]


# Encodings.


def bits(members: Any, count: int) -> bytes:
    """One bit each, little-endian in each byte."""
    return sum(1 << i for i in members).to_bytes((count + 7) // 8, "little")


def packed(entries: Sequence[int], width: int) -> bytes:
    """Entry e in bits e * width and up of one little-endian number."""
    total = sum(entry << (e * width) for e, entry in enumerate(entries))
    return total.to_bytes((len(entries) * width + 7) // 8, "little")


def unpacked(data: bytes, count: int, width: int) -> list[int]:
    total = int.from_bytes(data, "little")
    same(len(data), (count * width + 7) // 8, "size of packed numbers")
    same(total >> (count * width), 0, "padding")
    return [total >> (e * width) & (2**width - 1) for e in range(count)]


def rows(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


class Frame(NamedTuple):
    """Header fields and the message as a list."""

    direction: int
    phase: int
    party: int
    answers: bytes
    checksum: bytes
    message: list[Any]


def frame(data: bytes, tag: bytes) -> Frame:
    magic, version, direction, phase, zero, party, found, answers = struct.unpack_from("<4sBBBBI16s16s", data)
    same((magic, version, zero, found), (b"SAGG", 3, 0, tag), "frame header")
    same(data[44:60], sha256(data[:44], data[60:])[:16], "frame checksum")
    message = msgspec.msgpack.decode(data[60:])
    same(msgspec.msgpack.encode(message), data[60:], "canonical encoding")
    return Frame(direction, phase, party, answers, data[44:60], message)


# A round.


class Round:
    """What the file says, and what follows from it before the first message."""

    def __init__(self, document: dict[str, Any]) -> None:
        encoded = bytes.fromhex(document["session"])
        session = msgspec.msgpack.decode(encoded)
        same(msgspec.msgpack.encode(session), encoded, "canonical session")
        version, id_, parties, (layout, entry_bits, _, weights, _, inputs), context, _, _ = session
        same((version, weights), (4, None), "the session's version, and no weights")
        name, version, options = document["scheme"].split("/", 2)
        same((name, version), ("ckks", "1"), "protocol")
        self.quorum, self.designated = (json.loads(options)[name] for name in ("quorum", "holders"))
        told = {"holders": self.designated, "quorum": self.quorum}
        same(options, json.dumps(told, separators=(",", ":")), "options")
        self.n = len(parties)
        same(inputs, self.n, "all give a vector")
        self.start = int.from_bytes(id_, "little") % self.n
        self.clients = document["clients"]
        same(len(self.clients), self.n, "clients")
        (dim,) = layout[0][1]
        self.dim = dim + 2  # and how many entries were clipped, and who abstains: none of these
        self.ring = (inputs * (2**entry_bits - 1)).bit_length()
        self.q = modulus(self.n, self.ring)
        self.width, self.scale = self.q.bit_length(), self.q >> self.ring
        self.context = sha256(LABEL, b"context", context)
        self.parameters = sha256(f"secagg/ckks/{N}/{self.q}/{self.ring}".encode())
        digest = hashlib.sha256(encoded).digest()
        scheme = sha256(document["scheme"].encode())
        self.bound = sha256(LABEL, b"binding", digest, self.context, scheme, self.parameters)
        self.asks, self.replies = messages(document, sha256(b"secagg/tag/1", scheme, digest)[:16])

    def private(self, i: int) -> bytes:
        return bytes.fromhex(self.clients[i]["private"])

    def chosen(self, present: Any, start: int) -> list[int]:
        """The first few of those present, in a circle."""
        return sorted(present, key=lambda i: (i - start) % self.n)[: self.designated]

    def box_key(self, dealer: int, client: int, private: bytes, peer: bytes) -> bytes:
        """The key under which the dealer seals for the client, at either end."""
        keys = self.replies["keys"]
        ends = struct.pack("<II", dealer, client) + keys[dealer][0] + keys[client][0]
        return hkdf(exchange(private, peer), LABEL + b"seal from to" + ends, self.bound)

    def boxed(self, dealer: int, client: int, commitment: bytes) -> bytes:
        """Associated data of that box."""
        return self.bound + commitment + struct.pack("<II", dealer, client)


@cache
def modulus(n: int, ring: int) -> int:
    """The largest prime = 1 mod 2N of as few bits as will do, from 20 on."""
    least = 2 * NOISE * n + 1
    for width in range(20, 61):
        candidate = 2**width - 2 * N + 1
        while not is_prime(candidate):
            candidate -= 2 * N
        if candidate >> ring >= least:
            return candidate
    raise Mismatch("no modulus")


Messages = dict[str, dict[int, list[Any]]]


def messages(document: dict[str, Any], tag: bytes) -> tuple[Messages, Messages]:
    """Asks and replies of each phase, in the order in which they came, their frames checked."""
    asks: Messages = {}
    replies: Messages = {}
    same([told["name"] for told in document["phases"]], ["keys", "deal", "encrypted", "decrypt"], "phases")
    for phase, told in enumerate(document["phases"]):
        sent = {int(i): frame(bytes.fromhex(data), tag) for i, data in told["asks"].items()}
        came = {int(i): frame(bytes.fromhex(data), tag) for i, data in told["replies"].items()}
        for i, ask in sent.items():
            same((ask.direction, ask.phase, ask.party, ask.answers), (0, phase, i, bytes(16)), "ask")
        for i, reply in came.items():
            same((reply.direction, reply.phase, reply.party), (1, phase, i), "reply")
            same(reply.answers, sent[i].checksum, "the ask that a reply answers")
        asks[told["name"]] = {i: ask.message for i, ask in sent.items()}
        replies[told["name"]] = {i: reply.message for i, reply in came.items()}
    return asks, replies


def verify(document: dict[str, Any]) -> None:
    """Raise Mismatch unless the round is what the protocol says."""
    r = Round(document)
    check_keys(r)
    dealer = check_deal(r)
    secret = ternary(check_boxes(r, dealer))
    check_encrypted(r, secret)
    check_decrypt(r, secret, dealer)
    contributors = sorted(r.replies["encrypted"])
    same(document["contributors"], contributors, "contributors")
    expected = [sum(r.clients[i]["update"][e] for i in contributors) for e in range(r.dim - 2)]
    same(document["ring_sum"], expected, "sum")


def check_keys(r: Round) -> None:
    same(list(r.asks["keys"]), list(range(r.n)), "who is asked for keys")
    for i, ask in r.asks["keys"].items():
        same(ask, [], f"ask for {i}'s key")
    for i, reply in r.replies["keys"].items():
        same(reply, [public(r.private(i)), r.context, 3], f"key of {i}")


def check_deal(r: Round) -> int:
    """Whose deal came first. Any three or more who sent keys are as many as these clients ask for."""
    keys = r.replies["keys"]
    same(set(r.asks["deal"]), set(r.chosen(keys, r.start)), "who is asked to deal")
    listed = [bits(keys, r.n), b"".join(keys[i][0] for i in sorted(keys))]
    for i, ask in r.asks["deal"].items():
        same(ask, listed, f"clients that {i} deals for")
    for dealer, (commitment, sealed) in r.replies["deal"].items():
        seeds = set()
        for client, box in zip(sorted(keys), rows(sealed, 48), strict=True):
            key = r.box_key(dealer, client, r.private(dealer), keys[client][0])
            seeds.add(AESGCM(key).decrypt(bytes(12), box, r.boxed(dealer, client, commitment)))
        (seed,) = seeds
        same(commitment, sha256(LABEL, b"commitment", r.bound, seed), f"commitment of {dealer}")
    return next(iter(r.replies["deal"]))


def check_boxes(r: Round, dealer: int) -> bytes:
    """The seed of the secret key, as each client opens it."""
    keys, (commitment, sealed) = r.replies["keys"], r.replies["deal"][dealer]
    same(set(r.asks["encrypted"]), set(keys), "who is asked to encrypt")
    holders, seeds = r.chosen(keys, dealer), set()
    for client, box in zip(sorted(keys), rows(sealed, 48), strict=True):
        shown = [r.context, r.parameters, dealer, keys[dealer][0], commitment, box, client in holders]
        same(r.asks["encrypted"][client], shown, f"what {client} is asked to encrypt")
        key = r.box_key(dealer, client, r.private(client), keys[dealer][0])
        seeds.add(AESGCM(key).decrypt(bytes(12), box, r.boxed(dealer, client, commitment)))
    (seed,) = seeds
    return seed


def check_encrypted(r: Round, secret: list[int]) -> None:
    """Each ciphertext holds its client's entries times the scale, and noise of at most 21."""
    for i, (body, seeds) in r.replies["encrypted"].items():
        same(len(seeds), 64, f"seeds of {i}")
        half = product(secret, coefficients(uniform(seeds, r.q), r.q), r.dim, r.q)
        entries = [*r.clients[i]["update"], 0, 0]
        noise = []
        for coefficient, masked, entry in zip(unpacked(body, r.dim, r.width), half, entries, strict=True):
            same(coefficient < r.q, True, f"coefficient of {i} below the modulus")
            noise.append((coefficient + masked - r.scale * entry + r.q // 2) % r.q - r.q // 2)
        same(max(map(abs, noise)) <= NOISE, True, f"noise of {i}: {noise}")
        same(any(noise), True, f"some noise of {i}")


def check_decrypt(r: Round, secret: list[int], dealer: int) -> None:
    encrypted = r.replies["encrypted"]
    asked = [i for i in r.chosen(r.replies["keys"], dealer) if i in encrypted]
    same(list(r.asks["decrypt"]), sorted(asked), "who is asked to decrypt")
    bodies = [unpacked(body, r.dim, r.width) for body, _ in encrypted.values()]
    body = [sum(column) % r.q for column in zip(*bodies, strict=True)]
    halves = [uniform(seeds, r.q) for _, seeds in encrypted.values()]
    masks = tuple(sum(column) % r.q for column in zip(*halves, strict=True))
    expected = [bits(encrypted, r.n), packed(body, r.width), packed(masks, r.width)]
    noisy = product(secret, coefficients(masks, r.q), r.dim, r.q)
    opened = [((b + m) % r.q + r.scale // 2) % r.q // r.scale % 2**r.ring for b, m in zip(body, noisy, strict=True)]
    for i, ask in r.asks["decrypt"].items():
        same(ask, expected, f"what {i} is asked to decrypt")
    same(len(r.replies["decrypt"]) >= r.quorum, True, "as many holders as must agree")
    for i, reply in r.replies["decrypt"].items():
        same(reply, [packed(opened, r.ring)], f"sum that {i} opened")
    same(opened, [sum(r.clients[i]["update"][e] for i in encrypted) for e in range(r.dim - 2)] + [0, 0], "opened sum")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        verify(json.loads(Path(name).read_text(encoding="utf-8")))
        sys.stdout.write(f"{name}: as the protocol says\n")
