"""The rule on whole lists of thousands of real coins from outside (`PAYLOADS`), and its speed on made-up ones."""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path

import pytest

from assets.evaluation import Evaluation, evaluate, read_list, read_pairs
from assets.identity import Listing, resolve

CORPUS = Path(os.environ.get("PAYLOADS", ""))
IDENTITY = CORPUS / "identity"
LISTS = IDENTITY / "lists"
corpus = pytest.mark.skipif(
    not os.environ.get("PAYLOADS") or not LISTS.is_dir(), reason="PAYLOADS names no corpus of lists"
)


@cache
def lists_of_2022() -> tuple[list[Listing], list[Listing]]:
    left = read_list(LISTS / "coingecko_coins_list_2022-01-30.json", "left", 1)
    return left, read_list(LISTS / "coinpaprika_coins_2022-03-29.csv", "right", 2)


@cache
def measured_2022(ranks: bool) -> Evaluation:
    left, right = lists_of_2022()
    negatives = read_pairs(IDENTITY / "negatives_cross_provider_dev.csv")
    return evaluate(left, right if ranks else bare(right), read_pairs(IDENTITY / "truth_dev.csv"), negatives)


with_and_without_ranks = pytest.mark.parametrize("ranks", [True, False], ids=["with ranks", "names and symbols alone"])


@corpus
@with_and_without_ranks
def test_ninety_seven_percent_of_the_true_pairs_are_found(ranks: bool) -> None:
    measured = measured_2022(ranks)
    assert measured.truth > 140
    assert measured.recall is not None and measured.recall >= 0.97


@corpus
@with_and_without_ranks
def test_no_negative_pair_is_joined(ranks: bool) -> None:
    measured = measured_2022(ranks)
    assert measured.negatives > 60
    assert measured.count("false") == 0


@corpus
def test_no_negative_pair_is_joined_across_four_years() -> None:
    left = read_list(LISTS / "coingecko_coins_list_tuanhoang_2026-01-04.json", "left", 1)
    negatives = read_pairs(IDENTITY / "negatives_cross_provider_dev.csv")
    measured = evaluate(left, bare(lists_of_2022()[1]), read_pairs(IDENTITY / "truth_dev.csv"), negatives)
    assert measured.negatives > 120
    assert (measured.count("false"), measured.count("wrong")) == (0, 0)


@corpus
@with_and_without_ranks
def test_no_coin_of_a_true_pair_is_joined_to_another_but_where_the_names_themselves_say_so(ranks: bool) -> None:
    # One pair: the true partner bears its chain's name, and another coin bears symbol and name of both to the letter.
    wrong = [error for error in measured_2022(ranks).errors if error.kind == "wrong"]
    assert len(wrong) <= 1
    assert all(
        (error.left.reading.compact, error.left.reading.symbol)
        == (error.right.reading.compact, error.right.reading.symbol)
        for error in wrong
    )


@corpus
def test_pairs_that_the_simplest_matcher_finds_are_found() -> None:
    measured = evaluate(*lists_of_2022(), read_pairs(IDENTITY / "derived_pairs_2022_dev.csv"))
    assert measured.truth > 4000
    assert measured.recall is not None and measured.recall >= 0.99


@corpus
def test_coins_that_share_a_symbol_stay_apart_on_the_names_of_another_time() -> None:
    left = read_list(LISTS / "coingecko_coins_list_tuanhoang_2026-01-04.json", "left", 1)
    right = read_list(LISTS / "coingecko_coin_ids_sachiew_2026-01-29.csv", "right", 2)
    measured = evaluate(left, right, negatives=read_pairs(IDENTITY / "same_symbol_different_coin_dev.csv"))
    assert measured.negatives > 1900
    assert measured.count("false") == 0
    assert measured.joined > 18_000


@corpus
@pytest.mark.parametrize(
    "page", ["markets_2022-01-29_p1_250_pct.json", "markets_2022-02-23_perpage251_returns250_pct.json"]
)
def test_prices_and_supplies_decide_what_names_leave_open(page: str) -> None:
    left = read_list(CORPUS / "coingecko" / page, "left", 1)
    right = read_list(CORPUS / "coinpaprika" / "tickers_2021-08-12_full.json", "right", 2)
    truth = read_pairs(IDENTITY / "truth_dev.csv")
    with_figures, names_alone = evaluate(left, right, truth), evaluate(bare(left), bare(right), truth)
    # One coin had another symbol and another name at the time of the tickers.
    assert [error.kind for error in with_figures.errors] == ["missed"]
    assert len(with_figures.doubtful) < len(names_alone.doubtful)


def bare(listings: list[Listing]) -> list[Listing]:
    """The same without figures."""
    return [Listing(one.source, one.source_asset_id, one.symbol, one.name, one.identity_rank) for one in listings]


@corpus
def test_the_order_of_whole_lists_makes_no_difference() -> None:
    left, right = lists_of_2022()
    mixed = sorted([*left, *right], key=lambda listing: hash((listing.name, listing.key)))
    first = resolve([*left, *right], curated=())
    assert first == resolve([*right, *left], curated=()) == resolve(mixed, curated=())


def test_twenty_thousand_newcomers_among_fifty_thousand_are_decided_in_seconds() -> None:
    listings = [
        # Of ten coins two share a symbol, and two a name.
        Listing(source, f"{source}-{n}", f"S{n - (n % 10 == 3)}", f"Coin Number {n - (n % 10 == 7)}", rank)
        for source, rank, count in (("coingecko", 1, 20_000), ("coinpaprika", 2, 40_000), ("csv", 3, 10_000))
        for n in range(count)
    ]
    started = time.process_time()
    resolution = resolve(listings, curated=())
    seconds = time.process_time() - started
    assert len(resolution.groups) == 40_000
    assert seconds < 10  # about 3 s; twice that on a busy machine
