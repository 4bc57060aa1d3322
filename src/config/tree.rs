//! A YAML document as a tree that remembers where each part stood.
//!
//! `yaml` builds it, `env` fills in variables, `recover` reads the typed configuration from it and
//! takes out what it could not read. Nothing here knows which keys exist. The tree is at most
//! [`MAX_DEPTH`] deep, so recursion over it is safe.

use zeroize::Zeroize;

use super::problem::{Mark, shorten};

/// How deep lists and mappings may nest.
pub(super) const MAX_DEPTH: usize = 32;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) mark: Mark,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar(Scalar),
    List(Vec<Item>),
    Map(Vec<Entry>),
}

/// Text; `plain` text (without quotes) may also mean null, a boolean or a number.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) plain: bool,
}

/// A list's element. `index` is its position in the file, also after an earlier one was taken out.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) index: usize,
    pub(super) node: Node,
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) mark: Mark,
    pub(super) node: Node,
}

/// One step from a node to a node below: a key, or the *present* position in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Position(usize),
}

impl Scalar {
    /// Whether this is YAML's null, written in one of its ways.
    pub(super) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The boolean this is, if it is one (YAML 1.2: `yes` and `on` are not).
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" if self.plain => Some(true),
            "false" | "False" | "FALSE" if self.plain => Some(false),
            _ => None,
        }
    }

    /// The whole number this is, if it is one; `012` is not, since readers disagree about it.
    pub(super) fn integer(&self) -> Option<i128> {
        let digits = self.text.strip_prefix(['-', '+']).unwrap_or(&self.text);
        let canonical = digits == "0" || !digits.starts_with('0');
        let numeric = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty();
        if self.plain && canonical && numeric { self.text.parse().ok() } else { None }
    }

    /// The number with a fraction or an exponent this is, if it is one; `.inf` and `.nan` have no JSON.
    pub(super) fn real(&self) -> Option<f64> {
        let digits = self.text.strip_prefix(['-', '+']).unwrap_or(&self.text);
        let begins = digits.strip_prefix('.').unwrap_or(digits).starts_with(|c: char| c.is_ascii_digit());
        let marked = digits.contains(['.', 'e', 'E']);
        if !(self.plain && begins && marked) {
            return None;
        }
        self.text.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

impl Node {
    /// How many nodes and how many bytes of text this subtree has, and how deep it is.
    pub(super) fn extent(&self) -> Extent {
        let mut extent = Extent { nodes: 1, bytes: 0, depth: 0 };
        match &self.kind {
            Kind::Scalar(scalar) => extent.bytes = scalar.text.len(),
            Kind::List(items) => items.iter().for_each(|item| extent.include(item.node.extent(), 0)),
            Kind::Map(entries) => entries.iter().for_each(|entry| extent.include(entry.node.extent(), entry.key.len())),
        }
        extent
    }

    /// Calls `visit` for every scalar, with the steps that lead to it.
    pub(super) fn each_scalar(&mut self, steps: &mut Vec<Step>, visit: &mut dyn FnMut(&[Step], &mut Scalar)) {
        match &mut self.kind {
            Kind::Scalar(scalar) => visit(steps, scalar),
            Kind::List(items) => {
                for (position, item) in items.iter_mut().enumerate() {
                    steps.push(Step::Position(position));
                    item.node.each_scalar(steps, visit);
                    steps.pop();
                }
            }
            Kind::Map(entries) => {
                for entry in entries {
                    steps.push(Step::Key(entry.key.clone()));
                    entry.node.each_scalar(steps, visit);
                    steps.pop();
                }
            }
        }
    }

    /// The node at the end of `steps`.
    pub(super) fn at(&mut self, steps: &[Step]) -> Option<&mut Self> {
        let Some((step, rest)) = steps.split_first() else { return Some(self) };
        let below = match (&mut self.kind, step) {
            (Kind::List(items), Step::Position(position)) => items.get_mut(*position).map(|item| &mut item.node),
            (Kind::Map(entries), Step::Key(key)) => {
                entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.node)
            }
            _ => None,
        };
        below?.at(rest)
    }

    /// Takes out the node at the end of `steps`; later ones in a list keep their `index`.
    pub(super) fn remove(&mut self, steps: &[Step]) {
        let Some((last, above)) = steps.split_last() else { return };
        match (self.at(above).map(|node| &mut node.kind), last) {
            (Some(Kind::List(items)), Step::Position(position)) if *position < items.len() => {
                items.remove(*position);
            }
            (Some(Kind::Map(entries)), Step::Key(key)) => entries.retain(|entry| entry.key != *key),
            _ => {}
        }
    }

    /// The place and the printed path of a node, with positions as in the file. Steps that lead
    /// nowhere are printed too, and the place is that of the last node above.
    pub(super) fn place(&self, steps: &[Step]) -> (Mark, String) {
        let mut walk = Walk::new(self);
        for step in steps {
            let next = match (walk.node.map(|node| &node.kind), step) {
                (Some(Kind::List(items)), Step::Position(position)) => items.get(*position).map(Below::Item),
                (Some(Kind::Map(entries)), Step::Key(key)) => {
                    entries.iter().find(|entry| entry.key == *key).map(Below::Entry)
                }
                _ => None,
            };
            match next {
                Some(below) => walk.enter(&below),
                None => walk.miss(step),
            }
        }
        (walk.mark, walk.path)
    }

    /// Like [`place`](Self::place), for a path in its printed form with *present* positions.
    pub(super) fn find(&self, path: &str) -> (Mark, String) {
        let mut walk = Walk::new(self);
        let mut rest = path;
        while let Some((below, tail)) = walk.node.and_then(|node| node.first_step(rest)) {
            walk.enter(&below);
            rest = tail;
        }
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        let separator = if walk.path.is_empty() || rest.is_empty() || rest.starts_with('[') { "" } else { "." };
        (walk.mark, format!("{}{separator}{rest}", walk.path))
    }

    /// The longest key (a key may itself hold dots) or the position that `path` begins with.
    fn first_step<'a, 'p>(&'a self, path: &'p str) -> Option<(Below<'a>, &'p str)> {
        match &self.kind {
            Kind::Scalar(_) => None,
            Kind::List(items) => {
                let (position, tail) = path.strip_prefix('[')?.split_once(']')?;
                Some((Below::Item(items.get(position.parse::<usize>().ok()?)?), tail))
            }
            Kind::Map(entries) => {
                let path = path.strip_prefix('.').unwrap_or(path);
                let tail = |entry: &Entry| {
                    path.strip_prefix(entry.key.as_str()).filter(|tail| tail.is_empty() || tail.starts_with(['.', '[']))
                };
                let fitting = entries.iter().filter_map(|entry| tail(entry).map(|tail| (entry, tail)));
                let (entry, tail) = fitting.max_by_key(|(entry, _)| entry.key.len())?;
                Some((Below::Entry(entry), tail))
            }
        }
    }

    /// Wipes every text and keeps the places.
    ///
    /// SECURITY: the tree outlives the reading for the sake of later messages; the secrets in it must not.
    pub(super) fn forget_text(&mut self) {
        self.each_scalar(&mut Vec::new(), &mut |_, scalar| scalar.text.zeroize());
    }
}

