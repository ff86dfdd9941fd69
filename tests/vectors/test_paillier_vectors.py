"""A key of 2048 bits, for tests alone: an independent reader agrees with all of it, and the code reproduces it."""

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from secagg.primitives import paillier
from secagg.primitives.paillier import KeyShare, PublicKey, SharedKey
from secagg_protocols import PaillierKeys

FOLDER = Path(__file__).parent / "paillier"
KNOWN = json.loads((FOLDER / "known_answers.json").read_text("utf-8"))


def numbers(name):
    return [int(text, 16) for text in KNOWN[name]]


@pytest.fixture(scope="module")
def generate():
    """By its own name: another folder has a module of the same name."""
    spec = spec_from_file_location("generate_paillier", FOLDER / "generate.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generator_reproduces_the_files(generate):
    known, file = generate.document()
    assert (FOLDER / "known_answers.json").read_bytes() == known
    assert (FOLDER / "test.key").read_bytes() == file


def test_an_independent_reader_agrees():
    script = (
        "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__'); "
        "assert not {'secagg', 'gmpy2', 'phe', 'numpy'} & set(sys.modules)"
    )
    command = [sys.executable, "-I", "-c", script, str(FOLDER / "verify.py"), str(FOLDER / "known_answers.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "as the protocol says" in done.stdout


def test_the_key_says_what_it_is():
    assert KNOWN["warning"].startswith("TEST KEY")


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
