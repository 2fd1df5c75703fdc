"""The parts of `benchmarks.service`: processes on cores, baselines, load, cases, bars."""
