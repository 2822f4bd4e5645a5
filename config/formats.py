"""One way to write a number, and a day; and to read a number that somebody typed.

Integers in, text out; no float, U+2212 for minus, halves away from zero. Separators, symbols, months and their order are
those of the locale in effect (config/locales.py): the reader's on a page or in a mail, else the house's. What is recorded, or
read by programs, is written by config/house.py, which has the same functions and never asks who is reading.
"""

import re
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

from django.utils import timezone

from config import locales
from config.language import _
from config.locales import MINUS as MINUS
from config.locales import Style, current

NO_VALUE: Final = "\N{EN DASH}"
COUNT_EXPONENT: Final = 6


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
    style = current()
    if compact:
        digits = _compact(style, abs(minor), exponent, trim)
    else:
        digits = _fixed(style, abs(minor), exponent, trim=trim)
    plain, minus, plus, behind, behind_sign = _round_money(style, code)
    if minor < 0:
        return minus + digits + behind_sign
    return (plus + digits + behind_sign) if signed and minor else plain + digits + behind


def price(amount: Decimal, symbol: str, digits: int) -> str:
    """A price with its symbol and so many decimals: "$0.125"."""
    plain, _minus, _plus, behind, _behind = _round(current().money, symbol.strip())
    return f"{plain}{_fixed(current(), rounded(Fraction(amount) * 10**digits), digits)}{behind}"


def count(value: int, exponent: int = COUNT_EXPONENT, *, compact: bool = False, signed: bool = False) -> str:
    """A counted measure kept in millionths: 12_000_000 is "12", 500_000 is "0.5"."""
    style = current()
    if compact and abs(value) >= 1000 * 10**exponent:
        digits = _compact(style, abs(value), exponent, trim=True)
    else:
        units, part = divmod(abs(value), 10**exponent)
        digits = _grouped(style, units) + (style.decimal + f"{part:0{exponent}d}".rstrip("0") if part else "")
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
    style = current()
    scaled = _nearest(part * 100 * 10**places, whole)
    plain, minus, plus, behind, behind_sign = _round_percent(style)
    digits = _fixed(style, abs(scaled), places)
    if scaled < 0:
        return minus + digits + behind_sign
    return (plus + digits + behind_sign) if signed and scaled else plain + digits + behind


def exact_percent(ppm: int) -> str:
    """Parts per million as per cent, with as many decimals as it has: 333_333 is "33.3333%", 500_000 is "50%"."""
    places = next((kept for kept in range(4) if ppm % 10 ** (4 - kept) == 0), 4)
    return percent(ppm, 1_000_000, places)


def points(gap: Fraction, places: int = 1) -> str:
    """The difference of two ratios in percentage points, always with its sign: Fraction(1, 20) is "+5.0"."""
    scaled = rounded(gap * 100 * 10**places)
    return _sign(scaled, signed=True) + _fixed(current(), abs(scaled), places)


def multiplier(ppm: int) -> str:
    """Parts per million as a factor, with the sign of multiplication: 1_100_000 reads "x 1.10"; at least two decimals, never rounded."""
    units, part = divmod(abs(ppm), 1_000_000)
    decimals = f"{part:06d}".rstrip("0").ljust(2, "0")
    style = current()
    return f"{_sign(ppm)}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}{_grouped(style, units)}{style.decimal}{decimals}"


def whole(number: int, *, signed: bool = False) -> str:
    """An ordinary integer, grouped: 25000 is "25,000"."""
    return _sign(number, signed=signed) + _grouped(current(), abs(number))


def decimal(value: Decimal, places: int | None = None) -> str:
    """A figure as it is, without zeros at its end: "1,503.4"; with *places* rounded to at most so many."""
    if places is not None:
        value = Decimal(rounded(Fraction(value) * 10**places)).scaleb(-places)
    units, _point, part = f"{abs(value):f}".partition(".")
    part = part.rstrip("0")
    style = current()
    return (
        (MINUS if value < 0 else "")
        + _grouped(style, int(units))
        + (f"{style.decimal}{part}" if part else "")
    )


def usd(amount: Fraction) -> str:
    """Exact dollars in cents; what is not free and yet below half a cent says so."""
    minor = rounded(amount * 100)
    return _("under %(amount)s") % {"amount": money(1)} if amount and not minor else money(minor)


def day(value: date | None, otherwise: str = NO_VALUE) -> str:
    """14 Aug 2026; *otherwise* is what an open end means where it stands. A day never shifts; a moment falls on the reader's day."""
    return otherwise if value is None else _day(current(), "day", _local(value))


def day_long(value: date) -> str:
    """14 August 2026, within a sentence."""
    return _day(current(), "day_long", _local(value))


