import json

from bench import decoding


def test_every_message_of_a_round_is_measured(capsys):
    decoding.main(["--clients", "5", "--dim", "10", "--json"])
    rows = {row["what"]: row for row in json.loads(capsys.readouterr().out)}
    expected = "Session AskKeys Keys AskShares Shares AskMasked Masked AskUnmask Unmask"
    assert set(rows) == set(expected.split())
    assert all(row["size"] > 0 and row["microseconds"] > 0 for row in rows.values())
    decoding.main(["--clients", "5", "--dim", "10"])
    assert "AskUnmask" in capsys.readouterr().out
