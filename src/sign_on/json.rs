//! The JSON that a login by script sends: plain names, and pointers (RFC 6901) for what lies deeper.
//!
//! Called with the filled-in fields. SECURITY: it only borrows them, so that no copy of a password is left behind.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// An object or a list, or a text in one.
#[derive(Debug)]
pub(super) enum Node<'f> {
    Text(&'f str),
    /// A list, if its keys are 0, 1 and so on.
    Inner(BTreeMap<String, Node<'f>>),
}

impl<'f> Node<'f> {
    /// Of two fields that cannot both have their place, the later one stays.
    pub fn of(fields: &'f [(String, String)]) -> Self {
        let mut root = BTreeMap::new();
        for (name, value) in fields {
            let path: Vec<String> = match name.strip_prefix('/') {
                Some(pointer) => pointer.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect(),
                None => vec![name.clone()],
            };
            put(&mut root, &path, value);
        }
        Self::Inner(root)
    }
}

fn put<'f>(at: &mut BTreeMap<String, Node<'f>>, path: &[String], value: &'f str) {
    let Some((key, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        at.insert(key.clone(), Node::Text(value));
        return;
    }
    let below = at.entry(key.clone()).or_insert_with(|| Node::Inner(BTreeMap::new()));
    if let Node::Text(_) = below {
        *below = Node::Inner(BTreeMap::new());
    }
    if let Node::Inner(below) = below {
        put(below, rest, value);
    }
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Inner(entries) => match list(entries) {
                Some(items) => serializer.collect_seq(items),
                None => serializer.collect_map(entries),
            },
        }
    }
}

fn list<'n, 'f>(entries: &'n BTreeMap<String, Node<'f>>) -> Option<Vec<&'n Node<'f>>> {
    let items: Option<Vec<_>> = (0..entries.len()).map(|place| entries.get(&place.to_string())).collect();
    items.filter(|items| !items.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(fields: &[(&str, &str)]) -> String {
        let fields: Vec<(String, String)> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        serde_json::to_string(&Node::of(&fields)).unwrap()
    }

    #[test]
    fn pointers_make_objects_and_lists() {
        let plain = written(&[("user", "ann"), ("pass", "x\"y")]);
        assert_eq!(plain, r#"{"pass":"x\"y","user":"ann"}"#);
        let deep = written(&[("/data/attributes/email", "a"), ("/data/attributes/a~1b", "c"), ("/data/type", "login")]);
        assert_eq!(deep, r#"{"data":{"attributes":{"a/b":"c","email":"a"},"type":"login"}}"#);
        let call = written(&[("method", "auth.login"), ("/params/0", "ann"), ("/params/1", "x")]);
        assert_eq!(call, r#"{"method":"auth.login","params":["ann","x"]}"#);
        assert_eq!(written(&[("/a", "1"), ("/a/b", "2")]), r#"{"a":{"b":"2"}}"#);
        assert_eq!(written(&[("/p/1", "1")]), r#"{"p":{"1":"1"}}"#);
        assert_eq!(written(&[]), "{}");
    }

    proptest! {
        #[test]
        fn any_fields_make_an_object(fields in prop::collection::vec(("(/?[a-c0-2~/]{0,6})", "[ -~]{0,8}"), 0..8)) {
            let json: serde_json::Value = serde_json::from_str(&serde_json::to_string(&Node::of(&fields)).unwrap()).unwrap();
            prop_assert!(json.is_object() || json.is_array());
        }
    }
}
