# The commit phase, inside the sandbox: what the agent left becomes a commit, and $SWARM_OUT/out.bundle brings it; kept.bundle brings what else
# it made. Run by sh as a process of its own, with SWARM_IN, SWARM_OUT and SWARM_WORK set, when no agent works any more: at its end, or after it was stopped.
# Ends with 0, also when there is nothing to bring; with 113, and the reasons in its report, when the attempt failed here.
# $SWARM_OUT/report says more, a line each: "failed SENTENCE", "note SENTENCE", "ignored PATH", "more NUMBER" (ignored files without a line).

. "$SWARM_IN/job"  # branch, base, sign_off
. "$SWARM_IN/work-tree.sh"
. "$SWARM_IN/commit-tree.sh"
. "$SWARM_IN/commit-nested.sh"
. "$SWARM_IN/commit-lost.sh"
. "$SWARM_IN/commit-history.sh"
repo="$SWARM_WORK/repo" own="$SWARM_WORK/commit" report="$SWARM_OUT/report"
NAMED=20  # files that are named; of more, only their number is told

LC_ALL=C GIT_NO_REPLACE_OBJECTS=1 GIT_CEILING_DIRECTORIES=$SWARM_WORK GIT_CONFIG_COUNT=0
export LC_ALL GIT_NO_REPLACE_OBJECTS GIT_CEILING_DIRECTORIES GIT_CONFIG_COUNT

# A setting of git, whatever the agent's configuration says.
setting() {
    export "GIT_CONFIG_KEY_$GIT_CONFIG_COUNT=$1" "GIT_CONFIG_VALUE_$GIT_CONFIG_COUNT=$2"
    GIT_CONFIG_COUNT=$((GIT_CONFIG_COUNT + 1))
}
setting core.quotePath false
setting core.hooksPath /dev/null
setting core.fsmonitor false
setting core.untrackedCache false
setting core.fileMode true
setting core.trustctime true
setting core.checkStat default
setting core.autocrlf false
setting core.excludesFile "$SWARM_WORK/ignored"
setting maintenance.auto false

note() {
    printf 'note %s\n' "$1" >> "$report"
    printf '%s\n' "$1"
}

# The attempt has failed. What can be saved is saved all the same.
fail() {
    printf 'failed %s\n' "$1" >> "$report" || : > "$own/unreported"
    printf '%s\n' "$1" >&2
}

stop() {
    fail "The agent's work could not be committed: $1"
    exit 113
}

# What git complained about in a file of its messages, in one line.
complaint() {
    first=$(grep -E '^(error|fatal): ' "$1" | head -n 1)
    last=$(grep -E '^fatal: ' "$1" | tail -n 1)
    [ -n "$first" ] || first=$(head -n 1 "$1")
    [ -z "$last" ] || [ "$first" = "$last" ] || first="$first ($last)"
    printf '%s\n' "$first"
}

# Leaves in $delivered the commit that the run hands over, '' if there is none that stands on the base. An agent that looked at an older commit
# of its branch, and changed nothing there, hands over the branch.
choose_delivered() {
    head=$(git rev-parse -q --verify HEAD) branch_head=$(git rev-parse -q --verify "refs/heads/$branch^{commit}") delivered=''
    if [ -n "$branch_head" ] && ! is_in "$base" "$branch_head"; then branch_head=''; fi
    if [ -n "$branch_head" ] && is_in "$head" "$branch_head"; then
        delivered=$branch_head
    elif is_in "$base" "$head"; then
        delivered=$head
    else
        delivered=$branch_head
    fi
}

is_in() {
    { [ -n "$1" ] && [ "$1" = "$2" ]; } || git merge-base --is-ancestor "$1" "$2" 2> /dev/null
}

# Files that attributes send to LFS must be pointers: their content is nowhere else.
check_lfs() {
    git grep -q filter=lfs "$delivered" -- .gitattributes '*/.gitattributes' || return 0
    GIT_INDEX_FILE="$own/lfs-index" git read-tree "$delivered" || return
    git diff-tree -r --no-renames --diff-filter=AM --name-only "$base" "$delivered" |
        GIT_INDEX_FILE="$own/lfs-index" git check-attr --cached --stdin filter | sed -n 's/: filter: lfs$//p' > "$own/lfs"
    while IFS= read -r path; do
        [ "$(git cat-file -s "$delivered:$path" 2> /dev/null)" = 0 ] ||
            git cat-file blob "$delivered:$path" 2> /dev/null | head -c 40 | grep -q '^version https://git-lfs.github.com/spec/' ||
            printf '%s\n' "$path"
    done < "$own/lfs" > "$own/no-pointers"
    [ -s "$own/no-pointers" ] || return 0
    fail "Git LFS has to keep these files, and it is not available here: $(listed "$own/no-pointers"). Leave them out, or commit pointers."
}

# The first lines of a file with a name in each, and how many there are beside.
listed() {
    head -n "$NAMED" "$1" | sed -e ':all' -e 'N' -e '$!b all' -e 's/\n/, /g'
    more=$(($(wc -l < "$1") - NAMED))
    [ "$more" -le 0 ] || printf ' and %s more\n' "$more"
}

bundle() {
    if [ -n "$delivered" ] && [ "$(git rev-parse "$delivered^{tree}")" != "$(git rev-parse "$base^{tree}")" ]; then
        git update-ref refs/heads/swarm-out "$delivered" || stop "git could not name the work."
        write_bundle out "$base..refs/heads/swarm-out"
    fi
    [ -s "$own/kept" ] || return 0
    # shellcheck disable=SC2046
    write_bundle kept $(cat "$own/kept") "^$base"
}

# Writes <first argument>.bundle of the others. What was written until the outputs' disk was full stays: the runner sees from outside that it is full.
write_bundle() {
    part="$SWARM_OUT/$1.part" whole="$SWARM_OUT/$1.bundle"
    shift
    rm -rf "$part" "$whole"  # what the agent put there: a pipe would be written to for ever, a folder would take the bundle in
    git bundle create -q - "$@" > "$part" 2> "$own/errors" || stop "$(complaint "$own/errors")"
    mv "$part" "$whole" 2> "$own/errors" || stop "$(complaint "$own/errors")"
}

rm -rf "$own" "$report"
mkdir -p "$own" || exit 113
cd "$repo" 2> "$own/errors" || stop "The work tree is gone."
folder=$(git rev-parse --absolute-git-dir 2> "$own/errors") || stop "$(complaint "$own/errors")"
remove_locks
show_hidden_changes
take_in_nested
commit_tree
choose_delivered
keep_lost
[ -n "$delivered" ] || fail_without_base
if [ -n "$delivered" ]; then
    check_lfs
    rewrite_history
fi
bundle
name_ignored
! { [ -e "$own/unreported" ] || grep -q '^failed ' "$report" 2> /dev/null; } || exit 113
