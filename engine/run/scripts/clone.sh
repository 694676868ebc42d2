# shellcheck shell=sh disable=SC2154  # what is not set here is set by who sources this
# Sourced by work.sh and check.sh: makes the clone in $repo, on the integration branch.

clone() {
    if [ ! -e "$SWARM_IN/shallow" ]; then
        git clone -q --no-tags -b "$integration" "$SWARM_IN/in.bundle" "$repo"
        return
    fi
    # The host's repository is shallow, and a bundle cannot say so: where its history ends comes beside it.
    git init -q -b "$integration" "$repo" && cat "$SWARM_IN/shallow" > "$repo/.git/shallow" && git -C "$repo" remote add origin "$SWARM_IN/in.bundle" &&
        git -C "$repo" fetch -q --no-tags origin && git -C "$repo" checkout -q -B "$integration" --track "origin/$integration"
}
