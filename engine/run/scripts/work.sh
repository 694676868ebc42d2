# The work of one ticket, inside the sandbox: clone, agent, then the commit phase. Sourced by sh with SWARM_IN, SWARM_OUT and SWARM_WORK set.
# The lines that begin with ::phase divide the log into parts; they also show how far the run came.
# When the run is stopped, the agent's processes are ended from outside; then this shell gets SIGTERM, and goes on with the commit phase alone.
# Exit code: the agent's; 113 when its work could not be committed; 114 when a hook failed before the agent started; 115 when
# a service could not be used.

. "$SWARM_IN/job"  # integration, branch, base, resume, kept, agent, keeps, hook_seconds, service_seconds
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
[ -z "$kept" ] || [ -e "$SWARM_IN/alternates" ] || git fetch -q --no-tags "$SWARM_IN/in.bundle" "refs/swarm/kept/$branch/*:refs/remotes/swarm-kept/*" || exit 112
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
    head=$(git -C "$repo" rev-parse -q --verify HEAD) && [ "$head" != "$base" ] && [ ! -e "$SWARM_OUT/out.bundle" ] || return 0
    git -C "$repo" merge-base --is-ancestor "$base" "$head" || return 0
    name=out ref=refs/heads/swarm-out
    if is_unlike_ours; then # not for the branch, because nobody would rewrite it later
        name=kept ref=refs/heads/swarm-kept/1
        [ ! -e "$SWARM_OUT/kept.bundle" ] || return 0
    fi
    rm -rf "$SWARM_OUT/saved" "$SWARM_OUT/$name.part"
    git init -q --bare --template= "$SWARM_OUT/saved" && echo "$repo/.git/objects" > "$SWARM_OUT/saved/objects/info/alternates" &&
        { [ ! -e "$repo/.git/shallow" ] || cp "$repo/.git/shallow" "$SWARM_OUT/saved/shallow"; } &&
        git -C "$SWARM_OUT/saved" update-ref "$ref" "$head" &&
        git -C "$SWARM_OUT/saved" bundle create -q - "$base..$ref" > "$SWARM_OUT/$name.part" &&
        mv "$SWARM_OUT/$name.part" "$SWARM_OUT/$name.bundle"
    rm -rf "$SWARM_OUT/saved" "$SWARM_OUT/$name.part"
}

# Would the commit phase have rewritten the agent's commits?
is_unlike_ours() {
    git -C "$repo" log --format='%an <%ae>%n%cn <%ce>' "$base..$head" | grep -qvFx "${GIT_AUTHOR_NAME:-} <${GIT_AUTHOR_EMAIL:-}>" ||
        git -C "$repo" log --format=%B "$base..$head" | grep -qi '^signed-off-by:'
}

# For a run that is stopped. A shutdown may tell this shell before the runner does, which then cuts the commit phase off.
save_what_there_is() {
    stopped=''
    save || { [ -n "$stopped" ] && save; } || save_commits
}

keep_session() {
    [ -n "$keeps" ] && [ -d "$HOME" ] || return 0
    # shellcheck disable=SC2046,SC2086
    (cd "$HOME" && tar --ignore-failed-read -cf "$SWARM_OUT/session.tar" $(ls -d $keeps 2> /dev/null)) 2> /dev/null || rm -f "$SWARM_OUT/session.tar"
}

# Where the agent's processes leave no room for another one, this shell ends with an error. It then waits until they are ended from outside.
end_without_room() {
    code=$?
    trap - EXIT
    [ -n "$told" ] || read -r never 2> /dev/null < "$SWARM_WORK/never"
    [ -z "$told" ] || save_what_there_is
    exit "$code"
}

# Did the commit phase fail because there is no room for further processes?
lacked_room() {
    [ "$saved" -ne 113 ] || grep -qiE 'cannot fork|resource temporarily unavailable' "$SWARM_OUT/report" 2> /dev/null
}

leave() {
    trap - EXIT
    exit "$1"
}

ended='' stopped='' told=''
[ ! -e "$SWARM_IN/services" ] || . "$SWARM_IN/services.sh"
hook after_create && hook before_run
note_untracked
if [ -e "$SWARM_IN/session.tar" ] && tar -C "$HOME" -xf "$SWARM_IN/session.tar"; then RESUME=yes; fi

trap 'stopped=yes told=yes' TERM
mkfifo "$SWARM_WORK/never" && trap end_without_room EXIT
echo "::phase agent $agent"
if [ -n "$ended" ]; then
    echo "$ended"
    leave 114
fi
sh "$SWARM_IN/agent.sh" < /dev/null
code=$?
if [ -n "$stopped" ]; then # there is little time: no hooks, and the work comes first
    save_what_there_is
    keep_session
    leave "$code"
fi
keep_session

[ -d "$repo" ] && cd "$repo" && hook after_run

save
saved=$?
if [ "$saved" -ne 0 ] && [ -z "$stopped" ] && lacked_room; then # then the run is stopped soon
    seconds=20
    while [ -z "$stopped" ] && [ $seconds -gt 0 ]; do
        sleep 1
        seconds=$((seconds - 1))
    done
    [ -n "$stopped" ] || { save; saved=$?; }
fi
if [ -n "$stopped" ]; then # the first time was cut off
    save_what_there_is
    leave "$code"
fi
[ "$saved" -eq 0 ] || save_commits
[ "$saved" -eq 0 ] || [ "$code" -ne 0 ] || code=113
[ "$saved" -ne 0 ] || hook before_remove
leave "$code"
