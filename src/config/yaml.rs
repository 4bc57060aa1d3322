//! From YAML text to a [`Node`], within bounds that hold for hostile files too.
//!
//! `config::mod` and `users` call [`read`]. Problems that leave the rest readable (a duplicate key, a
//! tag) are reported and reading goes on; a syntax error or a broken bound ends it. A subset of YAML
//! 1.2: one document, text keys, no tags; aliases only as far as their expansion stays small.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput};

use super::problem::{Mark, Report, shorten};
use super::tree::{Entry, Item, Kind, MAX_DEPTH, Node, Scalar, push_key};

/// Values in a document once aliases are expanded. A file at the size limit stays below it unless it
/// is made of values a few bytes long.
const MAX_NODES: usize = 50_000;
/// Text in a document once aliases are expanded, in bytes: twice the size of the largest file.
const MAX_TEXT_BYTES: usize = 2 * 1024 * 1024;

/// Reads `text`; `None` when it is unreadable as a whole. An empty document is a null.
pub(super) fn read(text: &str, report: &mut Report) -> Option<Node> {
    let mut builder = Builder::new(text, report);
    let mut parser = Parser::new_from_str(text);
    match builder.consume(&mut parser) {
        Ok(()) => Some(builder.root.unwrap_or_else(|| scalar(Mark::START, "", true))),
        Err(Stop) => None,
    }
}

/// The document cannot be read any further; the reason has been reported.
struct Stop;

enum Frame {
    List { mark: Mark, anchor: usize, items: Vec<Item> },
    Map { mark: Mark, anchor: usize, entries: Vec<Entry>, seen: HashMap<String, Mark>, key: Option<PendingKey> },
}

/// A key whose value has not come yet; `keep` is false when it was already reported.
struct PendingKey {
    text: String,
    mark: Mark,
    keep: bool,
}

struct Builder<'r> {
    text: &'r str,
    report: &'r mut Report,
    stack: Vec<Frame>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    bytes: usize,
}

impl<'r> Builder<'r> {
    fn new(text: &'r str, report: &'r mut Report) -> Self {
        Self { text, report, stack: Vec::new(), root: None, anchors: HashMap::new(), nodes: 0, bytes: 0 }
    }

