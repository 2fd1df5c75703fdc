"""The parts of `benchmarks.service`: processes on cores, floors, load, cases, bars."""
