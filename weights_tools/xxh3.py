"""XXH3 with 128 bits and seed 0: the hash that finds damage in a model file.

Called by model_file. Written from the algorithm's published description (xxHash repository,
`doc/xxhash_spec.md`, section XXH3; Yann Collet). Input is bytes of any length, in pieces; the
result is an integer whose high 64 bits print first. The PyPI module `xxhash` computes the same
in C and is taken when it is installed.

Long inputs are cut into blocks of 1024 bytes. What a block adds to the eight accumulators does
not depend on the accumulators, so numpy sums it for thousands of blocks at a time; only the
scramble between two blocks is a chain.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

try:
    import xxhash
except ImportError:
    xxhash = None

_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)

_P32_1, _P32_2, _P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
_P64_1 = 0x9E3779B185EBCA87
_P64_2 = 0xC2B2AE3D27D4EB4F
_P64_3 = 0x165667B19E3779F9
_P64_4 = 0x85EBCA77C2B2AE63
_P64_5 = 0x27D4EB2F165667C5
_MIX_1 = 0x165667919E3779F9
_MIX_2 = 0x9FB21C651E98DF25

_MASK = (1 << 64) - 1
_STRIPE = 64
_STRIPES = 16
_BLOCK = _STRIPE * _STRIPES
_CHUNK_BLOCKS = 1024  # 1 MiB at a time keeps numpy's temporaries in the cache


class Hasher(Protocol):
    """What `new` returns: `update` takes any contiguous bytes, `intdigest` the 128 bits."""

    def update(self, data: bytes | memoryview, /) -> None: ...

    def intdigest(self) -> int: ...


def new() -> Hasher:
    """An empty hash: the C module's if installed, else our own."""
    return xxhash.xxh3_128() if xxhash is not None else Xxh3()


def hexdigest(hasher: Hasher) -> str:
    """32 lower-case digits, high half first."""
    return f"{hasher.intdigest():032x}"


class Xxh3:
    """Our own implementation; see Hasher."""

    def __init__(self) -> None:
        self._length = 0
        self._before = b""  # the last bytes in front of _tail: the last stripe may reach into them
        self._tail = b""  # never empty once there is data; at most one block
        self._acc = np.array(
            [_P32_3, _P64_1, _P64_2, _P64_3, _P64_4, _P32_2, _P64_5, _P32_1], dtype=np.uint64
        )

    def update(self, data: bytes | memoryview) -> None:
        """Append bytes; a block is worked off only when more than it is there."""
        view = memoryview(data).cast("B")
        self._length += len(view)
        if self._tail:
            taken = min(len(view), _BLOCK - len(self._tail))
            self._tail += bytes(view[:taken])
            view = view[taken:]
            if not len(view):
                return
            self._consume(memoryview(self._tail))
        whole = (len(view) - 1) // _BLOCK * _BLOCK if len(view) else 0
        for start in range(0, whole, _CHUNK_BLOCKS * _BLOCK):
            self._consume(view[start : min(start + _CHUNK_BLOCKS * _BLOCK, whole)])
        self._tail = bytes(view[whole:])

    def _consume(self, view: memoryview) -> None:
        """Work off whole blocks."""
        words = np.frombuffer(view, dtype="<u8").astype(np.uint64).reshape(-1, _STRIPES, 8)
        sums = _stripe_sums(words)
        acc, mixed = self._acc, np.empty(8, np.uint64)
        for block_sum in sums:
            np.add(acc, block_sum, out=acc)
            np.right_shift(acc, _SHIFT_47, out=mixed)
            np.bitwise_xor(acc, mixed, out=acc)
            np.bitwise_xor(acc, _SCRAMBLE_KEY, out=acc)
            np.multiply(acc, _SCRAMBLE_PRIME, out=acc)
        self._before = bytes(view[-_STRIPE:])

    def intdigest(self) -> int:
        """The hash of all bytes so far; more may follow."""
        if self._length <= 240:
            low, high = _short(self._tail)
            return high << 64 | low
        acc = self._acc.copy()
        stripes = (len(self._tail) - 1) // _STRIPE
        words = np.frombuffer(self._tail[: stripes * _STRIPE], dtype="<u8").astype(np.uint64)
        if stripes:
            acc += _stripe_sums(words.reshape(1, stripes, 8))[0]
        last = np.frombuffer((self._before + self._tail)[-_STRIPE:], dtype="<u8")
        acc += _accumulate(last.astype(np.uint64), _words(121))
        lanes = [int(lane) for lane in acc]
        low = _merge(lanes, 11, self._length * _P64_1 & _MASK)
        high = _merge(lanes, 117, ~(self._length * _P64_2) & _MASK)
        return high << 64 | low


def _words(offset: int) -> np.ndarray:
    """64 bytes of the secret as 8 words."""
    return np.frombuffer(_SECRET, dtype="<u8", count=8, offset=offset).astype(np.uint64)


_STRIPE_KEYS = np.stack([_words(8 * n) for n in range(_STRIPES)])
_SCRAMBLE_KEY = _words(128)
_SCRAMBLE_PRIME = np.uint64(_P32_1)
_SHIFT_47 = np.uint64(47)
_SHIFT_32 = np.uint64(32)
_LOW_32 = np.uint64(0xFFFFFFFF)