    fn consume(&mut self, parser: &mut Parser<'_, StrInput<'_>>) -> Result<(), Stop> {
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| self.syntax_error(&error))?;
            let mark = place(&span.start);
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(self.stop(mark, "a second document (`---`) begins here; one file holds one"));
                    }
                }
                event => self.take(event, mark)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), mark);
                let plain = style == ScalarStyle::Plain;
                if self.awaits_key() {
                    return self.take_key(&text, plain, mark);
                }
                self.spend(1, text.len(), mark)?;
                self.place_value(scalar(mark, &text, plain), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), mark);
                self.open(Frame::List { mark, anchor, items: Vec::new() }, mark)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), mark);
                self.open(Frame::Map { mark, anchor, entries: Vec::new(), seen: HashMap::new(), key: None }, mark)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.expand(anchor, mark),
            _ => Ok(()),
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame::Map { key: None, .. }))
    }

    fn take_key(&mut self, text: &str, plain: bool, mark: Mark) -> Result<(), Stop> {
        self.spend(0, text.len(), mark)?;
        let read = Scalar { text: text.to_owned(), plain };
        let mut complaint = None;
        if read.is_null() || read.boolean().is_some() || read.integer().is_some() {
            complaint = Some(format!("a key must be text; write \"{}\" in quotes", shorten(text)));
        }
        let Some(Frame::Map { seen, key, .. }) = self.stack.last_mut() else { return Ok(()) };
        if let Some(first) = seen.get(text) {
            complaint = Some(format!("duplicate key; it was already given on line {}", first.line));
        } else {
            seen.insert(text.to_owned(), mark);
        }
        *key = Some(PendingKey { text: text.to_owned(), mark, keep: complaint.is_none() });
        if let Some(message) = complaint {
            let path = self.path();
            self.report.reject(mark, &path, message);
        }
        Ok(())
    }

    fn open(&mut self, frame: Frame, mark: Mark) -> Result<(), Stop> {
        if self.awaits_key() {
            return Err(self.stop(mark, "a key must be text, not a list or a mapping"));
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.stop(mark, &too_deep()));
        }
        self.spend(1, 0, mark)?;
        self.stack.push(frame);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let (mark, anchor, kind) = match frame {
            Frame::List { mark, anchor, items } => (mark, anchor, Kind::List(items)),
            Frame::Map { mark, anchor, entries, .. } => (mark, anchor, Kind::Map(entries)),
        };
        self.place_value(Node { mark, kind }, anchor)
    }

    fn place_value(&mut self, mut node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor > 0 {
            // The copy kept for aliases takes memory too.
            let extent = node.extent();
            self.spend(extent.nodes, extent.bytes, node.mark)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(Item { index: items.len(), node }),
            Some(Frame::Map { entries, key, .. }) => {
                if let Some(PendingKey { text: key, mark, keep: true }) = key.take() {
                    // Nothing after the colon: the key is the only place to point at.
                    if matches!(&node.kind, Kind::Scalar(scalar) if scalar.plain && scalar.text.is_empty()) {
                        node.mark = mark;
                    }
                    entries.push(Entry { key, mark, node });
                }
            }
        }
        Ok(())
    }

    fn expand(&mut self, anchor: usize, mark: Mark) -> Result<(), Stop> {
        if self.awaits_key() {
            return Err(self.stop(mark, "an alias cannot be a key"));
        }
        let Some(extent) = self.anchors.get(&anchor).map(Node::extent) else {
            return Err(self.stop(mark, "this alias stands inside the value it names"));
        };
        if self.stack.len() + extent.depth > MAX_DEPTH {
            return Err(self.stop(mark, &too_deep()));
        }
        // SECURITY: counted before the copy is made ("billion laughs").
        self.spend(extent.nodes, extent.bytes, mark)?;
        let Some(mut node) = self.anchors.get(&anchor).cloned() else { return Ok(()) };
        node.mark = mark;
        self.place_value(node, 0)
    }

    fn spend(&mut self, nodes: usize, bytes: usize, mark: Mark) -> Result<(), Stop> {
        self.nodes += nodes;
        self.bytes += bytes;
        if self.nodes > MAX_NODES {
            return Err(self.stop(mark, &format!("more than {MAX_NODES} values, aliases expanded")));
        }
        if self.bytes > MAX_TEXT_BYTES {
            return Err(self.stop(mark, &format!("more than {MAX_TEXT_BYTES} bytes of text, aliases expanded")));
        }
        Ok(())
    }

    fn refuse_tag(&mut self, tagged: bool, mark: Mark) {
        if tagged {
            let path = self.path();
            self.report.reject(mark, &path, "tags such as `!!str` are not supported; remove it");
        }
    }

    fn syntax_error(&mut self, error: &ScanError) -> Stop {
        let mark = place(error.marker());
        let line = self.text.lines().nth(mark.line - 1).unwrap_or_default();
        let message = match error.info() {
            "recursion limit exceeded" => too_deep(),
            info if line.contains("${") => {
                format!("not valid YAML: {info}; inside `{{ }}` and `[ ]`, put `${{NAME}}` in quotes")
            }
            info => format!("not valid YAML: {info}"),
        };
        self.stop(mark, &message)
    }

    fn stop(&mut self, mark: Mark, message: &str) -> Stop {
        let path = self.path();
        self.report.reject(mark, &path, message);
        Stop
    }

    /// The path of the value that is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.stack {
            match frame {
                Frame::List { items, .. } => path.push_str(&format!("[{}]", items.len())),
                Frame::Map { key: Some(key), .. } => push_key(&mut path, &key.text),
                Frame::Map { key: None, .. } => {}
            }
        }
        path
    }
}

fn too_deep() -> String {
    format!("nested more than {MAX_DEPTH} levels deep")
}

fn scalar(mark: Mark, text: &str, plain: bool) -> Node {
    Node { mark, kind: Kind::Scalar(Scalar { text: text.to_owned(), plain }) }
}

