# shellcheck shell=sh disable=SC2154  # what is not set here is set by commit.sh
# Sourced by commit.sh: what the agent's own commits must carry into the history, and what they must not. One rewrite, before anything is checked.

# $delivered becomes the rewritten commit. Nothing happens if every commit carries the profile and no sign-off but the one that is wanted ($sign_off),
# and no nested repository.
rewrite_history() {
    before=$(git bundle list-heads "$SWARM_IN/in.bundle" | sed -n "s| refs/heads/$branch\$||p")
    git rev-list --topo-order --reverse "$base..$delivered" ${before:+"^$before"} > "$own/commits"
    needs_rewrite || return 0
    echo "The agent's commits are rewritten: they carry the author of this run and ${sign_off:+the sign-off of $sign_off, }no other sign-off."
    : > "$own/map"
    while read -r commit; do
        if ! tree=$(clean_tree "$commit") || ! new=$(rewrite_one "$commit" "$tree"); then
            fail "The commit $commit could not be rewritten."
            return
        fi
        echo "$commit $new" >> "$own/map"
    done < "$own/commits"
    delivered=$(sed -n "s/^$delivered //p" "$own/map")
}

needs_rewrite() {
    [ -n "${GIT_AUTHOR_NAME:-}" ] && [ -s "$own/commits" ] || return 1
    [ -z "$sign_off" ] || return 0
    me="$GIT_AUTHOR_NAME <$GIT_AUTHOR_EMAIL>"
    git log --no-walk --stdin --format='%an <%ae>%x09%cn <%ce>' < "$own/commits" | grep -qvFx "$me	$me" ||
        git log --no-walk --stdin --format=%B < "$own/commits" | grep -qi '^signed-off-by:' || has_links
}

has_links() {
    while IFS= read -r path; do
        [ -z "$(git log --format=%H "$base..$delivered" -- ":(literal)$path" | head -n 1)" ] || return 0
    done < "$own/links"
    return 1
}

# The tree of a commit without links to nested repositories.
clean_tree() {
    [ -s "$own/links" ] || { git rev-parse "$1^{tree}"; return; }
    (
        GIT_INDEX_FILE="$own/clean-index"
        export GIT_INDEX_FILE
        rm -f "$GIT_INDEX_FILE"
        git read-tree "$1" || exit
        while IFS= read -r path; do
            git ls-files -s -- ":(literal)$path" | grep '^160000 ' | cut -f 2 | git update-index --force-remove --stdin
        done < "$own/links"
        git write-tree
    )
}

rewrite_one() {
    git cat-file commit "$1" | SIGN_OFF="$sign_off" awk -v tree="$2" -v map="$own/map" '
        BEGIN { while ((getline line < map) > 0) { split(line, pair, " "); became[pair[1]] = pair[2] } }
        body && tolower($0) ~ /^signed-off-by:/ { next }
        body && /^[ \t]*$/ { blank = blank $0 "\n"; next }
        body { printf "%s", blank; blank = ""; print; last = $0; next }
        /^$/ { body = 1; print; next }
        /^gpgsig/ { signature = 1; next }
        signature && /^ / { next }
        { signature = 0 }
        $1 == "tree" { print "tree " tree; next }
        $1 == "parent" { print "parent " (($2 in became) ? became[$2] : $2); next }
        $1 == "author" || $1 == "committer" {
            who = ($1 == "author") ? "AUTHOR" : "COMMITTER"
            print $1 " " ENVIRON["GIT_" who "_NAME"] " <" ENVIRON["GIT_" who "_EMAIL"] "> " $(NF - 1) " " $NF
            next
        }
        { print }
        END {
            if (ENVIRON["SIGN_OFF"] == "") exit
            if (last !~ /^[A-Za-z-]+: /) print ""
            print "Signed-off-by: " ENVIRON["SIGN_OFF"]
        }' | git hash-object -t commit -w --stdin
}
