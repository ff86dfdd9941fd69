"""The load command runs, checks its own sum, and finds the server's memory at O(dim + n * k)."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENTS, DIM = 40, 100_000
ENTRY = 4
"""Bytes of a lane: sums of 40 numbers below 2**16 need 22 bits."""


def load(*options):
    """What the command prints."""
    command = [sys.executable, "-m", "bench.load", *map(str, options)]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_small_load():
    found = json.loads(load("--clients", CLIENTS, "--dim", DIM, "--dropout", 0.05, "--traced", "--json"))
    assert (found["clients"], found["dim"], found["lost"]) == (CLIENTS, DIM, 2)
    assert list(found["seconds"]) == list(found["sent"]) == ["keys", "shares", "masked", "unmask"]
    assert found["received"]["masked"] > (CLIENTS - 2) * DIM * 2
    vectors = 8 * DIM * ENTRY
    assert vectors < CLIENTS * DIM * ENTRY / 4
    assert found["server_bytes"] < vectors + 3000 * CLIENTS * found["neighbours"]


def test_its_table_names_every_phase():
    out = load("--clients", 5, "--dim", 3, "--dropout", 0)
    assert all(word in out for word in ("keys", "shares", "masked", "unmask", "peak grew by"))
