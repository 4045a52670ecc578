"""Numbers as the providers write them into their JSON: exact decimals in, text out, never through a float."""

from __future__ import annotations

from decimal import Context, Decimal
from struct import pack, unpack

#: Room for any figure that a test may set.
WIDE = Context(prec=400)


def plain(number: Decimal) -> str:
    """Without exponent, without zeros at the end."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def ruby(number: Decimal) -> str:
    """As Rails writes a float: `19822040.0`, `0.000123`, `8.616e-05`. CoinGecko's way."""
    return _text(number, Decimal("1e-4"), Decimal("1e16"), 2, ".0")


def go(number: Decimal) -> str:
    """As Go writes a float64: `19822040`, `0.0000123`, `3.84e-18`. CoinPaprika's way."""
    return _text(number, Decimal("1e-6"), Decimal("1e21"), 1, "")


def rounded(number: Decimal) -> str:
    """A CoinGecko price without `precision=full`: whole dollars from 10,000 on, cents from 1.1 on, else 6 digits."""
    if abs(number) >= 10_000:
        return plain(number.quantize(Decimal(1), context=WIDE))
    if abs(number) >= Decimal("1.1"):
        return ruby(number.quantize(Decimal("0.01"), context=WIDE))
    if abs(number) >= 1:
        return ruby(number.quantize(Decimal("0.001"), context=WIDE))
    return ruby(Context(prec=6).plus(number))


def percent(value: float) -> str:
    """Five decimals at most, as CoinGecko writes a change."""
    return ruby(Decimal(f"{value:.5f}"))


def percent32(value: float) -> str:
    """Two decimals kept in a 32-bit float and written as 64-bit, as CoinPaprika does in 2026: 0.5899999737739563."""
    return go(Decimal(repr(unpack("f", pack("f", round(value, 2)))[0])))


def _text(number: Decimal, small: Decimal, large: Decimal, width: int, whole: str) -> str:
    if number == 0:
        return "0" + whole
    if small <= abs(number) < large:
        text = plain(number)
        return text if "." in text else text + whole
    sign, digits, _ = number.as_tuple()
    mantissa = "".join(map(str, digits)).rstrip("0")
    power = number.adjusted()
    point = "." + mantissa[1:] if len(mantissa) > 1 else (".0" if whole else "")
    return f"{'-' * sign}{mantissa[0]}{point}e{'-' if power < 0 else '+'}{abs(power):0{width}d}"
