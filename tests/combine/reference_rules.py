"""The combination rules again, in Python and by other means than lib/combine.

    python3 tests/combine/reference_rules.py > tests/combine/rules.txt

Written from the description of the rules: scores are grouped in dictionaries, numbers are
Decimals of 40 digits, shares are exact fractions. Writes 1,000 random score sets with their
results, one a line:

    seed scores models faces frames kind face-rule model-rule bits fake logit verdict flags
    models-seen faces-seen frames-seen

The scores and, with bit 1 of `bits`, the rule's numbers are drawn from SplitMix64 with that
seed, as test_rules.c draws them too (`Draw`). Bits: 1 numbers, 2 weights, 4 temperatures,
8 shrinks, 16 model_count only. Python's standard library only.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction

MEAN_PROB, MEAN_LOGIT, CONFIDENT, SHARPEN, GROUP, MAX_FACE = range(6)
FACES_POOL, FACES_MEAN, FACES_MAX, FACES_AGREE = range(4)
MODELS_PROB, MODELS_LOGIT, MODELS_AGREE, MODELS_POOL = range(4)
NONE, REAL, UNCERTAIN, FAKE = range(4)
EMPTY, PARTIAL, SHORT, CLIPPED = 1, 2, 4, 8
NUMBERS, WEIGHTS, TEMPERATURES, SHRINKS, COUNT = 1, 2, 4, 8, 16

# Name, default, default of GROUP, and what is drawn: low and high in thousandths.
PARAMETERS = (
    ("high", "0.8", "0.85", 500, 950),
    ("low", "0.2", "0.15", 50, 500),
    ("high_divisor", "2.5", "2.5", 1500, 9000),
    ("high_least", "11", "11", 0, 12000),
    ("low_share", "0.9", "0.9", 300, 1000),
    ("gamma", "0.65", "0.65", 100, 3000),
    ("margin", "0.01", "0.01", 0, 200),
    ("weight_floor", "0.0001", "0.0001", 1, 500),
    ("share", "0.7", "0.7", 200, 1000),
    ("face_sure", "0.9", "0.9", 600, 990),
    ("face_high", "0.6", "0.6", 500, 900),
    ("face_low", "0.4", "0.4", 100, 500),
    ("model_high", "0.8", "0.8", 500, 950),
    ("model_low", "0.2", "0.2", 50, 500),
    ("model_share", "0.7", "0.7", 200, 1000),
    ("shrink_from", "0.98", "0.98", 500, 999),
    ("shrink_by", "0.96", "0.96", 300, 1000),
    ("temperature", "1", "1", 300, 4000),
    ("clip", "0", "0", 0, 200),
    ("real_below", "0.5", "0.5", 100, 500),
    ("fake_from", "0.5", "0.5", 500, 900),
)


@dataclass
class Rule:
    """One ef_rule; reals are Decimals."""

    kind: int
    faces: int
    models: int
    numbers: dict[str, Decimal]
    run: int = 5
    model_count: int = 0
    weights: list[Decimal] = field(default_factory=list)
    temperatures: list[Decimal] = field(default_factory=list)
    shrinks: list[int] = field(default_factory=list)

    def __getattr__(self, name: str) -> Decimal:
        try:
            return self.__dict__["numbers"][name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass
class Score:
    """One ef_score."""

    logit: Decimal
    model: int
    face: int
    frame: int


@dataclass
class Result:
    """What ef_combine() must say."""

    fake: Decimal
    logit: Decimal
    verdict: int
    flags: int
    models: int
    faces: int
    frames: int


@dataclass(frozen=True)
class Value:
    """A probability with its log-odds."""

    p: Decimal
    logit: Decimal


def of_logit(logit: Decimal) -> Value:
    return Value(1 / (1 + (-logit).exp()), logit)


def of_probability(p: Decimal) -> Value:
    most = Decimal(2**53 - 1).ln()
    if not 0 < p < 1:
        return Value(p, most if p >= 1 else -most)
    return Value(p, max(-most, min(most, (p / (1 - p)).ln())))


def mean(values: Sequence[Decimal]) -> Decimal:
    return sum(values, Decimal(0)) / len(values)


def share_of(part: Sequence[object], whole: Sequence[object]) -> Fraction:
    return Fraction(len(part), len(whole))


def confident(rule: Rule, probabilities: list[Decimal]) -> Decimal:
    fakes = [p for p in probabilities if p > rule.high]
    reals = [p for p in probabilities if p < rule.low]
    bar = math.floor(Fraction(len(probabilities)) / Fraction(rule.high_divisor))
    if len(fakes) > bar and len(fakes) > rule.high_least:
        return mean(fakes)
    if share_of(reals, probabilities) > Fraction(rule.low_share):
        return mean(reals)
    return mean(probabilities)


def sharpen(rule: Rule, probabilities: list[Decimal]) -> Decimal:
    half = Decimal("0.5")
    top = bottom = Decimal(0)
    for p in probabilities:
        size = abs(p - half)
        stretched = (rule.gamma * size.ln()).exp() if size else Decimal(0)
        q = half - stretched if p < half else half + stretched
        q = sorted((rule.margin, q, 1 - rule.margin))[1]
        top += q * (size + rule.weight_floor)
        bottom += size + rule.weight_floor
    return top / bottom


def majority(values: list[Decimal], high: Decimal, low: Decimal, share: Decimal) -> list[int]:
    """Indices of the values that count: those above high, those below low, or all."""
    for chosen in (
        [i for i, v in enumerate(values) if v > high],
        [i for i, v in enumerate(values) if v < low],
    ):
        if share_of(chosen, values) > Fraction(share):
            return chosen
    return list(range(len(values)))


def grouped(rule: Rule, logits: list[Decimal]) -> Decimal:
    whole = len(logits) // rule.run
    chunks = [logits[i * rule.run : (i + 1) * rule.run] for i in range(whole)] or [logits]
    values = [of_logit(mean(chunk)).p for chunk in chunks]
    return mean([values[i] for i in majority(values, rule.high, rule.low, rule.share)])


def collect(scores: list[Score], key: Callable[[Score], int]) -> list[list[Score]]:
    """Scores with the same key together, by rising key."""
    found: dict[int, list[Score]] = defaultdict(list)
    for score in scores:
        found[key(score)].append(score)
    return [found[k] for k in sorted(found)]


def of_kind(rule: Rule, scores: list[Score]) -> Value:
    in_order = sorted(scores, key=lambda s: (s.face, s.frame, s.logit))
    logits = [s.logit for s in in_order]
    probabilities = [of_logit(x).p for x in logits]
    if rule.kind == MEAN_LOGIT:
        return of_logit(mean(logits))
    if rule.kind == CONFIDENT:
        return of_probability(confident(rule, probabilities))
    if rule.kind == SHARPEN:
        return of_probability(sharpen(rule, probabilities))
    if rule.kind == GROUP:
        return of_probability(grouped(rule, logits))
    if rule.kind == MAX_FACE:
        frames = collect(scores, lambda s: s.frame)
        return of_probability(mean([max(of_logit(s.logit).p for s in f) for f in frames]))
    return of_probability(mean(probabilities))


def of_model(rule: Rule, scores: list[Score]) -> Value:
    if rule.faces == FACES_POOL:
        return of_kind(rule, scores)
    values = [of_kind(rule, face) for face in collect(scores, lambda s: s.face)]
    if len(values) == 1:
        return values[0]
    by_p = sorted(values, key=lambda v: v.logit)
    if rule.faces == FACES_MAX:
        return by_p[-1]
    if rule.faces == FACES_AGREE:
        if any(v.p > rule.face_sure for v in values) or all(v.p > rule.face_high for v in values):
            return by_p[-1]
        if all(v.p < rule.face_low for v in values):
            return by_p[0]
    elif rule.kind == MEAN_LOGIT:
        return of_logit(mean([v.logit for v in values]))
    return of_probability(mean([v.p for v in values]))


def of_models(rule: Rule, scores: list[Score]) -> Value:
    if rule.models == MODELS_POOL:
        return of_model(rule, scores)
    values, weights = [], []
    for part in collect(scores, lambda s: s.model):
        model = part[0].model
        value = of_model(rule, part)
        if rule.shrinks and rule.shrinks[model]:
            far = value.p >= rule.shrink_from or value.p <= 1 - rule.shrink_from
            half = Decimal("0.5")
            if far:
                value = of_probability((value.p - half) * rule.shrink_by + half)
        values.append(value)
        weights.append(rule.weights[model] if rule.weights else Decimal(1))
    if len(values) == 1:
        return values[0]
    if rule.models == MODELS_LOGIT:
        total = sum(v.logit * w for v, w in zip(values, weights, strict=True))
        return of_logit(total / sum(weights))
    chosen = list(range(len(values)))
    if rule.models == MODELS_AGREE:
        chosen = majority([v.p for v in values], rule.model_high, rule.model_low, rule.model_share)
    total = sum(values[i].p * weights[i] for i in chosen)
    return of_probability(total / sum(weights[i] for i in chosen))


def combine(rule: Rule, scores: list[Score]) -> Result:
    """ef_combine()."""
    with localcontext() as context:
        context.prec = 40
        return _combine(rule, scores)


def _combine(rule: Rule, scores: list[Score]) -> Result:
    seen = [len({getattr(s, n) for s in scores}) for n in ("model", "face", "frame")]
    flags = PARTIAL if seen[0] < rule.model_count else 0
    if not scores:
        return Result(Decimal("0.5"), Decimal(0), NONE, flags | EMPTY, 0, 0, 0)
    if rule.temperatures:
        scores = [
            Score(s.logit / rule.temperatures[s.model], s.model, s.face, s.frame) for s in scores
        ]
    if rule.kind == GROUP:
        faces: dict[tuple[int, int], int] = defaultdict(int)
        for s in scores:
            faces[s.model, s.face] += 1
        flags |= SHORT if min(faces.values()) < rule.run else 0
    value = of_models(rule, scores)
    if rule.temperature != 1:
        value = of_logit(value.logit / rule.temperature)
    clipped = sorted((rule.clip, value.p, 1 - rule.clip))[1]
    if clipped != value.p:
        flags |= CLIPPED
        value = of_probability(clipped)
    verdict = UNCERTAIN
    if value.p < rule.real_below:
        verdict = REAL
    elif value.p >= rule.fake_from:
        verdict = FAKE
    return Result(value.p, value.logit, verdict, flags, *seen)


# ---- drawing -------------------------------------------------------------------------------


class Draw:
    """SplitMix64, and what is drawn from it, in this order; test_rules.c does the same."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def next(self) -> int:
        mask = 2**64 - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    def whole(self, low: int, high: int) -> int:
        return low + self.next() % (high - low + 1)

    def scores(self, n: int, models: int, faces: int, frames: int) -> list[Score]:
        centre, spread = self.whole(-4000, 4000), self.whole(0, 5000)
        found = []
        for _ in range(n):
            logit = Decimal(self.whole(centre - spread, centre + spread)) / 1000
            model, face = self.whole(0, models - 1), self.whole(0, faces - 1)
            found.append(Score(logit, model, face, 7 * self.whole(0, frames - 1)))
        return found

    def rule(self, kind: int, faces: int, models: int, bits: int, model_count: int) -> Rule:
        numbers = {}
        for name, usual, of_group, low, high in PARAMETERS:
            numbers[name] = Decimal(of_group if kind == GROUP else usual)
            if bits & NUMBERS:
                numbers[name] = Decimal(self.whole(low, high)) / 1000
        rule = Rule(kind, faces, models, numbers)
        if bits & NUMBERS:
            rule.run = self.whole(1, 8)
        if bits & (WEIGHTS | TEMPERATURES | SHRINKS | COUNT):
            rule.model_count = model_count
        for _ in range(model_count):
            weight, temperature = self.whole(1, 10000), self.whole(300, 4000)
            shrink = self.whole(0, 1)
            if bits & WEIGHTS:
                rule.weights.append(Decimal(weight) / 1000)
            if bits & TEMPERATURES:
                rule.temperatures.append(Decimal(temperature) / 1000)
            if bits & SHRINKS:
                rule.shrinks.append(shrink)
        return rule


