# shellcheck shell=sh disable=SC2154  # what is not set here is set by commit.sh
# Sourced by commit.sh: repositories inside the work tree. git would take each as a link to somewhere else, without its files.

take_in_nested() {
    : > "$own/links"  # paths whose link must be in no commit
    find . -path ./.git -prune -o -name .git -print 2> /dev/null | sed -e 's|^\./||' -e 's|/\.git$||' > "$own/nested"
    number=0
    while IFS= read -r path; do
        [ "$(git ls-tree "$base" -- "$path" | cut -d ' ' -f 1)" != 160000 ] || continue  # a submodule of the repository itself
        ! git check-ignore -q "$path" 2> /dev/null || continue
        number=$((number + 1))
        take_in_one "$path"
    done < "$own/nested"
}

take_in_one() {
    printf '%s\n' "$1" >> "$own/links"
    git update-index --force-remove -- "$1"
    url=$(git -C "$1" config --get-regexp '^remote\..*\.url$' 2> /dev/null | head -n 1 | cut -d ' ' -f 2- | sed 's|://[^/@]*@|://|')
    if grep -q '^gitdir: .*/\.git/worktrees/' "$1/.git" 2> /dev/null; then
        leave_out "$1"
        [ -z "$(git -C "$1" status --porcelain 2> /dev/null)" ] ||
            fail "$1 is another work tree of the repository, with changes that no commit has. Commit them on the ticket's branch."
    elif [ -n "$url" ]; then
        leave_out "$1"
        fail "$1 is a repository of its own with the remote $url, so it was not taken. Add its files without its .git folder, or remove it."
    elif mkdir -p "$own/aside" && mv "$1/.git" "$own/aside/$number"; then
        note "$1 was a repository of its own without a remote: its files were committed, its history was put aside."
    else
        leave_out "$1"
        fail "$1 is a repository of its own, and its .git folder cannot be moved. Add its files without it, or remove it."
    fi
}

leave_out() {
    mkdir -p "$folder/info"
    printf '%s\n' "$1" | escaped >> "$folder/info/exclude"
}
