"""The holder of a fresh key hides something in n, and opens the sum as what it likes; its proof of decryption passes.

With a square factor p**2 in n, ciphertexts no longer decide their plaintexts: all that differ by multiples of n / p
are as true, and so is every proof of them. With a factor f of a few bits, plaintexts that are wrong modulo f alone pass
a batch of any length once in f times, and the holder may try until one does. Against the first the key comes with a
proof that n and phi(n) are coprime (Goldberg, Reyzin, Sagga and Baldimtsi, Asiacrypt 2019), against the second no
factor is below 2**15 and the proof of decryption has nine batches.
"""

from dataclasses import replace
from math import gcd

import gmpy2
import numpy as np
import pytest
from attacker import UPDATES, look_at_no_counter
from paillier_twins import BITS, N, keys_are_small, make_round

from secagg.errors import PeerMisbehaved
from secagg.primitives.paillier import PrivateKey, PublicKey, check_opening, key_proof, opening, prove_opening
from secagg.scheme import Answer
from secagg.testing import SeededEntropy
from secagg_protocols import PaillierSum
from secagg_protocols.paillier import server
from secagg_protocols.paillier.messages import Deal, Decrypted, deal_label, opening_label
from secagg_protocols.paillier.party import PaillierParty
from secagg_protocols.paillier.stages import Finished, Offered

__all__ = ["keys_are_small"]

TRUE = sum(UPDATES[i].astype(np.uint64) for i in range(N))
CHOSEN = 40_000
FORGER = 0


class SquareKey:
    """n = p**2 q, and all that its maker can do with it."""

    def __init__(self, p: int, q: int) -> None:
        n = p * p * q
        self.p, self.q = p, q
        self.public = PublicKey(n, pow(4, n, n))  # the order of h has no factor p: clients' plaintexts can be read

    def plaintext(self, ciphertext: int) -> int:
        n, order = self.public.n, (self.p - 1) * (self.q - 1)
        return (pow(ciphertext, order, n * n) - 1) // n * pow(order, -1, n) % n

    def root(self, x: int) -> int:
        """r with r**n = x mod n**2, and mod n; if x has none, as near as it goes."""
        p, q, n = self.p, self.q, self.public.n
        of_q = pow(x % q, pow(n, -1, q - 1), q)
        w = pow(x, p**3, p**4)  # of an order that divides p - 1; the rest of x is 1 + p**3 * k where there is a root
        k = (x * pow(w, -1, p**4) % p**4 - 1) // p**3
        of_p = pow(w, pow(n, -1, p - 1), p * p) * (1 + p * (k * pow(q, -1, p))) % (p * p)
        return of_q + q * ((of_p - of_q) * pow(q, -1, p * p) % (p * p))

    def proof_of_the_key(self, label: bytes) -> bytes:
        return self.public.write_roots([self.root(x) for x in key_proof._targets(self.public, label)])

    def proof_of_opening(self, ciphertexts: list[int], plaintexts: list[int], label: bytes) -> bytes:
        n = self.public.n
        roots = []
        for batch in opening._batches(self.public, ciphertexts, plaintexts, label):
            total = sum(e * m for e, m in zip(batch, plaintexts, strict=True)) % n
            x = self.public.modulus.multi_power(ciphertexts, batch) * pow(1 + total * n, -1, n * n) % (n * n)
            roots.append(self.root(x))
        return self.public.write_roots(roots)


