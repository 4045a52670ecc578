"""What two listings alone say of being one coin, strongest evidence first."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from assets.identity import CURATED, CuratedFact, Listing, Verdict, verdict
from assets.tests.identity_listings import different, gecko, paprika, row, same


def judged(a: Listing, b: Listing) -> Verdict:
    return verdict(a, b, curated=())


def test_symbol_and_name_are_enough() -> None:
    found = judged(gecko("bitcoin", "btc", "Bitcoin"), paprika("btc-bitcoin", "BTC", "Bitcoin"))
    assert (found.outcome, found.reasons) == ("same", ("same symbol and name",))


def test_a_symbol_alone_is_not() -> None:
    assert judged(gecko("pepe", "pepe", "Pepe"), paprika("pepe-x", "PEPE", "Meme Frog")).outcome == "different"


def test_a_name_alone_is_left_to_a_person() -> None:
    assert judged(gecko("phoenix", "phnx", "Phoenix"), paprika("phx-phoenix", "PHX", "Phoenix")).outcome == "doubtful"


def test_a_renamed_coin_is_known_by_the_id_it_was_listed_under() -> None:
    renamed = gecko("alpha-finance", "alpha", "Stella"), paprika("alpha-alpha-finance", "ALPHA", "Alpha Finance")
    assert judged(*renamed).outcome == "same"


def test_a_coin_is_known_by_the_name_that_the_other_keeps_in_its_id_if_each_does() -> None:
    ankr = gecko("ankr", "ankr", "Ankr Network")
    assert judged(ankr, paprika("ankr-ankr-network", "ANKR", "Ankr")).outcome == "same"
    assert judged(gecko("x", "ankr", "Ankr Network"), paprika("ankr-ankr-network", "ANKR", "Ank")).outcome == "doubtful"


def test_a_coin_that_is_now_called_as_the_others_symbol_is_known_by_their_id() -> None:
    now, before = ("the-open-network", "ton", "Toncoin"), ("toncoin-the-open-network", "TONCOIN", "The Open Network")
    assert judged(gecko(*now), paprika(*before)).outcome == "same"
    assert judged(gecko(*now, price_usd="9"), paprika(*before, price_usd="7")).outcome == "doubtful"
    assert judged(gecko("open-net", *now[1:]), paprika(*before)).outcome == "different"
    # A symbol that repeats its own coin's name is no second witness.
    assert judged(gecko("rex-token", "xrx", "Rex"), paprika("rex-rex-token", "REX", "REX Token")).outcome == "doubtful"


def test_an_abbreviation_that_became_the_name_is_the_same_symbol_under_one_id() -> None:
    render = gecko("render-token", "render", "Render")
    assert judged(render, paprika("rndr-render-token", "RNDR", "Render Token")).outcome == "same"
    assert judged(render, paprika("xyz-render-token", "XYZ", "Render Token")).outcome == "doubtful"
    assert judged(render, paprika("rndr-render", "RNDR", "Render Token")).outcome != "same"


@pytest.mark.parametrize("name", ["Wirex WXT", "WXT - Wirex", "Wirex WXTtoken", "wxt_wirex"])
def test_a_symbol_beside_the_name_tells_nothing_more(name: str) -> None:
    wirex = gecko("x", "wxt", "Wirex", price_usd="5")
    assert judged(wirex, paprika("y", "WXT", name)).outcome == "same"
    assert judged(wirex, paprika("y", "WXT", name, price_usd="20")).outcome == "different"
    assert judged(gecko("x", "wxt", "WXT"), paprika("y", "WXT", name)).outcome != "same"
    assert judged(wirex, paprika("y", "WXT", f"Wrapped {name}")).outcome == "different"


def test_letters_of_the_symbol_within_a_word_are_no_symbol_beside_it() -> None:
    assert judged(gecko("x", "giga", "Chad"), paprika("y", "GIGA", "GigaChad")).outcome != "same"
    assert judged(gecko("x", "koc", "King of Coin"), paprika("y", "KOC", "KOC King of Chain")).outcome != "same"


def test_of_generic_words_token_is_one_too_many_for_no_name() -> None:
    network = gecko("x", "chr", "Cherry Network")
    assert judged(network, paprika("y", "CHR", "Cherry Token")).outcome == "same"
    assert judged(network, paprika("y", "CHR", "Cherry Finance")).outcome == "doubtful"


def test_a_note_in_brackets_may_be_the_other_name() -> None:
    assert judged(gecko("x", "udoo", "Hyprr (Howdoo)"), paprika("y", "UDOO", "Howdoo")).outcome == "same"
    assert judged(gecko("x", "udoo", "Hyprr (Tron)"), paprika("y", "UDOO", "Hyprr")).outcome == "different"


def test_an_id_that_only_repeats_the_symbol_proves_nothing() -> None:
    assert judged(gecko("unifi", "unifi", "Covenants"), paprika("unifi-unifi", "UNIFI", "Kitchen")).outcome != "same"


def test_an_empty_word_more_makes_no_difference() -> None:
    assert judged(gecko("wirex", "wxt", "Wirex"), paprika("wxt-wirex-token", "WXT", "Wirex Token")).outcome == "same"
    assert judged(gecko("tryhards", "try", "TryHards"), paprika("try-x", "TRY", "tryhards.io")).outcome == "same"


def test_a_word_that_may_tell_two_coins_apart_is_left_to_a_person() -> None:
    place = gecko("new-york", "nyc", "New York"), paprika("nyc-newyorkcoin", "NYC", "NewYorkCoin")
    assert judged(*place).outcome == "doubtful"


def test_a_generic_word_more_is_enough_where_there_is_no_figure_to_ask() -> None:
    haven, protocol = ("haven", "xhv", "Haven"), ("xhv-x", "XHV", "Haven Protocol")
    assert judged(gecko(*haven), paprika(*protocol)).outcome == "same"
    assert judged(gecko(*haven), paprika(*protocol, price_usd="7")).outcome == "same"
    assert judged(gecko(*haven, price_usd="9"), paprika(*protocol, price_usd="7")).outcome == "doubtful"
    assert judged(gecko(*haven, price_usd="7"), paprika(*protocol, price_usd="7.1")).outcome == "same"
    then, later = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
    of_another_day = paprika(*protocol, price_usd="7", observed_at=later)
    assert judged(gecko(*haven, price_usd="9", observed_at=then), of_another_day).outcome == "same"


def test_another_generic_word_is_left_to_a_person() -> None:
    assert judged(gecko("x", "xhv", "Haven Network"), paprika("y", "XHV", "Haven Protocol")).outcome == "doubtful"


def test_a_symbol_cut_short_is_the_same_symbol() -> None:
    whole, cut = gecko("baby-harmony", "babyharmony", "BabyHarmony"), paprika("x", "BABYHARMON", "Baby Harmony")
    assert judged(whole, cut).outcome == "same"
    assert judged(gecko("harmony", "harm", "Harmony"), paprika("x", "HARMONY", "Harmony")).outcome == "doubtful"


def test_a_symbol_that_repeats_the_name_is_none_where_names_and_ids_are_the_same() -> None:
    maza = paprika("maza-maza", "MAZA", "MAZA")
    assert judged(gecko("maza", "mzc", "Maza"), maza).outcome == "same"
    assert judged(gecko("maza", "mxy", "Maza"), maza).outcome == "doubtful"
    assert judged(gecko("maza-2", "mzc", "Maza"), maza).outcome == "doubtful"


def test_a_name_that_says_no_more_than_the_symbol_is_left_to_a_person() -> None:
    assert judged(gecko("ape", "ape", "APE"), paprika("ape-apecoin", "APE", "ApeCoin")).outcome == "doubtful"
    assert judged(gecko("inusol", "inu", "INU"), paprika("inu-token-9", "INU", "Inu Token")).outcome == "doubtful"


def test_a_shortened_name_counts_where_the_symbol_spells_the_whole_one() -> None:
    kyber = gecko("kyber-network-crystal", "knc", "Kyber Network Crystal")
    assert judged(kyber, paprika("knc-kyber-network", "KNC", "Kyber Network")).outcome == "same"
    crystal = gecko("crystal", "kyb", "Kyber Network Crystal")
    assert judged(crystal, paprika("kyb-x", "KYB", "Kyber Network")).outcome == "doubtful"
    assert (
        judged(gecko("electronicgulden", "efl", "Electronic Gulden"), paprika("e", "EFL", "e-Gulden")).outcome == "same"
    )
    assert judged(gecko("z-protocol", "zp", "Z Protocol"), paprika("zp", "ZP", "Zen Protocol")).outcome != "same"


@pytest.mark.parametrize(
    "marked",
    ["Wrapped Solid", "Solid (Wormhole)", "Staked Solid", "Solid [OLD]", "Solid V2", "Bridged Solid", "Peg-Solid"],
)
def test_a_marked_token_never_joins_the_plain_coin(marked: str) -> None:
    price = {"price_usd": "42.5", "market_cap": "4250000", "rank": 80}
    plain, token = gecko("solid", "sld", "Solid", **price), paprika("sld-solid", "SLD", marked, **price)
    assert judged(plain, token).outcome != "same"


def test_two_sources_may_list_the_same_marked_token() -> None:
    wrapped = gecko("wrapped-bitcoin", "wbtc", "Wrapped Bitcoin")
    assert judged(wrapped, paprika("wbtc-wrapped-bitcoin", "WBTC", "Wrapped Bitcoin")).outcome == "same"


@pytest.mark.parametrize(("price", "outcome"), [("102", "same"), ("150", "doubtful")])
def test_beside_one_price_another_market_cap_is_another_count_of_the_supply(price: str, outcome: str) -> None:
    ours = gecko("bitcoin", "btc", "Bitcoin", price_usd="100", market_cap="2e12")
    theirs = paprika("btc-bitcoin", "BTC", "Bitcoin", price_usd=price, market_cap="1e6")
    assert verdict(ours, theirs).outcome == outcome


def test_prices_far_apart_make_namesakes_doubtful() -> None:
    found = judged(gecko("jup", "jup", "Jupiter", price_usd="0.9"), paprika("jup", "JUP", "Jupiter", price_usd="0.01"))
    assert (found.outcome, found.reasons) == ("doubtful", ("same symbol and name", "prices apart by a factor of 90.0"))


def test_namesakes_bear_a_price_that_is_merely_stale() -> None:
    assert (
        judged(gecko("a", "aaa", "Acme", price_usd="1"), paprika("a", "AAA", "Acme", price_usd="6")).outcome == "same"
    )


def test_weaker_likeness_does_not_bear_it() -> None:
    wirex = gecko("wirex", "wxt", "Wirex", price_usd="1")
    assert judged(wirex, paprika("wxt", "WXT", "Wirex Token", price_usd="6")).outcome == "doubtful"


def test_agreeing_figures_decide_what_names_leave_open() -> None:
    near = gecko("near", "near", "Near", price_usd="11.13")
    assert judged(near, paprika("near-x", "NEAR", "Near Protocol", price_usd="11.2")).outcome == "same"


def test_a_price_alone_does_not_make_alike_names_one_coin() -> None:
    coin = gecko("solid-dollar", "sld", "Solid Dollar", price_usd="42.5", market_cap="1e9")
    pegged = {"symbol": "SLD", "name": "Harmony Solid Dollar", "price_usd": "42.6"}
    assert judged(coin, paprika("x", **pegged, market_cap="3e8")).outcome == "doubtful"
    assert judged(coin, paprika("x", **pegged, market_cap="1.01e9")).outcome == "same"


def test_unrelated_names_with_one_symbol_need_price_and_size() -> None:
    chex = gecko("chex-token", "chex", "Exchange Blocks", price_usd="0.31", market_cap="300000000")
    chintai = {"symbol": "CHEX", "name": "Chintai", "price_usd": "0.312"}
    assert judged(chex, paprika("chex-chintai", **chintai)).outcome == "doubtful"
    assert judged(chex, paprika("chex-chintai", **chintai, market_cap="301000000")).outcome == "same"
    assert judged(chex, paprika("chex-chintai", **chintai, market_cap="99000000000")).outcome == "different"


def test_a_row_without_a_name_needs_figures() -> None:
    bitcoin = gecko("bitcoin", "btc", "Bitcoin", price_usd="109640", rank=1)
    assert judged(bitcoin, row("BTC", "BTC")).outcome == "doubtful"
    assert judged(bitcoin, row("BTC", "BTC", "BTC", price_usd="109000")).outcome == "same"
    assert judged(bitcoin, row("BTC", "BTC", rank=1)).outcome == "same"


def test_a_row_without_a_symbol_needs_figures() -> None:
    bitcoin = gecko("bitcoin", "btc", "Bitcoin", price_usd="109640")
    assert judged(bitcoin, row("Bitcoin", "", "Bitcoin")).outcome == "doubtful"
    assert judged(bitcoin, row("Bitcoin", "", "Bitcoin", price_usd="109000")).outcome == "same"


def test_ranks_far_apart_keep_figures_from_deciding() -> None:
    gmx = gecko("gmx", "gmx", "GMX", price_usd="41.65", rank=70)
    assert judged(gmx, paprika("gmx-gamex", "GMX", "GameX", price_usd="41.7", rank=4000)).outcome == "doubtful"


def test_a_contract_is_stronger_than_names_and_prices() -> None:
    one = gecko("stella", "stl", "Stella", contracts=("ethereum:0xa1",), price_usd="5")
    other = paprika("alpha-x", "ALPHA", "Alpha [OLD]", contracts=("ethereum:0xa1", "bsc:0xb2"), price_usd="900")
    assert (judged(one, other).outcome, judged(one, other).method) == ("same", "contract")


def test_other_contracts_on_one_chain_make_namesakes_doubtful() -> None:
    one = gecko("acme", "acm", "Acme", contracts=("ethereum:0xa1",))
    assert judged(one, paprika("acm", "ACM", "Acme", contracts=("ethereum:0xb2",))).outcome == "doubtful"
    assert judged(one, paprika("acm", "ACM", "Acme", contracts=("bsc:0xb2",))).outcome == "same"


def test_a_curated_fact_joins_what_no_name_shows() -> None:
    one, other = gecko("before", "bef", "Before"), paprika("aft-after", "AFT", "After")
    facts = [CuratedFact(other.key, one.key, "renamed in 2024")]
    assert verdict(one, other, curated=facts).outcome == "same"
    assert verdict(one, other, curated=()).outcome == "different"


def test_a_persons_word_is_stronger_than_a_fact_a_contract_and_a_name() -> None:
    one = gecko("acme", "acm", "Acme", contracts=("ethereum:0xa1",))
    other = paprika("acm-acme", "ACM", "Acme", contracts=("ethereum:0xa1",))
    found = verdict(one, other, [different(one, other)], [CuratedFact(one.key, other.key, "known")])
    assert (found.outcome, found.method) == ("different", "decision")
    strangers = gecko("a", "a", "Aaa"), paprika("b", "b", "Bbb")
    assert verdict(*strangers, [same(*strangers)], ()).outcome == "same"


def test_of_two_words_on_one_pair_different_wins() -> None:
    pair = gecko("a", "a", "Aaa"), paprika("b", "b", "Bbb")
    assert verdict(*pair, [same(*pair), different(*pair)], ()).outcome == "different"


def test_listings_of_one_source_are_different_by_themselves() -> None:
    assert judged(gecko("acme", "acm", "Acme"), gecko("acme-2", "acm", "Acme")).outcome == "different"


def test_every_curated_fact_names_two_sources_and_a_reason() -> None:
    assert 20 < len(CURATED) < 100
    for fact in CURATED:
        assert fact.a.partition(":")[0] != fact.b.partition(":")[0]
        assert fact.why
    assert len({fact.a for fact in CURATED}) == len({fact.b for fact in CURATED}) == len(CURATED)
