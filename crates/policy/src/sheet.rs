//! What several rules say together.

use crate::rule::Rule;
use settings::Attributes;
use std::sync::Arc;

/// Attributes with those of their tags, which fill in what is not said; at most `depth` tags deep.
pub fn flatten<'a>(attributes: &Attributes, find: &dyn Fn(&str) -> Option<&'a Attributes>, depth: usize) -> Attributes {
    let mut whole = attributes.clone();
    let tags = whole.tags.take().unwrap_or_default();
    if depth > 0 {
        for set in tags.iter().filter_map(|tag| find(tag)) {
            whole.fill(&flatten(set, find, depth - 1));
        }
    }
    whole
}

/// The word of the latest rule that says something.
pub fn last<'r, T>(rules: &'r [Arc<Rule>], of: impl Fn(&'r Attributes) -> Option<T>) -> Option<(T, &'r Rule)> {
    rules.iter().rev().find_map(|rule| of(&rule.attributes).map(|value| (value, &**rule)))
}
