"""The benchmark behind ``relu-layers bench``: cases, opponents, the machine's limits, rounds, results, figure."""
