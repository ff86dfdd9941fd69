"""What no framework changes: updates, runs, who is left out of a round, which scheme it runs."""

from fractions import Fraction
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from secagg.encoding.quantize import Quantizer
from secagg.errors import ConfigError, OutOfRange, PolicyRefused, WireError
from secagg.federation.choice import AllowedSchemes, SchemeChoice
from secagg.federation.messages import Ahead, Invitation
from secagg.federation.metrics import given_metrics, read_metrics
from secagg.federation.outcome import COARSE, MAX_BITS, Outcome, coarse
from secagg.federation.round import LatePolicy, Plan, RoundStart
from secagg.federation.server import Server
from secagg.federation.update import COUNTED, EncodingSpec, Model, clip_of, counter_clip, update_of
from secagg.testing import SeededEntropy
from secagg_protocols import PairwiseMasking

NAMES = [f"p{number}" for number in range(10)]


@given(st.sampled_from(["float16", "float32", "float64"]).flatmap(lambda dtype: arrays(dtype, (2, 5))))
def test_a_difference_of_floats_is_rounded_once(pair):
    new, old = pair
    update = update_of({"w": old}, {"w": new})["w"]
    assert update.dtype == old.dtype
    for entry, a, b in zip(update, new, old, strict=True):
        if np.isfinite([a, b]).all() and abs(entry) < np.finfo(entry.dtype).max:
            exact = Fraction(float(a)) - Fraction(float(b))
            assert abs(Fraction(float(entry)) - exact) <= Fraction(float(np.spacing(np.abs(entry)))) / 2


def test_a_difference_of_other_numbers_is_a_double():
    for new, old in [(np.array([2**40]), np.array([1])), (np.array([True]), np.array([False]))]:
        assert update_of({"w": old}, {"w": new})["w"].dtype == np.float64
    wide = update_of({"w": np.zeros(1, np.float32)}, {"w": np.full(1, 1 + 2.0**-40)})
    assert wide["w"].dtype == np.float32


@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8", ">i4"])
def test_a_foreign_byte_order_makes_no_difference(dtype):
    old, new = np.array([0.5, 3], dtype), np.array([2.5, 1], dtype)
    found = update_of({"w": old}, {"w": new})["w"]
    native = update_of({"w": old.astype(old.dtype.newbyteorder("="))}, {"w": new})["w"]
    np.testing.assert_array_equal(found, native)
    assert found.dtype.name == native.dtype.name


@pytest.mark.parametrize("bits", range(2, 33))
def test_counts_fall_on_steps(bits):
    clip, levels = counter_clip(bits), 2 ** (bits - 1) - 1
    steps = Fraction(levels) / Fraction(clip)
    assert steps.denominator == 1
    assert int(steps).bit_count() == 1
    assert COUNTED <= clip < COUNTED + 1 if bits > 12 else clip == levels
    counts = np.arange(-int(min(clip, COUNTED)), int(min(clip, COUNTED)) + 1)
    for rounding in ("nearest", "stochastic"):
        quantizer, out = Quantizer(bits, rounding), np.zeros(counts.size, np.uint64)
        assert quantizer.quantize(counts.astype(float), np.asarray(clip), 1.0, out, SeededEntropy("counts")) == 0
        assert (out.astype(int) == quantizer.offset + int(steps) * counts).all()
    model = {"n": np.array(3), "w": np.zeros(2)}
    assert clip_of(model, 0.5, ["n"], bits, {})["arrays"] == {"n": clip, "w": 0.5}
    assert clip_of(model, {"n": 9.0, "*": 0.5}, ["n"], bits, {})["arrays"] == {"n": 9.0, "w": 0.5}


@pytest.mark.parametrize("start", [np.zeros(3, int), np.zeros((1, 1), bool), np.zeros(0, np.uint8)])
def test_arrays_of_integers_are_no_counters_unless_their_clip_is_named(start):
    """Weights that start as integer zeros would be summed in steps of 1/8, and their updates lost."""
    model, spec = Model({"w": start, "n": np.array(3)}, b""), EncodingSpec(16, 1.0, None, {}, "stochastic")
    with pytest.raises(ConfigError, match=r"arrays \['w'\] hold integers: weights have to start as floats; .* clip="):
        spec.session(NAMES, model.after(frozenset()), entropy=SeededEntropy(0))
    named = EncodingSpec(16, {"w": 2.0, "*": 1.0}, None, {}, "stochastic")
    clip = named.session(NAMES, model.after(frozenset()), entropy=SeededEntropy(0)).encoding.clip
    assert [float(each) for each in clip] == [2.0, counter_clip(16)]


