# Before the commit phase, inside the sandbox: an agent that amended the commit it had to build on, or began a history of its own with the same
# files, gets its commits put onto that commit. Their files stay as they are, and so do index and work tree. Run by sh with SWARM_IN and SWARM_WORK set.
# Nothing happens where the base would not be whole in what comes out: commit.sh then says what is wrong.

. "$SWARM_IN/job"  # branch, base
MOST=1000  # commits that are put onto the base
LC_ALL=C GIT_NO_REPLACE_OBJECTS=1
export LC_ALL GIT_NO_REPLACE_OBJECTS
cd "$SWARM_WORK/repo" 2> /dev/null || exit 0
head=$(git rev-parse -q --verify "HEAD^{commit}" 2> /dev/null) || exit 0
[ "$head" != "$base" ] && ! git merge-base --is-ancestor "$base" "$head" 2> /dev/null || exit 0
[ ! -e "$(git rev-parse --git-path MERGE_HEAD)" ] || exit 0  # it may be the base that is being merged
own="$SWARM_WORK/onto-base"
mkdir -p "$own" || exit 0
git rev-list --topo-order --reverse "$base..$head" > "$own/commits" 2> /dev/null || exit 0
[ -s "$own/commits" ] && [ "$(wc -l < "$own/commits")" -le "$MOST" ] || exit 0

tree_of() {
    git rev-parse -q --verify "$1^{tree}"
}

author_of() {
    git log -1 --format='%an%x09%ae%x09%at' "$1"
}

# "TREE COMMIT" lines: is the base's tree among the agent's own commits?
has_its_tree() {
    git log --no-walk --stdin --format=%T < "$own/commits" | grep -qFx "$(tree_of "$base")"
}

# git commit --amend keeps author and date, and the reflog names it. A commit of an earlier run is none that this one made of the base.
amends_it() {
    first=$(head -n 1 "$own/commits")
    ! git merge-base --is-ancestor "$first" "refs/remotes/origin/$branch" 2> /dev/null || return 1
    [ "$(git log -1 --format=%P "$first")" = "$(git log -1 --format=%P "$base")" ] || return 1
    [ "$(author_of "$first")" = "$(author_of "$base")" ] ||
        grep -q "^$base $first .*	commit (amend)" "$(git rev-parse --git-path logs/HEAD)" 2> /dev/null
}

# Merging it would add nothing.
holds_its_changes() {
    merged=$(git merge-tree --write-tree --allow-unrelated-histories "$head" "$base" 2> /dev/null) && [ "$merged" = "$(tree_of "$head")" ]
}

put_onto_base() {
    git cat-file commit "$1" | awk -v map="$own/map" -v base="$base" '
        BEGIN { while ((getline line < map) > 0) { split(line, pair, " "); became[pair[1]] = pair[2] } }
        body { print; next }
        $1 == "parent" {
            parent = ($2 in became) ? became[$2] : base
            if (!(parent in seen)) print "parent " parent
            seen[parent] = parents = 1
            next
        }
        $1 == "author" && !parents { print "parent " base }
        /^(gpgsig|mergetag)/ { skipped = 1; next }
        skipped && /^ / { next }
        { skipped = 0 }
        /^$/ { body = 1 }
        { print }' | git hash-object -t commit -w --stdin
}

has_its_tree || amends_it || holds_its_changes || exit 0
: > "$own/map"
while read -r commit; do
    if [ "$(tree_of "$commit")" = "$(tree_of "$base")" ]; then
        new=$base
    else
        new=$(put_onto_base "$commit") || exit 0
    fi
    echo "$commit $new" >> "$own/map"
done < "$own/commits"
new=$(sed -n "s/^$head //p" "$own/map")
[ -n "$new" ] && git update-ref -m "put onto the base" HEAD "$new" "$head" || exit 0
echo "The agent's commits did not contain $(git rev-parse --short "$base"), the commit that they have to build on. They were put onto it."
