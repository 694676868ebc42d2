# shellcheck shell=sh disable=SC2154  # what is not set here is set by who sources this
# Sourced by work.sh, check.sh and setup.sh: makes the clone in $repo, on the integration branch. Files of a snapshot may be there already; they stay,
# as files that git does not know.

clone() {
    if [ -e "$SWARM_IN/alternates" ]; then
        borrow
        return
    fi
    if [ ! -e "$SWARM_IN/shallow" ] && [ ! -d "$repo" ]; then
        git clone -q --no-tags -b "$integration" "$SWARM_IN/in.bundle" "$repo"
        return
    fi
    git init -q -b "$integration" "$repo" && git -C "$repo" remote add origin "$SWARM_IN/in.bundle" || return
    # The host's repository may be shallow, and a bundle cannot say so: where its history ends comes beside it.
    [ ! -e "$SWARM_IN/shallow" ] || cat "$SWARM_IN/shallow" > "$repo/.git/shallow" || return
    git -C "$repo" fetch -q --no-tags origin && git -C "$repo" checkout -q -f -B "$integration" --track "origin/$integration"
}

# The objects are there already, read-only, in the folders that alternates leads to. Only the names of commits are copied.
borrow() {
    git init -q --template= -b "$integration" "$repo" && mkdir -p "$repo/.git/info" "$repo/.git/hooks" "$repo/.git/objects/info" &&
        cat "$SWARM_IN/alternates" > "$repo/.git/objects/info/alternates" && cat "$SWARM_IN/packed-refs" > "$repo/.git/packed-refs" || return
    [ ! -e "$SWARM_IN/shallow" ] || cat "$SWARM_IN/shallow" > "$repo/.git/shallow" || return
    {
        printf '[remote "origin"]\n\turl = %s\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n' "$SWARM_IN/in.bundle"
        printf '[branch "%s"]\n\tremote = origin\n\tmerge = refs/heads/%s\n' "$integration" "$integration"
    } >> "$repo/.git/config"
    git -C "$repo" update-ref "refs/heads/$integration" "refs/remotes/origin/$integration" || return
    # Files of the base are there, with an index that knows them: git writes only what differs. Without a usable index it writes all.
    if [ -e "$SWARM_IN/index" ]; then
        cat "$SWARM_IN/index" > "$repo/.git/index" || return
        ! is_laid_out 2> /dev/null || return 0
        ! git -C "$repo" checkout -q -f "$integration" -- 2> /dev/null || return 0
        rm -f "$repo/.git/index"
    fi
    git -C "$repo" checkout -q -f "$integration" --
}

# Are the branch's files there already, and as they were?
is_laid_out() {
    grep -qFx "$(cat "$SWARM_IN/index-of") refs/remotes/origin/$integration" "$SWARM_IN/packed-refs" && git -C "$repo" diff-files --quiet
}
