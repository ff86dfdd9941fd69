"""Secrets looked for where they must not be: on the wire, in reprs, in errors and their tracebacks with all local
variables (as error reporters send them), in log records and in saved state (issue 5; CWE-532, CWE-209).

The search knows every secret of a round, as drawn or as derived, and finds them where they are: in a machine's own,
unencrypted state.
"""

import base64
import logging
import os
import re
import traceback

import numpy as np
import pytest
from attacker import UPDATES, VICTIM, N, bits, machine, make_round, play

from secagg.api import Participant
from secagg.errors import ProtocolError, SecaggError, WireError
from secagg.primitives import agreement
from secagg.testing import opened, rewritten
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import (
    SHARE_SIZE,
    AskConsistency,
    AskMasked,
    AskShares,
    AskUnmask,
    pack_indices,
)
from secagg_protocols.pairwise.party import PairwiseParty

KEY = os.urandom(32)
SCHEMES = {
    "complete": PairwiseMasking(),
    "regular": PairwiseMasking(neighbours=4, threshold=3),
    "active": PairwiseMasking(adversary="active"),
}

every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


class Tap:
    """Collects all secrets of the parties, and the shares that they deal."""

    def __init__(self, monkeypatch):
        self.secrets = set()
        self.pairs = {}
        for module, name in (
            (derive, "sealing_key"),
            (derive, "self_mask_seed"),
            (derive, "mask_seed"),
            (agreement, "derive_many"),
        ):
            monkeypatch.setattr(module, name, self._watched(getattr(module, name)))
        split = PairwiseParty._split

        def watched_split(party, *arguments):
            self.pairs[party.me] = split(party, *arguments)
            return self.pairs[party.me]

        monkeypatch.setattr(PairwiseParty, "_split", watched_split)

    def _watched(self, derivation):
        def watched(*arguments):
            made = derivation(*arguments)
            self.secrets.update(filter(None, made if isinstance(made, list) else [made]))
            return made

        return watched

    def entropy(self, n):
        drawn = os.urandom(n)
        if n == 32:  # private keys, identities and seeds; the rest are coefficients, salts and session ids
            self.secrets.add(drawn)
        return drawn

    def in_bytes(self, data):
        return [secret for secret in self.secrets if secret in data]

    def in_text(self, text):
        """Secrets whose first 12 bytes stand in the text, as bytes, in base 16 or 64, or as numbers."""
        flat = flattened(text)
        return [secret for secret in self.secrets if any(form in flat for form in spellings(secret[:12]))]


def flattened(text):
    """Without commas and line breaks between numbers, and without the escapes of quotes inside quotes."""
    return re.sub(r"[\s,]+", " ", text.replace("\\'", "'"))


def spellings(secret):
    return [
        flattened(repr(secret)[2:-1]),
        secret.hex(),
        secret.hex().upper(),
        base64.b64encode(secret).decode(),
        " ".join(map(str, secret)),
    ]


@pytest.fixture
def tap(monkeypatch):
    return Tap(monkeypatch)


def recorded_round(tap, scheme, **options):
    """A round whose frames are all kept."""
    frames = []

    def keep(phase, party, message):
        frames.append(message)
        return message

    round_ = make_round(scheme, entropy=tap.entropy, asks=keep, replies=keep, **options)
    return round_, frames


@every_scheme
def test_the_search_finds_what_is_there(tap, scheme):
    round_, _ = recorded_round(tap, scheme)
    found = set()
    while not round_.coordinator.done:
        round_.step()
        state = machine(round_.participants[VICTIM]).save()
        found.update(tap.in_bytes(state))
        assert set(tap.in_text(repr(state))) == set(tap.in_text(str(list(state)))) == set(tap.in_bytes(state))
        assert set(tap.in_text(state.hex())) == set(tap.in_bytes(state))
    assert len(tap.secrets) > 3 * N
    assert len(found) >= 3 + N - 2  # two private keys, a seed, and the keys that open four neighbours' boxes or more


@every_scheme
def test_on_the_wire(tap, scheme):
    round_, frames = recorded_round(tap, scheme, lost={1: "masked"})
    out = round_.run()
    wire = b"".join(frames)
    assert tap.in_bytes(wire) == []
    lost = set(range(N)) - out.contributors
    for dealer, pairs in tap.pairs.items():  # the one share of each that nobody may ever see
        hidden = slice(0, SHARE_SIZE) if dealer in lost else slice(SHARE_SIZE, None)
        assert not any(pair[hidden] in wire for pair in pairs.values())


@every_scheme
def test_in_reprs(tap, scheme):
    round_, _ = recorded_round(tap, scheme)
    texts = []
    while not round_.coordinator.done:
        round_.step()
        for participant in round_.participants.values():
            party = machine(participant)
            texts += [repr(it) for it in (participant, participant._round, party, party.stage, participant.seat)]
            texts += [repr(vars(it)) for it in (participant, party)]
        server = round_.coordinator
        texts += [repr(server), repr(server._round), repr(server._stage), repr(server._known)]
    texts.append(repr(round_.coordinator.result))
    assert tap.in_text("".join(texts)) == []


@every_scheme
def test_in_saved_state(tap, scheme):
    round_, _ = recorded_round(tap, scheme)
    while not round_.coordinator.done:
        round_.step()
        saved = [participant.save(KEY) for participant in round_.participants.values()]
        saved.append(round_.coordinator.save(KEY))
        assert tap.in_bytes(b"".join(saved)) == []


