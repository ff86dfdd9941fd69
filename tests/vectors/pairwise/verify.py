"""Checks the vectors of whole rounds from the protocol's description alone: `python verify.py FILE...`.

Shares no code with the engine: hashlib, hmac, the primitives of `cryptography`, MessagePack of `msgspec` and Python's
integers. Every message is computed from the secrets in the file, or opened with them, and the sum is recovered as the
server does, from what it received. Raises `Mismatch` at the first difference.
"""

import hashlib
import hmac
import json
import struct
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

LABEL = b"secagg/pairwise/1/"
P = 2**61 - 1


class Mismatch(Exception):
    """What the file says is not what the protocol says."""


def same(found: Any, expected: Any, what: str) -> None:
    if found != expected:
        raise Mismatch(what)


# Primitives.


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def hkdf(secret: bytes, info: bytes, salt: bytes = b"") -> bytes:
    """RFC 5869 with SHA-256, 32 bytes."""
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def exchange(private: bytes, peer: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(peer))


def keystream(key: bytes, size: int) -> bytes:
    """AES-128-CTR from a counter of zero."""
    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(size))


def secret_of(shares: dict[int, bytes]) -> bytes:
    """Shamir over GF(2^61-1): {point: five little-endian uint64} to four limbs of 56 bits and one of 32."""
    limbs = []
    for limb in range(5):
        total = 0
        for x, share in shares.items():
            weight = 1
            for other in shares:
                if other != x:
                    weight = weight * other * pow(other - x, -1, P) % P
            total += weight * struct.unpack_from("<Q", share, 8 * limb)[0]
        limbs.append(total % P)
    if any(limb >> (56 if i < 4 else 32) for i, limb in enumerate(limbs)):
        raise Mismatch("shares of no 32-byte secret")
    return b"".join(limb.to_bytes(7, "little") for limb in limbs)[:32]


# Encodings.


