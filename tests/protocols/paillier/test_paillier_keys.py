"""Keys dealt in advance: who sees what of them, and their files."""

import os
import stat

import msgspec
import pytest
from smallkeys import BITS, keys_of

from secagg.errors import BadCohort, ConfigError, OutOfRange, StateError, UnknownParty, WireError
from secagg.primitives import passphrase
from secagg.testing import SeededEntropy
from secagg_protocols import PaillierKeys

PHRASE = b"six words that dice have drawn"
KINDS = {"one of one": (("a",), 1), "two of three": (("a", 7, "c"), 2), "three of three": ((1, 2, 3), 3)}


@pytest.fixture(autouse=True)
def cheap_passphrases(monkeypatch):
    monkeypatch.setattr(passphrase.protect, "__defaults__", (10,))


@pytest.fixture(params=KINDS)
def keys(request):
    return keys_of(*KINDS[request.param])


def test_a_file_holds_all_of_it(keys, tmp_path):
    file = tmp_path / "keys"
    keys.save(file, PHRASE)
    found = PaillierKeys.load(file, PHRASE)
    assert found.holders == keys.holders
    assert found.digest == keys.digest
    assert found.threshold == keys.threshold
    assert [vars(found.secret(h)) for h in keys.holders if len(keys.holders) > 1] == [
        vars(keys.secret(h)) for h in keys.holders if len(keys.holders) > 1
    ]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_file_is_its_owner_s_alone(keys, tmp_path):
    old = os.umask(0)
    try:
        keys.save(tmp_path / "keys", PHRASE)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600


def test_a_file_is_never_overwritten(keys, tmp_path):
    (tmp_path / "keys").write_bytes(b"older")
    with pytest.raises(ConfigError, match="never overwritten"):
        keys.save(tmp_path / "keys", PHRASE)
    assert (tmp_path / "keys").read_bytes() == b"older"
    with pytest.raises(ConfigError):
        keys.save(tmp_path / "no such folder" / "keys", PHRASE)
    with pytest.raises(ConfigError):
        PaillierKeys.load(tmp_path / "no such file", PHRASE)


def test_files_that_do_not_open(keys, tmp_path):
    keys.save(tmp_path / "keys", PHRASE)
    data = (tmp_path / "keys").read_bytes()
    with pytest.raises(StateError, match="wrong passphrase"):
        PaillierKeys.opened(data, b"another")
    for wrong in (b"", data[:-1], data + b"\0", bytes(len(data)), bytes(1 << 20)):
        with pytest.raises(StateError):
            PaillierKeys.opened(wrong, PHRASE)


def test_secrets_are_in_no_file_and_no_repr(keys, tmp_path):
    keys.save(tmp_path / "keys", PHRASE)
    data = (tmp_path / "keys").read_bytes()
    numbers = [
        number
        for holder in keys.holders
        for number in (getattr(keys.secret(holder), "factors", None) or (keys.secret(holder).exponent,))
    ]
    texts = repr(keys) + repr([keys.secret(holder) for holder in keys.holders]) + repr(keys._saved(secrets=True))
    for number in numbers:
        assert number.to_bytes(BITS // 8 * 2).lstrip(b"\0") not in data
        assert str(number) not in texts
        assert f"{number:x}" not in texts


def test_a_holder_sees_its_share_alone(keys):
    for holder in keys.holders:
        own = keys.share(holder)
        assert own.secret(holder) == keys.secret(holder)
        for other in keys.holders:
            if other != holder:
                with pytest.raises(ConfigError, match="load it from its file"):
                    own.secret(other)
        assert own.digest == keys.digest
    with pytest.raises(UnknownParty):
        keys.share("nobody")


def test_the_public_part_travels_in_clear(keys):
    data = keys.public.to_bytes()
    found = PaillierKeys.from_bytes(data)
    assert found.digest == keys.digest
    with pytest.raises(ConfigError):
        found.secret(keys.holders[0])
    with pytest.raises(ConfigError, match="hold secrets"):
        keys.to_bytes()
    with pytest.raises(WireError):
        PaillierKeys.from_bytes(data + b"\0")


def resaved(keys, **changes):
    return msgspec.msgpack.encode(msgspec.structs.replace(keys._saved(secrets=True), **changes))


def revealing(keys, **changes):
    return PaillierKeys.opened(
        passphrase.protect(resaved(keys, **changes), PHRASE, b"secagg/paillier/keys/1", os.urandom), PHRASE
    )


def test_contents_that_do_not_fit_together():
    keys, single = keys_of(*KINDS["two of three"]), keys_of(*KINDS["one of one"])
    saved = keys._saved(secrets=True)
    other = PaillierKeys.generate(["a", 7, "c"], 2, BITS, SeededEntropy(8))._saved(secrets=True)
    assert revealing(keys).digest == keys.digest
    for changes in (
        {"holders": ("a", 7)},
        {"holders": ("a", 7, 7)},
        {"holders": ("a", 7, "")},
        {"threshold": 0},
        {"threshold": 4},
        {"base": b""},
        {"verifiers": saved.verifiers[1:]},
        {"verifiers": bytes(len(saved.verifiers))},
        {"public": other.public},
        {"secrets": other.secrets},
        {"secrets": saved.secrets[::-1]},
        {"secrets": saved.secrets[:1] * 2},
        {"secrets": ((4, saved.secrets[0][1]),)},
        {"secrets": ((1, b""),)},
    ):
        with pytest.raises(StateError, match="not a key file"):
            revealing(keys, **changes)
    for changes in ({"threshold": 2}, {"holders": ("a", "b")}, {"secrets": ((1, b"x"),)}, {"secrets": other.secrets}):
        with pytest.raises(StateError, match="not a key file"):
            revealing(single, **changes)


def test_secrets_in_clear_are_refused():
    with pytest.raises(WireError, match="in clear"):
        PaillierKeys.from_bytes(resaved(keys_of(*KINDS["two of three"])))


@pytest.mark.parametrize("holders", [[], range(33), ["a", "a"], [""], [True], [1.5], ["x" * 300], [2**63]])
def test_no_holders(holders):
    with pytest.raises(BadCohort):
        PaillierKeys.generate(holders, 1, BITS)


@pytest.mark.parametrize(("holders", "threshold"), [(["a"], 2), (["a", "b"], 3), (["a", "b"], 0), (["a", "b"], True)])
def test_no_threshold(holders, threshold):
    with pytest.raises(ConfigError, match="threshold"):
        PaillierKeys.generate(holders, threshold, BITS)


def test_short_keys_are_refused():
    with pytest.raises(OutOfRange, match="key_bits is 126"):
        PaillierKeys.generate(["a", "b"], 2, 126)


def test_generation_shows_progress():
    told = []
    PaillierKeys.generate(["a", "b"], 2, BITS, SeededEntropy(1), lambda found, tried: told.append((found, tried)))
    assert told[-1][0] == 2
    assert told == sorted(told)
