//! Finds a path's template among those already seen, in time that does not grow with their number.

use std::collections::HashMap;
use std::ptr;

/// Templates and a value for each.
pub(crate) struct Matcher<T> {
    root: Node<T>,
    /// Templates whose parameters are more than one whole segment; one of them may take any path.
    others: HashMap<String, T>,
}

struct Node<T> {
    /// Sorted by segment.
    literals: Vec<(Box<[u8]>, Node<T>)>,
    parameter: Option<Box<Node<T>>>,
    value: Option<T>,
}

impl<T> Default for Matcher<T> {
    fn default() -> Self {
        Self {
            root: Node::new(),
            others: HashMap::new(),
        }
    }
}

impl<T> Matcher<T> {
    /// The value of the template that takes `path`; `None` when none does or it is not sure.
    pub(crate) fn find(&self, path: &str) -> Option<&T> {
        if !self.others.is_empty() {
            return None;
        }
        self.root.find(path.as_bytes().strip_prefix(b"/")?)
    }

    /// The value of one template.
    pub(crate) fn get(&self, template: &str) -> Option<&T> {
        let Some(segments) = segments(template) else {
            return self.others.get(template);
        };
        let mut node = &self.root;
        for segment in segments {
            node = if is_parameter(segment) {
                node.parameter.as_deref()?
            } else {
                node.literal(segment.as_bytes())?
            };
        }
        node.value.as_ref()
    }

    pub(crate) fn insert(&mut self, template: &str, value: T) {
        let Some(segments) = segments(template) else {
            self.others.insert(template.to_owned(), value);
            return;
        };
        let mut node = &mut self.root;
        for segment in segments {
            node = if is_parameter(segment) {
                node.parameter.get_or_insert_with(|| Box::new(Node::new()))
            } else {
                node.literal_mut(segment.as_bytes())
            };
        }
        node.value = Some(value);
    }
}

impl<T> Node<T> {
    fn new() -> Self {
        Self {
            literals: Vec::new(),
            parameter: None,
            value: None,
        }
    }

    fn find(&self, path: &[u8]) -> Option<&T> {
        let (segment, rest) = first_segment(path);
        let go_on = |node| match rest {
            Some(rest) => Self::find(node, rest),
            None => node.value.as_ref(),
        };
        self.literal(segment).and_then(go_on).or_else(|| {
            self.parameter
                .as_deref()
                .filter(|_| !segment.is_empty())
                .and_then(go_on)
        })
    }

    fn literal(&self, segment: &[u8]) -> Option<&Self> {
        let index = self
            .literals
            .binary_search_by(|(literal, _)| (**literal).cmp(segment))
            .ok()?;
        self.literals.get(index).map(|(_, node)| node)
    }

    fn literal_mut(&mut self, segment: &[u8]) -> &mut Self {
        let found = self
            .literals
            .binary_search_by(|(literal, _)| (**literal).cmp(segment));
        let index = found.unwrap_or_else(|index| {
            self.literals.insert(index, (segment.into(), Self::new()));
            index
        });
        &mut self.literals[index].1
    }
}

/// The segments of a template whose parameters are whole segments; `None` for any other.
fn segments(template: &str) -> Option<impl Iterator<Item = &str>> {
    let segments = template.strip_prefix('/')?.split('/');
    let plain = |segment: &str| {
        let inner = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or(segment);
        !inner.contains(['{', '}', ':', '*'])
    };
    segments.clone().all(plain).then_some(segments)
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{')
}

/// A template taken apart, to tell cheaply whether the router took it.
#[derive(Default)]
pub(crate) struct Shape(Vec<Option<Box<str>>>);

impl Shape {
    pub(crate) fn of(template: &str) -> Self {
        let parameter = |segment: &str| {
            let name = segment.strip_prefix('{')?.strip_suffix('}')?;
            Some(name.into())
        };
        Self(template.split('/').map(parameter).collect())
    }

    /// Whether the router took exactly this template for `path`, which it fits, told by the parameters it found: how
    /// many, and the value of each name.
    ///
    /// Two templates of whole segments that fit one path differ in where their parameters stand, so equal names with
    /// equal values in equal places are the same template. `false` may be wrong, `true` is not.
    pub(crate) fn is_taken<'a>(
        &self,
        path: &str,
        found: usize,
        value_of: impl Fn(&str) -> Option<&'a str>,
    ) -> bool {
        let mut rest = Some(path.as_bytes());
        let mut expected = 0;
        for parameter in &self.0 {
            let Some(path) = rest else { return false };
            let (taken, after) = first_segment(path);
            rest = after;
            let Some(name) = parameter else { continue };
            expected += 1;
            // Both values are parts of one path as a rule, and then the place tells without a look at the text.
            let is_same = |value: &str| ptr::eq(value.as_bytes(), taken) || value.as_bytes() == taken;
            if !value_of(name).is_some_and(is_same) {
                return false;
            }
        }
        rest.is_none() && found == expected
    }
}

/// The path up to its first slash, and what is behind it.
fn first_segment(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    // Paths are short; searching them byte by byte beats a search made for long texts.
    let end = path.iter().position(|byte| *byte == b'/');
    match end.and_then(|end| path.split_at_checked(end)) {
        Some((segment, rest)) => (segment, rest.get(1..)),
        None => (path, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(templates: &[&'static str]) -> Matcher<&'static str> {
        let mut matcher = Matcher::default();
        for template in templates {
            matcher.insert(template, *template);
        }
        matcher
    }

    #[test]
    fn a_path_finds_its_template_and_a_literal_comes_first() {
        let matcher = matcher(&[
            "/",
            "/users/{id}",
            "/users/me",
            "/users/{id}/orders/{order}",
            "/users/me/settings",
        ]);

        let found = |path| matcher.find(path).copied();

        assert_eq!(found("/"), Some("/"));
        assert_eq!(found("/users/7"), Some("/users/{id}"));
        assert_eq!(found("/users/me"), Some("/users/me"));
        assert_eq!(found("/users/me/orders/3"), Some("/users/{id}/orders/{order}"));
        assert_eq!(found("/users/"), None);
        assert_eq!(found("/users"), None);
        assert_eq!(found("/users/7/"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn only_the_template_that_was_taken_is_confirmed() {
        let check = |template, parameters: &[(&'static str, &'static str)]| {
            let value_of = |wanted: &str| {
                let found = parameters.iter().find(|(name, _)| *name == wanted);
                found.map(|(_, value)| *value)
            };
            Shape::of(template).is_taken("/users/me", parameters.len(), value_of)
        };

        assert!(check("/users/{id}", &[("id", "me")]));
        assert!(check("/users/me", &[]));
        assert!(!check("/users/{id}", &[]));
        assert!(!check("/users/me", &[("id", "me")]));
        assert!(!check("/{id}/me", &[("id", "me")]));
        assert!(!check("/users/{name}", &[("id", "me")]));
        assert!(!check("/users", &[]));
    }

    #[test]
    fn a_template_beyond_whole_segments_leaves_every_path_to_the_router() {
        let matcher = matcher(&["/users/{id}", "/files/{path:.*}"]);

        assert_eq!(matcher.find("/users/7"), None);
        assert_eq!(matcher.get("/files/{path:.*}"), Some(&"/files/{path:.*}"));
        assert_eq!(matcher.get("/users/{id}"), Some(&"/users/{id}"));
    }
}
