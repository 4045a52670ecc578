"""What the system is measured by: `make bench`. Compare ratios within one run; machines differ and are noisy."""
