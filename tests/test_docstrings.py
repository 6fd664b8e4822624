"""Every public name says what it takes, gives and refuses, whence it is, and shows itself at work.

Read from the source, so that nothing is imported and nothing compiles.
"""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.once(x64=True)

ROOT = Path(__file__).parents[1]

# Words that a summary may begin with: imperatives all. A new verb is a new word here.
VERBS = re.compile(
    "(Bound|Build|Certify|Choose|Connect|Count|Descend|Draw|Enumerate|Estimate|Evaluate|Expect|Find"
    "|Fit|Integrate|Leave|List|Make|Measure|Multiply|Plan|Precondition|Raise|Read|Replace|Restrict"
    "|Return|Run|Say|Search|See|State|Tell|Train|Wrap|Write) "
)

# What networks tell of themselves. Each is described once, at the public function that asks
# (`networks.affine_layers`, `networks.factors`), and means the same in every class.
ASKED = {"affine_layers", "factors", "listing"}

# A theorem's program names the theorem. These are none: what they do is their own definition.
UTILITIES = {
    "crossings.changes",  # counts labels of given numbers
    "dynamics.descend",  # runs any optimiser
    "radial.bessel_pair",  # a special function, with the equations of the NIST's library
    "radial.check_floor",  # compares two answers
}
THEORY = ("bounds", "crossings", "dynamics", "radial")
YEAR = r"\b(?:19|20)\d\d\b"
PLACE = (
    r"\b(?:theorem|lemma|corollary|proposition|claim|observation|assumption|definition|equation|"
    r"procedure|section|proof)"
)

# Units: of the entries of these names in a subpackage, and what may stand for one said elsewhere.
UNITS = {
    ("radial", "z units|scale-free|radii|edge|knots|points"): {"radius", "knots", "edges", "z"},
    ("radial", "probabilit|within|confidence"): {"q", "confidence"},
    ("bounds", "probabilit|error|δ"): {"delta"},
    ("sweeps", "byte|peak"): {"memory", "nbytes"},
}
ELSEWHERE = "as for|as above|likewise"

HEADINGS = "Attributes|Args|Returns|Yields|Raises|Example|Reference"