def square_key() -> SquareKey:
    """Of BITS bits; the search is the same every time."""
    p = int(gmpy2.next_prime(3 << 106))
    q = int(gmpy2.next_prime((1 << BITS - 1) // (p * p)))
    while gcd(p * q, (p - 1) * (q - 1)) != 1:
        q = int(gmpy2.next_prime(q))
    return SquareKey(p, q)


class Forger(PaillierParty):
    """Deals the square key, and opens the upper slots of the one plaintext as CHOSEN, if its key is taken."""

    key: SquareKey

    def deal(self, ask, stage):
        proof = self.key.proof_of_the_key(deal_label(self.session.digest, self.me))
        return Answer(Offered(b""), Deal(self.key.public.to_bytes(), proof))

    def _key_for(self, ask, stage):
        return PublicKey.from_bytes(ask.key), b""

    def decrypt(self, ask, stage):
        key, slots = self.key.public, self.parameters.slots
        ciphertexts = key.read_ciphertexts(ask.ciphertexts, slots.plaintexts)
        (true,) = map(self.key.plaintext, ciphertexts)
        wanted, step = sum(CHOSEN << slots.ring.bits * i for i in range(slots.dim)), key.n // self.key.p
        plaintexts = [true + (wanted - true) // step * step]
        label = opening_label(self.session.digest, self.seat.context, ask.contributors)
        proof = self.key.proof_of_opening(ciphertexts, plaintexts, label)
        return Answer(Finished(), Decrypted(key.write_roots(plaintexts), proof))


def step(name):
    return lambda party, *asked: getattr(party, name)(*asked)


class Dealt(PaillierSum):
    """Whose first candidate is the forger: its steps are its own, and everybody else's are ours."""

    def __init__(self, *args):
        super().__init__(*args)
        self.phases = tuple(replace(phase, answer=step(phase.answer.__name__)) for phase in self.phases)

    def party(self, session, seat, saved=None):
        made = super().party(session, seat, saved)
        if seat.party == FORGER:
            made.__class__ = Forger
            made.key = square_key()
        return made


def test_a_key_with_a_square_factor_opens_as_its_holder_likes_unless_it_is_proved(monkeypatch):
    monkeypatch.setattr(server, "check_key", lambda key, proof, label: None)
    look_at_no_counter(monkeypatch)
    out = make_round(Dealt(BITS)).run()
    assert not out.misbehaved
    assert out.contributors == frozenset(range(N))
    np.testing.assert_array_equal(out.ring_sum[8:], CHOSEN)  # slots above the bits of n / p


def test_with_the_proof_its_dealer_is_named_and_the_next_candidate_s_key_is_taken():
    round_ = make_round(Dealt(BITS))
    out = round_.run()
    assert "proof of the key fails" in out.misbehaved[FORGER]
    assert out.lost == {FORGER: "deal"}
    assert out.contributors == frozenset(range(N))  # it gives its own vector as others do
    np.testing.assert_array_equal(out.ring_sum, TRUE)


class TestAFactorOfSixteenBits:
    """n = f q: no proof of the key is against it, for there are plaintexts of one sense each."""

    F = 32771  # the least prime above 2**15
    PLAINTEXTS = (1, 2, 3)

    @pytest.fixture
    def key(self):
        q = int(gmpy2.next_prime((1 << BITS - 1) // self.F))
        while gcd(self.F * q, (self.F - 1) * (q - 1)) != 1:
            q = int(gmpy2.next_prime(q))
        return PrivateKey(self.F, q, 4)

    def forged(self, key):
        """Wrong modulo f alone, and tried until the first batch does not show it."""
        ciphertexts = key.public.encrypt(self.PLAINTEXTS, SeededEntropy(1))
        step = key.public.n // self.F
        for k in range(1, self.F):
            for other in range(1, self.F):
                errors = (k * step, other * step, 0)
                claimed = [m + error for m, error in zip(self.PLAINTEXTS, errors, strict=True)]
                batch = opening._batches(key.public, ciphertexts, claimed, b"round")[0]
                if (batch[0] * k + batch[1] * other) % self.F == 0:
                    return ciphertexts, claimed
        raise AssertionError

    def test_one_batch_is_passed_after_some_tries_and_nine_are_not(self, key, monkeypatch):
        ciphertexts, claimed = self.forged(key)
        proof = prove_opening(key, ciphertexts, claimed, b"round")
        with pytest.raises(PeerMisbehaved, match="proof of decryption fails"):
            check_opening(key.public, ciphertexts, claimed, proof, b"round")
        every = opening._batches
        monkeypatch.setattr(opening, "_batches", lambda *args: every(*args)[:1] * opening.ROUNDS)
        proof = prove_opening(key, ciphertexts, claimed, b"round")
        check_opening(key.public, ciphertexts, claimed, proof, b"round")