def indices(data: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(data) // 4}I", data))


def bits(members: Any, count: int) -> bytes:
    """One bit each, little-endian in each byte."""
    return sum(1 << i for i in members).to_bytes((count + 7) // 8, "little")


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


# The graph.


def graph(advertisements: dict[int, bytes], degree: int) -> dict[int, list[int]]:
    """Harary's graph on the permutation that all advertisements seed: {index: neighbours, ascending}."""
    nodes = sorted(advertisements)
    m = len(nodes)
    if degree >= m - 1:
        return {i: [j for j in nodes if j != i] for i in nodes}
    seeded = b"".join(len(advertisements[i]).to_bytes(8, "little") + advertisements[i] for i in nodes)
    words = struct.unpack(f"<{m}Q", keystream(sha256(b"secagg pairwise graph v1", seeded)[:16], 8 * m))
    circle = sorted(range(m), key=lambda i: words[i])
    steps = [step for step in range(-degree // 2, degree // 2 + 1) if step]
    return {nodes[i]: sorted(nodes[circle[(at + step) % m]] for step in steps) for at, i in enumerate(circle)}


def core(alive: set[int], holders: dict[int, list[int]], threshold: int) -> set[int]:
    """Those who find `threshold` holders among each other."""
    left = set(alive)
    while short := {i for i in left if sum(j in left for j in holders[i]) < threshold}:
        left -= short
    return left


# A round.


class Round:
    """One file: its session, its secrets and its messages, decoded."""

    def __init__(self, document: dict[str, Any]) -> None:
        session = bytes.fromhex(document["session"])
        version, _, parties, encoding, context, self.run, self.number = msgspec.msgpack.decode(session)
        layout, self.bits, _, weights, _, inputs = encoding
        same(version, 4, "the session's version")
        self.parties = parties
        same(weights, None, "these vectors have no weights")
        self.n = len(parties)
        same(inputs, self.n, "all give a vector")
        self.entries = layout[0][1][0]
        self.dim = self.entries + 2  # and counts of clipped entries and of who abstains: none
        self.ring = (inputs * (2**self.bits - 1)).bit_length()
        self.lane = 2 if self.ring <= 16 else 4 if self.ring <= 32 else 8
        self.digest = sha256(session)
        self.complete, self.degree, self.threshold = (
            document["parameters"][name] for name in ("complete", "degree", "threshold")
        )
        same(not self.complete or self.degree == self.n - 1, True, "the complete graph's degree")
        self.active = document["roster"] is not None
        roster = self._roster(document["roster"], parties) if self.active else b""
        name, version, _ = document["scheme"].split("/", 2)
        mode = "signed" if self.active else "unsigned"
        self.purpose = sha256(b"secagg/purpose/2", f"{name}/{version}/{mode}".encode(), b"\0", roster)
        self.context = sha256(LABEL, b"context", context)
        scheme = sha256(document["scheme"].encode())
        self.bound = sha256(LABEL, b"binding", self.digest, self.context, scheme, roster)
        self.tag = sha256(b"secagg/tag/1", scheme, self.digest)[:16]
        self.clients = [
            {name: bytes.fromhex(value) for name, value in client.items() if name != "update"}
            for client in document["clients"]
        ]
        self.updates = [client.get("update") for client in document["clients"]]
        self.asks, self.replies = {}, {}
        self.prepared = {int(i): bytes.fromhex(data) for i, data in document["prepared"].items()}
        for place, phase in enumerate(document["phases"]):
            self._read(place, phase)

    @staticmethod
    def _roster(roster: list[list[Any]], parties: list[Any]) -> bytes:
        same([party for party, _ in roster], list(parties), "the roster's parties")
        pairs = sorted(msgspec.msgpack.encode([party, bytes.fromhex(key)]) for party, key in roster)
        return sha256(b"secagg/roster/1", *pairs)

    def _read(self, place: int, phase: dict[str, Any]) -> None:
        name, tag = phase["name"], self.tag
        asks = {int(i): frame(bytes.fromhex(data), tag) for i, data in phase["asks"].items()}
        replies = {int(i): frame(bytes.fromhex(data), tag) for i, data in phase["replies"].items()}
        for i, ask in asks.items():
            same(ask[:4], (0, place, i, bytes(16)), f"header of the ask of {name} to {i}")
        for i, reply in replies.items():
            same(reply[:4], (1, place, i, asks[i].checksum), f"header of the reply of {i} to {name}")
        self.asks[name] = {i: ask.message for i, ask in asks.items()}
        self.replies[name] = {i: reply.message for i, reply in replies.items()}

    def slot(self, i: int) -> list[Any]:
        """What client i prepares for."""
        return [self.purpose, self.run, self.number, self.parties[i]]

    def sign(self, i: int, *statement: bytes) -> bytes:
        """Client i's signature in active mode, nothing in passive mode."""
        if not self.active:
            return b""
        return Ed25519PrivateKey.from_private_bytes(self.clients[i]["identity"]).sign(b"".join(statement))

    def pair(self, purpose: bytes, name: str, i: int, j: int) -> bytes:
        """What clients i and j share, computed by i."""
        a, b = sorted((i, j))
        info = (
            LABEL + purpose + struct.pack("<II", a, b) + public(self.clients[a][name]) + public(self.clients[b][name])
        )
        return hkdf(exchange(self.clients[i][name], public(self.clients[j][name])), info, self.bound)

    def stream(self, key: bytes) -> list[int]:
        """A mask: `dim` little-endian lanes."""
        data = keystream(key, self.lane * self.dim)
        return [int.from_bytes(row, "little") for row in rows(data, self.lane)]

    def self_mask(self, seed: bytes) -> list[int]:
        return self.stream(hkdf(seed, LABEL + b"self-mask stream", self.bound)[:16])


def verify(document: dict[str, Any]) -> None:
    """Raise Mismatch unless every message and the sum are the protocol's."""
    r = Round(document)
    same(set(r.asks["keys"]), set(range(r.n)) - set(r.prepared), "who is asked for keys")
    neighbours = check_keys(document, r)
    holders = {i: sorted([*near, i]) if r.complete else near for i, near in neighbours.items()}
    check_view(r, neighbours)
    sealed = check_shares(r, neighbours, holders)
    members = core(set(r.replies["shares"]), holders, r.threshold)
    check_masked(r, neighbours, holders, members)
    contributors = bits(r.replies["masked"], r.n)
    check_consistency(r, holders, contributors)
    check_unmask(r, holders, members, sealed)
    total = recovered(r, holders, members)
    same(document["contributors"], sorted(r.replies["masked"]), "who contributed")
    same(document["ring_sum"], total[: r.entries], "the sum as the server finds it")
    plain = [sum(r.updates[i][e] for i in document["contributors"]) for e in range(r.entries)]
    same(total, [*plain, 0, 0], "the sum of the updates")


def check_keys(document: dict[str, Any], r: Round) -> dict[int, list[int]]:
    """Bonawitz et al. 2017, Fig. 4, Round 0; then Bell et al. 2020's graph: {index: neighbours}."""
    for i, (_, key) in enumerate(document["roster"] or []):
        identity = Ed25519PrivateKey.from_private_bytes(r.clients[i]["identity"])
        same(key, identity.public_key().public_bytes_raw().hex(), f"{i}'s key on the roster")
    advertisements = {}
    for i, data in r.prepared.items():
        same(len(r.run), 16, "the run of a session with prepared keys")
        direction, phase, party, answers, _, (slot, reply) = frame(data, bytes(16))
        same((direction, phase, party, answers), (2, 0, 0, bytes(16)), f"header of what {i} prepared")
        same(slot, r.slot(i), f"what {i} prepared for")
        r.replies["keys"][i] = msgspec.msgpack.decode(reply)
        same(msgspec.msgpack.encode(r.replies["keys"][i]), reply, "canonical encoding")
    for i, (sealing, mask, signature, context) in r.replies["keys"].items():
        client = r.clients[i]
        same(sealing, public(client["sealing"]), f"sealing key of {i}")
        same(mask, public(client["mask"]), f"mask key of {i}")
        says = r.context if document["roster"] and i not in r.prepared else b""
        same(context, says, f"context that {i} signs")
        statement = (LABEL, b"advertisement", r.digest, context, struct.pack("<I", i), sealing, mask)
        if i in r.prepared:
            slot = sha256(b"secagg/slot/2", msgspec.msgpack.encode(r.slot(i)))
            statement = (LABEL, b"prepared advertisement", slot, sealing, mask)
        same(signature, r.sign(i, *statement), f"signature of {i}'s advertisement")
        advertisements[i] = sealing + mask + signature
    return graph(advertisements, r.degree)


def check_view(r: Round, neighbours: dict[int, list[int]]) -> None:
    """What each client is shown: its neighbours, in active mode all."""
    same(set(r.asks["shares"]), set(r.replies["keys"]), "who is asked for shares")
    for i, ask in r.asks["shares"].items():
        shown = sorted(r.replies["keys"]) if r.active else neighbours[i]
        told = [r.replies["keys"][j] for j in shown]
        keys = b"".join(sealing + mask for sealing, mask, *_ in told)
        ahead = [place for place, j in enumerate(shown) if j in r.prepared and r.active]
        expected = [
            struct.pack(f"<{len(shown)}I", *shown),
            keys,
            b"".join(signature for _, _, signature, _ in told),
            bits(ahead, len(shown)) if ahead else b"",
        ]
        same(ask, expected, f"advertisements shown to {i}")


def check_shares(
    r: Round, neighbours: dict[int, list[int]], holders: dict[int, list[int]]
) -> dict[tuple[int, int], bytes]:
    """Fig. 4, Round 1: {(dealer, holder): both shares with their salts}, as opened by the holder."""
    opened = {}
    for i, (context, commitment, boxes, hashes) in r.replies["shares"].items():
        client = r.clients[i]
        same(context, r.context, f"context of {i}")
        same(commitment, hkdf(client["seed"], LABEL + b"self-mask commitment", r.bound), f"commitment of {i}")
        same((len(boxes), len(hashes)), (128 * len(neighbours[i]), 64 * len(holders[i])), f"rows of {i}")
        published = dict(zip(holders[i], rows(hashes, 64), strict=True))
        for j, box in zip(neighbours[i], rows(boxes, 128), strict=True):
            ends = struct.pack("<II", i, j)
            key = hkdf(r.pair(b"sealing", "sealing", j, i), LABEL + b"seal from to" + ends)
            opened[i, j] = AESGCM(key).decrypt(bytes(12), box, r.bound + ends)
            same(published[j], hashes_of(r, i, j, opened[i, j]), f"hashes of {i}'s shares for {j}")
        check_polynomial(r, i, {j: opened[i, j] for j in neighbours[i]})
    return opened


def hashes_of(r: Round, dealer: int, holder: int, pair: bytes) -> bytes:
    ends = struct.pack("<II", dealer, holder)
    kinds = (b"share of seed", pair[:56]), (b"share of key ", pair[56:])
    return b"".join(sha256(LABEL, kind, r.bound, ends, share) for kind, share in kinds)


def check_polynomial(r: Round, dealer: int, pairs: dict[int, bytes]) -> None:
    """Each run of `threshold` shares opens both secrets."""
    among = list(pairs)
    for first in range(len(among) - r.threshold + 1):
        some = among[first : first + r.threshold]
        seed = secret_of({j + 1: pairs[j][:40] for j in some})
        key = secret_of({j + 1: pairs[j][56:96] for j in some})
        same((seed, key), (r.clients[dealer]["seed"], r.clients[dealer]["mask"]), f"secrets that {dealer} shared")


def check_masked(r: Round, neighbours: dict[int, list[int]], holders: dict[int, list[int]], members: set[int]) -> None:
    """Fig. 4, Round 2."""
    same(set(r.asks["masked"]), members, "who is asked for a vector")
    for i, (context, dealers, boxes, hashes) in r.asks["masked"].items():
        same(context, r.context, f"context of those who deal to {i}")
        expected = [j for j in neighbours[i] if j in members]
        same(indices(dealers), expected, f"dealers of {i}")
        sent = [r.replies["shares"][j] for j in expected]
        relayed = [rows(told[2], 128)[neighbours[j].index(i)] for j, told in zip(expected, sent, strict=True)]
        told_hashes = [rows(told[3], 64)[holders[j].index(i)] for j, told in zip(expected, sent, strict=True)]
        same((boxes, hashes), (b"".join(relayed), b"".join(told_hashes)), f"shares relayed to {i}")
    for i, (vector,) in r.replies["masked"].items():
        masked = [*r.updates[i], 0, 0]
        masks = [(1, r.self_mask(r.clients[i]["seed"]))]
        for j in members.intersection(neighbours[i]):
            masks += [(1 if i < j else -1, r.stream(r.pair(b"pairwise mask", "mask", i, j)[:16]))]
        summed = [sum(sign * mask[e] for sign, mask in masks) + masked[e] for e in range(r.dim)]
        same(vector, packed(r, summed), f"vector of {i}")


def packed(r: Round, vector: list[int]) -> bytes:
    """Entry e in bits e * ring and up of one little-endian number."""
    total = sum((entry % 2**r.ring) << (e * r.ring) for e, entry in enumerate(vector))
    return total.to_bytes((r.dim * r.ring + 7) // 8, "little")


def check_consistency(r: Round, holders: dict[int, list[int]], contributors: bytes) -> None:
    """Fig. 4, Round 3, and what of it is relayed in Round 4."""
    signatures: dict[int, bytes] = {}
    if r.active:
        same(set(r.asks["consistency"]), set(r.replies["masked"]), "who is asked to sign")
        shown = sorted(r.replies["keys"])
        told = [r.replies["keys"][j] for j in shown]
        listed = struct.pack(f"<{len(shown)}I", *shown)
        keys = b"".join(sealing + mask for sealing, mask, *_ in told)
        signed = b"".join(signature for _, _, signature, _ in told)
        view = sha256(LABEL, b"view", struct.pack("<Q", len(listed)), listed, keys, signed)
        for i, ask in r.asks["consistency"].items():
            same(ask, [contributors], f"contributors that {i} is asked to sign")
        for i, (signature,) in r.replies["consistency"].items():
            same(signature, r.sign(i, LABEL, b"contributors", r.bound, view, contributors), f"signature of {i}")
            signatures[i] = signature
    same(set(r.asks["unmask"]), set(signatures) if r.active else set(r.replies["masked"]), "who is asked to unmask")
    for i, ask in r.asks["unmask"].items():
        signers = [j for j in holders[i] if j in signatures][: r.threshold] if r.active else []
        expected = [contributors, struct.pack(f"<{len(signers)}I", *signers), b"".join(signatures[j] for j in signers)]
        same(ask, expected, f"what {i} is asked to unmask")


def check_unmask(
    r: Round, holders: dict[int, list[int]], members: set[int], sealed: dict[tuple[int, int], bytes]
) -> None:
    """Fig. 4, Round 4: of each dealer the seed's share if it contributed, the mask key's if not."""
    for i, (held, shares) in r.replies["unmask"].items():
        dealers = [j for j in holders[i] if j in members]
        same(held, bits(range(len(dealers)), len(dealers)), f"shares that {i} holds")
        for j, share in zip(dealers, rows(shares, 56), strict=True):
            contributed = j in r.replies["masked"]
            if j != i:
                same(share, sealed[j, i][:56] if contributed else sealed[j, i][56:], f"{i}'s share of {j}")
            kind = b"share of seed" if contributed else b"share of key "
            published = rows(r.replies["shares"][j][3], 64)[holders[j].index(i)]
            digest = sha256(LABEL, kind, r.bound, struct.pack("<II", j, i), share)
            same(digest, published[:32] if contributed else published[32:], f"hash of {i}'s share of {j}")


def recovered(r: Round, holders: dict[int, list[int]], members: set[int]) -> list[int]:
    """The sum, from the vectors and shares that the server received."""
    vectors = {i: int.from_bytes(vector, "little") for i, (vector,) in r.replies["masked"].items()}
    total = [sum(v >> (e * r.ring) & (2**r.ring - 1) for v in vectors.values()) for e in range(r.dim)]
    for i in members:
        exposed = [j for j in holders[i] if j in vectors and j != i]
        if i not in vectors and not exposed:
            continue
        shares = {}
        for j, (_, reply) in r.replies["unmask"].items():
            dealers = [d for d in holders[j] if d in members]
            if i in dealers and len(shares) < r.threshold:
                shares[j + 1] = rows(reply, 56)[dealers.index(i)][:40]
        same(len(shares), r.threshold, f"shares of {i}'s secret")
        secret = secret_of(shares)
        if i in vectors:
            total = [entry - mask for entry, mask in zip(total, r.self_mask(secret), strict=True)]
            continue
        same(secret, r.clients[i]["mask"], f"mask key of {i}, lost")
        for j in exposed:
            sign = 1 if j < i else -1
            mask = r.stream(r.pair(b"pairwise mask", "mask", i, j)[:16])
            total = [entry - sign * m for entry, m in zip(total, mask, strict=True)]
    return [entry % 2**r.ring for entry in total]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        verify(json.loads(Path(name).read_text(encoding="utf-8")))
        sys.stdout.write(f"{name}: as the protocol says\n")
