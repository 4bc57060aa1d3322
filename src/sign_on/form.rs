//! The login form of an app's page: what a browser would send of it when the button is pressed.
//!
//! Called with a page of the configured upstream, bounded by the caller. Which form is meant is the configuration's
//! word, or that it has one password field; where it leads is judged elsewhere (`destination`).

use std::borrow::Cow;

use crate::html::{Tag, Token, decoded, tokens};

/// More fields than a login form has.
const MOST_FIELDS: usize = 500;

/// A form that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LoginForm {
    id: Option<String>,
    name: Option<String>,
    /// Where it is posted, as it stands there; empty or none = where the page is.
    pub action: Option<String>,
    /// What is sent if nothing is filled in.
    pub fields: Vec<(String, String)>,
    /// The text field before the first password field.
    pub user_field: Option<String>,
    /// The first password field.
    pub password_field: Option<String>,
    passwords: usize,
    has_button: bool,
}

/// What a page holds.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// What references on it are relative to, if not to itself.
    pub base: Option<String>,
    forms: Vec<LoginForm>,
}

/// What is read before all of an element is known.
#[derive(Debug, Default)]
struct Reader {
    page: Page,
    /// The form that is open.
    open: Option<usize>,
    /// Fields that name a form that may come later: its id, and what it does to it.
    elsewhere: Vec<(String, Field)>,
    select: Option<Select>,
    /// The name of the `textarea` whose text comes next.
    textarea: Option<(String, Option<String>)>,
    templates: u32,
}

#[derive(Debug, Default)]
struct Select {
    name: Option<String>,
    form: Option<String>,
    /// The first option, or the one that is selected.
    value: Option<String>,
    is_chosen: bool,
    /// An option whose value is its text.
    pending: Option<(bool, String)>,
}

#[derive(Debug, Clone)]
enum Field {
    /// Sent as it is.
    Value(String, String),
    /// To be filled in by a person.
    Text(String, String),
    Password(String),
    Button(Option<String>, String),
}

impl Page {
    pub fn read(html: &str) -> Self {
        let mut reader = Reader::default();
        for token in tokens(html) {
            reader.take(token);
        }
        reader.finish()
    }

    /// The form that `wanted` names, or the login form: with one password field, not with two as for a new account.
    pub fn login_form(&self, wanted: Option<&str>) -> Option<&LoginForm> {
        match wanted {
            Some(wanted) => self.forms.iter().find(|form| {
                [&form.id, &form.name, &form.action].into_iter().any(|mark| mark.as_deref() == Some(wanted))
            }),
            None => {
                let with = |fits: fn(usize) -> bool| self.forms.iter().find(|form| fits(form.passwords));
                with(|count| count == 1).or_else(|| with(|count| count > 1))
            }
        }
    }
}

impl LoginForm {
    fn add(&mut self, field: Field) {
        if self.fields.len() >= MOST_FIELDS {
            return;
        }
        match field {
            Field::Value(name, value) => self.fields.push((name, value)),
            Field::Text(name, value) => {
                if self.passwords == 0 {
                    self.user_field = Some(name.clone());
                }
                self.fields.push((name, value));
            }
            Field::Password(name) => {
                self.passwords += 1;
                self.password_field.get_or_insert(name);
            }
            // A form is sent by its first button (HTML standard §4.10.22.2).
            Field::Button(..) if self.has_button => {}
            Field::Button(name, value) => {
                self.has_button = true;
                self.fields.extend(name.map(|name| (name, value)));
            }
        }
    }
}

