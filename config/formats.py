"""One way to write a number, and a day. Integers in, text out; no float, no locale, U+2212 for minus, halves away from zero."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

MINUS: Final = "\N{MINUS SIGN}"
NO_VALUE: Final = "\N{EN DASH}"
COUNT_EXPONENT: Final = 6

SYMBOLS: Final = {
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "JPY": "¥",
    "CNY": "CN¥",
    "INR": "₹",
    "KRW": "₩",
    "BRL": "R$",
    "CAD": "CA$",
    "AUD": "A$",
    "NZD": "NZ$",
    "MXN": "MX$",
    "SGD": "S$",
    "HKD": "HK$",
}
# Power of ten, letter, decimals, and the number of units from which on the next tier is used.
_TIERS: Final = (
    (3, "K", 1, 100),
    (3, "K", 0, 1000),
    (6, "M", 2, 1000),
    (9, "B", 2, 1000),
    (12, "T", 2, 1000),
)


def money(
    minor: int,
    code: str = "USD",
    exponent: int = 2,
    *,
    compact: bool = False,
    signed: bool = False,
    trim: bool = False,
) -> str:
    """An amount with its currency: "$1,234.56", compact "$18.83M", without a known symbol "CHF 1,234.56".

    minor     Minor units of the currency; exponent says how many make one unit (JPY 0, USD 2, KWD 3).
    compact   Three or more significant digits and K, M, B or T; below one thousand units it is exact.
    signed    A plus before a positive amount.
    trim      Drop a zero fraction ("$8M" on an axis).
    """
    digits = _compact(abs(minor), exponent, trim) if compact else _fixed(abs(minor), exponent, trim=trim)
    symbol = SYMBOLS.get(code)
    return _sign(minor, signed=signed) + (
        f"{symbol}{digits}" if symbol else f"{code}\N{NO-BREAK SPACE}{digits}"
    )


def count(value: int, exponent: int = COUNT_EXPONENT, *, compact: bool = False, signed: bool = False) -> str:
    """A counted measure kept in millionths: 12_000_000 is "12", 500_000 is "0.5"."""
    if compact and abs(value) >= 1000 * 10**exponent:
        digits = _compact(abs(value), exponent, trim=True)
    else:
        units, part = divmod(abs(value), 10**exponent)
        digits = f"{units:,}" + (f".{part:0{exponent}d}".rstrip("0") if part else "")
    return _sign(value, signed=signed) + digits


def measured(
    value: int, code: str | None, exponent: int, *, compact: bool = False, signed: bool = False
) -> str:
    """A value of a measure: money if the measure has a currency, else a count."""
    if code:
        return money(value, code, exponent, compact=compact, signed=signed)
    return count(value, exponent, compact=compact, signed=signed)


def percent(part: int, whole: int, places: int = 1, *, signed: bool = False) -> str:
    """part / whole as "71.3%"; an en dash when there is nothing to divide by."""
    if whole == 0:
        return NO_VALUE
    return _ratio(Fraction(part, whole) * 100, places, signed=signed) + "%"


def points(gap: Fraction, places: int = 1) -> str:
    """The difference of two ratios in percentage points, always with its sign: Fraction(1, 20) is "+5.0"."""
    return _ratio(gap * 100, places, signed=True)


def multiplier(ppm: int) -> str:
    """Parts per million as a factor, with the sign of multiplication: 1_100_000 reads "x 1.10"; at least two decimals, never rounded."""
    units, part = divmod(abs(ppm), 1_000_000)
    decimals = f"{part:06d}".rstrip("0").ljust(2, "0")
    return f"{_sign(ppm)}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}{units:,}.{decimals}"


def whole(number: int, *, signed: bool = False) -> str:
    """An ordinary integer, grouped: 25000 is "25,000"."""
    return _sign(number, signed=signed) + f"{abs(number):,}"


def decimal(value: Decimal, places: int | None = None) -> str:
    """A figure as it is, without zeros at its end: "1,503.4"; with *places* rounded to at most so many."""
    if places is not None:
        value = Decimal(rounded(Fraction(value) * 10**places)).scaleb(-places)
    units, _point, part = f"{abs(value):f}".partition(".")
    part = part.rstrip("0")
    return (MINUS if value < 0 else "") + f"{int(units):,}" + (f".{part}" if part else "")


def usd(amount: Fraction) -> str:
    """Exact dollars in cents; what is not free and yet below half a cent says so."""
    minor = rounded(amount * 100)
    return "under $0.01" if amount and not minor else money(minor)


def day(value: date | None, otherwise: str = NO_VALUE) -> str:
    """14 Aug 2026; *otherwise* is what an open end means where it stands."""
    return f"{value:%-d %b %Y}" if value is not None else otherwise


def iso(value: date | None) -> str | None:
    """A day, or a moment, as data has it: 2026-08-14; None stays None."""
    return value.isoformat() if value is not None else None


def rounded(value: Fraction) -> int:
    """The nearest integer; a half goes away from zero."""
    quotient, rest = divmod(abs(value.numerator), value.denominator)
    magnitude = quotient + (2 * rest >= value.denominator)
    return -magnitude if value < 0 else magnitude


def _sign(value: int, *, signed: bool = False) -> str:
    return MINUS if value < 0 else "+" if signed and value > 0 else ""


def _fixed(amount: int, places: int, *, trim: bool = False) -> str:
    whole_units, part = divmod(amount, 10**places)
    return f"{whole_units:,}" + (f".{part:0{places}d}" if places and (part or not trim) else "")


def _ratio(value: Fraction, places: int, *, signed: bool) -> str:
    scaled = rounded(value * 10**places)
    return _sign(scaled, signed=signed) + _fixed(abs(scaled), places)


def _compact(amount: int, exponent: int, trim: bool) -> str:
    """K shows one decimal below 100K and none above, the others two; rounding up may move to the next tier."""
    if amount < 1000 * 10**exponent:
        return _fixed(amount, exponent, trim=True)
    written = ""
    for power, letter, places, limit in _TIERS:
        scaled = rounded(Fraction(amount * 10**places, 10 ** (exponent + power)))
        written = _fixed(scaled, places, trim=trim) + letter
        if scaled < limit * 10**places:
            break
    return written
