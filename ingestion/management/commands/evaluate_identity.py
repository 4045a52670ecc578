"""`manage.py evaluate_identity`: how well the rule does on whole lists of two sources. Needs no database."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management import CommandError

from assets.evaluation import Error, Evaluation, UnreadableFile, evaluate, read_list, read_pairs
from assets.identity import Listing
from ingestion.management.sentences import SentenceCommand, number

HEADINGS = {
    "missed": "true pair not joined",
    "wrong": "coin of a true pair joined to another",
    "false": "negative pair joined",
}


def whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


class Command(SentenceCommand):
    help = (
        "Joins the coins of two lists by the rule alone (no curated fact, no person's decision) and prints recall on"
        " true pairs, false joins, doubtful pairs and every error with the rule's reasons. A list is JSON of CoinGecko"
        " or CoinPaprika (list, tickers or markets pages) or a CSV with the header id,name,symbol; pairs are a CSV with"
        " two columns of ids. Exit 1 when a file can't be read or a demand is not met."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--left", metavar="LIST", type=Path, nargs="+", required=True, help="names the assets")
        parser.add_argument("--right", metavar="LIST", type=Path, nargs="+", required=True, help="joins them")
        parser.add_argument("--truth", metavar="FILE", type=Path, help="pairs that are one coin")
        parser.add_argument("--negatives", metavar="FILE", type=Path, help="pairs that must not be joined")
        parser.add_argument("--doubtful", metavar="N", type=whole, default=20, help="how many to print (20)")
        parser.add_argument(
            "--min-recall",
            metavar="SHARE",
            type=number(0, 1, "a share from 0 to 1"),
            help="demand at least this recall",
        )
        parser.add_argument("--max-wrong", metavar="N", type=whole, help="demand at most so many wrong or false joins")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            left = [listing for path in options["left"] for listing in read_list(path, "left", 1)]
            right = [listing for path in options["right"] for listing in read_list(path, "right", 2)]
            truth = read_pairs(options["truth"]) if options["truth"] else []
            negatives = read_pairs(options["negatives"]) if options["negatives"] else []
        except UnreadableFile as error:
            raise CommandError(str(error)) from None
        measured = evaluate(left, right, truth, negatives)
        if options["json"]:
            self.stdout.write(json.dumps(figures(measured, options["doubtful"]), indent=2))
        else:
            self.stdout.write(f"left   {len({coin.key for coin in left}):>7,} coins")
            self.stdout.write(f"right  {len({coin.key for coin in right}):>7,} coins")
            self.stdout.write(report(measured, len(truth), len(negatives), options["doubtful"]))
        if options["max_wrong"] is not None and not truth and not negatives:
            raise CommandError("Wrong joins can't be counted: --max-wrong needs pairs in --truth or --negatives.")
        self.demand(measured, options["min_recall"], options["max_wrong"])

    def demand(self, measured: Evaluation, min_recall: float | None, max_wrong: int | None) -> None:
        if min_recall is not None and (measured.recall is None or measured.recall < min_recall):
            reached = "can't be measured" if measured.recall is None else f"is {measured.recall:.4f}"
            raise CommandError(f"Recall {reached}, {min_recall} was demanded.")
        wrong = measured.count("wrong") + measured.count("false")
        if max_wrong is not None and wrong > max_wrong:
            raise CommandError(f"{wrong} joins are wrong, {max_wrong} were allowed.")


def report(measured: Evaluation, truth: int, negatives: int, doubtful: int) -> str:
    lines = [f"joined {measured.joined:>7,} pairs in {measured.seconds:.1f} s"]
    if measured.recall is not None:
        lines.append(
            f"recall {measured.recall:>7.4f} ({measured.found} of {measured.truth} true pairs;"
            f" {truth - measured.truth} more are not in both lists)"
        )
        lines.append(f"wrong  {measured.count('wrong'):>7,} coins of true pairs joined to another")
    if negatives:
        lines.append(
            f"false  {measured.count('false'):>7,} of {measured.negatives} negative pairs joined"
            f" ({negatives - measured.negatives} more are not in both lists)"
        )
    lines.append(f"doubt  {len(measured.doubtful):>7,} pairs left for a person")
    for kind, heading in HEADINGS.items():
        lines += [f"{kind}: {heading}: {both(error)}: {error.why}" for error in measured.errors if error.kind == kind]
    lines += [
        f"doubtful {score:.2f}: {called(a)} / {called(b)}: {why}" for a, b, score, why in measured.doubtful[:doubtful]
    ]
    return "\n".join(lines)


def figures(measured: Evaluation, doubtful: int) -> dict[str, Any]:
    return {
        "joined": measured.joined,
        "seconds": round(measured.seconds, 3),
        "recall": measured.recall,
        "true_pairs": measured.truth,
        "found": measured.found,
        "negative_pairs": measured.negatives,
        **{kind: measured.count(kind) for kind in HEADINGS},
        "doubtful": len(measured.doubtful),
        "errors": [
            {
                "kind": error.kind,
                "left": error.left.source_asset_id,
                "right": error.right.source_asset_id,
                "why": error.why,
            }
            for error in measured.errors
        ],
        "doubtful_pairs": [
            {"left": a.source_asset_id, "right": b.source_asset_id, "score": score, "why": why}
            for a, b, score, why in measured.doubtful[:doubtful]
        ],
    }


def both(error: Error) -> str:
    return f"{called(error.left)} / {called(error.right)}"


def called(coin: Listing) -> str:
    return f"{coin.source_asset_id} ({coin.symbol} {coin.name})"
