"""A market of our own: a local server that speaks CoinGecko's, CoinPaprika's and a CSV exchange's protocol.

`make demo` shows the whole system on it without network, keys or quota; the tests use it as a provider that can be told
to fail (`ProviderServer`, `Fault`); the bench uses it as one that never tires. Its coins are real, its figures are not.
Nothing here imports the rest of the project, so that a mistake there can't hide in the mirror that it is tested with.
"""

from cryptoetl.demo.coins import Coin, bundled_coins
from cryptoetl.demo.faults import Fault
from cryptoetl.demo.server import Call, ProviderServer

__all__ = ["Call", "Coin", "Fault", "ProviderServer", "bundled_coins"]
