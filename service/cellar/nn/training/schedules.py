"""The learning rate of each epoch, in float64 and plain arithmetic: a library's cos or pow may differ by machine."""

from cellar.nn.spec.training import ConstantSchedule, CosineSchedule, ExponentialSchedule, ScheduleSpec, StepSchedule


def learning_rate(schedule: ScheduleSpec, base: float, epoch: int, epochs: int) -> float:
    """Return the rate of an epoch, counted from 0, out of `epochs`."""
    match schedule:
        case ConstantSchedule():
            return base
        case StepSchedule(every=every, factor=factor):
            return base * _power(factor, epoch // every)
        case ExponentialSchedule(factor=factor):
            return base * _power(factor, epoch)
        case CosineSchedule(minimum=minimum):
            return minimum + (base - minimum) * _half_cosine(epoch / epochs)


def _power(base: float, exponent: int) -> float:
    """Return base ** exponent by repeated squaring."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


def _half_cosine(u: float) -> float:
    """Return (1 + cos(pi u)) / 2 for u in [0, 1], within 1e-15.

    It is cos(pi u / 2)**2. Of v = pi u / 2 in [0, pi/2] the Taylor series with 12 terms leaves v**24 / 24! < 9e-20.
    """
    v = 1.5707963267948966 * u
    square, term, cosine = v * v, 1.0, 1.0
    for k in range(1, 12):
        term *= -square / ((2 * k - 1) * (2 * k))
        cosine += term
    return cosine * cosine