def without(kind, **changes):
    return lambda m: rewritten(m, kind, **changes)


def zeros(data):
    return bytes(len(data))


def first_key(change):
    return lambda m: rewritten(m, AskShares, keys=change(opened(m, AskShares).keys))


LIES = {
    "a mask key of low order": ("shares", first_key(lambda keys: keys[:32] + bytes(32) + keys[64:])),
    "a sealing key of low order": ("shares", first_key(lambda keys: bytes(32) + keys[32:])),
    "one key twice": ("shares", first_key(lambda keys: keys[:32] * 2 + keys[64:])),
    "keys of another size": ("shares", first_key(lambda keys: keys[:-1])),
    "nobody": ("shares", without(AskShares, parties=b"", keys=b"", signatures=b"")),
    "signatures of another size": ("shares", without(AskShares, signatures=b"?")),
    "no dealers": ("masked", without(AskMasked, dealers=b"", sealed=b"", hashes=b"")),
    "dealers that are no list": ("masked", without(AskMasked, dealers=b"?")),
    "strange dealers": ("masked", without(AskMasked, dealers=pack_indices(range(N)))),
    "boxes of another size": ("masked", without(AskMasked, sealed=b"")),
    "hashes of another size": ("masked", without(AskMasked, hashes=b"")),
    "no contributors to sign": ("consistency", without(AskConsistency, contributors=bits([]))),
    "a small cohort to sign": ("consistency", without(AskConsistency, contributors=bits([VICTIM, 0]))),
    "no contributors": ("unmask", without(AskUnmask, contributors=bits([]))),
    "a small cohort": ("unmask", without(AskUnmask, contributors=bits([VICTIM, 0]))),
    "no such set": ("unmask", without(AskUnmask, contributors=b"")),
    "forged signatures": (
        "unmask",
        lambda m: rewritten(m, AskUnmask, signatures=zeros(opened(m, AskUnmask).signatures)),
    ),
    "not the signers": ("unmask", without(AskUnmask, signers=b"", signatures=b"")),
}


def told(error):
    """All that an error reporter can send: the whole chain, with the local variables of every frame."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


@every_scheme
def test_in_a_clients_refusals(tap, scheme):
    refusals = []
    for phase, lie in LIES.values():
        if phase not in [p.name for p in scheme.phases]:
            continue
        round_ = make_round(
            scheme, entropy=tap.entropy, asks=lambda at, i, m, p=phase, c=lie: c(m) if (at, i) == (p, VICTIM) else m
        )
        play(round_, phase).exchange()
        refusals += round_.refusals.values()
    assert len(refusals) >= len(LIES) - 5  # passive mode shows no signatures, and has one phase less
    for error in refusals:
        assert isinstance(error, ProtocolError | WireError)
        assert tap.in_text(told(error)) == [], told(error)[:2000]


@every_scheme
def test_in_a_servers_errors(tap, scheme, monkeypatch):
    """The victim deals shares of another seed than it masks with, found once all secrets are open."""
    split = PairwiseParty._split

    def misdeal(party, seed, private, holders):
        return split(party, bytes(32) if party.me == VICTIM else seed, private, holders)

    monkeypatch.setattr(PairwiseParty, "_split", misdeal)
    round_ = play(make_round(scheme, entropy=tap.entropy), "unmask")
    round_.exchange()
    texts = closing_error(round_.coordinator)
    assert "dealt wrongly" in texts
    assert tap.in_text(texts) == []


def closing_error(coordinator):
    with pytest.raises(ProtocolError) as error:
        coordinator.close_phase()
    return told(error.value)


@every_scheme
def test_in_refused_state(tap, scheme):
    round_, _ = recorded_round(tap, scheme)
    play(round_, "masked")
    saved = round_.participants[VICTIM].save(KEY)
    errors = [
        restore_error(scheme, saved, KEY, latch=9),
        restore_error(scheme, saved, bytes(32)),
        restore_error(scheme, saved[:-1], KEY),
        restore_error(PairwiseMasking(threshold=6), saved, KEY),
    ]
    assert tap.in_text("".join(errors)) == []


def restore_error(scheme, saved, key, **options):
    with pytest.raises(SecaggError) as error:
        Participant.restore(scheme, saved, key, VICTIM, **options)
    return told(error.value)


@every_scheme
def test_in_log_records(tap, scheme, caplog):
    caplog.set_level(logging.DEBUG)
    round_, _ = recorded_round(tap, scheme, lost={2: "unmask"})
    round_.run()
    assert tap.in_text("".join(record.getMessage() for record in caplog.records)) == []
    assert [record for record in caplog.records if record.name.startswith("secagg")] == []


def test_updates_are_in_no_message_that_an_error_gives(tap):
    """An input error says where, and not more than the one entry."""
    updates = UPDATES[VICTIM].astype(np.float64)
    updates[4] = np.nan
    round_, _ = recorded_round(tap, PairwiseMasking())
    play(round_, "masked")
    with pytest.raises(SecaggError, match="update") as error:
        round_.participants[VICTIM].answer(round_.coordinator.asks()[VICTIM], updates)
    assert str(UPDATES[VICTIM][0]) not in str(error.value)