fn place(marker: &Marker) -> Mark {
    Mark { line: marker.line().max(1), column: marker.col() + 1 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let mut report = Report::new("a.yaml");
        read(text, &mut report);
        report.problems().map(|all| all.list.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    fn only_problem(text: &str) -> String {
        let all = problems(text);
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().unwrap()
    }

    /// Generous: the machine that runs the tests may be busy and the build is not optimised.
    fn within_a_second(text: &str) -> Vec<String> {
        let begun = crate::config::tests::cpu_time();
        let all = problems(text);
        assert!(
            crate::config::tests::cpu_time() - begun < Duration::from_secs(1),
            "took {:?}",
            crate::config::tests::cpu_time() - begun
        );
        all
    }

    #[test]
    fn every_node_knows_its_line_and_column() {
        let mut report = Report::new("a.yaml");
        let tree = read("a:\n  - b: 1\n    c: [x, 'y']\nd:\n", &mut report).unwrap();
        let place = |path: &str| tree.find(path).0;
        assert_eq!(place("a[0].b"), Mark { line: 2, column: 8 });
        assert_eq!(place("a[0].c[1]"), Mark { line: 3, column: 12 });
        assert_eq!(place("a"), Mark { line: 1, column: 1 });
        assert_eq!(place("d"), Mark { line: 4, column: 1 });
        assert_eq!(tree.find("a[0].missing.key"), (Mark { line: 2, column: 5 }, "a[0].missing.key".into()));
    }

    #[test]
    fn a_key_may_hold_dots() {
        let mut report = Report::new("a.yaml");
        let tree = read("a: 1\na.b:\n  c: 2\n", &mut report).unwrap();
        assert_eq!(tree.find("a.b.c").0.line, 3);
    }

    #[test]
    fn an_element_keeps_its_index_when_an_earlier_one_is_taken_out() {
        let mut report = Report::new("a.yaml");
        let mut tree = read("[a, b, c]", &mut report).unwrap();
        tree.remove(&[super::super::tree::Step::Position(0)]);
        assert_eq!(tree.find("[0]"), (Mark { line: 1, column: 5 }, "[1]".into()));
    }

    #[test]
    fn duplicate_keys_are_reported_with_both_lines() {
        assert_eq!(
            only_problem("a:\n  b: 1\n  c: 2\n  b: 3\n"),
            "a.yaml:4:3: a.b: duplicate key; it was already given on line 2"
        );
    }

    #[test]
    fn tags_and_further_documents_are_refused() {
        assert!(only_problem("a: !!int 3\n").starts_with("a.yaml:1:"));
        assert!(only_problem("a: 1\n---\nb: 2\n").contains("a second document"));
    }

    #[test]
    fn keys_must_be_text() {
        assert!(only_problem("1: a\n").contains("write \"1\" in quotes"));
        assert!(only_problem("[a]: b\n").contains("a key must be text"));
        assert!(only_problem("? {a: b}\n: c\n").contains("a key must be text"));
        assert!(problems("\"1\": a\n").is_empty());
    }

    #[test]
    fn a_syntax_error_names_its_place() {
        assert!(only_problem("a:\n  - [b\n").starts_with("a.yaml:"));
    }

    #[test]
    fn aliases_are_expanded() {
        let mut report = Report::new("a.yaml");
        let tree = read("a: &x { k: v }\nb: *x\n", &mut report).unwrap();
        assert_eq!(tree.find("b.k").1, "b.k");
        assert_eq!(report.problems(), None);
    }

    #[test]
    fn an_alias_inside_its_own_anchor_is_refused() {
        assert!(only_problem("a: &x [*x]\n").contains("inside the value it names"));
    }

    #[test]
    fn a_billion_laughs_end_at_once() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..20 {
            let below = format!("*a{}, ", i - 1).repeat(10);
            bomb += &format!("a{i}: &a{i} [{below}]\n");
        }
        assert!(within_a_second(&bomb)[0].contains("values, aliases expanded"));
    }

    #[test]
    fn many_aliases_of_one_long_text_end_at_once() {
        let bomb = format!("a: &a {}\nb: [{}]\n", "x".repeat(900_000), "*a, ".repeat(20_000));
        assert!(within_a_second(&bomb)[0].contains("bytes of text, aliases expanded"));
    }

    #[test]
    fn deep_nesting_ends_at_once() {
        for text in [
            "[".repeat(100_000),
            "{a: ".repeat(100_000),
            "- ".repeat(100_000),
            (0..1_000).map(|i| format!("{}a:\n", " ".repeat(i))).collect(),
        ] {
            let all = within_a_second(&text);
            assert!(all[0].contains("nested more than 32 levels deep"), "{all:?}");
        }
        assert!(within_a_second(&"? ".repeat(100_000))[0].contains("a key must be text"));
    }

    #[test]
    fn a_megabyte_of_tiny_values_ends_at_once() {
        assert!(within_a_second(&format!("[{}]", "a,".repeat(500_000)))[0].contains("values"));
        assert!(within_a_second(&"a: b\n".repeat(200_000))[0].contains("duplicate key"));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in any::<String>()) {
            problems(&text);
        }

        #[test]
        fn arbitrary_yaml_never_panics(text in "([ab&*!?:,\\[\\]{}|>'\"#%@\t\n -]|: |- |&a |\\*a |--- |\\.\\.\\.){0,60}") {
            problems(&text);
        }
    }
}
