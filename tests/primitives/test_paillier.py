"""Paillier's cryptosystem: by hand, against phe, and what its laws say."""

import hashlib
import os
from itertools import combinations
from math import factorial, gcd

import gmpy2
import phe
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import ConfigError, OutOfRange, PeerMisbehaved, WireError
from secagg.primitives import key_sizes, paillier
from secagg.primitives.paillier import PrivateKey, PublicKey, opening, primes
from secagg.primitives.paillier.threshold import KeyShare, SharedKey, deal_factors
from secagg.testing import SeededEntropy, small_keys


@pytest.fixture(autouse=True)
def keys_are_small():
    with small_keys():
        yield


def small_key(bits=192, seed=1):
    with small_keys():
        return paillier.generate(bits, SeededEntropy(seed))


KEY = small_key()
STRONG = paillier.generate(2048, os.urandom)


class TestByHand:
    """p = 23, q = 31: n = 713, n**2 = 508369. Worked with pen and paper.

    h = -3**2 = 704 mod 713. mod 23**2 = 529 it is 175, and the exponent 713 is 207 mod phi(529) = 506; mod 31**2 = 961
    it is 704. 175**207 = 274 mod 529, 704**713 = 623 mod 961, and the Chinese remainder theorem joins them.
    """

    BASE = 297572
    """h**n mod n**2."""
    FIVE = 198551
    """(1 + 5 * 713) * BASE**3: BASE**2 = 366026, BASE**3 = 13884, 1 + 5 * 713 = 3566."""

    def key(self):
        return PrivateKey(23, 31, 704)

    def test_the_blinding_base(self):
        assert self.BASE % 529 == 274
        assert self.BASE % 961 == 623
        assert self.key().public.blinding_base == self.BASE

    def test_a_ciphertext(self):
        assert self.key().public.encrypt_with([5], [3]) == [self.FIVE]
        assert self.key().decrypt([self.FIVE]) == [5]

    def test_every_plaintext_comes_back(self):
        key, plaintexts = self.key(), list(range(713))
        exponents = [(7 * m + 3) % 32 for m in plaintexts]
        assert key.decrypt(key.public.encrypt_with(plaintexts, exponents)) == plaintexts

    def test_the_textbook_decrypts_ours(self):
        """Paillier 1999: m = L(c**lambda mod n**2) / lambda mod n with g = 1 + n; lambda = lcm(22, 30) = 330.

        FIVE**330 = 159713 = 1 + 713 * 224; 1 / 330 = 417 mod 713; 224 * 417 = 5 mod 713.
        """
        assert pow(self.FIVE, 330, 508_369) == 159713 == 1 + 713 * 224
        assert 330 * 417 % 713 == 1
        assert 224 * 417 % 713 == 5
        for m, c in enumerate(self.key().public.encrypt_with(range(713), [m % 32 for m in range(713)])):
            assert (pow(c, 330, 508_369) - 1) // 713 * 417 % 713 == m

    def test_sums_wrap_at_n(self):
        key = self.key()
        total = key.public.add(key.public.encrypt_with([700], [1]), key.public.encrypt_with([76], [2]))
        assert key.decrypt(total) == [63]

    @pytest.mark.parametrize("threshold", [1, 2, 3])
    def test_shares_of_a_key_of_two_safe_primes(self, threshold):
        """p = 2 * 23 + 1 = 47, q = 2 * 29 + 1 = 59: n = 2773, which has no factor in common with Delta = 3! = 6."""
        key, shares = deal_factors(47, 59, 3, threshold, SeededEntropy(threshold))
        plaintexts = [0, 1, 1386, 2772]
        ciphertexts = key.public.encrypt_with(plaintexts, [1, 2, 3, 4])
        for chosen in combinations(shares, threshold):
            partials = {
                share.holder: [pow(c, 2 * 6 * share.exponent, 2773**2) for c in ciphertexts] for share in chosen
            }
            assert key.combine(partials) == plaintexts


@given(st.lists(st.integers(0, KEY.public.n - 1), max_size=20), st.integers(0, 2**32))
def test_encrypted_is_decrypted(plaintexts, seed):
    assert KEY.decrypt(KEY.public.encrypt(plaintexts, SeededEntropy(seed))) == plaintexts


