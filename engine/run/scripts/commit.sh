# The commit phase, inside the sandbox: what the agent left becomes a commit, and $SWARM_OUT/out.bundle brings it. Run by sh as a process
# of its own, with SWARM_IN, SWARM_OUT and SWARM_WORK set, when no agent works any more: at its end, or after it was stopped.
# Ends with 0, also when there is nothing to bring; with 113, and the reason as its last line, when the work could not be committed.

. "$SWARM_IN/job"  # branch, base
repo="$SWARM_WORK/repo"

stop() {
    printf '%s\n' "$1" >&2
    exit 113
}

cd "$repo" || stop "The work tree is gone."
git -c core.quotePath=false diff --name-only --diff-filter=U | while IFS= read -r path; do
    if grep -q '^<<<<<<< ' "$path" 2> /dev/null; then
        echo "The merge conflict in $path was not resolved."
    fi
done > "$SWARM_WORK/unresolved"
if [ -s "$SWARM_WORK/unresolved" ]; then
    stop "$(head -n 1 "$SWARM_WORK/unresolved")"
fi
git add -A || stop "git could not add the work."
if [ -e "$(git rev-parse --git-path MERGE_HEAD)" ] || ! git diff --cached --quiet; then
    # No hook of the repository decides here; the checks decide.
    git -c core.hooksPath=/dev/null commit -q --no-verify --no-gpg-sign --allow-empty -F "$SWARM_IN/message" || stop "git could not commit the work."
fi
if [ "$(git rev-parse "HEAD^{tree}")" != "$(git rev-parse "$base^{tree}")" ]; then
    git update-ref refs/heads/swarm-out HEAD || stop "git could not name the work."
    git bundle create -q "$SWARM_OUT/out.bundle" "$base..refs/heads/swarm-out" || stop "git could not bundle the work."
fi
