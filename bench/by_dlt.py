"""The pages of a provider by dlt, merged into PostgreSQL by id: `python -m bench.by_dlt URL ...` prints the seconds."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import dlt
from dlt.sources.helpers import requests


@dlt.resource(name="markets", primary_key="id", write_disposition="merge")
def markets(pages: list[str]) -> Iterator[list[dict[str, Any]]]:
    for page in pages:
        yield requests.get(page).json()


def main(pages: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "bench",
            destination=dlt.destinations.postgres(os.environ["DATABASE_URL"]),
            dataset_name="bench_dlt",
            pipelines_dir=folder,
        )
        began = perf_counter()
        pipeline.run(markets(pages)).raise_on_failed_jobs()
        print(perf_counter() - began)


if __name__ == "__main__":
    main(sys.argv[1:])
