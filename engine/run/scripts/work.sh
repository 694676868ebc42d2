# The work of one ticket, inside the sandbox: clone, agent, then commit.sh. Sourced by sh with SWARM_IN, SWARM_OUT and SWARM_WORK set.
# The lines that begin with ::phase divide the log into parts; they also show how far the run came.
# Exit code: the agent's; 113 when its work could not be committed; 114 when a hook failed before the agent started.

. "$SWARM_IN/job"  # integration, branch, base, resume, kept, agent, keeps, hook_seconds
PATH="$SWARM_IN/bin:$PATH"
SWARM_PROMPT="$SWARM_IN/prompt.md"
RESUME=''  # yes: the agent can go on in its session
export PATH SWARM_PROMPT RESUME
[ ! -e "$SWARM_IN/ground-env" ] || . "$SWARM_IN/ground-env"
# Some agents run commands in a login shell, for which the system sets PATH again.
[ -e "$HOME/.profile" ] || echo "PATH=\"$SWARM_IN/bin:\$PATH\"" > "$HOME/.profile"
[ ! -e "$SWARM_IN/ground-env" ] || echo ". '$SWARM_IN/ground-env'" >> "$HOME/.profile"
repo="$SWARM_WORK/repo"
. "$SWARM_IN/clone.sh"
. "$SWARM_IN/work-tree.sh"
[ -z "${SWARM_GATEWAY:-}" ] || . "$SWARM_IN/gateway.sh"

# A hook of the repository's WORKFLOW.md, if it has one of that name.
hook() {
    [ -e "$SWARM_IN/hook-$1" ] || return 0
    echo "::phase hook $1"
    timeout -k 5 "$hook_seconds" sh -e "$SWARM_IN/hook-$1" < /dev/null || { ended="The hook $1 ended with exit code $?."; echo "$ended"; return 1; }
}

echo "::phase clone"
clone || exit 112
cd "$repo" || exit 112
[ -z "$kept" ] || git fetch -q --no-tags "$SWARM_IN/in.bundle" "refs/swarm/kept/$branch/*:refs/remotes/swarm-kept/*" || exit 112
if [ -n "$resume" ]; then
    git checkout -q -b "$branch" "refs/remotes/origin/$branch" || exit 112
    # A conflict stays in the tree, because the agent must resolve it.
    git merge -q --no-edit -m "Merge $integration" "$base" || echo "The merge with $integration left conflicts. Resolve them now."
else
    git checkout -q -b "$branch" "$base" || exit 112
fi
ignore_by_default
settle_line_ends

ended=''
hook after_create && hook before_run
note_untracked
if [ -e "$SWARM_IN/session.tar" ] && tar -C "$HOME" -xf "$SWARM_IN/session.tar"; then RESUME=yes; fi

echo "::phase agent $agent"
if [ -n "$ended" ]; then
    echo "$ended"
    exit 114
fi
sh "$SWARM_IN/agent.sh" < /dev/null
code=$?
if [ -n "$keeps" ] && [ -d "$HOME" ]; then
    # shellcheck disable=SC2046,SC2086
    (cd "$HOME" && tar --ignore-failed-read -cf "$SWARM_OUT/session.tar" $(ls -d $keeps 2> /dev/null)) 2> /dev/null || rm -f "$SWARM_OUT/session.tar"
fi

[ -d "$repo" ] && cd "$repo" && hook after_run

echo "::phase commit"
sh "$SWARM_IN/onto-base.sh" < /dev/null
sh "$SWARM_IN/commit.sh" < /dev/null || { [ "$code" -ne 0 ] || code=113; exit "$code"; }
hook before_remove
exit "$code"
