"""Names, symbols and ids are read alike however a source spells them, and a mark is seen for what it is."""

from __future__ import annotations

import pytest

from assets.names import Reading, compact, likeness


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Yearn.Finance", "yearn finance"),
        ("SingularityNET", "Singularity NET"),
        ("Let's Go Brandon", "Lets Go Brandon"),
        ("  Dark   Matter ", "DarkMatter"),
        ("Café", "CAFE"),
        ("Ｆｕｌｌ Width", "full width"),
        ("Acme™ Gold®", "Acme Gold"),
    ],
)
def test_spelling_makes_no_difference(one: str, other: str) -> None:
    assert compact(one) == compact(other) != ""


def test_letters_of_another_alphabet_stay_what_they_are() -> None:
    assert compact("Віtсоіn") != compact("Bitcoin")
    assert compact("比特币") == "比特币"


def test_a_name_without_a_letter_is_still_a_name() -> None:
    assert compact("$$$") == "$$$" != compact("!!!")


@pytest.mark.parametrize(
    ("name", "marks"),
    [
        ("Wrapped Bitcoin", {"wrapped"}),
        ("Lido Staked Ether", {"staked"}),
        ("Binance-Peg Filecoin", {"peg"}),
        ("Bitcoin (Wormhole)", {"note wormhole"}),
        ("SafeMoon [OLD]", {"old"}),
        ("Tenshi v2", {"version 2"}),
        ("DegemV2", {"version 2"}),
        ("SafeMoon 2.0", {"version 2"}),
        ("Pepe on Base", {"on base"}),
        ("TecraCoin ERC20", {"erc20"}),
        ("Bitcoin", set()),
        ("Loom Network (NEW)", set()),
        ("POL (ex-MATIC)", set()),
        ("EigenCloud (prev. EigenLayer)", set()),
        ("Coin (Exchange)", {"note exchange"}),
    ],
)
def test_what_makes_another_token_of_a_coin_is_a_mark(name: str, marks: set[str]) -> None:
    assert Reading("some-id", "SYM", name).parts.marks == marks


def test_a_note_that_repeats_the_symbol_tells_nothing() -> None:
    reading = Reading("meta-ruffy", "MR", "MetaRuffy (MR)")
    assert (reading.compact, reading.parts.marks) == ("metaruffy", frozenset())


def test_generic_words_are_left_out_of_the_core_glued_ones_too() -> None:
    assert Reading("a", "SEED", "Seed Token").parts.core == "seed"
    assert Reading("a", "SEED", "SeedToken").parts.core == "seed"
    assert Reading("a", "TOK", "Token Network").parts.core == "tokennetwork"


@pytest.mark.parametrize(
    ("own", "symbol", "slugs"),
    [
        ("bitcoin", "btc", {"bitcoin"}),
        ("btc-bitcoin", "BTC", {"btcbitcoin", "bitcoin"}),
        ("toncoin-the-open-network", "TON", {"toncointheopennetwork"}),
        ("seed-token", "SEED", {"seedtoken"}),
        ("alpha-2", "ALPHA", {"alpha2"}),
        ("", "ABC", set()),
    ],
)
def test_an_id_is_also_read_without_the_symbol_in_front(own: str, symbol: str, slugs: set[str]) -> None:
    assert Reading(own, symbol, "Name").slugs == slugs


@pytest.mark.parametrize(
    ("own", "symbol", "name", "renamed"),
    [
        ("ankr-ankr-network", "ANKR", "Ankr", True),
        ("kick-kickcoin", "KICK", "KickToken", True),
        ("btc-bitcoin", "BTC", "Bitcoin", False),
        ("mask-doge-mask-doge", "MASK DOGE", "Mask Doge", False),
        ("acme-2", "ACME", "Acme", False),
        ("frm-ferrum-ico", "FRM", "Ferrum", False),
        ("1027", "ETH", "Ethereum", False),
        ("a-b", "X", "", False),
    ],
)
def test_an_id_may_keep_an_older_name(own: str, symbol: str, name: str, renamed: bool) -> None:
    assert Reading(own, symbol, name).renamed is renamed


def test_likeness_is_one_for_the_same_name_and_nothing_for_none() -> None:
    ethorse, ethouse, nothing = (Reading("x", "HORSE", name) for name in ("Ethorse", "Ethouse", ""))
    assert likeness(ethorse, ethorse) == 1
    assert 0.5 < likeness(ethorse, ethouse) < 1
    assert likeness(ethorse, nothing) == 0
