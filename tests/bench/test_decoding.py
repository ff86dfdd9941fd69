import json

from bench.__main__ import main


def test_every_message_of_a_round_is_measured(tmp_path, capsys):
    path = tmp_path / "decoding.json"
    assert main(["decoding", "--clients", "5", "--dim", "10", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    expected = "Session AskKeys Keys AskShares Shares AskMasked Masked AskUnmask Unmask"
    assert [row["case"]["of"] for row in rows] == expected.split()
    assert all(row["seconds"] > 0 and row["figures"]["bytes"] == row["case"]["size"] > 0 for row in rows)
    assert "AskUnmask" in capsys.readouterr().out
