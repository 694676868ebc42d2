"""Shell text for agents that use too much."""
HOLD = "(head -c 500000000 /dev/zero; sleep 60) | tail -c 500000000 > /dev/null &"