def day_short(value: date) -> str:
    """14 Aug, where the year is said elsewhere."""
    return _day(current(), "day_short", _local(value))


def month(value: date) -> str:
    """Aug 2026."""
    return _day(current(), "month", _local(value))


def month_long(value: date) -> str:
    """August 2026."""
    return _day(current(), "month_long", _local(value))


def month_short(value: date) -> str:
    """Aug 26, at a mark of an axis."""
    return _day(current(), "month_short", _local(value))


def month_name(value: date) -> str:
    """Aug, beside others of its year."""
    return _day(current(), "month_name", _local(value))


def month_name_long(value: date) -> str:
    """August."""
    return _day(current(), "month_name_long", _local(value))


def moment(value: datetime) -> str:
    """14 Aug 2026, 16:05 in the reader's zone, whose name follows where it is not the operator's."""
    return _moment("moment", value)


def moment_short(value: datetime) -> str:
    """14 Aug, 16:05."""
    return _moment("moment_short", value)


def moment_exact(value: datetime) -> str:
    """14 Aug 2026, 16:05:09."""
    return _moment("moment_exact", value)


def clock(value: datetime) -> str:
    """16:05."""
    return _moment("clock", value)


def clock_exact(value: datetime) -> str:
    """16:05:09."""
    return _moment("clock_exact", value)


def sample(style: Style, at: datetime) -> str:
    """How a style looks: 1,234.56 · 14 Aug 2026 · 16:05."""
    with locales.using(style):
        local = _clock(at)
        return f"{decimal(Decimal('1234.56'))} · {day(at)} · {locales.write('clock', local)}"


def iso(value: date | None) -> str | None:
    """A day, or a moment, as data has it: 2026-08-14; None stays None."""
    return value.isoformat() if value is not None else None


def rounded(value: Fraction) -> int:
    """The nearest integer; a half goes away from zero."""
    return _nearest(value.numerator, value.denominator)


# --- what somebody typed ----------------------------------------------------------------------------------


class Unreadable(ValueError):
    """A number that can be read in two ways, or in none; its text says what to write instead."""


_TYPED: Final = re.compile(r"[0-9](?:[0-9.,\s'\u2019\u00a0\u202f]*[0-9])?|[.,][0-9]+")
_NUMBER: Final = re.compile(r"[0-9]*\.?[0-9]+")
_SPACES: Final = re.compile(r"[\s'\u2019\u00a0\u202f]")


def typed(text: str, *, most: int | None = None) -> str:
    """What somebody typed, with its number as programs write it: in German "1.234,56 k" becomes "1234.56 k".

    Numbers of programs, such as 1234.56, are read in every locale: a page may have put them into the box itself.

    most     The field takes nothing greater: of two readings that one is meant which it can hold.
    Raises   Unreadable: "1.234" in German may be either, and "1,5" in English is neither.
    """
    plain = text.strip().replace(MINUS, "-")
    found = _TYPED.findall(plain)
    if len(found) != 1:
        return plain  # no number, or several: whoever reads it has something to say
    return plain.replace(found[0], _machine(current(), found[0], most), 1)


def whole_typed(text: str) -> str:
    """A whole number without its groups, the same for everybody: what somebody looks for stands in an address that others open."""
    text = text.strip()
    for sign in ",.":
        plain = _SPACES.sub(sign, text)  # 1,500 000 is as good
        if sign in plain and _well_grouped(current(), plain, sign):
            return plain.replace(sign, "")
    return _SPACES.sub("", text)


def misread(text: object, *, most: int | None = None) -> str:
    """What to say of a number that cannot be read, where there is more to say than that; else nothing."""
    try:
        typed(str(text or ""), most=most)
    except Unreadable as two_ways:
        return str(two_ways)
    return ""


def entered(value: Decimal, places: int | None = None, *, grouped: bool = False) -> str:
    """What stands in a box to be typed over: typed() reads it back. The reader's decimal sign; groups only where they cannot mislead."""
    style = current()
    plain = f"{value:,f}" if places is None else f"{value:,.{places}f}"
    if not grouped or style.decimal != "." or style.group != ",":
        plain = plain.replace(",", "")
    return plain.replace(".", style.decimal)


def _machine(style: Style, number: str, most: int | None) -> str:
    """By the separators of the style, or as programs write it; nothing else."""
    digits = _SPACES.sub("", number)
    group = style.group if style.group in ",." else ""
    units, _point, part = digits.partition(style.decimal)
    as_own = f"{units.replace(group, '') if group else units}.{part}".rstrip(".")
    own = _NUMBER.fullmatch(as_own) is not None and (not group or _well_grouped(style, units, group))
    programs = _NUMBER.fullmatch(digits) is not None
    if own and programs and as_own != digits:
        if most is not None and int(as_own.partition(".")[0] or 0) > most:
            return digits
        raise Unreadable(
            _("%(number)s can be read in two ways: write %(large)s or %(small)s.")
            % {"number": number, "large": as_own, "small": digits.replace(".", style.decimal)}
        )
    if own:
        return as_own
    if programs:
        return digits
    raise Unreadable(
        _("%(number)s is not a number as it is written here: write it like %(example)s.")
        % {"number": number, "example": f"1234{style.decimal}56"}
    )


