"""The runner's own process: what happens in a sandbox, watched."""