/// The size of a subtree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) nodes: usize,
    pub(super) bytes: usize,
    /// Levels of lists and mappings below this node.
    pub(super) depth: usize,
}

impl Extent {
    fn include(&mut self, below: Self, key_bytes: usize) {
        self.nodes += below.nodes;
        self.bytes += below.bytes + key_bytes;
        self.depth = self.depth.max(below.depth + 1);
    }
}

enum Below<'a> {
    Item(&'a Item),
    Entry(&'a Entry),
}

/// A way down the tree, with what has been seen so far.
struct Walk<'a> {
    node: Option<&'a Node>,
    mark: Mark,
    path: String,
}

impl<'a> Walk<'a> {
    fn new(root: &'a Node) -> Self {
        Self { node: Some(root), mark: root.mark, path: String::new() }
    }

    fn enter(&mut self, below: &Below<'a>) {
        match below {
            Below::Item(item) => {
                self.path.push_str(&format!("[{}]", item.index));
                (self.node, self.mark) = (Some(&item.node), item.node.mark);
            }
            Below::Entry(entry) => {
                push_key(&mut self.path, &entry.key);
                // Whoever looks for a mapping or a list looks for the line with its key.
                let is_scalar = matches!(entry.node.kind, Kind::Scalar(_));
                self.mark = if is_scalar { entry.node.mark } else { entry.mark };
                self.node = Some(&entry.node);
            }
        }
    }

    fn miss(&mut self, step: &Step) {
        self.node = None;
        match step {
            Step::Key(key) => push_key(&mut self.path, key),
            Step::Position(position) => self.path.push_str(&format!("[{position}]")),
        }
    }
}

/// Adds a key to a printed path.
pub(super) fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(&shorten(key));
}
