# One check, inside a sandbox of its own, on a clean clone of the commit. Sourced by sh with SWARM_IN and SWARM_WORK set.
# Exit code: the check's; before the line ::phase check it is 112 (no clone), 113 (the bundle cannot be used) or 115 (a service cannot be used).

. "$SWARM_IN/job"  # integration, tip, service_seconds
repo="$SWARM_WORK/repo"
. "$SWARM_IN/clone.sh"
[ -z "${SWARM_GATEWAY:-}" ] || . "$SWARM_IN/gateway.sh"
[ ! -e "$SWARM_IN/ground-env" ] || . "$SWARM_IN/ground-env"

clone || exit 112
cd "$repo" || exit 112
if [ -e "$SWARM_IN/out.bundle" ]; then
    git fetch -q --no-tags "$SWARM_IN/out.bundle" refs/heads/swarm-out || exit 113
fi
git checkout -q -f --detach "$tip" || exit 113
[ ! -e "$SWARM_IN/services" ] || . "$SWARM_IN/services.sh"
echo "::phase check $SWARM_CHECK"
exec sh -e "$SWARM_IN/check-$SWARM_CHECK" < /dev/null
