# The work of one ticket, inside the sandbox: clone, agent, then the commit phase. Sourced by sh with SWARM_IN, SWARM_OUT and SWARM_WORK set.
# The lines that begin with ::phase divide the log into parts; they also show how far the run came.
# When the run is stopped, the agent's processes are ended from outside; then this shell gets SIGTERM, and goes on with the commit phase alone.
# Exit code: the agent's; 113 when its work could not be committed; 114 when a hook failed before the agent started.

. "$SWARM_IN/job"  # integration, branch, base, resume, agent, keeps, hook_seconds
PATH="$SWARM_IN/bin:$PATH"
SWARM_PROMPT="$SWARM_IN/prompt.md"
RESUME=''  # yes: the agent can go on in its session
export PATH SWARM_PROMPT RESUME
# Some agents run commands in a login shell, for which the system sets PATH again.
[ -e "$HOME/.profile" ] || echo "PATH=\"$SWARM_IN/bin:\$PATH\"" > "$HOME/.profile"
repo="$SWARM_WORK/repo"
. "$SWARM_IN/work-tree.sh"
[ -z "${SWARM_GATEWAY:-}" ] || . "$SWARM_IN/gateway.sh"

# A hook of the repository's WORKFLOW.md, if it has one of that name.
hook() {
    [ -e "$SWARM_IN/hook-$1" ] || return 0
    echo "::phase hook $1"
    timeout -k 5 "$hook_seconds" sh -e "$SWARM_IN/hook-$1" < /dev/null || { ended="The hook $1 ended with exit code $?."; echo "$ended"; return 1; }
}

echo "::phase clone"
git clone -q --no-tags -b "$integration" "$SWARM_IN/in.bundle" "$repo" || exit 112
cd "$repo" || exit 112
git fetch -q --no-tags "$SWARM_IN/in.bundle" "refs/swarm/kept/$branch/*:refs/remotes/swarm-kept/*" || exit 112
if [ -n "$resume" ]; then
    git checkout -q -b "$branch" "refs/remotes/origin/$branch" || exit 112
    # A conflict stays in the tree, because the agent must resolve it.
    git merge -q --no-edit -m "Merge $integration" "$base" || echo "The merge with $integration left conflicts. Resolve them now."
else
    git checkout -q -b "$branch" "$base" || exit 112
fi
ignore_by_default
settle_line_ends

# The commit phase.
save() {
    echo "::phase commit"
    sh "$SWARM_IN/onto-base.sh" < /dev/null
    sh "$SWARM_IN/commit.sh" < /dev/null
}

# Where that fails, the work tree may be full: what was committed is brought without a write there.
save_commits() {
    if [ ! -e "$SWARM_OUT/out.bundle" ] && git -C "$repo" merge-base --is-ancestor "$base" HEAD; then
        git init -q --bare --template= "$SWARM_OUT/saved" && echo "$repo/.git/objects" > "$SWARM_OUT/saved/objects/info/alternates" &&
            git -C "$SWARM_OUT/saved" update-ref refs/heads/swarm-out "$(git -C "$repo" rev-parse HEAD)" &&
            git -C "$SWARM_OUT/saved" bundle create -q "$SWARM_OUT/out.bundle" "$base..refs/heads/swarm-out"
        rm -rf "$SWARM_OUT/saved"
    fi
}

keep_session() {
    [ -n "$keeps" ] && [ -d "$HOME" ] || return 0
    # shellcheck disable=SC2086
    (cd "$HOME" && tar --ignore-failed-read -cf "$SWARM_OUT/session.tar" $(ls -d $keeps 2> /dev/null)) 2> /dev/null || rm -f "$SWARM_OUT/session.tar"
}

# Where the agent's processes leave no room for another one, this shell ends with an error. It then waits until they are ended from outside.
end_without_room() {
    code=$?
    trap - EXIT
    read -r never 2> /dev/null < "$SWARM_WORK/never"
    [ -z "$stopped" ] || save || save_commits
    exit "$code"
}

leave() {
    trap - EXIT
    exit "$1"
}

ended='' stopped=''
hook after_create && hook before_run
note_untracked
if [ -e "$SWARM_IN/session.tar" ] && tar -C "$HOME" -xf "$SWARM_IN/session.tar"; then RESUME=yes; fi

trap 'stopped=yes' TERM
mkfifo "$SWARM_WORK/never" && trap end_without_room EXIT
echo "::phase agent $agent"
if [ -n "$ended" ]; then
    echo "$ended"
    leave 114
fi
sh "$SWARM_IN/agent.sh" < /dev/null
code=$?
if [ -n "$stopped" ]; then # there is little time: no hooks, and the work comes first
    save || save_commits
    keep_session
    leave "$code"
fi
keep_session

[ -d "$repo" ] && cd "$repo" && hook after_run

save
saved=$?
[ "$saved" -eq 0 ] || [ -n "$stopped" ] || sleep 1 # for want of room? Then the run is stopped now
[ -z "$stopped" ] || save || save_commits # the first time was cut off
[ "$saved" -eq 0 ] || [ "$code" -ne 0 ] || code=113
[ "$saved" -ne 0 ] || [ -n "$stopped" ] || hook before_remove
leave "$code"