def _well_grouped(style: Style, digits: str, sign: str) -> bool:
    """1,234,567; where India writes, 12,34,567 too."""
    before = 2 if style.sizes[1] == 2 else 3
    pattern = rf"[1-9][0-9]{{0,2}}(?:{re.escape(sign)}[0-9]{{{before},3}})*{re.escape(sign)}[0-9]{{3}}"
    return sign not in digits or re.fullmatch(pattern, digits) is not None


# --- parts ------------------------------------------------------------------------------------------------


def _sign(value: int, *, signed: bool = False) -> str:
    return MINUS if value < 0 else "+" if signed and value > 0 else ""


def _nearest(part: int, whole: int) -> int:
    """part / whole as the nearest integer; a half goes away from zero."""
    quotient, rest = divmod(abs(part), abs(whole))
    magnitude = quotient + (2 * rest >= abs(whole))
    return -magnitude if (part < 0) != (whole < 0) else magnitude


def _grouped(style: Style, units: int) -> str:
    if style.sizes[1] == 3:
        written = f"{units:,}"
        return written if style.group == "," else written.replace(",", style.group)
    digits = str(units)
    head, tail = digits[:-3], digits[-3:]
    while head:
        head, tail = head[:-2], f"{head[-2:]}{style.group}{tail}"
    return tail


def _fixed(style: Style, amount: int, places: int, *, trim: bool = False) -> str:
    if not places:
        return _grouped(style, amount)
    whole_units, part = divmod(amount, 10**places)
    if trim and not part:
        return _grouped(style, whole_units)
    return f"{_grouped(style, whole_units)}{style.decimal}{part:0{places}d}"


def _compact(style: Style, amount: int, exponent: int, trim: bool) -> str:
    """Thousands show one decimal below 100 of them and none above, what is larger two; rounding up may move to the next tier."""
    one = 10**exponent
    if amount < 1000 * one:
        return _fixed(style, amount, exponent, trim=True)
    tiers, at = style.tiers, len(str(amount // one)) - 4
    while True:
        power, before, behind = tiers[min(at, len(tiers) - 1)]
        left = at + 4 - power  # digits in front of the decimal sign
        last = at >= len(tiers) - 1
        places = 0 if not power else int(left < 3) if power == 3 else 2 if left < 4 or last else 0
        scaled = _nearest(amount * 10**places, 10 ** (exponent + power))
        if last or scaled < 10 ** (left + places):
            return f"{before}{_fixed(style, scaled, places, trim=trim)}{behind}"
        at += 1


@lru_cache(maxsize=512)
def _round_money(style: Style, code: str) -> tuple[str, str, str, str, str]:
    """What stands before a plain, a negative and a positive signed amount, and behind it."""
    symbol = style.symbols.get(code, code)
    return _round(style.money, symbol)


@lru_cache(maxsize=64)
def _round_percent(style: Style) -> tuple[str, str, str, str, str]:
    return _round(style.percent, "")


def _round(affixes: locales.Affixes, symbol: str) -> tuple[str, str, str, str, str]:
    def filled(text: str, *, front: bool) -> str:
        if front and text.endswith("¤") and symbol[-1:].isalpha():
            return text.replace("¤", symbol + locales.GAP)  # letters do not touch digits
        return text.replace("¤", symbol)

    before, behind, before_sign, behind_sign = affixes
    signed = filled(before_sign, front=True)
    ends = filled(behind, front=False), filled(behind_sign, front=False).replace("-", MINUS)
    return filled(before, front=True), signed.replace("-", MINUS), signed.replace("-", "+"), *ends


def _local(value: date) -> date:
    """The day of a moment on the reader's clock; a day as it is."""
    if isinstance(value, datetime):
        return _clock(value).date()
    return value


def _clock(value: datetime) -> datetime:
    return timezone.localtime(value) if value.tzinfo is not None else value


@lru_cache(maxsize=4096)
def _day(style: Style, form: locales.Form, value: date) -> str:
    return locales.write(form, value, style)


def _moment(form: locales.Form, value: datetime) -> str:
    local = _clock(value)
    written = locales.write(form, local)
    if local.tzinfo is not None and locales.elsewhere(local.tzinfo):
        return f"{written}{locales.GAP}{locales.zone_name(local)}"
    return written