def test_after_a_round_they_are_still_known():
    """A mean of integers is a float, and asks for the same clip as before."""
    first = Model({"w": np.zeros(3, int), "n": np.array(3)}, b"").after(frozenset())
    later = Model({"w": np.zeros(3), "n": np.array(3.5)}, b"").after(first.counters)
    assert later.counters == {"w", "n"}
    with pytest.raises(ConfigError, match="hold integers"):
        clip_of(later.arrays, 1.0, later.counters, 16, {})


def test_counters_are_told_once_and_no_weights_among_them():
    said = []
    plan = Plan(
        SchemeChoice("secagg", {}),
        EncodingSpec(16, {"m": 7.0, "*": 1.0}, None, {}, "stochastic"),
        "n",
        LatePolicy(0.0, 3),
        None,
        SeededEntropy(0),
        lambda level, text: said.append(text),
    )
    server = Server(plan)
    for _ in range(2):
        server.open(NAMES, Model({"w": np.zeros(3), "n": np.array(3), "m": np.zeros(2, int)}, b""))
    assert said == ["secure aggregation: n: integers, averaged as counters; weights have to start as floats"]


def mean_of(weight=1, parties=4, clip=2.0, **how):
    """(the warning, bound over clip) of a round of equal weights."""
    spec = EncodingSpec(
        **{
            "bits": 16,
            "clip": clip,
            "weight_max": None,
            "metrics": {},
            "rounding": "stochastic",
            "weight_min": None,
            **how,
        }
    )
    model, names = {"w": np.zeros(3)}, NAMES[:parties]
    encoding = spec.session(names, Model(model, b""), entropy=SeededEntropy("coarse")).encoding
    update = {"arrays": {"w": np.ones(3)}, "metrics": {}, "reporting": {}}
    total = sum(encoding.encode(update, weight, SeededEntropy("coarse")) for _ in names)
    decoded = encoding.decode(total, parties)
    outcome = Outcome(contributors=frozenset(names), weight=decoded.weight)
    return coarse(spec, outcome), decoded.error_bound / clip


@given(st.integers(2, 32), st.integers(1, 2**20), st.sampled_from(["nearest", "stochastic"]))
def test_a_mean_is_coarse_where_its_stated_bound_says_so(bits, weight_max, rounding):
    weighted = {"weight_max": weight_max, "weight_min": 1, "rounding": "stochastic"}
    for how in (weighted, {"rounding": rounding}):
        said, bound = mean_of(bits=bits, **how)
        assert (said is not None) == (bound > COARSE)
        if said is not None:
            assert f"{bound:.1%} of the clip at {bits} bits; " in said
            assert said.startswith(f"weight_max is {weight_max}.0 times the mean weight: the") == (how is weighted)
            enough = int(said.rpartition("raise bits to ")[2])
            assert mean_of(bits=enough, **how)[0] is None


def test_where_no_more_bits_can_be_had():
    said, _ = mean_of(bits=MAX_BITS, weight_max=2**40, weight_min=1)
    assert said.endswith("at 32 bits; lower weight_max")
    assert mean_of(bits=30, weight_max=2**40, weight_min=1)[0].endswith("; lower weight_max or raise bits to 32")


def parted(start, sampled, share, least, needed=0):
    """(cohort, late); the scheme runs for `needed` parties and more."""

    def make(cohort, late):
        if len(cohort) < needed:
            raise ConfigError("too few for the threshold")
        return list(cohort), list(late)

    return start.opened(sampled, LatePolicy(share, least), make)


@given(st.sets(st.sampled_from(NAMES)), st.floats(0, 1), st.integers(2, 10), st.integers(0, 10))
def test_who_is_left_out_has_no_keys_and_all_others_have(ready, share, least, needed):
    start = RoundStart(bytes(16), 3, dict.fromkeys(ready, b""))
    cohort, late = parted(start, NAMES, share, least, needed)
    assert sorted([*cohort, *late]) == NAMES
    if late:
        assert set(cohort) == ready
        assert len(late) <= share * len(NAMES)
        assert len(cohort) >= max(least, needed)
    elif ready != set(NAMES):
        assert len(NAMES) - len(ready) > share * len(NAMES) or len(ready) < max(least, needed)