@given(st.lists(st.tuples(st.integers(0, KEY.public.n - 1), st.integers(0, KEY.public.n - 1)), max_size=12))
def test_products_of_ciphertexts_are_sums(pairs):
    lefts, rights = [left for left, _ in pairs], [right for _, right in pairs]
    encrypt = KEY.public.encrypt
    total = KEY.public.add(encrypt(lefts, os.urandom), encrypt(rights, os.urandom))
    assert KEY.decrypt(total) == [(left + right) % KEY.public.n for left, right in pairs]


@pytest.mark.parametrize("count", [1, 7, 8, 40])
def test_tables_and_single_powers_give_the_same_ciphertexts(count):
    """Few encryptions take no table; many make one; a table that was made for few is made anew."""
    public = PublicKey(KEY.public.n, KEY.public.h)
    drawn = SeededEntropy(3)
    exponents = [int.from_bytes(drawn(public.exponent_bytes)) for _ in range(count)]
    expected = [
        (1 + m * public.n) * pow(pow(public.h, public.n, public.n_squared), s, public.n_squared) % public.n_squared
        for m, s in enumerate(exponents)
    ]
    for _ in range(2):
        assert public.encrypt_with(range(count), exponents) == expected
    assert public.encrypt_with(list(range(count)) * 5, exponents * 5) == expected * 5


def test_zero_and_all_ones_as_exponents():
    public = KEY.public
    most = 2 ** (8 * public.exponent_bytes) - 1
    for count in (1, 20):
        blinds = public.encrypt_with([0] * count, [0] * count), public.encrypt_with([0] * count, [most] * count)
        assert blinds[0] == [1] * count
        assert blinds[1] == [pow(public.blinding_base, most, public.n_squared)] * count


def test_two_encryptions_differ():
    assert len(set(STRONG.public.encrypt([7] * 30, os.urandom))) == 30


@pytest.mark.parametrize("plaintext", [-1, KEY.public.n])
def test_no_plaintext(plaintext):
    with pytest.raises(OutOfRange, match=r"0\.\.n-1"):
        KEY.public.encrypt([plaintext], os.urandom)


class TestPhe:
    """phe decrypts ours, we add and decrypt phe's."""

    def pair(self, key):
        public = phe.PaillierPublicKey(key.public.n)
        return public, phe.PaillierPrivateKey(public, *key.factors)

    def both_ways(self, key, count):
        public, private = self.pair(key)
        n = key.public.n
        draw = SeededEntropy(count)
        plaintexts = [0, 1, n - 1, *(int.from_bytes(draw(272)) % n for _ in range(count - 3))]
        ours = key.public.encrypt(plaintexts, os.urandom)
        assert [private.raw_decrypt(c) for c in ours] == plaintexts
        theirs = [public.raw_encrypt(m) for m in plaintexts]
        assert key.decrypt(theirs) == plaintexts
        key.public.check_units(theirs, "ciphertext")
        total = key.public.add(ours, theirs)
        doubled = [2 * m % n for m in plaintexts]
        assert key.decrypt(total) == doubled
        assert [private.raw_decrypt(c) for c in total] == doubled

    def test_500_plaintexts_under_a_short_key(self):
        self.both_ways(small_key(1024), 500)

    def test_30_plaintexts(self):
        self.both_ways(STRONG, 30)

    @pytest.mark.nightly
    def test_10_000_plaintexts(self):
        self.both_ways(STRONG, 10_000)

    def test_numbers_of_phe_s_own_encoding(self):
        public, private = self.pair(STRONG)
        (ours,) = STRONG.public.encrypt([41], os.urandom)
        assert private.decrypt(phe.EncryptedNumber(public, ours, 0) + 1) == 42


