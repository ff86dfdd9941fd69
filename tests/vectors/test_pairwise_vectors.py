"""Whole rounds of pairwise masking as files: an independent reader agrees with them, and both ends reproduce them."""

from pairwise import generate, verify
from replay import RecordedRounds


class TestPairwise(RecordedRounds):
    generate, verify = generate, verify
    losses = {"keys", "shares", "masked", "consistency", "unmask"}

    def test_the_files_cover_every_lane_graph_and_adversary(self, rounds):
        assert {round_.session.ring.lane.itemsize for round_ in rounds.values()} == {2, 4, 8}
        parameters = {
            (self.files[name]["parameters"]["complete"], rounds[name].scheme.authenticated) for name in rounds
        }
        assert len(parameters) == 4