@given(st.sets(st.sampled_from(NAMES)), st.floats(0, 1))
def test_the_last_round_leaves_nobody_to_a_next_one(ready, share):
    start = RoundStart(bytes(16), 3, dict.fromkeys(ready, b""), last=True)
    assert parted(start, NAMES, share, 2) == (NAMES, [])


def test_a_scheme_that_cannot_run_with_all_either_is_an_error():
    with pytest.raises(ConfigError, match="too few for the threshold"):
        parted(RoundStart(bytes(16), 0, dict.fromkeys(NAMES[1:], b"")), NAMES, 0.5, 2, needed=11)


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan"), float("inf")])
def test_no_share(share):
    with pytest.raises(OutOfRange, match="max_late is"):
        LatePolicy(share, 2)


def test_what_is_prepared_ahead_is_the_round_after():
    start = RoundStart(bytes(16), 3, {})
    assert start.ahead(5) == Ahead("00" * 16, 4, 5)
    assert RoundStart(bytes(16), 3, {}, last=True).ahead(5) is None


def test_a_failed_round_has_no_contributors():
    outcome = Outcome.failed("too few")
    assert (outcome.contributors, outcome.left_out, outcome.failure) == (frozenset(), frozenset(), "too few")


def allowed(**options):
    return AllowedSchemes(frozenset(["secagg", "secagg+"]), None, authenticated=True, **options)


def named(parties, scheme="secagg+", **options):
    """The invitation to a scheme that the server names."""
    choice = SchemeChoice(scheme, options if scheme != "secagg+" else {"adversary": "active"} | options)
    return choice.invitation(choice.made(parties), bytes(32), "weight", [])


@pytest.mark.parametrize("parties", [10, 1000])
def test_a_server_cannot_choose_how_many_are_corrupt(parties):
    """With {"corrupt": 0, "dropout": 0, "sigma": 1} a thousand clients would have two neighbours each."""
    assert allowed().made(named(parties), parties).assumptions == {"corrupt": 0.05, "sigma": 40}
    for weaker in ({"corrupt": 0.0, "dropout": 0.0, "sigma": 1}, {"corrupt": 0.049}, {"sigma": 39}):
        with pytest.raises(PolicyRefused, match=r"this client asks for at least (0\.05|40)$"):
            allowed().made(named(parties, **weaker), parties)
    for stronger in ({"corrupt": 0.1}, {"sigma": 50}):
        assert allowed().made(named(parties, **stronger), parties).assumptions.items() >= stronger.items()


def test_a_client_sets_the_least_that_is_assumed():
    careful, trusting = allowed(assumptions={"corrupt": 0.1}), allowed(assumptions={"corrupt": 0, "sigma": 20})
    with pytest.raises(PolicyRefused, match=r"corrupt 0.05: .* this client asks for at least 0.1"):
        careful.made(named(100), 100)
    with pytest.raises(PolicyRefused, match=r"sigma 39: .* this client asks for at least 40"):
        careful.made(named(100, corrupt=0.1, sigma=39), 100)
    assert trusting.made(named(100, corrupt=0.0, sigma=20), 100).assumptions == {"corrupt": 0.0, "sigma": 20}
    with pytest.raises(ConfigError, match="assumptions: 'dropout' is unknown"):
        allowed(assumptions={"dropout": 0.1})


def test_passive_mode_and_a_scheme_of_the_clients_own_are_not_asked():
    own = PairwiseMasking(adversary="active", corrupt=0.0)
    assert AllowedSchemes(frozenset(), own, authenticated=True).made(named(5, own), 5) is own
    passive = AllowedSchemes(frozenset(["secagg+"]), None, authenticated=False)
    assert not passive.made(named(50, adversary="passive", sigma=10), 50).assumptions


@given(st.binary(max_size=80))
def test_an_invitation_of_any_bytes_is_read_or_refused(data):
    try:
        assert isinstance(Invitation.from_bytes(data), Invitation)
    except WireError:
        return