def _accumulate(words: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """What stripes add to the accumulators; words [..., 8] and keys broadcast, result [..., 8].

    Each lane gets the product of the two halves of its keyed word and, unkeyed, the word of its
    neighbour. All arithmetic is modulo 2^64.
    """
    keyed = words ^ keys
    products = (keyed & _LOW_32) * (keyed >> _SHIFT_32)
    pairs = words.reshape(*words.shape[:-1], 4, 2)[..., ::-1]
    return products + pairs.reshape(words.shape)


def _stripe_sums(words: np.ndarray) -> np.ndarray:
    """Contribution of each block: words [blocks, stripes, 8] -> [blocks, 8]."""
    return _accumulate(words, _STRIPE_KEYS[: words.shape[1]]).sum(axis=1, dtype=np.uint64)


def _read(data: bytes, offset: int, size: int = 8) -> int:
    return int.from_bytes(data[offset : offset + size], "little")


def _key(offset: int) -> int:
    return _read(_SECRET, offset)


def _swap(value: int, size: int) -> int:
    return int.from_bytes(value.to_bytes(size, "little"), "big")


def _fold(a: int, b: int) -> int:
    """The two halves of the 128-bit product, xored."""
    product = a * b
    return (product ^ product >> 64) & _MASK


def _avalanche(h: int) -> int:
    h ^= h >> 37
    h = h * _MIX_1 & _MASK
    return h ^ h >> 32


def _avalanche64(h: int) -> int:
    """The finaliser of XXH64, kept for the shortest inputs."""
    h ^= h >> 33
    h = h * _P64_2 & _MASK
    h ^= h >> 29
    h = h * _P64_3 & _MASK
    return h ^ h >> 32


def _merge(lanes: list[int], offset: int, start: int) -> int:
    total = start
    for i in range(4):
        total += _fold(
            lanes[2 * i] ^ _key(offset + 16 * i), lanes[2 * i + 1] ^ _key(offset + 16 * i + 8)
        )
    return _avalanche(total & _MASK)


def _short(data: bytes) -> tuple[int, int]:
    """(low, high) of at most 240 bytes."""
    n = len(data)
    if n > 16:
        return _middle(data)
    if n > 8:
        return _9_to_16(data)
    if n >= 4:
        return _4_to_8(data)
    if n:
        return _1_to_3(data)
    return _avalanche64(_key(64) ^ _key(72)), _avalanche64(_key(80) ^ _key(88))


def _1_to_3(data: bytes) -> tuple[int, int]:
    n = len(data)
    low = data[0] << 16 | data[n >> 1] << 24 | data[-1] | n << 8
    swapped = _swap(low, 4)
    high = (swapped << 13 | swapped >> 19) & 0xFFFFFFFF
    low ^= _read(_SECRET, 0, 4) ^ _read(_SECRET, 4, 4)
    high ^= _read(_SECRET, 8, 4) ^ _read(_SECRET, 12, 4)
    return _avalanche64(low), _avalanche64(high)


def _4_to_8(data: bytes) -> tuple[int, int]:
    n = len(data)
    keyed = (_read(data, 0, 4) | _read(data, n - 4, 4) << 32) ^ _key(16) ^ _key(24)
    product = keyed * (_P64_1 + (n << 2))
    low, high = product & _MASK, product >> 64 & _MASK
    high = high + (low << 1) & _MASK
    low ^= high >> 3
    low ^= low >> 35
    low = low * _MIX_2 & _MASK
    return low ^ low >> 28, _avalanche(high)


def _9_to_16(data: bytes) -> tuple[int, int]:
    n = len(data)
    first, last = _read(data, 0), _read(data, n - 8)
    product = (first ^ last ^ _key(32) ^ _key(40)) * _P64_1
    low, high = product & _MASK, product >> 64
    low = low + (n - 1 << 54) & _MASK
    last ^= _key(48) ^ _key(56)
    high = high + last + (last & 0xFFFFFFFF) * (_P32_2 - 1) & _MASK
    low ^= _swap(high, 8)
    product = low * _P64_2
    high = (product >> 64) + high * _P64_2 & _MASK
    return _avalanche(product & _MASK), _avalanche(high)


def _middle(data: bytes) -> tuple[int, int]:
    """17 to 240 bytes: pairs of 16 bytes, from outside to inside up to 128, then in order."""
    n = len(data)
    low, high = n * _P64_1 & _MASK, 0

    def mix(one: int, two: int, offset: int) -> None:
        nonlocal low, high
        low = low + _mix16(data, one, offset) & _MASK
        low ^= _read(data, two) + _read(data, two + 8) & _MASK
        high = high + _mix16(data, two, offset + 16) & _MASK
        high ^= _read(data, one) + _read(data, one + 8) & _MASK

    if n <= 128:
        for i in reversed(range((n + 31) // 32)):
            mix(16 * i, n - 16 * (i + 1), 32 * i)
    else:
        for start in range(0, 128, 32):
            mix(start, start + 16, start)
        low, high = _avalanche(low), _avalanche(high)
        for start in range(128, n - 31, 32):
            mix(start, start + 16, start - 128 + 3)
        mix(n - 16, n - 32, 103)
    total = low + high & _MASK
    cross = low * _P64_1 + high * _P64_4 + n * _P64_2 & _MASK
    return _avalanche(total), -_avalanche(cross) & _MASK


def _mix16(data: bytes, at: int, offset: int) -> int:
    return _fold(_read(data, at) ^ _key(offset), _read(data, at + 8) ^ _key(offset + 8))
