# shellcheck shell=sh disable=SC2154  # what is not set here is set by commit.sh
# Sourced by commit.sh: commits that the agent made and that would not be delivered. Each is named, the attempt fails, and kept.bundle
# brings them as refs/heads/swarm-kept/<number>.
#
# A commit is not lost if the delivered commit contains it, or its content: merging it would change nothing; or a commit in between had exactly
# its tree; or one has the same patch-id; or it was amended, or rebased or picked with a conflict, and what it became is delivered (the reflog
# says what was amended; a rebased or picked commit keeps its author, date and subject).

# "COMMIT NAME" for everything that leads to commits: refs, stashes, operations in progress, other work trees, and where HEAD has been.
sources() {
    git for-each-ref --format='%(objectname) %(refname)' | grep -vFx -f "$given" | cut -d ' ' -f 2 |
        grep -v -e '^refs/remotes/origin/' -e '^refs/remotes/swarm-kept/' -e '^refs/stash$' | while read -r ref; do
            ! sha=$(git rev-parse -q --verify "$ref^{commit}") || echo "$sha $ref"
        done
    git log -g --format='%H %gd' refs/stash 2> /dev/null | while read -r sha name; do
        echo "$sha $name"
        ! sha=$(git rev-parse -q --verify "$sha^3") || echo "$sha $name"  # its untracked files
    done
    operations
    git worktree list --porcelain | awk '/^worktree / { name = n++ ? substr($0, 10) : "HEAD" } /^HEAD / { print $2, name }'
    git log -g --format='%H %gd' HEAD 2> /dev/null
}

operations() {
    for name in ORIG_HEAD CHERRY_PICK_HEAD REVERT_HEAD MERGE_HEAD MERGE_AUTOSTASH BISECT_EXPECTED_REV sequencer/head sequencer/abort-safety \
        rebase-merge/orig-head rebase-merge/stopped-sha rebase-merge/autostash rebase-apply/orig-head rebase-apply/autostash; do
        while read -r sha _; do
            ! sha=$(git rev-parse -q --verify "$sha^{commit}") || echo "$sha $name"
        done 2> /dev/null < "$folder/$name"
    done
    for name in rebase-merge/git-rebase-todo sequencer/todo; do
        [ ! -e "$folder/$name" ] || sed -n 's/^[a-z]* \([0-9a-f]\{4,40\}\)\( .*\)\{0,1\}$/\1/p' "$folder/$name" 2> /dev/null | while read -r sha; do
            ! sha=$(git rev-parse -q --verify "$sha^{commit}") || echo "$sha $name"
        done
    done
}

# What the host has anyway, as arguments for rev-list.
known() {
    git bundle list-heads "$SWARM_IN/in.bundle" | while read -r sha ref; do
        [ -n "$delivered" ] && [ "$ref" = "refs/heads/$branch" ] || echo "^$sha"
    done
    sed -n 's|^\([0-9a-f]*\) refs/tags/.*|^\1|p' "$given"
    [ -z "$delivered" ] || echo "^$delivered"
}

keep_lost() {
    given="$SWARM_IN/packed-refs"  # refs that the run found
    [ -e "$given" ] || given=/dev/null
    : > "$own/kept"
    : > "$own/covered"
    : > "$own/excused"  # in the history of what is delivered otherwise
    sources > "$own/sources"
    known > "$own/known"
    cut -d ' ' -f 1 "$own/sources" | cat "$own/known" - | git rev-list --ignore-missing --stdin > "$own/missing" 2> /dev/null
    [ -s "$own/missing" ] || return 0
    note_amended
    number=$(git bundle list-heads "$SWARM_IN/in.bundle" | sed -n 's|.* refs/swarm/kept/.*/\([0-9]*\)$|\1|p' | sort -n | tail -n 1)
    number=${number:-0}
    while read -r sha name; do
        grep -q "^$sha" "$own/missing" && look_at_source "$sha" "$name"
    done < "$own/sources" > "$own/lost"
    tell_lost
}

# Writes what is lost with this source, if anything is.
look_at_source() {
    case $2 in
        refs/* | stash@*) ;;
        *) ! grep -q "^$1" "$own/covered" || return 0 ;;
    esac
    echo "$1" | cat "$own/known" - | git rev-list --ignore-missing --stdin > "$own/line"
    if is_delivered_otherwise "$1"; then
        case $2 in stash@*) ;; *) cat "$own/line" >> "$own/excused" ;; esac  # a stash contains its untracked files beside its tree
        return 0
    fi
    echo "$2 ($(count "$own/not-delivered" commit), the newest is $(git log -1 --format='%h “%s”' "$1"))"
    ! grep -q "^$1" "$own/covered" || return 0
    cat "$own/line" >> "$own/covered"
    [ "$(wc -l < "$own/kept")" -lt 80 ] || return 0  # more refs than that would make the bundle unreadable
    number=$((number + 1))
    git update-ref "refs/heads/swarm-kept/$number" "$1" && echo "refs/heads/swarm-kept/$number" >> "$own/kept"
}

count() {
    lines=$(wc -l < "$1")
    [ "$lines" -eq 1 ] && echo "1 $2" || echo "$((lines)) ${2}s"
}

tell_lost() {
    [ -s "$own/lost" ] || return 0
    names=$(listed "$own/lost")
    kept=$(sed 's|^refs/heads/||' "$own/kept" > "$own/kept-names"; listed "$own/kept-names")
    fail "The agent left commits that its branch does not have: $names. They are kept: the next attempt finds them in its clone as $kept."
}

fail_without_base() {
    ! grep -q '^failed ' "$report" 2> /dev/null || [ -s "$own/lost" ] || return 0
    fail "What it left does not contain $(git rev-parse --short "$base"), the commit that it has to build on."
}

# Is the content of the commits in $own/line, whose newest is $1, in what is delivered? $own/not-delivered has those that are not.
is_delivered_otherwise() {
    cp "$own/line" "$own/not-delivered"
    [ -n "$delivered" ] || return 1
    ! git log --format=%T "$base..$delivered" | grep -qx "$(git rev-parse "$1^{tree}")" || return 0
    tree=$(git merge-tree --write-tree --allow-unrelated-histories "$delivered" "$1" 2> /dev/null)
    [ "$tree" != "$(git rev-parse "$delivered^{tree}")" ] || return 0
    git log --no-merges --format='%an%x09%ae%x09%at%x09%s' "$1..$delivered" > "$own/keys"
    git rev-list --cherry-pick --right-only "$delivered...$1" | grep -Fx -f "$own/line" | grep -vFx -f "$own/excused" > "$own/unmatched"
    while read -r commit; do
        became_delivered "$commit" || echo "$commit"
    done < "$own/unmatched" > "$own/not-delivered"
    [ ! -s "$own/not-delivered" ]
}

# "OLD NEW" for each commit that was replaced in its place.
note_amended() {
    awk -F '\t' '{ split($1, of, " ") } $2 ~ /^commit \(amend\)|^rebase.*\((squash|fixup|reword)\)/ { print of[1], of[2] }' \
        "$folder/logs/HEAD" > "$own/amended" 2> /dev/null
}

became_delivered() {
    became=$1
    while [ -n "$became" ]; do
        ! is_in "$became" "$delivered" || return 0
        case $(git cherry "$delivered" "$became" "$became^" 2> /dev/null) in '- '*) return 0 ;; esac
        ! git log -1 --format='%an%x09%ae%x09%at%x09%s' "$became" | grep -qFx -f "$own/keys" || return 0
        became=$(sed -n "s/^$became //p" "$own/amended" | tail -n 1)
    done
    return 1
}
