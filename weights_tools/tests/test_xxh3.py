"""XXH3: known vectors of every length class, pieces, and agreement with the C module."""

import random

import pytest

from weights_tools import xxh3

# Digests of pattern(n) as the PyPI module xxhash 4.1.0 (Cyan4973's C code) computes them.
KNOWN = {
    0: "99aa06d3014798d86001c324468d497f",
    1: "495b62073ef70ca44c5cca45d0f4811f",
    2: "f1b5eec902a1eb5e29c60963cbfa4e6e",
    3: "de0de73b78221781d079cb72d5dc8fe3",
    4: "2ec1f0e0927bbd72a7f588a0488a2ce1",
    5: "2924c7019753d45ca2098605245908de",
    8: "86352c64c51053a4f169e0e241e43d88",
    9: "2da82c32992eb47cecaf34715ab252db",
    12: "d9b6cdf35f15036b6da211e88a2c7124",
    16: "2ea9b26e0de3c1293ad9b09b55ff159d",
    17: "e98962a9feec88ce2aded60943cd42fc",
    32: "8dcf7ed3fd3a8e47991c78c7c6a2557b",
    33: "4c0b7c57bef56fe3f2d97aaed50d43b4",
    64: "fa68cbcaebaaaf6be208ac1527843170",
    65: "5bac047416b9eeebf0d783f4b56e908a",
    96: "d77cad3843de03e8b6f4f95c09890294",
    97: "76be9cf796cc0a11cd4ba5ba9f1ad9e2",
    128: "c2dbaea325ed4288a4623912aab4c938",
    129: "eac1039c6fbf7b8cf316461ff6b978d7",
    160: "5bd6629d71507b190b87b6b2cb3aae70",
    161: "745304ea7157bc6cca1c19699015a0e9",
    239: "89c8695dd9cad86bb04e112215b24ee5",
    240: "4536dcb050ba614460a06c4f31468cc3",
    241: "b4125661642a66f9246c5fe4ed1436a3",
    256: "b513c6fb2f402bdc94408c78397f3c77",
    511: "e764be93172e740d41cf2e36c79acff1",
    512: "0f0a8244f414f813ab13c665563ac2e8",
    1023: "921cad6e6868d56a6ce6170ec6623387",
    1024: "4b8b4d51d1b23ed30b662daec235d4ca",
    1025: "1c489c9ad8646bff13d178f3e2b48e9e",
    1088: "b704330b79a73930cd4eaf7b82cabf01",
    2048: "c9834449e62d0ddd9fe4fe6af7adb92a",
    2049: "13d884cabc5029f32fc70c172b5021f0",
    3000: "bd2108c31903ae1ca279279c194c2d82",
    4096: "d2370595ab609f795924dc34c89165b8",
    100000: "0af6b8609f8d1f2ed61c58ce093c4ea0",
}


def pattern(n: int) -> bytes:
    return bytes((i * 131 + 7) % 251 for i in range(n))


def ours(*pieces: bytes) -> str:
    hasher = xxh3.Xxh3()
    for piece in pieces:
        hasher.update(piece)
    return xxh3.hexdigest(hasher)


@pytest.mark.parametrize("length", KNOWN)
def test_known_vectors(length):
    assert ours(pattern(length)) == KNOWN[length]


def test_the_chosen_hasher_is_one_of_the_two():
    hasher = xxh3.new()
    hasher.update(pattern(3000))
    assert xxh3.hexdigest(hasher) == KNOWN[3000]


def test_pieces_do_not_matter():
    data = pattern(100000)
    rng = random.Random(5)
    for _ in range(5):
        pieces, at = [], 0
        while at < len(data):
            step = rng.choice([0, 1, 63, 64, 65, 1023, 1024, 1025, 5000, 30000])
            pieces.append(data[at : at + step])
            at += step
        assert ours(*pieces) == KNOWN[100000]


def test_digest_can_be_asked_for_in_between():
    hasher = xxh3.Xxh3()
    for start in range(0, 4096, 512):
        hasher.update(pattern(4096)[start : start + 512])
        if start + 512 in KNOWN:
            assert xxh3.hexdigest(hasher) == KNOWN[start + 512]


@pytest.mark.parametrize("length", [3, 200, 3000])
def test_every_bit_counts(length):
    data = bytearray(pattern(length))
    for position in range(0, length, max(1, length // 40)):
        data[position] ^= 1
        assert ours(bytes(data)) != KNOWN.get(length, ours(pattern(length)))
        data[position] ^= 1


def test_agrees_with_the_c_module():
    xxhash = pytest.importorskip("xxhash")
    rng = random.Random(11)
    lengths = [*range(2101), *(rng.randrange(2101, 3_000_000) for _ in range(12))]
    differ = [n for n in lengths if not _same(xxhash, rng.randbytes(n))]
    assert differ == []


def _same(xxhash, data: bytes) -> bool:
    return ours(data) == xxhash.xxh3_128(data).hexdigest()
