"""A node's own limits, from its own configuration (`flower-supernode --node-config`): they only narrow the mod's."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from flwr.app import Context

from secagg.arguments import checked, hints
from secagg.errors import ConfigError
from secagg.federation.client import Limits, Share, Unusable
from secagg.scheme import Policy
from secagg.scheme.policy import CLIPS, DEFAULT

MIN_COHORT, MIN_THRESHOLD, LEVELS = "secagg-min-cohort", "secagg-min-threshold", "secagg-levels"
"""Integers, of which larger ones count."""
WEIGHT_RATIO = "secagg-weight-ratio"
"""An integer, of which a smaller one counts."""
BITS, CLIP = "secagg-bits", "secagg-clip"
"""Ranges such as "8,16", of which the part that the mod allows too counts."""
WEIGHTS = "secagg-weights"
"""The node's declared range of weights, such as "10,1000", inside the mod's."""
UNUSABLE = "secagg-unusable"
"""What becomes of an update that cannot be summed: see `Limits.unusable`."""
SATURATION = "secagg-saturation"
"""The share of an update that may lie beyond the clip, such as 0.1, of which a smaller one counts: see `Limits`."""
STORE = "secagg-store"
"""The absolute path of the node's journal."""

KEYS = frozenset({MIN_COHORT, MIN_THRESHOLD, LEVELS, WEIGHT_RATIO, BITS, CLIP, WEIGHTS, UNUSABLE, SATURATION, STORE})
N = TypeVar("N", int, float)
Clips = tuple[float, float] | Mapping[str, tuple[float, float]]


def narrowed(context: Context, limits: Limits) -> Limits:
    """The mod's limits, narrowed by the node's configuration.

    Raises ConfigError or OutOfRange, naming the key, for what is no limit, and for a range that the mod's rules out.
    """
    unknown = sorted(key for key in context.node_config if key.startswith("secagg-") and key not in KEYS)
    if unknown:
        raise ConfigError(f"node configuration {unknown[0]}: no such key, expected some of {sorted(KEYS)}")
    policy = limits.policy
    narrow = replace(
        policy,
        min_cohort=max(_found(context, MIN_COHORT, int, policy.min_cohort), policy.min_cohort),
        min_threshold=max(_found(context, MIN_THRESHOLD, int, policy.min_threshold), policy.min_threshold),
        levels=max(_found(context, LEVELS, int, policy.levels), policy.levels),
        weight_ratio=min(
            _found(context, WEIGHT_RATIO, hints(Policy)["weight_ratio"], policy.weight_ratio), policy.weight_ratio
        ),
        bits=_overlap(BITS, policy.bits, _range(context, BITS, int)),
        clip=_clips(policy.clip, _range(context, CLIP, float)),
        weights=_weights(policy.weights, _range(context, WEIGHTS, int)),
    )
    return replace(
        limits,
        policy=narrow,
        unusable=_found(context, UNUSABLE, Unusable, limits.unusable),
        saturation=min(_found(context, SATURATION, Share, limits.saturation), limits.saturation),
    )


def _found(context: Context, key: str, kind: Any, otherwise: Any) -> Any:
    return checked(f"node configuration {key}", context.node_config.get(key, otherwise), kind)


def _range(context: Context, key: str, of: Callable[[str], N]) -> tuple[N, N] | None:
    """The two numbers of a text such as "10,1000", None where there is none."""
    text = context.node_config.get(key)
    if text is None:
        return None
    with suppress(ValueError):
        least, most = map(of, str(text).split(","))
        if 0 < least <= most:
            return least, most
    raise ConfigError(f"node configuration {key} is {text!r}: expected the least and the most, as in '10,1000'")


def _overlap(key: str, allowed: tuple[N, N], declared: tuple[N, N] | None) -> tuple[N, N]:
    """What both allow. Raises ConfigError where that is nothing."""
    if declared is None:
        return allowed
    least, most = max(allowed[0], declared[0]), min(allowed[1], declared[1])
    if least > most:
        raise _ruled_out(key, allowed, declared, "a range that overlaps it")
    return least, most


def _clips(allowed: Clips, declared: tuple[float, float] | None) -> Clips:
    if isinstance(allowed, tuple):
        return _overlap(CLIP, allowed, declared)
    return {name: _overlap(CLIP, found, declared) for name, found in {DEFAULT: CLIPS, **allowed}.items()}


def _weights(allowed: tuple[int, int] | None, declared: tuple[int, int] | None) -> tuple[int, int] | None:
    """The node's own: a weight is clamped to it, so a part of what it declares would be another declaration."""
    if declared is None or allowed is None:
        return declared or allowed
    if not allowed[0] <= declared[0] <= declared[1] <= allowed[1]:
        raise _ruled_out(WEIGHTS, allowed, declared, "a range inside it")
    return declared


def _ruled_out(key: str, allowed: tuple[N, N], declared: tuple[N, N], expected: str) -> ConfigError:
    return ConfigError(
        f"node configuration {key} is {declared[0]:g},{declared[1]:g}: this client's own app allows "
        f"{allowed[0]:g}..{allowed[1]:g}, expected {expected}"
    )
