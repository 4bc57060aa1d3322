"""Spellings of an identity header that some server or other takes for the real one (CGI folds `-` and `_`)."""


def aliases(name):
    """The header itself and every look-alike: case, underscore, dot, mixtures."""
    dashed = name
    first, _, rest = name.rpartition("-")
    found = [dashed, dashed.lower(), dashed.upper(), dashed.replace("-", "_"), dashed.upper().replace("-", "_")]
    found += [dashed.replace("-", "."), f"{first}.{rest}", f"{first}_{rest}", f"{first}-{rest}".swapcase()]
    return list(dict.fromkeys(found))