impl Reader {
    fn take(&mut self, token: Token<'_>) {
        match token {
            Token::Start(tag) if tag.name == "template" => self.templates += 1,
            Token::End(name) if name == "template" => self.templates = self.templates.saturating_sub(1),
            // What lies in a template is no part of the page.
            _ if self.templates > 0 => {}
            Token::Start(tag) => self.start(&tag),
            Token::End(name) => self.end(&name),
            Token::Text(text) => self.text(&text),
            Token::Raw(_) => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        let owned = |name: &str| tag.attribute(name).map(str::to_owned);
        match tag.name.as_str() {
            "base" if self.page.base.is_none() => self.page.base = owned("href"),
            // A form in a form is ignored, as browsers do.
            "form" if self.open.is_none() => {
                let form =
                    LoginForm { id: owned("id"), name: owned("name"), action: owned("action"), ..LoginForm::default() };
                self.open = Some(self.page.forms.len());
                self.page.forms.push(form);
            }
            "input" => self.input(tag),
            "button"
                if !tag.has("disabled")
                    && tag.attribute("type").is_none_or(|kind| kind.eq_ignore_ascii_case("submit")) =>
            {
                self.add(owned("form"), Field::Button(name_of(tag), value_of(tag)));
            }
            "textarea" if !tag.has("disabled") => self.textarea = name_of(tag).map(|name| (name, owned("form"))),
            "select" => {
                self.end_select();
                let name = name_of(tag).filter(|_| !tag.has("disabled"));
                self.select = Some(Select { name, form: owned("form"), ..Select::default() });
            }
            "option" => self.option(tag),
            _ => {}
        }
    }

    fn input(&mut self, tag: &Tag<'_>) {
        if tag.has("disabled") {
            return;
        }
        let kind = tag.attribute("type").unwrap_or("text").to_ascii_lowercase();
        let form = tag.attribute("form").map(str::to_owned);
        let field = match (kind.as_str(), name_of(tag)) {
            ("submit", name) => Field::Button(name, value_of(tag)),
            ("image" | "button" | "reset" | "file", _) | (_, None) => return,
            ("checkbox" | "radio", Some(_)) if !tag.has("checked") => return,
            ("checkbox" | "radio", Some(name)) => Field::Value(name, tag.attribute("value").unwrap_or("on").to_owned()),
            ("password", Some(name)) => Field::Password(name),
            ("hidden", Some(name)) => Field::Value(name, value_of(tag)),
            ("number" | "range" | "color" | "date" | "time", Some(name)) => Field::Value(name, value_of(tag)),
            (_, Some(name)) => Field::Text(name, value_of(tag)),
        };
        self.add(form, field);
    }

    fn option(&mut self, tag: &Tag<'_>) {
        self.end_option();
        let Some(select) = &mut self.select else { return };
        if tag.has("disabled") {
            return;
        }
        let is_selected = tag.has("selected");
        match tag.attribute("value") {
            Some(value) => select.choose(is_selected, value),
            None => select.pending = Some((is_selected, String::new())),
        }
    }

    fn text(&mut self, text: &str) {
        if let Some((name, form)) = self.textarea.take() {
            // The first line break after the tag is no part of it.
            let text = text.strip_prefix("\r\n").or_else(|| text.strip_prefix('\n')).unwrap_or(text);
            self.add(form, Field::Value(name, text.to_owned()));
        } else if let Some((_, pending)) = self.select.as_mut().and_then(|select| select.pending.as_mut()) {
            pending.push_str(text);
        }
    }

    fn end(&mut self, name: &str) {
        match name {
            "form" => self.open = None,
            "select" => self.end_select(),
            "option" => self.end_option(),
            _ => {}
        }
    }

    fn end_option(&mut self) {
        let Some(select) = &mut self.select else { return };
        if let Some((is_selected, text)) = select.pending.take() {
            let text = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            select.choose(is_selected, &decoded(&text));
        }
    }

    fn end_select(&mut self) {
        self.end_option();
        let Some(Select { name: Some(name), form, value: Some(value), .. }) = self.select.take() else { return };
        self.add(form, Field::Value(name, value));
    }

    /// To the form that the field names, or to the one that is open.
    fn add(&mut self, form: Option<String>, field: Field) {
        match (form, self.open) {
            (Some(id), _) if self.elsewhere.len() < MOST_FIELDS => self.elsewhere.push((id, field)),
            (None, Some(open)) => self.page.forms[open].add(field),
            _ => {}
        }
    }

    fn finish(mut self) -> Page {
        self.end_select();
        for (id, field) in self.elsewhere {
            if let Some(form) = self.page.forms.iter_mut().find(|form| form.id.as_ref() == Some(&id)) {
                form.add(field);
            }
        }
        self.page
    }
}

impl Select {
    fn choose(&mut self, is_selected: bool, value: &str) {
        if is_selected || self.value.is_none() && !self.is_chosen {
            self.value = Some(value.to_owned());
            self.is_chosen |= is_selected;
        }
    }
}

fn name_of(tag: &Tag<'_>) -> Option<String> {
    tag.attribute("name").filter(|name| !name.is_empty()).map(str::to_owned)
}

fn value_of(tag: &Tag<'_>) -> String {
    tag.attribute("value").map(Cow::Borrowed).unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(html: &str) -> LoginForm {
        Page::read(html).login_form(None).cloned().expect("a login form")
    }

    fn fields(form: &LoginForm) -> Vec<(&str, &str)> {
        form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    #[test]
    fn hidden_fields_and_choices_are_sent_as_a_browser_sends_them() {
        let form = found(
            "<form action='/search'><input name=q></form>
             <FORM Method=post action=\"/in?a=1&amp;b=2\" id=f>
             <input type=hidden name='auth[token]' value='a&#43;b&quot;c'>
             <p><table><tr><td><input name=u value=old></td><td><input type=password name=p></table>
             <input type=checkbox name=keep checked><input type=checkbox name=no value=1>
             <select name=realm><option value=''>choose<option selected>Local  users</option></select>
             <textarea name=t>\n a&lt;b</textarea><input type=hidden name=off value=1 disabled>
             <button name=go value=1>In</button><button name=other>x</button><form><input type=hidden name=inner value=2>
             </form><input type=hidden name=outside value=3><input type=hidden name=late form=f value=4>",
        );
        assert_eq!(form.action.as_deref(), Some("/in?a=1&b=2"));
        assert_eq!((form.user_field.as_deref(), form.password_field.as_deref()), (Some("u"), Some("p")));
        assert_eq!(
            fields(&form),
            [
                ("auth[token]", "a+b\"c"),
                ("u", "old"),
                ("keep", "on"),
                ("realm", "Local users"),
                ("t", " a<b"),
                ("go", "1"),
                ("inner", "2"),
                ("late", "4"),
            ]
        );
    }

    #[test]
    fn the_form_with_one_password_is_meant_or_the_one_that_is_named() {
        let html = "<form id=new><input type=password name=a><input type=password name=b></form>
                    <!-- <form><input type=password name=commented></form> -->
                    <template><form><input type=password name=inert></form></template>
                    <form name=in><input type=password name=c></form>";
        let page = Page::read(html);
        assert_eq!(page.login_form(None).unwrap().password_field.as_deref(), Some("c"));
        assert_eq!(page.login_form(Some("new")).unwrap().password_field.as_deref(), Some("a"));
        assert_eq!(page.login_form(Some("in")).unwrap().password_field.as_deref(), Some("c"));
        assert_eq!(page.login_form(Some("other")), None);
        assert_eq!(Page::read("<form><input name=u></form><input type=password name=p>").login_form(None), None);
    }

    proptest! {
        #[test]
        fn no_page_makes_it_panic(
            parts in prop::collection::vec(prop_oneof![
                Just("<form>"), Just("</form>"), Just("<input name=a type=password>"), Just("<input form=x name=b>"),
                Just("<select name=s>"), Just("<option>"), Just("<option value=1 selected>"), Just("</select>"),
                Just("<textarea name=t>"), Just("</textarea>"), Just("<template>"), Just("</template>"), Just("<button>"),
                Just("text"), Just("<"), Just("'"), Just("<base href=/x>"), Just("<form id=x action=''>")
            ], 0..30)
        ) {
            let page = Page::read(&parts.concat());
            let _ = (page.login_form(None), page.login_form(Some("x")));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            Page::read(&String::from_utf8_lossy(&bytes));
        }
    }
}
