# shellcheck shell=sh disable=SC2154  # what is not set here is set by commit.sh
# Sourced by commit.sh: from the work tree to a commit.

# What programs that were stopped left behind.
remove_locks() {
    rm -f "$folder/index.lock" "$folder/HEAD.lock" "$folder/packed-refs.lock" "$folder/config.lock"
    find "$folder/refs" -name '*.lock' -type f -exec rm -f {} + 2> /dev/null
    git ls-files > /dev/null 2>&1 || { rm -f "$folder/index"; git read-tree HEAD; }
}

# Bits in the index can hide changes, and a sparse checkout whole folders.
show_hidden_changes() {
    [ "$(git config --bool core.sparseCheckout)" != true ] || git sparse-checkout disable > /dev/null 2>&1
    ! git ls-files -v | grep -q '^[a-zS]' || for bit in assume-unchanged skip-worktree; do
        git ls-files -z | git update-index -z "--no-$bit" --stdin
    done
}

# The paths that differ from the index, with NUL after each.
changed_paths() {
    raw_attributes
    git ls-files -z -m -d -o --exclude-standard 2> "$own/warnings"
    [ ! -s "$own/unmerged" ] || git diff -z --name-only --diff-filter=U
    own_attributes
}

add_changes() {
    changed_paths > "$own/paths"
    sed -n "s/^warning: could not open directory '\(.*\)': \(.*\)$/\1 could not be read, so it was left out: \2./p" "$own/warnings" > "$own/unread"
    if [ -s "$own/paths" ]; then
        git --literal-pathspecs add -A --ignore-errors --pathspec-from-file="$own/paths" --pathspec-file-nul 2> "$own/errors" || add_what_can_be_added
    fi
    while IFS= read -r sentence; do
        note "$sentence"
    done < "$own/unread"
}

# git names what it could not read, and has taken the rest; for anything else it has taken nothing.
add_what_can_be_added() {
    sed -n "s/^error: open(\"\(.*\)\"): \(.*\)$/\1 could not be read, so it was left out: \2./p" "$own/errors" >> "$own/unread"
    grep -v -e '^error: open(' -e '^error: unable to index file ' -e '^fatal: adding files failed$' "$own/errors" |
        grep -E '^(error|fatal): ' > "$own/other-errors" || return 0
    fail "The agent's work could not be committed: $(complaint "$own/other-errors")"
    # shellcheck disable=SC2016
    xargs -0 -n 1 sh -c 'git --literal-pathspecs add -A -- "$1"' sh < "$own/paths" > /dev/null 2>&1
}

# The first file with a merge conflict that nobody resolved.
unresolved() {
    git ls-files -u > "$own/unmerged"
    [ ! -s "$own/unmerged" ] || git diff --name-only --diff-filter=U | sort -u | while IFS= read -r path; do
        ! grep -q '^<<<<<<< ' "$path" 2> /dev/null || printf '%s\n' "$path"
    done | head -n 1
}

commit_tree() {
    conflict=$(unresolved)
    if [ -n "$conflict" ]; then
        fail "The agent's work could not be committed: The merge conflict in $conflict was not resolved."
        return
    fi
    add_changes
    if [ -e "$folder/MERGE_HEAD" ] || ! git diff --cached --quiet; then
        # shellcheck disable=SC2046
        git commit -q --no-verify --no-gpg-sign --allow-empty $(message_options) > "$own/errors" 2>&1 ||
            fail "The agent's work could not be committed: $(complaint "$own/errors")"
    fi
    name_open_operation
}

# A commit that was being picked keeps its message, author and date: by these it is known again.
message_options() {
    if [ -e "$folder/MERGE_HEAD" ]; then
        echo "-F $SWARM_IN/message"
    elif [ -e "$folder/CHERRY_PICK_HEAD" ]; then
        echo "-C CHERRY_PICK_HEAD"
    elif [ -s "$folder/rebase-merge/stopped-sha" ] && [ ! -e "$folder/rebase-merge/amend" ] && git rev-parse -q --verify REBASE_HEAD > /dev/null; then
        echo "-C REBASE_HEAD"
    else
        echo "-F $SWARM_IN/message"
    fi
}

# What would go on if it were continued, and shows in no commit.
name_open_operation() {
    rest=$(sed -n '2,$s/^revert //p' "$folder/sequencer/todo" 2> /dev/null | head -n 1)
    [ -z "$rest" ] || fail "A revert was left open before it was done. It has still to revert $rest."
    [ ! -e "$folder/rebase-apply/applying" ] || fail "A git am was left open before it was done. Apply its other patches, or end it with git am --abort."
}

# Of the files that this run made, those that are ignored: a result among them would be missed. What is always ignored is not counted.
name_ignored() {
    git ls-files -o -X "$SWARM_WORK/ignored" | sort > "$own/untracked"
    [ -s "$own/untracked" ] || return 0
    [ -e "$SWARM_WORK/untracked" ] || : > "$SWARM_WORK/untracked"
    comm -13 "$SWARM_WORK/untracked" "$own/untracked" | git check-ignore --stdin > "$own/ignored-now"
    head -n "$NAMED" "$own/ignored-now" | sed 's/^/ignored /' >> "$report"
    more=$(($(wc -l < "$own/ignored-now") - NAMED))
    [ "$more" -le 0 ] || echo "more $more" >> "$report"
}
