"""A key of 2048 bits, for tests alone, and whole rounds: an independent reader agrees with all of it, the code
reproduces it, and both refuse the messages that must be refused.
"""

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from secagg import errors
from secagg.engine import RoundServer
from secagg.engine.exchange import check_header
from secagg.errors import ProtocolError, WireError
from secagg.primitives import paillier
from secagg.primitives.paillier import KeyShare, PublicKey, SharedKey
from secagg.wire import frame
from secagg_protocols import PaillierKeys

FOLDER = Path(__file__).parent / "paillier"
KNOWN = json.loads((FOLDER / "known_answers.json").read_text("utf-8"))
ROUNDS = {name: json.loads((FOLDER / f"{name}.json").read_text("utf-8")) for name in ("dealt", "fresh")}
CASES = json.loads((FOLDER / "negative.json").read_text("utf-8"))["cases"]


def numbers(name):
    return [int(text, 16) for text in KNOWN[name]]


def module_of(name):
    """By its own name: other folders have modules of the same name."""
    spec = spec_from_file_location(f"{name}_paillier", FOLDER / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generate():
    return module_of("generate")


@pytest.fixture(scope="module")
def rounds(generate):
    return {round_.name: round_ for round_ in generate.rounds()}


@pytest.fixture(scope="module")
def verify():
    """Remembers powers."""
    return module_of("verify")


def test_the_generator_reproduces_the_files(generate):
    known, file = generate.document()
    assert (FOLDER / "known_answers.json").read_bytes() == known
    assert (FOLDER / "test.key").read_bytes() == file
    for name, content in generate.round_documents().items():
        assert (FOLDER / name).read_bytes() == content, name


def test_an_independent_reader_agrees():
    script = (
        "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__'); "
        "assert not {'secagg', 'gmpy2', 'phe', 'numpy'} & set(sys.modules)"
    )
    command = [sys.executable, "-I", "-c", script, str(FOLDER / "verify.py"), str(FOLDER / "known_answers.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "as the protocol says" in done.stdout


@pytest.mark.parametrize("name", ROUNDS)
def test_an_independent_reader_agrees_with_the_rounds(name, verify):
    verify.verify_round(ROUNDS[name], KNOWN)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_an_independent_reader_refuses(case, verify):
    """In place of the true message, in an otherwise true round."""
    document = json.loads(json.dumps(ROUNDS[case["round"].removesuffix(".json")]))
    phase = next(phase for phase in document["phases"] if phase["name"] == case["phase"])
    messages = phase["asks" if case["end"] == "client" else "replies"]
    assert messages[str(case["party"])] != case["message"]
    messages[str(case["party"])] = case["message"]
    with pytest.raises((ValueError, AssertionError)):
        verify.verify_round(document, KNOWN)


def party_before(round_, i, phase):
    """Party i as it was when that phase's ask came, having given the recorded replies."""
    party = round_.participant(i)
    for told in ROUNDS[round_.name]["phases"][: round_.names.index(phase)]:
        if str(i) in told["replies"]:
            reply = party.answer(bytes.fromhex(told["asks"][str(i)]), round_.update(i))
            assert reply.hex() == told["replies"][str(i)]
    return party


def server_before(round_, phase):
    """The server with that phase open, given the recorded replies."""
    server = RoundServer(round_.scheme(), round_.session)
    for told in ROUNDS[round_.name]["phases"][: round_.names.index(phase)]:
        asks = {str(round_.session.index(party)): ask.hex() for party, ask in server.asks().items()}
        assert asks == told["asks"]
        for i, reply in told["replies"].items():
            server.receive(round_.parties[int(i)], bytes.fromhex(reply))
        server.close_phase()
    server.asks()
    return server


def absorbed(server, party, message):
    """What the server makes of one reply, its error included: `receive` only notes it."""
    reply = frame.unwrap(message)
    check_header(reply, frame.REPLY, server.session, server.session.index(party))
    server._check(party, reply, server._opened(server.phase))
    server._machine.absorb(server.phase, party, server._decode(reply.body, server.phase))


def is_as_expected(error, case):
    return type(error) is getattr(errors, case["expect"]) and getattr(error, "culprits", frozenset()) == set(
        case["culprits"]
    )


@pytest.mark.parametrize("case", [c for c in CASES if c["end"] == "client"], ids=lambda case: case["name"])
def test_a_party_refuses(case, rounds):
    round_ = rounds[case["round"].removesuffix(".json")]
    party = party_before(round_, case["party"], case["phase"])
    with pytest.raises((ProtocolError, WireError)) as caught:
        party.answer(bytes.fromhex(case["message"]), round_.update(case["party"]))
    assert is_as_expected(caught.value, case), caught.value


@pytest.mark.parametrize("case", [c for c in CASES if c["end"] == "server"], ids=lambda case: case["name"])
def test_the_server_refuses(case, rounds):
    round_ = rounds[case["round"].removesuffix(".json")]
    server = server_before(round_, case["phase"])
    party, message = round_.parties[case["party"]], bytes.fromhex(case["message"])
    with pytest.raises((ProtocolError, WireError)) as caught:
        absorbed(server, party, message)
    assert is_as_expected(caught.value, case), caught.value
    server.receive(party, message)
    assert set(server.misbehaved) == {party}


def test_names_are_unique():
    assert len({case["name"] for case in CASES}) == len(CASES) > 50


def test_the_key_says_what_it_is():
    assert KNOWN["warning"].startswith("TEST KEY")
    assert all(document["warning"] == KNOWN["warning"] for document in ROUNDS.values())


def test_the_code_agrees():
    public = PublicKey(int(KNOWN["n"], 16), int(KNOWN["h"], 16))
    key = SharedKey(public, KNOWN["threshold"], int(KNOWN["base"], 16), numbers("verifiers"))
    ciphertexts, plaintexts = numbers("ciphertexts"), numbers("plaintexts")
    assert public.encrypt_with(plaintexts, numbers("exponents")) == ciphertexts
    whole = paillier.PrivateKey(int(KNOWN["p"], 16), int(KNOWN["q"], 16), public.h)
    assert whole.decrypt(ciphertexts) == plaintexts
    rows = {}
    for i, (partials, proof) in enumerate(zip(KNOWN["partials"], KNOWN["proofs"], strict=True), 1):
        rows[i] = [int(text, 16) for text in partials]
        key.check_share(KeyShare(i, numbers("shares")[i - 1]))
        key.check_partial(i, ciphertexts, rows[i], bytes.fromhex(proof), bytes.fromhex(KNOWN["label"]))
    assert key.combine({1: rows[1], 3: rows[3]}) == plaintexts


def test_the_key_file_opens(generate):
    found = PaillierKeys.load(FOLDER / "test.key", generate.PASSPHRASE)
    assert list(found.holders) == generate.HOLDERS
    assert [found.secret(holder).exponent for holder in found.holders] == numbers("shares")
