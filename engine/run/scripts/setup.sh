# Makes a snapshot: runs the commands of an environment on a clean clone, then leaves only what they made. Sourced by sh with SWARM_IN, SWARM_OUT and
# SWARM_WORK set; the work tree and the home folder are the snapshot's own folders. Exit code: of the command that failed; 112 when there is no clone.
# A command can leave variables for all later sandboxes: lines NAME=value in the file $SWARM_ENV. Each secret of the steps is a variable, and a file in the
# folder $SWARM_SECRETS, which is in memory.

. "$SWARM_IN/job"  # integration, tip, steps, secrets
. "$SWARM_IN/clone.sh"
repo="$SWARM_WORK/repo" SWARM_ENV="$SWARM_OUT/env"
SWARM_SECRETS=/dev/shm/secrets
export SWARM_ENV SWARM_SECRETS
[ -z "${SWARM_GATEWAY:-}" ] || . "$SWARM_IN/gateway.sh"
clone || exit 112
cd "$repo" || exit 112
[ ! -e "$SWARM_IN/out.bundle" ] || git fetch -q --no-tags "$SWARM_IN/out.bundle" refs/heads/swarm-out || exit 112
git checkout -q -f --detach "$tip" || exit 112
[ ! -e "$SWARM_IN/ground-env" ] || . "$SWARM_IN/ground-env"

if [ -n "$secrets" ]; then
    mkdir -m 700 "$SWARM_SECRETS" || exit 112
    for name in $secrets; do
        eval "printf %s \"\$$name\"" > "$SWARM_SECRETS/$name" || exit 112
    done
fi

number=0
while [ "$number" -lt "$steps" ]; do
    number=$((number + 1))
    echo "$number" > "$SWARM_OUT/step"
    echo "::phase setup $number"
    sh -e "$SWARM_IN/step-$number" < /dev/null || exit
done

echo "::phase snapshot"
cd "$SWARM_WORK" || exit 112
git -C "$repo" ls-tree -r -z --name-only "$tip" > "$SWARM_WORK/tracked" || exit 112
(cd "$repo" && xargs -0 -r rm -f -- < "$SWARM_WORK/tracked")
rm -rf "$repo/.git"
: > "$SWARM_OUT/whole"
