"""HKDF-SHA256 (RFC 5869) of several secrets at once, one in each 32-bit lane of a vector, 32 bytes of output each.

SHA-256 is FIPS 180-4, 6.2, HMAC is RFC 2104. Time depends on counts and lengths alone. All state lies in a *room* of
rows of lanes; between the words that are read and written it is never indexed by anything but the program's place.
"""

from collections.abc import Callable
from math import isqrt
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from secagg.kernels._jit import kernel

BLOCK_BYTES = 64

# Rows of a room. The last four groups stay as they are once they are made: the states after the salt's two blocks,
# the initial state, and the end of a hash over one block and 32 bytes.
STATE, BLOCK, VARIABLES, KEY, DIGEST, SALT_INNER, SALT_OUTER, INITIAL, PADDING = 0, 8, 24, 32, 40, 48, 56, 64, 72
ROWS = 80
INNER, OUTER = 0x36363636, 0x5C5C5C5C

_emitted: Any = intrinsic  # Numba fills the first parameter itself, which its own types do not tell
_WORD, _QUAD = ir.IntType(32), ir.IntType(64)


def _constants() -> NDArray[np.uint32]:
    """First bits of the fractions of the primes' cube roots (64 words), and of their square roots (8 words)."""
    primes = [p for p in range(2, 312) if all(p % q for q in range(2, p))]
    words = [_cube_root(p << 96) % (1 << 32) for p in primes]
    return np.array(words + [isqrt(p << 64) % (1 << 32) for p in primes[:8]], np.uint32)


def _cube_root(n: int) -> int:
    root = 0
    for bit in reversed(range(40)):
        if (root | 1 << bit) ** 3 <= n:
            root |= 1 << bit
    return root


CONSTANTS = _constants()


