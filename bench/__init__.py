"""The figures that HITL Swarm promises, measured: `make bench`, or `python -m bench --quick`. What they mean is in docs/performance.md."""
