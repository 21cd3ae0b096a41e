"""Measure this engine beside its peers, all on one machine and in one run: `make bench`.

The main process only orchestrates. What is measured runs in processes of its own, under the guard
of the embedded services: workers, and probes (`bench.probe`), which start runs, publish chains and
time statements when asked.
"""
