"""The files of a commit, from memory."""


class Files(dict[str, str]):
    """{path: text}"""

    def names(self) -> list[str]:
        return list(self)

    def read(self, path: str) -> str | None:
        return self.get(path)
