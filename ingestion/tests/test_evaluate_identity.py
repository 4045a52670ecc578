"""`manage.py evaluate_identity` reads the providers' lists, prints figures and errors, and says what it can't read."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from assets.evaluation import UnreadableFile, read_list, read_pairs

GECKO_LIST = [
    {"id": "bitcoin", "symbol": "btc", "name": "Bitcoin"},
    {"id": "ape", "symbol": "ape", "name": "APE"},
    {"id": "stella", "symbol": "stl", "name": "Stella"},
    {"id": "nova", "symbol": "nva", "name": "Nova"},
    {"id": "", "symbol": "", "name": ""},
]
PAPRIKA_CSV = """,id,name,symbol,rnk,is_active,type
0,btc-bitcoin,Bitcoin,BTC,1,True,coin
1,ape-apecoin,ApeCoin,APE,30,True,token
2,alpha-x,Alpha,ALP,0,False,token
3,nva-nova,Nova,NVA,0,False,token
"""
TRUTH = "coingecko_id,coinpaprika_id\nbitcoin,btc-bitcoin\nstella,alpha-x\nunlisted,x\n"
NEGATIVES = "symbol,coingecko_id,coingecko_name,coinpaprika_id\nape,ape,APE,ape-apecoin\nnva,nova,Nova,nva-nova\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    texts = {"left": json.dumps(GECKO_LIST), "right": PAPRIKA_CSV, "truth": TRUTH, "negatives": NEGATIVES}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return {name: tmp_path / name for name in texts}


def evaluated(files: dict[str, Path], *arguments: str) -> str:
    out = StringIO()
    named = [part for name, path in files.items() for part in (f"--{name}", str(path))]
    call_command("evaluate_identity", *named, *arguments, stdout=out)
    return out.getvalue()


def test_it_prints_recall_false_joins_doubtful_pairs_and_every_error_with_its_why(files: dict[str, Path]) -> None:
    said = evaluated(files)
    assert "recall  0.5000 (1 of 2 true pairs; 1 more are not in both lists)" in said
    assert "false        1 of 2 negative pairs joined" in said
    assert "doubt        1 pairs left for a person" in said
    assert "missed: true pair not joined: stella (stl Stella) / alpha-x (ALP Alpha): different by themselves" in said
    assert "false: negative pair joined: nova (nva Nova) / nva-nova (NVA Nova): 0.87: same symbol and name" in said
    assert "doubtful 0.48: ape (ape APE) / ape-apecoin (APE ApeCoin): same symbol" in said


def test_it_prints_one_json_object_for_programs(files: dict[str, Path]) -> None:
    said = json.loads(evaluated(files, "--json"))
    assert (said["recall"], said["missed"], said["wrong"], said["false"], said["doubtful"]) == (0.5, 1, 0, 1, 1)
    assert {error["kind"] for error in said["errors"]} == {"missed", "false"}
    assert len(said["doubtful_pairs"]) == 1
    assert json.loads(evaluated(files, "--json", "--doubtful", "0"))["doubtful_pairs"] == []


def test_a_coin_of_a_true_pair_with_another_is_said_to_be_wrong(files: dict[str, Path]) -> None:
    files["truth"].write_text("left,right\nnova,alpha-x\n")
    assert "wrong: coin of a true pair joined to another: nova (nva Nova) / nva-nova (NVA Nova)" in evaluated(files)


def test_the_columns_of_pairs_may_be_the_other_way_round(files: dict[str, Path]) -> None:
    files["truth"].write_text("coinpaprika_id,coingecko_id\nbtc-bitcoin,bitcoin\n")
    assert "recall  1.0000 (1 of 1 true pairs" in evaluated(files)


def test_demands_that_are_not_met_fail(files: dict[str, Path]) -> None:
    assert evaluated(files, "--min-recall", "0.5", "--max-wrong", "1")
    with pytest.raises(CommandError, match=r"^Recall is 0\.5000, 0\.97 was demanded\.$"):
        evaluated(files, "--min-recall", "0.97")
    with pytest.raises(CommandError, match=r"^1 joins are wrong, 0 were allowed\.$"):
        evaluated(files, "--max-wrong", "0")
    with pytest.raises(CommandError, match=r"--max-wrong needs pairs in --truth or --negatives\.$"):
        evaluated({name: files[name] for name in ("left", "right")}, "--max-wrong", "0")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("left", "[{", "is not JSON"),
        ("left", '{"status": "ok"}', "holds no list of coins"),
        ("left", "[]", "lists no coin"),
        ("right", "", "lists no coin"),
        ("truth", "one,two\n1,2\n", "two columns of ids"),
        ("truth", "", "two columns of ids"),
    ],
)
def test_what_cannot_be_read_is_named(files: dict[str, Path], name: str, text: str, said: str) -> None:
    files[name].write_text(text)
    with pytest.raises(CommandError, match=said) as raised:
        evaluated(files)
    assert str(files[name]) in str(raised.value)


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no such file"):
        read_list(tmp_path / "missing.json", "left", 1)
    with pytest.raises(UnreadableFile, match="is a directory"):
        read_pairs(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnreadableFile, match="not UTF-8"):
        read_list(tmp_path / "binary", "left", 1)


def one(tmp_path: Path, item: dict[str, Any]) -> Any:
    path = tmp_path / "page.json"
    path.write_text(json.dumps({"updatedAt": "x", "data": [item]}))
    return read_list(path, "left", 1)[0]


def test_figures_are_read_from_pages_of_markets_and_of_tickers(tmp_path: Path) -> None:
    markets = {"id": "a", "symbol": "a", "name": "A", "current_price": 2.5, "market_cap": 0, "market_cap_rank": None}
    coin = one(tmp_path, markets | {"total_supply": 21000000.0, "last_updated": "2022-01-29T17:07:00.000Z"})
    assert (str(coin.price_usd), coin.market_cap, coin.rank, coin.total_supply) == ("2.5", None, None, 21_000_000)
    assert coin.observed_at.isoformat() == "2022-01-29T17:07:00+00:00"
    ticker = {"id": "a-a", "symbol": "A", "name": "A", "rank": 3, "max_supply": 0, "quotes": {"USD": {"price": 1e-7}}}
    coin = one(tmp_path, ticker)
    assert (float(coin.price_usd), coin.rank, coin.max_supply) == (1e-7, 3, None)


def test_contracts_are_read_from_a_list_with_platforms(tmp_path: Path) -> None:
    item = {"id": "a", "symbol": "a", "name": "A", "platforms": {"ethereum": "0xAB", "": "", "tron": None}}
    assert one(tmp_path, item).contracts == ("ethereum:0xab",)


def test_a_csv_without_ids_gets_them_from_symbol_and_name(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("Name;Symbol;Price\nBitcoin Cash;BCH;$1,250.50\n")
    coin = read_list(tmp_path / "rows.csv", "left", 1)[0]
    assert (coin.source_asset_id, str(coin.price_usd)) == ("bch-bitcoin-cash", "1250.50")