def definitions():
    """Every module-level function and class of the library, by file and name."""
    found = {}
    for path in sorted(ROOT.glob("jaxdepth/**/*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found[module, node.name] = node
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    found.setdefault(
                        (module, alias.asname or alias.name), (node.module, alias.name)
                    )
    return found


DEFINITIONS = definitions()
CLASSES = {name: node for (_, name), node in DEFINITIONS.items() if isinstance(node, ast.ClassDef)}


def defined(module, name):
    """Follow imports from one file of the library to the definition."""
    node = DEFINITIONS[module, name]
    return defined(*node) if isinstance(node, tuple) else node


def public():
    """The table of contents of every subpackage: names such as `bounds.l1_gap`, with their nodes.

    Of a class also its own methods and properties.
    """
    for path in sorted(ROOT.glob("jaxdepth/*/__init__.py")):
        module = f"jaxdepth.{path.parent.name}"
        names = [name for file, name in DEFINITIONS if file == module and not name.startswith("_")]
        for name in names:
            node = defined(module, name)
            yield f"{path.parent.name}.{name}", node, None
            for member in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    yield f"{path.parent.name}.{name}.{member.name}", member, node


PUBLIC = {name: (node, owner) for name, node, owner in public()}
FUNCTIONS = {
    name: node
    for name, (node, owner) in PUBLIC.items()
    if owner is None and isinstance(node, ast.FunctionDef)
}


def sections(node):
    """The text under each heading of a docstring, and under "" what comes before."""
    parts = re.split(rf"^({HEADINGS}):", ast.get_docstring(node) or "", flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def described(text):
    """What each entry of a section says, by name."""
    entries = re.split(r"^    (\w+): ", text, flags=re.MULTILINE)
    return dict(zip(entries[1::2], entries[2::2], strict=True))


def is_property(node):
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def is_answered_elsewhere(node, owner):
    """Whether an abstract class, or the function that asks, describes this method already."""
    bases = {ast.unparse(base) for base in owner.bases} if owner else set()
    return bool(owner) and (
        node.name in ASKED
        or any(
            getattr(member, "name", None) == node.name
            for base in bases & CLASSES.keys()
            for member in CLASSES[base].body
        )
    )


def parameters(node):
    """The arguments of a function, `self` and `cls` left out."""
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    every += filter(None, [node.args.vararg, node.args.kwarg])
    return {each.arg: each for each in every if each.arg not in ("self", "cls")}


def refuses(node):
    """Whether a body raises, or calls what is there to raise."""
    return any(
        isinstance(each, ast.Raise)
        or (
            isinstance(each, ast.Call)
            and isinstance(each.func, ast.Name)
            and re.fullmatch("refuse|check_.*", each.func.id)
        )
        for each in ast.walk(node)
    )


def without_summary(name, node, owner):
    first, *rest = sections(node)[""].split("\n", 1)
    if not first.endswith(".") or (rest and rest[0].strip() and not rest[0].startswith("\n")):
        yield "a summary of one line that ends with a full stop"
    noun = isinstance(node, ast.ClassDef) or is_property(node)
    if not noun and not VERBS.match(first):
        yield "an imperative to begin with"


def without_arguments(name, node, owner):
    if isinstance(node, ast.FunctionDef):
        if is_property(node) or is_answered_elsewhere(node, owner):
            return
        asked, told = parameters(node).keys(), described(sections(node).get("Args", "")).keys()
        if asked != told:
            yield f"Args: exactly {sorted(asked)}, and not {sorted(told)}"
        return
    if any(re.search("Enumeration|Exception|Error|Warning", ast.unparse(b)) for b in node.bases):
        return
    arguments, fields = (
        described(sections(node).get(heading, "")).keys() for heading in ("Args", "Attributes")
    )
    made = [each for each in node.body if getattr(each, "name", None) == "__init__"]
    if made:
        asked = parameters(made[0]).keys()
        if asked != arguments and not asked <= fields:
            yield f"Args: exactly {sorted(asked)}"
    else:
        held = {
            each.target.id
            for each in node.body
            if isinstance(each, ast.AnnAssign) and not each.target.id.startswith("_")
        }
        if held != arguments | fields:
            yield f"Attributes: exactly {sorted(held)}"


def without_returns(name, node, owner):
    if isinstance(node, ast.ClassDef) or is_property(node) or is_answered_elsewhere(node, owner):
        return
    text = sections(node)
    named = text.keys() & {"Returns", "Yields"} or text[""].startswith("Return ")
    if ast.unparse(node.returns) != "None" and not named:
        yield "Returns:"


def without_raises(name, node, owner):
    bodies = [node]
    if isinstance(node, ast.ClassDef):
        makers = ("__init__", "__post_init__", "__check_init__")
        bodies = [each for each in node.body if getattr(each, "name", None) in makers]
    elif is_answered_elsewhere(node, owner):
        return
    if any(map(refuses, bodies)) and "Raises" not in sections(node):
        yield "Raises: what the body refuses"


def without_example(name, node, owner):
    if owner is None and ">>> " not in sections(node).get("Example", ""):
        yield "Example: with a >>>"


def without_source(name, node, owner):
    if name not in FUNCTIONS or name.split(".")[0] not in THEORY or name in UTILITIES:
        return
    text = ast.get_docstring(node)
    as_another = re.match(r"\s*[Aa]s `(\w+)`", sections(node).get("Reference", ""))
    if as_another:
        text += ast.get_docstring(PUBLIC[f"{name.split('.')[0]}.{as_another[1]}"][0])
    found = re.search(YEAR, text) and re.search(PLACE, text, re.IGNORECASE)
    if not found and not re.search(r"\bderived\b", text, re.IGNORECASE):
        yield "author, year and theorem, or the word derived"


def without_shapes(name, node, owner):
    """Of every array among the arguments; names for annotations are shaped where they are made."""
    if isinstance(node, ast.ClassDef):
        return
    for argument, each in parameters(node).items():
        annotation = ast.unparse(each.annotation) if each.annotation else "nothing"
        bare = re.sub(r"\w+\[[\w.| ]+, '[^']*'\]", "", annotation)
        if not each.annotation or re.search(r"\b(Array|ndarray|ArrayLike)\b", bare):
            yield f"a shape for `{argument}`, annotated by {annotation}"


def without_units(name, node, owner):
    for heading in ("Args", "Attributes"):
        for entry, text in described(sections(node).get(heading, "")).items():
            for (package, unit), entries in UNITS.items():
                needed = name.split(".")[0] == package and entry in entries
                if needed and not re.search(f"{unit}|{ELSEWHERE}", text):
                    yield f"the unit of `{entry}`: {unit.split('|')[0]}"


LACKS = [
    without_summary,
    without_arguments,
    without_returns,
    without_raises,
    without_example,
    without_source,
    without_shapes,
    without_units,
]
# An npz file holds arrays of any shape.
KNOWN = {("sweeps.write_arrays", "without_shapes")}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_docstring_lacks_nothing(name):
    node, owner = PUBLIC[name]
    assert ast.get_docstring(node), name
    lacks = [
        lack
        for rule in LACKS
        if (name, rule.__name__) not in KNOWN
        for lack in rule(name, node, owner)
    ]
    assert not lacks, f"jd.{name} lacks " + "; ".join(lacks)


def test_every_subpackage_is_read_and_every_exemption_is_needed():
    packages = {path.parent.name for path in ROOT.glob("jaxdepth/*/__init__.py")}
    assert {name.split(".")[0] for name in PUBLIC} == packages
    assert len(PUBLIC) > 200
    assert FUNCTIONS.keys() >= UTILITIES
    for name, rule in KNOWN:
        assert list(globals()[rule](name, *PUBLIC[name]))


GOOD = '''
def verb(x: Float[Array, "n"], tolerance: float) -> float:
    """Bound what is asked.

    Telgarsky 2016, Lemma 3.1.

    Args:
        x: points, shape (n,).
        tolerance: of the answer.

    Returns:
        The bound.

    Raises:
        ValueError: a negative tolerance.

    Example:
        >>> verb(jnp.ones(3), 0.1)
        0.3
    """
    check_tolerance(tolerance)
    return 3 * tolerance
'''


@pytest.mark.parametrize(
    ("old", "new", "lack"),
    [
        ("asked.", "asked", "full stop"),
        ("Bound what", "Bounds what", "imperative"),
        ("        tolerance: of the answer.\n", "", "Args"),
        ("of the answer.", "of the answer.\n        y: nothing.", "Args"),
        ("Returns:", "Gives:", "Returns"),
        ("Raises:", "Refuses:", "Raises"),
        (">>> verb", "verb", "Example"),
        (", Lemma 3.1", "", "theorem"),
        ("2016, ", "", "year"),
        ('Float[Array, "n"]', "Array", "shape"),
        ('Float[Array, "n"]', "Array | None", "shape"),
        ("tolerance", "delta", "unit"),
    ],
)  # fmt: skip
def test_what_a_docstring_lacks_is_seen(monkeypatch, old, new, lack):
    def lacks(source):
        node = ast.parse(source).body[0]
        return "; ".join(each for rule in LACKS for each in rule("bounds.verb", node, None))

    monkeypatch.setitem(FUNCTIONS, "bounds.verb", None)
    assert lacks(GOOD) == ""
    assert lack in lacks(GOOD.replace(old, new))