WRONG = [
    (EncodingSpec, {"metrics": ["train_loss"]}, r"metrics is \['train_loss'\]: expected a dict {name: clip}"),
    (EncodingSpec, {"metrics": "auc"}, "metrics is 'auc': expected a dict"),
    (EncodingSpec, {"metrics": {"auc": "1"}}, "metrics is .*: expected a dict {name: clip}"),
    (EncodingSpec, {"metrics": {"auc": True}}, "metrics is .*: expected a dict {name: clip}"),
    (EncodingSpec, {"metrics": {1: 1.0}}, "metrics is .*: expected a dict {name: clip}"),
    (EncodingSpec, {"metrics": {"auc": 0.0}}, "clip is 0.0: expected a positive, finite number"),
    (EncodingSpec, {"clip": "1"}, "clip: entries are str"),
    (EncodingSpec, {"clip": None}, "clip: NoneType"),
    (EncodingSpec, {"clip": {1: 0.5}}, "clip: name is 1: expected a text"),
    (EncodingSpec, {"clip": {"w": "x"}}, "clip: entries are str"),
    (EncodingSpec, {"bits": "16"}, "bits is '16': expected an integer"),
    (EncodingSpec, {"bits": True}, "bits is True: expected an integer"),
    (EncodingSpec, {"weight_max": "50"}, "weight_max is '50': expected an integer"),
    (EncodingSpec, {"rounding": 1}, "rounding is 1: expected"),
    (LatePolicy, {"share": "0.2"}, r"max_late is '0.2': expected a share in 0..1"),
    (LatePolicy, {"share": None}, "max_late is None: expected a share"),
    (LatePolicy, {"share": True}, "max_late is True: expected a share"),
    (SchemeChoice, {"options": ["x"]}, r"options is \['x'\]: expected a dict {name: value}"),
    (SchemeChoice, {"options": "x"}, "options is 'x': expected a dict"),
    (SchemeChoice, {"options": {1: 2}}, "options is {1: 2}: expected a dict"),
    (SchemeChoice, {"options": {"x": 1}}, "options of 'secagg': no 'x', expected some of .*'threshold'"),
    (SchemeChoice, {"options": {"n": 1}}, "options of 'secagg': no 'n'"),
    (SchemeChoice, {"options": {"dropout": 0.2}}, "options of 'secagg': no 'dropout'"),
    (SchemeChoice, {"scheme": None}, "scheme is None: expected|scheme None is unknown"),
    (SchemeChoice, {"scheme": PairwiseMasking}, "scheme .* is unknown"),
    (SchemeChoice, {"scheme": ["secagg"]}, r"scheme \['secagg'\] is unknown"),
    (AllowedSchemes, {"protocols": ["secagg"]}, r"protocols is \['secagg'\]: expected a set of names"),
    (AllowedSchemes, {"scheme": "secagg"}, "scheme is 'secagg': expected a Scheme or None"),
    (AllowedSchemes, {"authenticated": None}, "authenticated is None: expected True or False"),
    (AllowedSchemes, {"assumptions": {"corrupt": "0.1"}}, "assumptions is .*: expected a dict {name: number}"),
    (Plan, {"choice": SchemeChoice("secagg", {"threshold": 1})}, "^threshold is 1: expected an integer, 2 or more"),
    (Plan, {"weighted_by": 5}, "weighted_by is 5: expected a text"),
    (Plan, {"roster": {}}, "roster is dict, expected a Roster or None"),
    (Plan, {"entropy": b"seed"}, "entropy is b'seed': expected a function"),
]
RIGHT = {
    EncodingSpec: {"bits": 16, "clip": 1.0, "weight_max": 50, "metrics": {}, "rounding": "stochastic"},
    LatePolicy: {"share": 0.25, "least": 3},
    SchemeChoice: {"scheme": "secagg", "options": {}},
    AllowedSchemes: {"protocols": frozenset(["secagg"]), "scheme": None, "authenticated": False},
}
RIGHT[Plan] = {
    "choice": SchemeChoice("secagg", {}),
    "encoding": EncodingSpec(**RIGHT[EncodingSpec]),
    "weighted_by": "n",
    "late": LatePolicy(0.0, 3),
    "roster": None,
    "entropy": SeededEntropy(0),
    "say": lambda level, text: None,
}


@pytest.mark.parametrize(("kind", "wrong", "words"), WRONG, ids=range(len(WRONG)))
def test_what_is_of_another_type_or_no_use_is_refused_when_it_is_given(kind, wrong, words):
    kind(**RIGHT[kind])
    with pytest.raises(ConfigError, match=words):
        kind(**RIGHT[kind] | wrong)


def test_numbers_of_numpy_are_numbers():
    spec = EncodingSpec(
        **RIGHT[EncodingSpec] | {"metrics": MappingProxyType({"loss": np.float32(2), "n": np.int64(3)})}
    )
    assert spec.metrics == {"loss": 2.0, "n": 3.0}


