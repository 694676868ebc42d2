"""The runner's own process: it starts sandboxes and watches them."""
