"""Masks with the processor's AES instructions: each stream is made in registers and added from there.

One generator emits AES-128-CTR (NIST SP 800-38A, 6.5) through LLVM for vectors of 128 bits (AES-NI), 256 (VAES with
AVX2) and 512 (VAES with AVX-512). Whatever these instructions touch is a tile of this module's own, aligned and a
whole number of groups long; the caller's vector is only ever indexed by plain code, so its length, alignment and
place in the stream do not matter. Time depends on lengths alone, never on a seed: no table, no branch.

A negative sign costs nothing: -m = ~m + 1, the complement is a round key's, and the ones are the tile's start.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from secagg.kernels._cpu import over_threads
from secagg.kernels._jit import kernel
from secagg.kernels._memory import aligned

BLOCK = 16  # bytes of an AES block
ROUNDS = 10  # of AES-128 (FIPS 197, table 3)
IN_FLIGHT = 8  # vectors of one group: covers the latency of a round (3 to 4 cycles, up to two rounds a cycle)
TILE = 1 << 14  # bytes: leaves half of a 32 KiB L1 to the accumulator and the round keys
KEYS_AT_ONCE = 256  # expanded together: 44 KiB of round keys, whatever k is
PIECE = 1 << 24  # bytes of keystream worth handing to a thread: 1 to 2 ms, where to start one takes up to half of one

_emitted: Any = intrinsic  # Numba fills the first parameter itself, which its own types do not tell

_BYTE, _WORD, _QUAD = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_BLOCK = ir.VectorType(_QUAD, 2)
_WORDS = ir.VectorType(_WORD, 4)


def add_masks(
    acc: NDArray[Any],
    seeds: NDArray[np.uint8],
    signs: NDArray[np.int8],
    byte_offset: int,
    *,
    vector_bits: int,
    threads: int,
) -> None:
    """See `secagg.kernels.mask.add_masks`.

    Args:
        acc: see there.
        seeds: see there.
        signs: see there.
        byte_offset: see there.
        vector_bits: 128, 256 or 512; the processor must have the instructions.
        threads: most threads to use, >= 1; the result does not depend on it.
    """
    blocks = tuple(range(vector_bits // (8 * BLOCK)))
    start = byte_offset // acc.itemsize
    for first in range(0, len(seeds), KEYS_AT_ONCE):
        chosen = slice(first, first + KEYS_AT_ONCE)
        round_keys = _expanded(seeds[chosen], signs[chosen])
        minus = acc.dtype.type(np.count_nonzero(signs[chosen] < 0))
        try:
            _over_threads(acc, start, round_keys, minus, blocks, threads)
        finally:
            round_keys.fill(0)


def _expanded(seeds: NDArray[np.uint8], signs: NDArray[np.int8]) -> NDArray[np.uint8]:
    """(k, 11, 16) round keys; the last one complemented for a sign of -1, which complements the stream."""
    round_keys = aligned((len(seeds), ROUNDS + 1, BLOCK), np.uint8)
    round_keys[:, 0] = seeds
    _expand(round_keys)
    round_keys[:, ROUNDS] ^= (signs >> 7).view(np.uint8)[:, np.newaxis]
    return round_keys


def _over_threads(
    acc: NDArray[Any], start: int, round_keys: NDArray[np.uint8], minus: Any, blocks: tuple[int, ...], threads: int
) -> None:
    """Cut `acc` into pieces and add to each, on as many threads as the work is worth, the caller's among them."""

    def work(left: Iterator[slice]) -> None:
        tile = aligned((TILE,), np.uint8)
        try:
            for piece in left:
                _add_streams(acc[piece], start + piece.start, round_keys, minus, tile.view(acc.dtype), blocks)
        finally:
            tile.fill(0)

    over_threads(work, _pieces(acc, len(round_keys), threads), threads)


