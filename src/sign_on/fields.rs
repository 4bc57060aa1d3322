//! Fields of a login that are about to be sent: those of the form, and those that are filled in.
//!
//! SECURITY: wiped when they are dropped, and so is the body that is made of them.

use zeroize::{Zeroize as _, Zeroizing};

use super::form::LoginForm;
use super::json::Node;
use crate::identity::Identity;
use crate::session::Typed;

/// What is sent, wiped when it is dropped.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// What a form sends if nothing is filled in.
    pub fn of(form: &LoginForm) -> Self {
        Self(form.fields.clone())
    }

    /// In the place of the form's own field of that name, or after all.
    pub fn put(&mut self, name: &str, value: String) {
        match self.0.iter().position(|(known, _)| known == name) {
            Some(at) => {
                self.0[at].1 = value;
                let mut place = 0;
                self.0.retain(|(known, _)| {
                    place += 1;
                    place <= at + 1 || known != name
                });
            }
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// As one JSON object, in which names may be pointers.
    pub fn as_json(&self) -> Zeroizing<Vec<u8>> {
        // Texts always serialise.
        serde_json::to_vec(&Node::of(&self.0)).unwrap_or_default().into()
    }

    /// As forms are sent.
    pub fn as_form(&self) -> Zeroizing<Vec<u8>> {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.pairs()).finish().into_bytes().into()
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|(_, value)| value.zeroize());
    }
}

/// One pass: what a value brings is no placeholder.
pub(super) fn render(template: &str, credentials: &Typed, identity: &Identity) -> String {
    let values = [
        ("{user}", credentials.user.as_str()),
        ("{password}", credentials.password.as_str()),
        ("{email}", identity.email.as_deref().unwrap_or_default()),
        ("{name}", identity.name.as_deref().unwrap_or_default()),
    ];
    let (mut out, mut rest) = (String::new(), template);
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        match values.iter().find(|(name, _)| from.starts_with(name)) {
            Some((name, value)) => {
                out.push_str(value);
                rest = &from[name.len()..];
            }
            None => {
                out.push('{');
                rest = &from[1..];
            }
        }
    }
    out + rest
}