def padded(infos: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The last blocks of HMAC's inner hash of info || 0x01, for each row.

    Args:
        infos: (n, l).

    Returns:
        (n, 64 * ceil((l + 10) / 64)).
    """
    n, length = infos.shape
    blocks = np.zeros((n, -(-(length + 10) // BLOCK_BYTES) * BLOCK_BYTES), np.uint8)
    blocks[:, :length] = infos
    blocks[:, length], blocks[:, length + 1] = 1, 0x80
    bits = 8 * (BLOCK_BYTES + length + 1)
    blocks[:, -8:] = np.frombuffer(bits.to_bytes(8, "big"), np.uint8)
    return blocks


@kernel
def derive(
    secrets: NDArray[np.uint32],
    infos: NDArray[np.uint32],
    salt: NDArray[np.uint32],
    constants: NDArray[np.uint32],
    keys: NDArray[np.uint32],
    room: NDArray[np.uint32],
    lanes: tuple[int, ...],
) -> None:
    """Row i of `keys` is the first 32 bytes of HKDF(secrets[i], infos[i], salt); all are read as little-endian words.

    Args:
        secrets: (n, 8).
        infos: (n, 16 * blocks), as `padded` makes them.
        salt: (16,): HMAC's key, that is the salt followed by zeros, or its hash if it is longer than a block.
        constants: `CONSTANTS`.
        keys: (n, 8), overwritten.
        room: (ROWS, len(lanes)), at an address that 64 divides; holds secrets afterwards.
        lanes: (0, ..., secrets of a vector - 1); its length is a type, so each width is compiled by itself.
    """
    width = len(lanes)
    room[:] = 0
    for lane in range(width):
        for row in range(8):
            room[INITIAL + row, lane] = constants[64 + row]
            room[KEY + row, lane] = _swapped(salt[row])
            room[DIGEST + row, lane] = _swapped(salt[8 + row])
        room[PADDING, lane] = 0x80000000
        room[PADDING + 7, lane] = 8 * (BLOCK_BYTES + 32)
    for pad, after in ((INNER, SALT_INNER), (OUTER, SALT_OUTER)):
        _masked(room, BLOCK, KEY, pad, lanes)
        _masked(room, BLOCK + 8, DIGEST, pad, lanes)
        _masked(room, STATE, INITIAL, 0, lanes)
        _compress(room, constants, lanes)
        _masked(room, after, STATE, 0, lanes)
    for start in range(0, len(secrets), width):
        count = min(width, len(secrets) - start)
        # The pseudorandom key (2.2): HMAC(salt, secret).
        for lane in range(count):
            for row in range(8):
                room[DIGEST + row, lane] = _swapped(secrets[start + lane, row])
        _masked(room, STATE, SALT_INNER, 0, lanes)
        _finish(room, constants, lanes)
        _masked(room, DIGEST, STATE, 0, lanes)
        _masked(room, STATE, SALT_OUTER, 0, lanes)
        _finish(room, constants, lanes)
        _masked(room, KEY, STATE, 0, lanes)
        # T(1) (2.3): HMAC(key, info || 0x01).
        _keyed(room, INNER, constants, lanes)
        for block in range(infos.shape[1] // 16):
            for lane in range(count):
                for row in range(16):
                    room[BLOCK + row, lane] = _swapped(infos[start + lane, 16 * block + row])
            _compress(room, constants, lanes)
        _masked(room, DIGEST, STATE, 0, lanes)
        _keyed(room, OUTER, constants, lanes)
        _finish(room, constants, lanes)
        for lane in range(count):
            for row in range(8):
                keys[start + lane, row] = _swapped(room[STATE + row, lane])


@kernel
def _keyed(room: Any, pad: int, constants: Any, lanes: tuple[int, ...]) -> None:
    """The state after HMAC's first block: the key, followed by zeros, in exclusive or with the pad."""
    _masked(room, BLOCK, KEY, pad, lanes)
    _masked(room, BLOCK + 8, PADDING, pad, lanes)
    for row in (0, 7):
        for lane in range(len(lanes)):
            room[BLOCK + 8 + row, lane] = pad
    _masked(room, STATE, INITIAL, 0, lanes)
    _compress(room, constants, lanes)


@kernel
def _finish(room: Any, constants: Any, lanes: tuple[int, ...]) -> None:
    """The state after the last block of a hash over one block and the 32 bytes of the digest's rows."""
    _masked(room, BLOCK, DIGEST, 0, lanes)
    _masked(room, BLOCK + 8, PADDING, 0, lanes)
    _compress(room, constants, lanes)


class _Words:
    """Emits SHA-256's functions of words (4.1.2), on vectors of them."""

    def __init__(self, builder: ir.IRBuilder, lanes: int) -> None:
        self.builder = builder
        self.kind = ir.VectorType(_WORD, lanes)

    def constant(self, word: int) -> ir.Constant:
        return self.kind([word] * self.kind.count)

    def rotated(self, x: ir.Value, bits: int) -> ir.Value:
        """To the right; LLVM knows the pattern, where there is an instruction for it."""
        build = self.builder
        return build.or_(build.lshr(x, self.constant(bits)), build.shl(x, self.constant(32 - bits)))

    def mixed(self, x: ir.Value, one: int, two: int, three: int, *, shifted: bool = False) -> ir.Value:
        """Exclusive or of three rotations; with `shifted`, the last is a shift."""
        last = self.builder.lshr(x, self.constant(three)) if shifted else self.rotated(x, three)
        return self.builder.xor(self.builder.xor(self.rotated(x, one), self.rotated(x, two)), last)

    def choice(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        return self.builder.xor(z, self.builder.and_(x, self.builder.xor(y, z)))

    def majority(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        build = self.builder
        return build.or_(build.and_(x, y), build.and_(z, build.or_(x, y)))

    def total(self, first: ir.Value, *others: ir.Value) -> ir.Value:
        for other in others:
            first = self.builder.add(first, other)
        return first

    def rows(self, room: ir.Value, first: Any, count: int) -> list[ir.Value]:
        """Addresses of rows from `first` on, which is an `int` or an LLVM value."""
        start = self.builder.bitcast(room, self.kind.as_pointer())
        start = self.builder.gep(start, [_QUAD(first) if isinstance(first, int) else first])
        return [self.builder.gep(start, [_QUAD(row)]) for row in range(count)]

    def splat(self, word: ir.Value) -> ir.Value:
        """A word in every lane."""
        one = self.builder.insert_element(self.kind(ir.Undefined), word, _WORD(0))
        return self.builder.shuffle_vector(one, one, self.kind([0] * self.kind.count))

    def load(self, pointer: ir.Value) -> ir.Value:
        return self.builder.load(pointer, align=4 * self.kind.count)

    def store(self, value: ir.Value, pointer: ir.Value) -> None:
        self.builder.store(value, pointer, align=4 * self.kind.count)


@_emitted
def _swapped(_typing: Any, _word: Any) -> Any:
    """Emit the reversal of a word's bytes."""
    return types.uint32(types.uint32), lambda _context, builder, _signature, arguments: builder.bswap(arguments[0])


@_emitted
def _masked(_typing: Any, room: Any, _to: Any, _origin: Any, _pad: Any, lanes: Any) -> Any:
    """Emit eight rows' exclusive or with a word, put elsewhere."""

    def body(w: _Words, start: ir.Value, to: ir.Value, origin: ir.Value, pad: ir.Value) -> None:
        mask = w.splat(pad)
        for target, source in zip(w.rows(start, to, 8), w.rows(start, origin, 8), strict=True):
            w.store(w.builder.xor(w.load(source), mask), target)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        start = _data(context, builder, signature.args[0], arguments[0])
        _call(builder, "masked", len(lanes), body, [start, *arguments[1:4]])
        return context.get_dummy_value()

    return types.void(room, types.int64, types.int64, types.uint32, lanes), emit


@_emitted
def _compress(_typing: Any, room: Any, constants: Any, lanes: Any) -> Any:
    """Emit SHA-256's compression of the block into the state (6.2.2)."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        start, table = (_data(context, builder, *pair) for pair in zip(signature.args, arguments[:2], strict=False))
        _call(builder, "compress", len(lanes), _emit_compression, [start, table])
        return context.get_dummy_value()

    return types.void(room, constants, lanes), emit


def _emit_compression(w: _Words, room: ir.Value, table: ir.Value) -> None:
    state, variables = w.rows(room, STATE, 8), w.rows(room, VARIABLES, 8)
    for source, target in zip(state, variables, strict=True):
        w.store(w.load(source), target)
    for first in range(0, 64, 16):
        if first:
            _call(w.builder, "schedule", w.kind.count, _emit_schedule, [room])
        constants = w.builder.gep(table, [_QUAD(first)])
        _call(w.builder, "rounds", w.kind.count, _emit_rounds, [room, constants])
    for source, target in zip(variables, state, strict=True):
        w.store(w.builder.add(w.load(source), w.load(target)), target)


def _emit_schedule(w: _Words, room: ir.Value) -> None:
    """The next sixteen words of the message schedule in place of the last sixteen."""
    block = w.rows(room, BLOCK, 16)
    words = [w.load(pointer) for pointer in block]
    for t in range(16):
        early, late = words[(t + 1) % 16], words[(t + 14) % 16]
        one, other = w.mixed(early, 7, 18, 3, shifted=True), w.mixed(late, 17, 19, 10, shifted=True)
        words[t] = w.total(words[t], one, words[(t + 9) % 16], other)
        w.store(words[t], block[t])


def _emit_rounds(w: _Words, room: ir.Value, constants: ir.Value) -> None:
    """Sixteen rounds on the variables, with the block's words."""
    variables = w.rows(room, VARIABLES, 8)
    a, b, c, d, e, f, g, h = (w.load(pointer) for pointer in variables)
    for t, pointer in enumerate(w.rows(room, BLOCK, 16)):
        constant = w.splat(w.builder.load(w.builder.gep(constants, [_QUAD(t)]), align=4))
        one = w.total(h, constant, w.load(pointer), w.choice(e, f, g), w.mixed(e, 6, 11, 25))
        two = w.builder.add(w.mixed(a, 2, 13, 22), w.majority(a, b, c))
        a, b, c, d, e, f, g, h = w.builder.add(one, two), a, b, c, w.builder.add(d, one), e, f, g
    for value, pointer in zip((a, b, c, d, e, f, g, h), variables, strict=True):
        w.store(value, pointer)


def _data(context: Any, builder: ir.IRBuilder, kind: Any, array: ir.Value) -> ir.Value:
    """Where a contiguous array starts."""
    return context.make_array(kind)(context, builder, array).data


def _call(builder: ir.IRBuilder, what: str, lanes: int, body: Callable[..., None], arguments: list[ir.Value]) -> None:
    """Call the module's one function of that name, made at the first call: inlined, each would be compiled anew."""
    name = f"sha256.{what}.{lanes}"
    function = builder.module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
        function = ir.Function(builder.module, kind, name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        inner = ir.IRBuilder(function.append_basic_block())
        body(_Words(inner, lanes), *function.args)
        inner.ret_void()
    builder.call(function, arguments)
