"""A roster says whose key is whose; credentials sign as the party the roster names, and never print."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import BadCohort, ConfigError, PeerMisbehaved, WireError
from secagg.scheme import Credentials, Roster
from secagg.testing import SeededEntropy

PARTIES = ["a", 1, "1"]
MEMBERS = Credentials.generate(PARTIES, SeededEntropy(1))
ROSTER = MEMBERS["a"].roster
KEYS = {party: ROSTER.key(party) for party in PARTIES}

rosters = st.builds(
    lambda parties: Roster({party: bytes([i]) * 32 for i, party in enumerate(parties)}),
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.text(min_size=1, max_size=4), min_size=1, max_size=9, unique=True),
)


@given(roster=rosters)
def test_a_file_is_the_roster(roster):
    again = Roster.from_bytes(roster.to_bytes())
    assert again == roster
    assert hash(again) == hash(roster)
    assert again.parties == roster.parties
    assert again.digest == roster.digest


def test_the_file_is_json_for_people():
    assert json.loads(ROSTER.to_bytes()) == {
        "version": 1,
        "roster": [{"party": party, "key": key.hex()} for party, key in KEYS.items()],
    }


def test_order_does_not_matter_and_nothing_else_is_alike():
    assert Roster(dict(reversed(KEYS.items()))) == ROSTER
    assert Roster(dict(reversed(KEYS.items()))).digest == ROSTER.digest
    for other in (
        {party: KEYS[party] for party in ("a", 1)},
        KEYS | {"a": bytes(32)},
        KEYS | {"a": KEYS[1], 1: KEYS["a"]},
        {"b" if party == "a" else party: key for party, key in KEYS.items()},
        {2 if party == 1 else party: key for party, key in KEYS.items()},
    ):
        assert Roster(other) != ROSTER
        assert Roster(other).digest != ROSTER.digest
    assert ROSTER != KEYS


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({}, BadCohort, "roster of 0 parties: expected 1 to"),
        ({"a": bytes(31)}, ConfigError, "roster: key of party 'a': expected 32 bytes"),
        ({"a": 32}, ConfigError, "roster: key of party 'a': expected 32 bytes"),
        ({"a": "x" * 32}, ConfigError, "roster: key of party 'a': expected 32 bytes"),
        ({"a": None}, ConfigError, "roster: key of party 'a': expected 32 bytes"),
        ({"a": bytes(32), "b": bytes(32)}, ConfigError, "roster: one key stands for two parties"),
        ({None: bytes(32)}, BadCohort, "party id None is NoneType"),
        ({True: bytes(32)}, BadCohort, "party id True is bool"),
        ({"": bytes(32)}, BadCohort, "party id of 0 characters"),
        ({"\ud800": bytes(32)}, BadCohort, "is no valid Unicode text"),
        ({2**70: bytes(32)}, BadCohort, "expected a 64-bit integer"),
        ([("a", bytes(32))], ConfigError, "roster is list, expected a dict {party: public key}"),
        (None, ConfigError, "roster is NoneType"),
    ],
)
def test_rosters_that_cannot_work(keys, error, message):
    with pytest.raises(error, match=message):
        Roster(keys)


def file(entries, version=1):
    return json.dumps({"version": version, "roster": entries}).encode()


ENTRY = {"party": "a", "key": "00" * 32}


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", WireError, "not a roster file"),
        (b"[]", WireError, "not a roster file"),
        (b"\xff" * 9, WireError, "not a roster file"),
        (b"[" * 100_000, WireError, "not a roster file"),
        (None, WireError, "not a roster file"),
        (5, WireError, "not a roster file"),
        (file([ENTRY | {"key": "0g" * 32}]), WireError, "not a roster file"),
        (file([ENTRY | {"party": 1.5}]), WireError, "not a roster file"),
        (file([ENTRY | {"secret": "00"}]), WireError, "not a roster file"),
        (file([{"party": "a"}]), WireError, "not a roster file"),
        (file([ENTRY], version=2), WireError, "roster file of version 2, expected 1"),
        (file([]), BadCohort, "roster of 0 parties"),
        (file([ENTRY, ENTRY | {"key": "01" * 32}]), BadCohort, "a party stands twice in it"),
        (file([ENTRY, ENTRY | {"party": "b"}]), ConfigError, "one key stands for two parties"),
        (file([ENTRY | {"key": "00"}]), ConfigError, "key of party 'a': expected 32 bytes"),
        (file([ENTRY | {"party": 2**70}]), BadCohort, "expected a 64-bit integer"),
    ],
)
def test_what_is_no_roster_file(data, error, message):
    with pytest.raises(error, match=message):
        Roster.from_bytes(data)


@given(data=st.binary(max_size=80))
def test_random_bytes_are_no_roster(data):
    with pytest.raises(WireError):
        Roster.from_bytes(data)


def test_a_signature_is_its_signers_for_its_message():
    signature = MEMBERS["a"].sign(b"message")
    ROSTER.verify("a", b"message", signature)
    forged = signature[:-1] + bytes([signature[-1] ^ 1])
    for party, message, shown in [
        ("a", b"massage", signature),
        (1, b"message", signature),
        ("1", b"message", signature),
        ("a", b"message", forged),
        ("a", b"message", b""),
        ("a", b"message", bytes(64)),
    ]:
        with pytest.raises(PeerMisbehaved, match=f"party {party!r}: signature does not verify") as caught:
            ROSTER.verify(party, message, shown)
        assert caught.value.culprits == {party}


def test_a_key_that_is_no_point_verifies_nothing():
    """y = 2 is on no point of the curve (RFC 8032, 5.1.3)."""
    with pytest.raises(PeerMisbehaved, match="party 'a': signature does not verify"):
        Roster({"a": (2).to_bytes(32, "little")}).verify("a", b"message", MEMBERS["a"].sign(b"message"))


def test_members_and_strangers():
    ROSTER.check_members(["a", 1])
    ROSTER.check_members([np.int64(1)])
    with pytest.raises(BadCohort, match="party 'b' is not on the roster"):
        ROSTER.check_members(["a", "b"])
    with pytest.raises(PeerMisbehaved, match="party 'b' is not on the roster") as caught:
        ROSTER.verify("b", b"message", bytes(64))
    assert caught.value.culprits == {"b"}


def test_an_identity_is_one_partys():
    for party in PARTIES:
        MEMBERS[party].check_identity(party)
    with pytest.raises(ConfigError, match="the identity key of party 1 is not the one on the roster"):
        MEMBERS["a"].check_identity(1)
    with pytest.raises(BadCohort, match="party 'b' is not on the roster"):
        MEMBERS["a"].check_identity("b")
    with pytest.raises(ConfigError, match="expected 32 bytes"):
        Credentials(b"short", ROSTER).check_identity("a")


def test_an_identity_never_prints():
    credentials = MEMBERS["a"]
    for text in (repr(credentials), str(credentials), f"{[credentials]}"):
        assert credentials.identity.hex() not in text
        assert repr(credentials.identity)[2:-1] not in text
    assert repr(ROSTER) == f"Roster(<3 parties>, digest={ROSTER.digest.hex()[:16]})"