@dataclass
class Case:
    """A line of rules.txt without its results."""

    seed: int
    n: int
    models: int
    faces: int
    frames: int
    kind: int
    face_rule: int
    model_rule: int
    bits: int

    def draw(self) -> tuple[Rule, list[Score]]:
        draw = Draw(self.seed)
        scores = draw.scores(self.n, self.models, self.faces, self.frames)
        # One model more than has scores, now and then.
        count = self.models + (1 if self.bits & COUNT else 0)
        return draw.rule(self.kind, self.face_rule, self.model_rule, self.bits, count), scores

    def numbers(self) -> list[int]:
        return list(self.__dict__.values())


def random_case(index: int, seed: int) -> Case:
    """The index-th case of a series; every kind, face rule and model rule takes its turn."""
    draw = Draw((seed << 32) + index)
    kind = index % 6
    face_rule = index // 6 % 4
    model_rule = index // 24 % 4
    if kind == GROUP:
        face_rule = face_rule or FACES_AGREE
    if kind == MAX_FACE:
        face_rule = FACES_POOL
    if kind in (GROUP, MAX_FACE) and model_rule == MODELS_POOL:
        model_rule = MODELS_AGREE
    bits = draw.whole(0, 31)
    if model_rule == MODELS_POOL:
        bits &= ~(WEIGHTS | SHRINKS)
    sizes = (0, 1, 2, 3, 5, 10, 20, 29, 32, 50, 64, 100)
    n = sizes[draw.whole(0, len(sizes) - 1)]
    models, faces, frames = draw.whole(1, 7), draw.whole(1, 4), draw.whole(1, 32)
    return Case(draw.whole(0, 2**31), n, models, faces, frames, kind, face_rule, model_rule, bits)


def line(case: Case) -> str:
    """A line of rules.txt."""
    result = combine(*case.draw())
    numbers = [float(result.fake), float(result.logit)]
    rest = [result.verdict, result.flags, result.models, result.faces, result.frames]
    return " ".join(
        [str(n) for n in case.numbers()] + [repr(x) for x in numbers] + [str(n) for n in rest]
    )


if __name__ == "__main__":
    for i in range(1000):
        print(line(random_case(i, 1)))
