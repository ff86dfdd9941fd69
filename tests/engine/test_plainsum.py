"""A protocol with a role, an announcement and results at the parties takes the same exam as any other."""

from plainsum import PlainSum

from secagg.testing.conformance import SchemeConformance


class TestPlainSum(SchemeConformance):
    def make(self, n):
        return PlainSum()

    test_no_sum_is_opened_under_the_policy_s_cohort = None  # its server sees every vector: nothing could be refused