UNUSABLE = [
    ("secagg", {"threshold": "3"}, "^threshold is '3': expected an integer"),
    ("secagg", {"threshold": 1}, "^threshold is 1: expected an integer, 2 or more"),
    ("secagg", {"adversary": "both"}, "^adversary is 'both': expected one of passive, active"),
    ("secagg+", {"dropout": "0.2"}, r"^dropout is '0.2': expected a number in"),
    ("secagg+", {"dropout": 0.99}, r"corrupt \+ dropout must be below 1"),
    ("secagg+", {"neighbours": 3}, "neighbours is 3: expected"),
    (
        "secagg",
        {"threshold": 2**21},
        r"^no cohort of 2..2\*\*20 parties can run 'secagg' with {'threshold': 2097152}; ",
    ),
    ("secagg", {"threshold": 2**21}, "one of 4: threshold is 2097152: expected 3..4, more than half of the 4 parties$"),
]


@pytest.mark.parametrize(("scheme", "options", "words"), UNUSABLE)
def test_options_that_no_cohort_can_run(scheme, options, words):
    with pytest.raises(ConfigError, match=words):
        SchemeChoice(scheme, options).check_usable()


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_options_that_a_cohort_of_known_size_cannot_run(parties):
    choice = SchemeChoice("secagg", {"threshold": 7})
    choice.check_usable()
    with pytest.raises(ConfigError, match=rf"^threshold is 7: expected .* of the {parties} parties$"):
        choice.check_usable(parties)
    choice.check_usable(7)


@pytest.mark.parametrize("threshold", [2, 3, 7, 30, 1000])
def test_a_threshold_that_some_cohort_could_use(threshold):
    choice = SchemeChoice("secagg", {"threshold": threshold})
    choice.check_usable()
    assert choice.made(threshold).threshold == threshold


def test_clipped_metrics_are_told_by_name():
    def lines(**of):
        return [text for _, text in Outcome(**of).lines(1, "node")][1:]

    assert lines(saturated=7, error_bound={"w": 0.1}) == ["7 entries of updates were clipped"]
    assert lines(clipped_metrics=frozenset(["loss"])) == ["metric 'loss' lies at its clip: state a larger one"]


@given(
    st.lists(st.floats(-3, 3) | st.none() | st.just(np.nan), min_size=1, max_size=9),
    st.sampled_from([0.5, 1.0, 3.3]),
    st.integers(2, 32),
)
def test_the_mean_of_a_metric_is_within_its_bound_whoever_has_one(values, clip, bits):
    clips = {"auc": clip}
    given_ = [given_metrics({} if value is None else {"auc": value}, clips, bits, SeededEntropy(0)) for value in values]
    summed = {part: {"auc": sum(each[part]["auc"] for each in given_)} for part in ("metrics", "reporting")}
    known = [Fraction(max(-clip, min(clip, value))) for value in values if value is not None and value == value]
    found = read_metrics(summed, clips, bits)
    assert all(0 <= each["metrics"]["auc"] < 2**bits for each in given_)
    assert set(found) == ({"auc"} if known else set())
    for each in found.values():
        assert each.parties == len(known)
        assert abs(Fraction(each.mean) - sum(known) / len(known)) <= Fraction(each.bound)
        assert each.clipped == (len({*known}) == 1 and abs(known[0]) == clip) or bits < 32


def closed(lost, scheme="secagg+", **options):
    """What the server says of a round that ended when so many were lost before they dealt shares."""
    said = []
    choice = {"choice": SchemeChoice(scheme, options), "say": lambda level, text: said.append(text)}
    server = Server(Plan(**RIGHT[Plan] | choice))
    silent = dict.fromkeys(NAMES[:lost], "keys")
    ended = SimpleNamespace(lost=silent, misbehaved={}, session=SimpleNamespace(parties=NAMES))
    server.close(1, SimpleNamespace(coordinator=ended, prepared={}), "too few")
    return said[-1]


def test_a_round_that_ended_for_a_loss_that_nobody_stated_says_so():
    said = closed(4)
    assert said.startswith("secure aggregation: 4 of 10 were lost, and 'secagg+' is planned for a share that may be: ")
    assert said.endswith("state it, such as options={'dropout': 0.4}")
    assert "skipped" in closed(0)
    assert "skipped" in closed(5)
    assert "skipped" in closed(4, "secagg")
