"""Listings of one coin end in one asset, those of different coins never do, and doubt is left to a person."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from assets.identity import CuratedFact, asset_id, resolve
from assets.tests.identity_listings import assets, different, gecko, paprika, resolved, row, same

BITCOIN = gecko("bitcoin", "btc", "Bitcoin")
BTC = paprika("btc-bitcoin", "BTC", "Bitcoin")
ROW = row("btc-bitcoin", "BTC", "Bitcoin")


def test_three_sources_meet_in_one_asset_named_by_the_first_of_them() -> None:
    assert assets(ROW, BTC, BITCOIN) == {("coingecko:bitcoin", "coinpaprika:btc-bitcoin", "csv:btc-bitcoin")}
    assert asset_id([ROW, BTC, BITCOIN]) == "bitcoin"


def test_an_asset_without_a_listing_of_the_first_source_is_named_by_source_and_id() -> None:
    assert asset_id([ROW, BTC]) == "coinpaprika:btc-bitcoin"
    assert asset_id([ROW]) == "csv:btc-bitcoin"


def test_an_id_that_reads_as_that_of_another_source_is_named_by_source_and_id() -> None:
    assert asset_id([gecko("coinpaprika:btc-bitcoin", "zzz", "Zzz")]) == "coingecko:coinpaprika:btc-bitcoin"


def test_a_later_source_joins_what_was_apart() -> None:
    wirex, token = gecko("wirex", "wxt", "Wirex"), row("wxt-wirex-coin", "WXT", "Wirex Coin")
    assert not assets(wirex, token)
    known_by_both = paprika("wxt-wirex", "WXT", "Wirex Coin", contracts=("ethereum:0xa1",))
    with_contract = gecko("wirex", "wxt", "Wirex", contracts=("ethereum:0xa1",))
    assert assets(with_contract, token, known_by_both) == {(wirex.key, known_by_both.key, token.key)}


def test_many_coins_with_one_symbol_stay_many() -> None:
    names = ("Pepe", "Pepe Classic", "Pepe on Base", "Baby Pepe", "Pepe 2.0")
    ours = [gecko(f"pepe-{n}", "pepe", name) for n, name in enumerate(names)]
    theirs = [paprika(f"pepe-{n}-x", "PEPE", name) for n, name in enumerate(names)]
    assert assets(*ours, *theirs) == {(a.key, b.key) for a, b in zip(ours, theirs, strict=True)}


def test_two_namesakes_in_one_source_leave_their_partner_alone() -> None:
    twins = gecko("acme", "acm", "Acme"), gecko("acme-2", "acm", "Acme")
    acme = paprika("acme-x", "ACM", "Acme")
    assert not assets(*twins, acme)
    assert {doubt.reasons for doubt in resolved(*twins, acme).doubtful} == {
        ("same symbol and name", "another is as good")
    }


def test_figures_tell_namesakes_apart() -> None:
    small = gecko("jupiter", "jup", "Jupiter", price_usd="0.0012")
    large = gecko("jupiter-exchange", "jup", "Jupiter", price_usd="0.91")
    assert assets(small, large, paprika("jup-j", "JUP", "Jupiter", price_usd="0.905")) == {
        ("coingecko:jupiter-exchange", "coinpaprika:jup-j")
    }


def test_of_two_namesakes_the_one_that_is_still_alive_is_meant() -> None:
    alive, given_up = paprika("r-x", "RICH", "RichQuack", price_usd="0.1"), paprika("r-y", "RICH", "Rich Quack")
    assert assets(gecko("richquack", "rich", "Rich Quack"), alive, given_up) == {("coingecko:richquack", alive.key)}


def test_of_two_namesakes_the_leading_one_is_meant() -> None:
    known, unknown = paprika("ankr-network", "ANKR", "Ankr", rank=233), paprika("ankr-ankr", "ANKR", "Ankr", rank=4341)
    assert assets(gecko("ankr", "ankr", "Ankr"), known, unknown) == {("coingecko:ankr", known.key)}


def test_of_two_namesakes_the_one_written_the_same_is_meant() -> None:
    ours = gecko("mars-inu", "mars", "Mars Inu"), gecko("marsinu", "mars", "MarsInu")
    theirs = paprika("m-1", "MARS", "Mars Inu"), paprika("m-2", "MARS", "MarsInu")
    assert assets(*ours, *theirs) == {(a.key, b.key) for a, b in zip(ours, theirs, strict=True)}


def test_of_two_namesakes_the_one_whose_symbol_is_written_the_same_is_meant_before_the_one_whose_name_is() -> None:
    plain, dressed = paprika("m-1", "KITTY", "KittyNinja"), paprika("m-2", "$KITTY", "Kitty Ninja")
    assert assets(gecko("kitty-ninja", "kitty", "Kitty Ninja"), plain, dressed) == {
        ("coingecko:kitty-ninja", plain.key)
    }


def test_of_two_namesakes_the_one_that_its_source_knew_under_an_older_name_is_meant() -> None:
    older, later = (
        paprika("swc-scanet-world-coin", "SWC", "Scanetchain"),
        paprika("swc-scanetchain", "SWC", "Scanetchain"),
    )
    assert assets(gecko("scanetchain", "swc", "Scanetchain"), older, later) == {("coingecko:scanetchain", older.key)}


def test_what_a_namesakes_id_has_behind_the_name_makes_it_no_older() -> None:
    plain, other = paprika("frm-ferrum", "FRM", "Ferrum"), paprika("frm-ferrum-ico", "FRM", "Ferrum")
    assert assets(gecko("ferrum", "frm", "Ferrum"), plain, other) == {("coingecko:ferrum", plain.key)}


def test_where_the_id_says_one_thing_and_the_name_another_a_person_decides() -> None:
    renamed = gecko("super-zero", "sero", "SERO")
    by_name, by_id = paprika("sero-sero", "SERO", "SERO"), paprika("sero-super-zero", "SERO", "Super Zero")
    assert assets(renamed, by_name) == {(renamed.key, by_name.key)}
    assert assets(renamed, by_id) == {(renamed.key, by_id.key)}
    assert not assets(renamed, by_name, by_id)
    alive = paprika("sero-super-zero", "SERO", "Super Zero", rank=470)
    assert assets(renamed, by_name, alive) == {(renamed.key, alive.key)}


def test_weaker_likeness_joins_nobody_whose_better_partner_is_in_doubt() -> None:
    maza, weaker = gecko("maza", "mzc", "Maza"), paprika("maza-maza", "MAZA", "MAZA")
    better = paprika("mzc-maza-network", "MZC", "Mazanet")
    assert assets(maza, weaker) == {(maza.key, weaker.key)}
    assert not assets(maza, weaker, better)


def test_a_listing_that_was_given_up_takes_nobody_whom_a_leading_coin_may_want() -> None:
    ace, given_up = gecko("ace", "ace", "Ace"), paprika("ace-ace", "ACE", "Ace")
    leading = paprika("ace-ace-protocol", "ACE", "Ace Protocol", rank=900)
    assert assets(ace, given_up) == {(ace.key, given_up.key)}
    assert not assets(ace, given_up, leading)
    doubt = next(one for one in resolved(ace, given_up, leading).doubtful if one.b == given_up.key)
    assert doubt.reasons[-1] == "a leading coin of a name like it may be meant"
    # One that is alive itself, one far down the list, and one that has a partner of its own, are nobody's trouble.
    for others in (
        (replace(given_up, rank=900), leading),
        (given_up, replace(leading, rank=4000)),
        (given_up, leading, gecko("ace-protocol", "ace", "Ace Protocol")),
    ):
        assert (ace.key, given_up.key) in assets(ace, *others)
    assert assets(ace, given_up, leading, decisions=[same(ace, given_up)]) == {(ace.key, given_up.key)}


def test_a_leading_coin_is_meant_by_a_name_that_may_be_longer_and_has_no_figures() -> None:
    ace, protocol = gecko("ace", "ace", "Ace"), paprika("ace-ace-protocol", "ACE", "Ace Protocol", rank=22)
    assert assets(ace, protocol) == {(ace.key, protocol.key)}
    # No namesake of the leading coin that its source has given up is in the way.
    assert assets(ace, protocol, paprika("ace-ace", "ACE", "Ace")) == {(ace.key, protocol.key)}
    alive = paprika("ace-ace", "ACE", "Ace", rank=3000)
    assert assets(ace, protocol, alive) == {(ace.key, alive.key)}
    for lesser in (
        replace(protocol, rank=501),
        replace(protocol, name="Ace Token"),
        replace(protocol, name="Ace Coin"),
        replace(protocol, name="Ace DAO"),
        replace(protocol, price_usd=Decimal(5)),
    ):
        assert not assets(replace(ace, price_usd=lesser.price_usd and Decimal(6)), lesser)


def test_namesakes_left_over_when_the_others_have_found_each_other_are_meant() -> None:
    ours = gecko("mars-inu", "mars", "Mars Inu"), gecko("marsinu", "mars", "MarsInu")
    theirs = paprika("m-1", "MARS", "Mars Inu"), paprika("m-2", "MARS", "MARS INU")
    assert assets(*ours, *theirs) == {(a.key, b.key) for a, b in zip(ours, theirs, strict=True)}


def test_what_found_its_partner_is_no_rival_of_weaker_likeness() -> None:
    spice, token = gecko("spice-finance", "spice", "SPICE"), gecko("spice", "spice", "Spice Token")
    ours, theirs = paprika("spice-spice-eth", "SPICE", "SPICE"), paprika("spice-spice", "SPICE", "Spice")
    assert assets(spice, token, ours, theirs) == {(spice.key, ours.key), (token.key, theirs.key)}


def test_what_two_contend_for_is_given_to_no_third() -> None:
    twins = gecko("zenith", "acm", "Acme"), gecko("acme-2", "acm", "Acme")
    contended, third = paprika("x", "ACM", "Acme"), paprika("acm-zenith", "ACM", "Zenith")
    assert assets(twins[0], third) == {(twins[0].key, third.key)}
    assert not assets(*twins, contended, third)


def test_an_asset_has_one_listing_of_a_source() -> None:
    listings = [
        gecko("wirex", "wxt", "Wirex"),
        paprika("wxt-w", "WXT", "Wirex Token", contracts=("ethereum:0xa1",)),
        row("one", "WXT", "Wirex"),
        row("two", "OLD", "Something", contracts=("ethereum:0xa1",)),
    ]
    resolution = resolved(*listings)
    for group in resolution.groups:
        sources = [key.partition(":")[0] for key in group]
        assert len(sources) == len(set(sources))
    assert any("both assets have a listing of csv" in doubt.reasons for doubt in resolution.doubtful)


def test_of_two_equal_claims_to_an_asset_the_one_through_the_better_source_holds() -> None:
    anchor = gecko("wirex", "wxt", "Wirex", contracts=("ethereum:0xa1",))
    renamed = paprika("oth", "OTH", "Other", contracts=("ethereum:0xa1",))
    rows = row("one", "WXT", "Wirex"), row("two", "OTH", "Other")
    for order in ((anchor, renamed, *rows), (rows[1], renamed, rows[0], anchor), (*rows, renamed, anchor)):
        assert assets(*order) == {(anchor.key, renamed.key, rows[0].key)}


def test_a_third_source_does_not_settle_what_is_contended() -> None:
    twins = gecko("acme", "acm", "Acme", price_usd="5"), gecko("acme-2", "acm", "Acme", price_usd="900")
    priced, bare = paprika("acm", "ACM", "Acme", price_usd="5.01"), row("acm", "ACM", "Acme")
    assert assets(*twins, priced, bare) == {(twins[0].key, priced.key)}


def test_every_listing_says_why_it_is_where_it_is() -> None:
    reasons = resolved(BITCOIN, BTC, ROW).reasons
    assert reasons[BITCOIN.key].method == "anchor"
    assert reasons[BTC.key].reasons == reasons[ROW.key].reasons == ("same symbol and name",)
    assert 0.8 < reasons[BTC.key].confidence < 1


def test_a_member_reached_through_another_says_so_too() -> None:
    middle = paprika("wxt-w", "WXT", "Wirex Coin", contracts=("ethereum:0xa1",))
    first, last = gecko("w", "wxt", "Wirex", contracts=("ethereum:0xa1",)), row("wxt", "WXT", "Wirex Coin")
    reasons = resolved(first, middle, last).reasons
    assert (reasons[middle.key].method, reasons[last.key].method) == ("contract", "same symbol and name")


def test_an_empty_world_has_no_asset() -> None:
    assert resolved().groups == ()


# --- people's decisions -------------------------------------------------------------------------------------------


def test_a_person_may_join_strangers() -> None:
    one, other = gecko("before", "bef", "Before"), paprika("aft-after", "AFT", "After")
    assert not assets(one, other)
    assert assets(one, other, decisions=[same(one, other)]) == {(one.key, other.key)}


def test_a_person_may_part_namesakes_and_the_pair_is_doubtful_no_more() -> None:
    resolution = resolved(BITCOIN, BTC, decisions=[different(BITCOIN, BTC)])
    assert (len(resolution.groups), resolution.doubtful) == (2, ())


def test_a_decision_holds_through_a_third_listing() -> None:
    assert assets(BITCOIN, BTC, ROW, decisions=[different(BITCOIN, ROW)]) == {(BITCOIN.key, BTC.key)}


def test_a_decision_takes_the_place_of_the_rules_partner() -> None:
    other = paprika("xbt", "XBT", "Digital Gold")
    assert assets(BITCOIN, BTC, other, decisions=[same(BITCOIN, other)]) == {(BITCOIN.key, other.key)}


def test_a_person_may_put_two_listings_of_one_source_together() -> None:
    twins = paprika("one", "BTC", "Bitcoin"), paprika("two", "BTC", "Bitcoin")
    assert not assets(BITCOIN, *twins)
    assert assets(BITCOIN, *twins, decisions=[same(*twins)]) == {(BITCOIN.key, *(twin.key for twin in twins))}


def test_decisions_that_contradict_one_another_keep_apart_what_was_parted() -> None:
    decisions = [same(BITCOIN, BTC), same(BTC, ROW), different(BITCOIN, ROW)]
    for group in resolved(BITCOIN, BTC, ROW, decisions=decisions).groups:
        assert not {BITCOIN.key, ROW.key} <= set(group)


def test_a_decision_about_a_listing_that_is_gone_changes_nothing() -> None:
    assert assets(BITCOIN, BTC, decisions=[same(BITCOIN, gecko("gone"))]) == {(BITCOIN.key, BTC.key)}


def test_curated_facts_join_and_can_be_left_out() -> None:
    one, other = gecko("before", "bef", "Before"), paprika("aft-after", "AFT", "After")
    assert len(resolve([one, other], curated=[CuratedFact(one.key, other.key, "renamed")]).groups) == 1
    assert len(resolve([one, other], curated=()).groups) == 2
