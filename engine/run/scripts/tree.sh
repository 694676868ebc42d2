# Lays out the files of the integration branch, and brings git's index of them. Sourced by sh with SWARM_IN, SWARM_OUT and SWARM_WORK set; the work
# tree is the folder that is kept.

. "$SWARM_IN/job"  # integration
. "$SWARM_IN/clone.sh"
repo="$SWARM_WORK/repo"
clone && git -C "$repo" update-index -q --refresh && cat "$repo/.git/index" > "$SWARM_OUT/index" && rm -rf "$repo/.git"
