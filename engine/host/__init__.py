"""What the kernel offers: processes, locks, control groups."""