def _pieces(acc: NDArray[Any], k: int, threads: int) -> list[slice]:
    """Four pieces a thread, so that a slow one delays little, but none of less work than a thread is worth."""
    tile = TILE // acc.itemsize
    least = -(-PIECE // (TILE * k))
    fair = -(-acc.size // (4 * threads * tile))
    step = max(least, fair) * tile
    return [slice(at, at + step) for at in range(0, acc.size, step)]


@kernel
def _add_streams(
    acc: NDArray[Any],
    start: int,
    round_keys: NDArray[np.uint8],
    minus: Any,
    tile: NDArray[Any],
    blocks: tuple[int, ...],
) -> None:
    """acc += minus + the streams of all keys from lane `start` on, tile by tile.

    Args:
        acc: (dim,) lanes.
        start: position in the streams, in lanes, of the first of `acc`.
        round_keys: (k, 11, 16), aligned.
        minus: how many streams are complemented, in the lane's type.
        tile: (TILE / lane,), aligned; holds secrets afterwards.
        blocks: (0, ..., blocks of a vector - 1); its length is a type, so each width is compiled by itself.
    """
    counters = IN_FLIGHT * len(blocks)  # of a group
    group = counters * BLOCK // acc.itemsize
    done = 0
    while done < acc.size:
        before = (start + done) % group  # lanes of the first group that belong to earlier entries
        count = min(acc.size - done, tile.size - before)
        first, groups = (start + done) // group * counters, (before + count + group - 1) // group
        for i in range(groups * group):
            tile[i] = minus
        for j in range(len(round_keys)):
            for g in range(groups):
                _add_group(tile, g, round_keys, j, first + g * counters, blocks)
        target, masks = acc[done : done + count], tile[before : before + count]
        for i in range(count):
            target[i] += masks[i]
        done += count


@kernel
def _expand(round_keys: NDArray[np.uint8]) -> None:
    """Rows 1..10 of each key, (11, 16), from row 0."""
    for j in range(len(round_keys)):
        _schedule(round_keys, j)


@_emitted
def _schedule(_typing: Any, round_keys: Any, _key: Any) -> Any:
    """Emit the schedule of key number `_key` of `round_keys`, (k, 11, 16) and aligned."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        _emit_schedule(builder, _row(context, builder, signature.args[0], *arguments))
        return context.get_dummy_value()

    return types.void(round_keys, types.int64), emit


@_emitted
def _add_group(_typing: Any, tile: Any, _group: Any, round_keys: Any, _key: Any, _counter: Any, blocks: Any) -> Any:
    """Emit the addition of blocks `_counter` and on of a key's stream to group number `_group` of `tile`.

    `_counter` is a multiple of the group's blocks, a power of two, so counting on from it never carries.
    """
    width = len(blocks)
    lanes = ir.VectorType(ir.IntType(tile.dtype.bitwidth), width * 8 * BLOCK // tile.dtype.bitwidth)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        acc, group, keys, key, counter, _ = arguments
        stream = _emit_stream(builder, _row(context, builder, signature.args[2], keys, key), counter, width)
        first = builder.mul(group, _QUAD(IN_FLIGHT))
        at = builder.gep(_address(context, builder, signature.args[0], acc, lanes), [first])
        for number, vector in enumerate(stream):
            place = builder.gep(at, [_QUAD(number)])
            total = builder.add(builder.load(place, align=width * BLOCK), builder.bitcast(vector, lanes))
            builder.store(total, place, align=width * BLOCK)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(tile, integer, round_keys, integer, integer, blocks), emit


def _emit_stream(builder: ir.IRBuilder, row: ir.Value, counter: ir.Value, width: int) -> list[ir.Value]:
    """The stream's `IN_FLIGHT` vectors of `width` blocks each (FIPS 197, 5.1), side by side to keep the units busy."""
    first = builder.insert_element(_BLOCK([0, 0]), builder.bswap(counter), _QUAD(1))  # big-endian, below 2**64
    common = _wide(builder, builder.xor(first, _load_key(builder, row, 0)), width)
    vectors = [builder.xor(common, _steps(number * width, width)) for number in range(IN_FLIGHT)]
    for number in range(1, ROUNDS + 1):
        instruction = "aesenc" if number < ROUNDS else "aesenclast"
        round_key = _wide(builder, _load_key(builder, row, number), width)
        vectors = [_emit_round(builder, instruction, vector, round_key) for vector in vectors]
    return vectors


def _emit_round(builder: ir.IRBuilder, instruction: str, vector: ir.Value, round_key: ir.Value) -> ir.Value:
    """One round of every block of a vector, by one instruction."""
    kind, bits = vector.type, vector.type.count * 64
    name = f"llvm.x86.aesni.{instruction}" + (f".{bits}" if bits > 128 else "")
    return builder.call(_declared(builder, name, kind, [kind, kind]), [vector, round_key])


def _steps(first: int, width: int) -> ir.Constant:
    """What turns the counter block of a group's start into those of blocks first .. first + width of the group."""
    quads = [half for number in range(first, first + width) for half in (0, number << 56)]  # the last byte counts
    return ir.VectorType(_QUAD, 2 * width)(quads)


def _emit_schedule(builder: ir.IRBuilder, row: ir.Value) -> None:
    """FIPS 197, 5.2, with the instruction made for it: it gives RotWord(SubWord(last word)) xor Rcon as word 3."""
    assist = _declared(builder, "llvm.x86.aesni.aeskeygenassist", _BLOCK, [_BLOCK, _BYTE])
    key, constant = _load_key(builder, row, 0), 1
    for number in range(1, ROUNDS + 1):
        word = builder.bitcast(builder.call(assist, [key, _BYTE(constant)]), _WORDS)
        words = builder.bitcast(key, _WORDS)
        moved = words
        for _ in range(3):  # each word becomes the sum of itself and those before it
            moved = _shuffled(builder, moved, _WORDS(None), [4, 0, 1, 2])
            words = builder.xor(words, moved)
        key = builder.bitcast(builder.xor(words, _shuffled(builder, word, word, [3] * 4)), _BLOCK)
        builder.store(key, builder.gep(row, [_QUAD(number)]), align=BLOCK)
        constant = constant << 1 ^ (0x11B if constant & 0x80 else 0)


def _load_key(builder: ir.IRBuilder, row: ir.Value, number: int) -> ir.Value:
    return builder.load(builder.gep(row, [_QUAD(number)]), align=BLOCK)


def _wide(builder: ir.IRBuilder, block: ir.Value, width: int) -> ir.Value:
    """The block `width` times over."""
    return _shuffled(builder, block, block, [0, 1] * width)


def _shuffled(builder: ir.IRBuilder, one: ir.Value, other: ir.Value, order: list[int]) -> ir.Value:
    return builder.shuffle_vector(one, other, ir.VectorType(_WORD, len(order))(order))


def _row(context: Any, builder: ir.IRBuilder, kind: Any, table: ir.Value, key: ir.Value) -> ir.Value:
    """Address of the first round key of a key in a (k, 11, 16) table."""
    return builder.gep(_address(context, builder, kind, table, _BLOCK), [builder.mul(key, _QUAD(ROUNDS + 1))])


def _address(context: Any, builder: ir.IRBuilder, kind: Any, array: ir.Value, entry: ir.Type) -> ir.Value:
    """Where a contiguous array starts, as a pointer to `entry`."""
    return builder.bitcast(context.make_array(kind)(context, builder, array).data, entry.as_pointer())


def _declared(builder: ir.IRBuilder, name: str, result: ir.Type, parameters: list[ir.Type]) -> ir.Value:
    """LLVM's intrinsic of that name."""
    known: ir.Value | None = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(result, parameters), name)