class TestKeys:
    @pytest.mark.parametrize("bits", [64, 128, 192, 256])
    def test_fresh_keys(self, bits):
        key = small_key(bits, seed=bits)
        p, q = key.factors
        assert (p * q).bit_length() == bits
        assert p % 4 == q % 4 == 3
        assert gcd(p - 1, q - 1) == 2
        assert gmpy2.is_prime(p)
        assert gmpy2.is_prime(q)
        assert pow(-key.public.h, (p - 1) // 2, p) == pow(-key.public.h, (q - 1) // 2, q) == 1  # -h is a square
        assert gmpy2.jacobi(key.public.h, key.public.n) == 1

    def test_a_key_is_read_as_written(self):
        assert PublicKey.from_bytes(STRONG.public.to_bytes()) == STRONG.public
        assert len(STRONG.public.to_bytes()) == 512
        assert hash(PublicKey.from_bytes(STRONG.public.to_bytes())) == hash(STRONG.public)

    @pytest.mark.parametrize(
        ("n", "h"),
        [
            *[(714, 704), (713, 0), (713, 713), (713, 23), (713, 62), (713, 3), (713, 1), (713, 712)],
            *[(719, 4), (961, 4), (705, 4)],
        ],
        ids=[
            *["even", "zero", "too large", "not a unit", "not a unit either", "symbol -1", "one", "minus one"],
            *["a prime", "a square", "a small factor"],
        ],
    )
    def test_no_key(self, n, h):
        with pytest.raises(WireError, match="Paillier key"):
            PublicKey(n, h)

    @pytest.mark.parametrize("factors", [(31, 31), (3, 7), (2, 5), (1, 713)])
    def test_no_factors(self, factors):
        with pytest.raises(ConfigError):
            PrivateKey(*factors, 2)

    def test_bytes_of_another_length(self):
        data = STRONG.public.to_bytes()
        for wrong in (b"", data[:-1], data + b"\0", bytes(512)):
            with pytest.raises(WireError):
                PublicKey.from_bytes(wrong)

    def test_secrets_are_in_no_repr(self):
        key, shares = deal_factors(47, 59, 3, 2, SeededEntropy(1))
        texts = repr([KEY, KEY.public, key, *shares, STRONG])
        for secret in (*KEY.factors, *STRONG.factors, *(share.exponent for share in shares)):
            assert str(secret) not in texts


class TestStrength:
    def test_short_keys_are_for_tests_alone(self):
        with small_keys(2048):
            for bits in (0, 1024, 2046, 2049, 8194, True, 2048.0):
                with pytest.raises(OutOfRange, match=r"expected an even number in 2048\.\.8192"):
                    paillier.generate(bits, os.urandom)
                with pytest.raises(OutOfRange, match=r"2048\.\.8192"):
                    paillier.deal(bits, 3, 2, os.urandom)
            with pytest.raises(OutOfRange, match=r"2048\.\.8192"):
                PublicKey(KEY.public.n, KEY.public.h)
            with pytest.raises(WireError, match=r"2048\.\.8192"):
                PublicKey.from_bytes(KEY.public.to_bytes()[:-1] + b"\x01")

    def test_the_allowance_ends(self):
        with small_keys(64):
            key_sizes.check_key_bits(64)
            with pytest.raises(OutOfRange):
                key_sizes.check_key_bits(62)
        assert key_sizes._least == 8  # this file's own
        assert key_sizes.LEAST_BITS == 2048


class TestCiphertextsFromOutside:
    SIZE = KEY.public.ciphertext_size

    def written(self, values):
        return b"".join(value.to_bytes(self.SIZE) for value in values)

    def test_read_as_written(self):
        values = KEY.public.encrypt([1, 2, 3], os.urandom)
        data = KEY.public.write_ciphertexts(values)
        assert data == self.written(values)
        assert list(KEY.public.read_ciphertexts(data, 3)) == values
        assert len(KEY.public.read_ciphertexts(b"", 0)) == 0

    @pytest.mark.parametrize("place", [0, 1, 5, 11])
    @pytest.mark.parametrize(
        ("bad", "why"),
        [
            (0, "no unit"),
            (KEY.public.n_squared, "too large"),
            (2 ** (8 * SIZE) - 1, "too large"),
            (KEY.factors[0], "no unit"),
            (KEY.public.n * 5, "no unit"),
            (KEY.factors[1] ** 2 * 3, "no unit"),
        ],
    )
    def test_no_ciphertext(self, place, bad, why):
        values = KEY.public.encrypt(range(12), os.urandom)
        values[place] = bad
        with pytest.raises(WireError, match=f"ciphertext {place} .*{why}|ciphertext {place} is {why}"):
            KEY.public.read_ciphertexts(self.written(values), 12)

    def test_two_that_only_together_are_zero_mod_n(self):
        """p in one, q in another: each alone is found, the first is named."""
        p, q = KEY.factors
        values = KEY.public.encrypt(range(9), os.urandom)
        values[3], values[6] = p, q
        with pytest.raises(WireError, match="ciphertext 3 is no unit"):
            KEY.public.check_units(values, "ciphertext")

    @pytest.mark.parametrize("size", [0, 1, 3 * SIZE - 1, 3 * SIZE + 1, 4 * SIZE])
    def test_another_length(self, size):
        with pytest.raises(WireError, match="expected 3 of"):
            KEY.public.read_ciphertexts(bytes(size), 3)


def one_root_changed(proof):
    """Each of the nine in turn."""
    size = KEY.public.number_size
    for last in range(size - 1, len(proof), size):
        yield proof[:last] + bytes([proof[last] ^ 1]) + proof[last + 1 :]


class TestKeyProof:
    """Whoever made a key shows that n and phi(n) have no common factor."""

    def test_it_holds(self):
        for key in (KEY, STRONG, PrivateKey(32771, 4294967311, 4)):
            proof = paillier.prove_key(key, b"round")
            assert len(proof) == 9 * key.public.number_size
            paillier.check_key(key.public, proof, b"round")

    def test_the_numbers_are_roots_of_what_a_hash_gives(self):
        """Read from the page, without the code."""
        n, h = STRONG.public.n, STRONG.public.h
        statement = b"secagg/paillier/key-proof/1" + (5).to_bytes(8) + b"round" + n.to_bytes(256) + h.to_bytes(256)
        stream = hashlib.shake_256(statement).digest(9 * 272)
        proof = paillier.prove_key(STRONG, b"round")
        for i in range(9):
            root = int.from_bytes(proof[256 * i : 256 * (i + 1)])
            assert pow(root, n, n) == int.from_bytes(stream[272 * i : 272 * (i + 1)]) % n

    def test_another_label_key_or_number(self):
        proof = paillier.prove_key(KEY, b"round")
        other = PublicKey(KEY.public.n, KEY.public.h * 4 % KEY.public.n)
        changed = [(KEY.public, each, b"round") for each in one_root_changed(proof)]
        for key, shown, label in [(KEY.public, proof, b"other"), (other, proof, b"round"), *changed]:
            with pytest.raises(PeerMisbehaved, match="proof of the key fails"):
                paillier.check_key(key, shown, label)

    def test_what_is_no_proof(self):
        proof, size = paillier.prove_key(KEY, b""), KEY.public.number_size
        for start in (b"", bytes(size + 1), bytes(size), KEY.public.n.to_bytes(size), KEY.factors[0].to_bytes(size)):
            with pytest.raises(WireError, match="root"):
                paillier.check_key(KEY.public, start + proof[size:], b"")


class TestOpening:
    """A single holder shows that its plaintexts are right."""

    PLAINTEXTS = [0, 5, KEY.public.n - 1, 77]
    CIPHERTEXTS = KEY.public.encrypt(PLAINTEXTS, SeededEntropy(9))

    def test_it_holds(self):
        proof = paillier.prove_opening(KEY, self.CIPHERTEXTS, self.PLAINTEXTS, b"round")
        paillier.check_opening(KEY.public, self.CIPHERTEXTS, self.PLAINTEXTS, proof, b"round")

    def test_of_phe_s_ciphertexts_too(self):
        theirs = [phe.PaillierPublicKey(KEY.public.n).raw_encrypt(m) for m in self.PLAINTEXTS]
        proof = paillier.prove_opening(KEY, theirs, self.PLAINTEXTS, b"")
        paillier.check_opening(KEY.public, theirs, self.PLAINTEXTS, proof, b"")

    @pytest.mark.parametrize("place", range(4))
    @pytest.mark.parametrize("error", [1, -1, KEY.factors[0], KEY.factors[1]])
    def test_a_wrong_plaintext_with_the_best_proof_there_is(self, place, error):
        wrong = list(self.PLAINTEXTS)
        wrong[place] = (wrong[place] + error) % KEY.public.n
        proof = paillier.prove_opening(KEY, self.CIPHERTEXTS, wrong, b"round")
        with pytest.raises(PeerMisbehaved, match="not the plaintexts"):
            paillier.check_opening(KEY.public, self.CIPHERTEXTS, wrong, proof, b"round")

    def test_errors_that_cancel_in_a_plain_sum(self):
        """Why coefficients are random: +1 and -1 would not show without them."""
        wrong = [1, 4, *self.PLAINTEXTS[2:]]
        proof = paillier.prove_opening(KEY, self.CIPHERTEXTS, wrong, b"")
        with pytest.raises(PeerMisbehaved):
            paillier.check_opening(KEY.public, self.CIPHERTEXTS, wrong, proof, b"")

    def test_errors_that_cancel_under_the_coefficients_of_the_truth(self):
        """Why coefficients depend on what is claimed: whoever knew them beforehand could choose errors to match."""
        proof = paillier.prove_opening(KEY, self.CIPHERTEXTS, self.PLAINTEXTS, b"")
        first, second, *_ = opening._batches(KEY.public, self.CIPHERTEXTS, self.PLAINTEXTS, b"")[0]
        wrong = [second, (self.PLAINTEXTS[1] - first) % KEY.public.n, *self.PLAINTEXTS[2:]]
        with pytest.raises(PeerMisbehaved):
            paillier.check_opening(KEY.public, self.CIPHERTEXTS, wrong, proof, b"")

    def test_another_label_or_proof(self):
        proof = paillier.prove_opening(KEY, self.CIPHERTEXTS, self.PLAINTEXTS, b"round")
        size = KEY.public.number_size
        for other, label in ((proof, b"other"), *((other, b"round") for other in one_root_changed(proof))):
            with pytest.raises(PeerMisbehaved):
                paillier.check_opening(KEY.public, self.CIPHERTEXTS, self.PLAINTEXTS, other, label)
        for start in (b"", bytes(size + 1), bytes(size), KEY.public.n.to_bytes(size)):
            with pytest.raises(WireError, match="root"):
                paillier.check_opening(KEY.public, self.CIPHERTEXTS, self.PLAINTEXTS, start + proof[size:], b"round")


def shared_key(holders, threshold, bits=256):
    with small_keys():
        return paillier.deal(bits, holders, threshold, SeededEntropy(100 * holders + threshold))


SHARED = {pair: shared_key(*pair) for pair in [(2, 1), (2, 2), (3, 2), (5, 3), (6, 6)]}


class TestThreshold:
    @pytest.mark.parametrize("pair", SHARED)
    def test_any_t_decrypt_as_the_whole_key_does(self, pair):
        (key, shares), (_, threshold) = SHARED[pair], pair
        n = key.public.n
        plaintexts = [0, 1, n - 1, n // 3]
        ciphertexts = key.public.encrypt(plaintexts, os.urandom)
        rows = {share.holder: key.partial_decrypt(share, ciphertexts, os.urandom, b"")[0] for share in shares}
        for chosen in combinations(rows, threshold):
            assert key.combine({holder: rows[holder] for holder in chosen}) == plaintexts

    def test_thirty_two_holders(self):
        key, shares = shared_key(32, 17)
        (ciphertext,) = key.public.encrypt([12345], os.urandom)
        chosen = shares[::2] + shares[1:2]
        rows = {}
        for share in chosen:
            rows[share.holder], proof = key.partial_decrypt(share, [ciphertext], os.urandom, b"x")
            key.check_partial(share.holder, [ciphertext], rows[share.holder], proof, b"x")
        assert key.combine(rows) == [12345]

    def test_shares_of_fewer_fit_every_secret(self):
        """A share is a value of a polynomial whose other coefficients are uniform mod n * p'q': t - 1 of them can
        belong to any exponent. Here the whole statement, with p'q' = 23 * 29 and t = 2: each comes once.
        """
        modulus = 2773 * 667
        share = deal_factors(47, 59, 2, 2, SeededEntropy(4))[1][0].exponent
        for constant in (0, 667, 2773, 12_345):
            slopes = [slope for slope in range(0, modulus, 1) if (constant + slope) % modulus == share]
            assert slopes == [(share - constant) % modulus]

    def test_fewer_or_more_than_t_are_not_combined(self):
        key, shares = SHARED[5, 3]
        rows = {share.holder: [1] for share in shares}
        for count in (0, 2, 4):
            with pytest.raises(ConfigError, match="of 3 holders"):
                key.combine({i: rows[i] for i in list(rows)[:count]})

    def test_a_wrong_partial_gives_no_plaintext(self):
        key, shares = SHARED[3, 2]
        ciphertexts = key.public.encrypt([5], os.urandom)
        rows = {s.holder: key.partial_decrypt(s, ciphertexts, os.urandom, b"")[0] for s in shares[:2]}
        for wrong in ({1: [rows[1][0] * 2 % key.public.n_squared]}, {1: [0]}, {2: [0]}, {1: [key.public.n]}):
            with pytest.raises(PeerMisbehaved, match="do not fit together"):
                key.combine(rows | wrong)

    def test_delta_and_the_verifiers(self):
        key, shares = SHARED[5, 3]
        assert key.delta == factorial(5) == 120
        for share in shares:
            key.check_share(share)
            for wrong in (KeyShare(share.holder, share.exponent + 1), KeyShare(share.holder, 0)):
                with pytest.raises(WireError, match="verification value"):
                    key.check_share(wrong)

    @pytest.mark.parametrize("bad", [(1, 1), (33, 2), (3, 0), (3, 4), (True, 1), (3, True)])
    def test_no_sharing(self, bad):
        with pytest.raises(OutOfRange, match="expected"):
            paillier.deal(128, *bad, os.urandom)

    def test_numbers_that_are_no_verification_values(self):
        key, _ = SHARED[3, 2]
        n, n_squared = key.public.n, key.public.n_squared
        for base, verifiers in ((0, key.verifiers), (key.base, (1, 2, n_squared)), (n, key.verifiers)):
            with pytest.raises(WireError):
                SharedKey(key.public, 2, base, verifiers)


class TestProofOfPartialDecryption:
    KEY, SHARES = SHARED[3, 2]
    CIPHERTEXTS = KEY.public.encrypt([3, 1, 4, 1, 5], SeededEntropy(2))

    def made(self, holder=1, ciphertexts=None, label=b"round"):
        return self.KEY.partial_decrypt(
            self.SHARES[holder - 1], self.CIPHERTEXTS if ciphertexts is None else ciphertexts, SeededEntropy(3), label
        )

    def refused(self, holder, ciphertexts, partials, proof, label=b"round"):
        with pytest.raises(PeerMisbehaved, match="not the partial decryptions"):
            self.KEY.check_partial(holder, ciphertexts, partials, proof, label)

    def test_it_holds(self):
        partials, proof = self.made()
        self.KEY.check_partial(1, self.CIPHERTEXTS, partials, proof, b"round")
        assert len(proof) == self.KEY.proof_size

    @pytest.mark.parametrize("place", range(5))
    def test_one_wrong_partial_among_right_ones(self, place):
        partials, proof = self.made()
        for wrong in (partials[place] * self.CIPHERTEXTS[place], 1, self.KEY.public.n_squared - partials[place]):
            changed = list(partials)
            changed[place] = wrong % self.KEY.public.n_squared
            self.refused(1, self.CIPHERTEXTS, changed, proof)

    def test_errors_that_cancel_under_the_coefficients_of_the_truth(self):
        partials, proof = self.made()
        digest, _, _ = self.KEY._batch(1, self.CIPHERTEXTS, partials, b"round")
        first, second, *_ = opening.coefficients_of(digest, 5)
        n_squared = self.KEY.public.n_squared
        factors = pow(4, second, n_squared), pow(4, -first, n_squared)
        changed = [a * b % n_squared for a, b in zip(partials, factors, strict=False)] + partials[2:]
        product = self.KEY.public.modulus.multi_power
        coefficients = opening.coefficients_of(digest, 5)
        assert product(changed, coefficients) == product(partials, coefficients)
        self.refused(1, self.CIPHERTEXTS, changed, proof)

    def test_proved_with_another_secret(self):
        """The best that a holder can do who wants another exponent: an honest proof of it."""
        share = KeyShare(1, self.SHARES[0].exponent + 1)
        partials, proof = self.KEY.partial_decrypt(share, self.CIPHERTEXTS, SeededEntropy(3), b"round")
        self.refused(1, self.CIPHERTEXTS, partials, proof)

    def test_of_another_ciphertext(self):
        others = self.KEY.public.encrypt([9, 2, 6, 5, 3], SeededEntropy(8))
        partials, proof = self.made(ciphertexts=others)
        self.refused(1, self.CIPHERTEXTS, partials, proof)

    def test_in_another_order(self):
        partials, proof = self.made(ciphertexts=self.CIPHERTEXTS[::-1])
        self.refused(1, self.CIPHERTEXTS, partials, proof)

    def test_of_another_holder_or_round(self):
        partials, proof = self.made()
        self.refused(2, self.CIPHERTEXTS, partials, proof)
        self.refused(1, self.CIPHERTEXTS, partials, proof, label=b"other")

    def test_every_changed_byte_of_the_proof(self):
        partials, proof = self.made()
        for place in range(len(proof)):
            changed = proof[:place] + bytes([proof[place] ^ 1]) + proof[place + 1 :]
            self.refused(1, self.CIPHERTEXTS, partials, changed)

    @pytest.mark.parametrize("size", [0, -1, 1])
    def test_a_proof_of_another_size(self, size):
        partials, proof = self.made()
        wrong = b"" if size == 0 else proof[:size] if size < 0 else proof + b"\0"
        with pytest.raises(WireError, match="proof of partial decryption"):
            self.KEY.check_partial(1, self.CIPHERTEXTS, partials, wrong, b"round")

    def test_signs_do_not_matter(self):
        """A partial and its negative have the same square, which is all that is proved and all that is used."""
        partials, _ = self.made()
        other, _ = self.made(holder=2)
        negative = [self.KEY.public.n_squared - value for value in partials]
        assert self.KEY.combine({1: negative, 2: other}) == [3, 1, 4, 1, 5]


class TestPrimes:
    @pytest.mark.parametrize("bits", [16, 17, 24, 64, 160])
    @pytest.mark.parametrize("safe", [False, True])
    def test_what_they_are(self, bits, safe):
        for seed in range(3):
            p, q = primes.distinct_primes(bits, safe, SeededEntropy(seed))
            assert p < q
            assert p.bit_length() == q.bit_length() == bits
            assert (p * q).bit_length() == 2 * bits
            for prime in (p, q):
                assert gmpy2.is_prime(prime)
                assert prime % 4 == 3
                if safe:
                    assert gmpy2.is_prime((prime - 1) // 2)

    def test_the_sieve_loses_no_prime(self):
        for start in (40_003, 2**20 + 3):
            places = primes._survivors(start, 4, 500, primes._odd_primes(150), safe=False)
            found = [start + 4 * int(i) for i in places if gmpy2.is_prime(start + 4 * int(i))]
            assert found == [x for x in range(start, start + 2000, 4) if gmpy2.is_prime(x)]

    def test_the_sieve_loses_no_safe_prime(self):
        start = 2**16 + 1
        places = primes._survivors(start, 2, 4000, primes._odd_primes(150), safe=True)
        both = [x for x in range(start, start + 8000, 2) if gmpy2.is_prime(x) and gmpy2.is_prime(2 * x + 1)]
        assert both
        assert set(both) <= {start + 2 * int(i) for i in places}

    def test_progress_only_grows(self):
        told = []
        primes.distinct_primes(256, True, SeededEntropy(5), lambda found, tried: told.append((found, tried)))
        assert told == sorted(told)
        assert told[-1][0] == 2
        assert len(told) > 2

    def test_too_short(self):
        with pytest.raises(OutOfRange, match="16 or more"):
            primes.distinct_primes(15, False, os.urandom)
