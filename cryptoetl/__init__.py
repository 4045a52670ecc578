"""cryptoetl: crypto market data of many sources, unified, kept and served. This package is wiring only."""
