# shellcheck shell=sh
# Sourced by work.sh and commit.sh, in the clone: what git is to see of its files, before the agent works and after it.

# While these attributes stand, git compares files as they are: a rule about line ends changes nothing that nobody touched.
raw_attributes() {
    [ -d .git/info ] || mkdir -p .git/info
    [ ! -e .git/info/attributes ] || mv .git/info/attributes "$SWARM_WORK/attributes"
    echo '* -text -eol -crlf -filter -ident -working-tree-encoding' > .git/info/attributes
}

own_attributes() {
    rm -f .git/info/attributes
    [ ! -e "$SWARM_WORK/attributes" ] || mv "$SWARM_WORK/attributes" .git/info/attributes
}

# A path as a pattern that fits it alone.
escaped() {
    sed -e 's/[][\\*?]/\\&/g' -e 's/ $/\\ /' -e 's|^|/|'
}

# What programs make for themselves is ignored, but for kinds of which the repository holds something.
ignore_by_default() {
    [ -d .git/info ] || mkdir -p .git/info
    if [ -z "$(git ls-files -c -i -X "$SWARM_IN/ignored")" ]; then
        cat "$SWARM_IN/ignored"
    else
        while IFS= read -r pattern; do
            [ -n "$(git ls-files -c -i -x "$pattern")" ] || printf '%s\n' "$pattern"
        done < "$SWARM_IN/ignored"
    fi > "$SWARM_WORK/ignored"
    cat "$SWARM_WORK/ignored" >> .git/info/exclude
}

# Files that git takes for changed right after the checkout, because a rule about line ends came after them, are noted as they are.
settle_line_ends() {
    ! git diff-files --quiet || return 0
    raw_attributes
    git diff-files -z --name-only --diff-filter=M | xargs -0 touch -d '1 hour ago'  # older than the index: git then trusts its notes
    git update-index -q --refresh > /dev/null
    own_attributes
}

# Hooks and a setup may have made files. They are not the agent's, so nobody commits them.
note_untracked() {
    : > "$SWARM_WORK/untracked"
    [ -e "$SWARM_IN/hook-after_create" ] || [ -e "$SWARM_IN/hook-before_run" ] || [ -e "$SWARM_IN/ground-env" ] || return 0
    git -c core.quotePath=false ls-files -o --exclude-standard > "$SWARM_WORK/untracked"
    [ "$(wc -l < "$SWARM_WORK/untracked")" -le 1000 ] ||
        git -c core.quotePath=false ls-files -o --exclude-standard --directory > "$SWARM_WORK/untracked"
    grep -v '^"' "$SWARM_WORK/untracked" | escaped >> .git/info/exclude
    git -c core.quotePath=false ls-files -o -X "$SWARM_WORK/ignored" | LC_ALL=C sort > "$SWARM_WORK/untracked"
}
