# Starts the relay on 127.0.0.1 in a sandbox with a gateway, and tells programs its address. Sourced by sh with SWARM_IN and SWARM_GATEWAY
# set, before anything that may need it. For agents: SWARM_GATEWAY_TOKEN is the key, SWARM_…_BASE_URL the address.

port=$(python3 -I -S -B -c 'import sys; sys.path.insert(0, sys.argv.pop(1)); from link.relay import main; main()' \
    "$SWARM_IN" "$SWARM_GATEWAY" 8787) || { echo "The relay to the gateway did not start."; exit 112; }
SWARM_GATEWAY_URL="http://127.0.0.1:$port"
SWARM_OPENAI_BASE_URL="$SWARM_GATEWAY_URL/openai/v1"
SWARM_ANTHROPIC_BASE_URL="$SWARM_GATEWAY_URL/anthropic"
SWARM_GEMINI_BASE_URL="$SWARM_GATEWAY_URL/gemini"
HTTP_PROXY=$SWARM_GATEWAY_URL HTTPS_PROXY=$SWARM_GATEWAY_URL http_proxy=$SWARM_GATEWAY_URL https_proxy=$SWARM_GATEWAY_URL
NO_PROXY=127.0.0.1,localhost,::1 no_proxy=127.0.0.1,localhost,::1
export SWARM_GATEWAY_URL SWARM_OPENAI_BASE_URL SWARM_ANTHROPIC_BASE_URL SWARM_GEMINI_BASE_URL
export HTTP_PROXY HTTPS_PROXY http_proxy https_proxy NO_PROXY no_proxy
. "$SWARM_IN/mirrors.sh"
