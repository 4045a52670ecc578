"""Which coin a file is about whose rows don't say it: a price history named `btc-usd-max.csv`, as sites export them.

Only what is evident counts: the file's name holds, as a word of its own, the symbol or the name of exactly one coin of
this list, or has the form of CoinGecko's exports (`<symbol>-usd-max`). A symbol that is also a word of some language
(`link`, `sol`, `etc`) counts only in front of `usd`. A name that holds another currency (`btc-eur`, `BTCUSDT`) names no
coin here, for the figures would not be in US dollars.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple


class Coin(NamedTuple):
    """How CoinGecko writes a coin's symbol and name."""

    symbol: str
    name: str


_COINS = (
    "BTC=Bitcoin;ETH=Ethereum;XRP=XRP;BNB=BNB;SOL=Solana;DOGE=Dogecoin;ADA=Cardano;TRX=TRON;AVAX=Avalanche;"
    "SHIB=Shiba Inu;DOT=Polkadot;LINK=Chainlink;LTC=Litecoin;BCH=Bitcoin Cash;XLM=Stellar;XMR=Monero;"
    "ETC=Ethereum Classic;PEPE=Pepe;UNI=Uniswap;ATOM=Cosmos Hub;ICP=Internet Computer;HBAR=Hedera;FIL=Filecoin;"
    "VET=VeChain;ALGO=Algorand;AAVE=Aave;NEAR=NEAR Protocol;APT=Aptos;ARB=Arbitrum;TON=Toncoin;SUI=Sui;"
    "DASH=Dash;ZEC=Zcash;EOS=EOS;XTZ=Tezos;NEO=NEO;IOTA=IOTA;BSV=Bitcoin SV;MATIC=Polygon;CRO=Cronos;MKR=Maker;"
    "GRT=The Graph;SAND=The Sandbox;MANA=Decentraland;AXS=Axie Infinity;KAS=Kaspa;INJ=Injective;BONK=Bonk;"
    "WIF=dogwifhat;FLOKI=FLOKI;THETA=Theta Network;QNT=Quant;XEM=NEM;WAVES=Waves;DCR=Decred;LUNC=Terra Luna Classic"
)
COINS = tuple(Coin(*pair.split("=", 1)) for pair in _COINS.split(";"))
#: Symbols, and names, that are words of their own in a file's name.
_WORDS = "sol ada dot link etc uni atom near apt ton sui sand mana fil neo waves maker polygon stellar"
WORDS = frozenset(_WORDS.split())
OTHER_MONEY = re.compile(r"[a-z0-9]*(?:usdt|usdc|busd|fdusd|tusd|dai)|eur|gbp|jpy|cny|inr|brl|krw|cad|aud|chf|rub|mxn")

_BY_WORD = {coin.symbol.lower(): coin for coin in COINS}
_BY_NAME = {coin.name.lower(): coin for coin in COINS}


def coin_of(path: str) -> Coin | None:
    """The coin that the file's name names, None where it names none, or several, or only may mean one."""
    stem = re.sub(r"(\.(csv|tsv|txt|gz))+$", "", os.path.basename(path), flags=re.IGNORECASE).lower()
    words = re.findall(r"[^\W_]+", stem)
    if len(words) == 3 and words[1:] == ["usd", "max"]:
        return _BY_WORD.get(words[0]) or Coin(words[0].upper(), words[0].upper())
    if any(OTHER_MONEY.fullmatch(word) for word in words):
        return None
    found: list[Coin] = []
    at = 0
    while at < len(words):
        coin, taken = _coin_at(words, at)
        if coin is not None:
            found.append(coin)
        at += taken
    return found[0] if found and len(set(found)) == 1 else None


def _coin_at(words: list[str], at: int) -> tuple[Coin | None, int]:
    """The coin that begins with this word, the longest name first, and how many words it takes."""
    for length in (3, 2, 1):
        coin = _BY_NAME.get(" ".join(words[at : at + length]))
        if coin is not None and not (length == 1 and words[at] in WORDS):
            return coin, length
    word, before_dollars = words[at], words[at + 1 : at + 2] == ["usd"]
    if word.endswith("usd") and word[:-3] in _BY_WORD:  # BTCUSD
        return _BY_WORD[word[:-3]], 1
    if word in _BY_WORD and (word not in WORDS or before_dollars):
        return _BY_WORD[word], 1
    return None, 1
