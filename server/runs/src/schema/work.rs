//! How much work a schema asks for, counted without doing it.
//!
//! A validator comes by a part of the schema, and a part of the input, as often as there are ways to them: thirty parts that each refer
//! twice to the next ask for 2^30 visits, whatever the input is, and parts that refer to themselves twice do so with the input's depth. Here
//! each pair of parts is looked at once, and the ways are multiplied.
//!
//! The count is an upper bound: no keyword is taken to cut the others short, and every pattern to fit every name.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Most visits that checking one input may take: some tenths of a second.
const MOST_VISITS: u64 = 1_000_000;
/// Most visits at one place of the input, whatever is there.
const MOST_VISITS_AT_ONE_PLACE: u64 = 100_000;
/// Most parts within each other on one way through schema and input: validators go down by recursion, on a stack of 2 MiB.
const MOST_DEPTH: usize = 400;
/// Most patterns. Each may take [`PATTERN_BYTES`].
const MOST_PATTERNS: usize = 64;
/// Most bytes of a compiled pattern: room for `^.{1,512}$`.
pub(super) const PATTERN_BYTES: usize = 256 * 1024;
/// Characters of a string that a pattern looks at for the price of one visit.
const CHARS_PER_VISIT: u64 = 8;

/// What an input's names are counted as: nothing is below them.
static NOTHING: Value = Value::Null;

/// What is too much. Displays as what follows "the schema".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMuch {
    #[error("refers to itself at the same place")]
    Circular,
    #[error("has parts that refer to each other more than {MOST_DEPTH} deep")]
    Deep,
    #[error("refers to its parts so often that checking takes too long")]
    Visits,
    #[error("has more than {MOST_PATTERNS} patterns")]
    Patterns,
    #[error("has a part with an address ($id) of its own: refer to it by #/$defs/… instead")]
    Address,
}

/// A schema as a graph of its parts. The first is the whole.
#[derive(Debug, Default)]
pub(super) struct Parts {
    parts: Vec<Part>,
    patterns: usize,
}

/// What a part of a schema applies to which part of the input.
#[derive(Debug, Default)]
struct Part {
    /// Visits of the part itself: lists are gone through.
    visits: u64,
    pattern: bool,
    /// To the same.
    same: Vec<usize>,
    /// To the member of that name.
    member: HashMap<String, usize>,
    /// To members of any name.
    members: Vec<usize>,
    /// To the names themselves.
    names: Vec<usize>,
    /// To the item of that number.
    item: Vec<usize>,
    /// To items of any number.
    items: Vec<usize>,
}

impl Part {
    /// Whether it applies no other part to anything.
    fn is_last(&self) -> bool {
        let Self { visits: _, pattern: _, same, member, members, names, item, items } = self;
        [same, members, names, item, items].into_iter().all(Vec::is_empty) && member.is_empty()
    }

    /// Its own visits, those of other parts not counted.
    fn visits_of(&self, input: &Value) -> u64 {
        match input {
            Value::String(text) if self.pattern => self.visits + text.len() as u64 / CHARS_PER_VISIT,
            _ => self.visits,
        }
    }
}

impl Parts {
    /// Takes a schema apart, and refuses one that asks for too much whatever the input is.
    pub(super) fn of(schema: &Value) -> Result<Self, TooMuch> {
        let parts = Builder::new(schema).build()?;
        if parts.patterns > MOST_PATTERNS {
            return Err(TooMuch::Patterns);
        }
        let mut count = Count::new(&parts, MOST_VISITS_AT_ONE_PLACE);
        for part in 0..parts.parts.len() {
            if count.visits(part, &NOTHING, 0)? > MOST_VISITS_AT_ONE_PLACE {
                return Err(TooMuch::Visits);
            }
        }
        Ok(parts)
    }

    /// Refuses an input that is too much work to check.
    pub(super) fn check(&self, input: &Value) -> Result<(), TooMuch> {
        match Count::new(self, MOST_VISITS).visits(0, input, 0)? {
            0..=MOST_VISITS => Ok(()),
            _ => Err(TooMuch::Visits),
        }
    }

    /// How many patterns there are.
    pub(super) fn patterns(&self) -> usize {
        self.patterns
    }
}

/// The count for one input.
struct Count<'a> {
    parts: &'a [Part],
    /// By part of the schema and address of the part of the input; none while it is being counted.
    known: HashMap<(usize, *const Value), Option<u64>>,
    /// Looks at what a part applies that are left.
    left: u64,
}

impl<'a> Count<'a> {
    fn new(parts: &'a Parts, looks: u64) -> Self {
        // When the schema alone is counted, each of its parts is counted.
        let left = looks.max(parts.parts.len() as u64 * 16);
        Self { parts: &parts.parts, known: HashMap::new(), left }
    }

    fn visits(&mut self, part: usize, input: &Value, depth: usize) -> Result<u64, TooMuch> {
        if depth > MOST_DEPTH {
            return Err(TooMuch::Deep);
        }
        let parts = self.parts;
        let this = &parts[part];
        if this.is_last() {
            return Ok(this.visits_of(input));
        }
        let key = (part, std::ptr::from_ref(input));
        match self.known.get(&key) {
            Some(Some(visits)) => return Ok(*visits),
            Some(None) => return Err(TooMuch::Circular),
            None => {}
        }
        self.known.insert(key, None);
        let mut sum = this.visits_of(input);
        let mut add = |count: &mut Self, part: usize, input: &Value| {
            count.left = count.left.checked_sub(1).ok_or(TooMuch::Visits)?;
            sum = sum.saturating_add(count.visits(part, input, depth + 1)?);
            Ok(())
        };
        for part in &this.same {
            add(self, *part, input)?;
        }
        match input {
            Value::Object(members) => {
                for (name, member) in members {
                    for part in this.member.get(name).into_iter().chain(&this.members) {
                        add(self, *part, member)?;
                    }
                    for part in &this.names {
                        add(self, *part, &NOTHING)?;
                    }
                }
            }
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    for part in this.item.get(number).into_iter().chain(&this.items) {
                        add(self, *part, item)?;
                    }
                }
            }
            _ => {}
        }
        self.known.insert(key, Some(sum));
        Ok(sum)
    }
}

/// The schema's own address, without its fragment.
fn address(schema: &Value) -> Option<&str> {
    let id = schema.get("$id").or_else(|| schema.get("id"))?.as_str()?;
    Some(id.split('#').next().unwrap_or(id)).filter(|id| !id.is_empty())
}

struct Builder<'s> {
    root: &'s Value,
    address: Option<&'s str>,
    anchors: HashMap<&'s str, Vec<&'s Value>>,
    known: HashMap<*const Value, usize>,
    parts: Parts,
}

impl<'s> Builder<'s> {
    fn new(root: &'s Value) -> Self {
        let mut anchors = HashMap::new();
        anchored(root, &mut anchors);
        Self { root, address: address(root), anchors, known: HashMap::new(), parts: Parts::default() }
    }

    fn build(mut self) -> Result<Parts, TooMuch> {
        let old =
            self.root.get("$schema").and_then(Value::as_str).is_some_and(|draft| draft.contains("draft-04"));
        if has_inner_address(self.root, if old { "id" } else { "$id" }) {
            return Err(TooMuch::Address);
        }
        let mut open = Vec::new();
        self.part(self.root, &mut open);
        // By hand and not by recursion: parts may refer to each other in a chain of any length.
        while let Some((part, schema)) = open.pop() {
            self.fill(part, schema, &mut open);
        }
        Ok(self.parts)
    }

    /// The number of the part at that place, which is filled in later.
    fn part(&mut self, schema: &'s Value, open: &mut Vec<(usize, &'s Map<String, Value>)>) -> usize {
        if let Some(part) = self.known.get(&std::ptr::from_ref(schema)) {
            return *part;
        }
        let number = self.parts.parts.len();
        self.parts.parts.push(Part { visits: 1, ..Part::default() });
        self.known.insert(std::ptr::from_ref(schema), number);
        if let Value::Object(keywords) = schema {
            open.push((number, keywords));
        }
        number
    }

    fn fill(
        &mut self,
        number: usize,
        keywords: &'s Map<String, Value>,
        open: &mut Vec<(usize, &'s Map<String, Value>)>,
    ) {
        let mut part = Part { visits: 1, ..Part::default() };
        let mut twice = false;
        for (keyword, value) in keywords {
            let list = || value.as_array().into_iter().flatten();
            let named = || value.as_object().into_iter().flatten().map(|(_, schema)| schema);
            match keyword.as_str() {
                "enum" | "required" => part.visits += list().count() as u64,
                "pattern" => {
                    part.pattern = true;
                    self.parts.patterns += 1;
                }
                "$ref" | "$dynamicRef" | "$recursiveRef" => {
                    for target in self.targets(value.as_str().unwrap_or_default()) {
                        part.same.push(self.part(target, open));
                    }
                }
                "allOf" | "anyOf" | "oneOf" => part.same.extend(list().map(|schema| self.part(schema, open))),
                "not" | "if" | "then" | "else" => part.same.push(self.part(value, open)),
                "dependentSchemas" | "dependencies" => {
                    part.same.extend(named().map(|schema| self.part(schema, open)));
                }
                "properties" => {
                    for (name, schema) in value.as_object().into_iter().flatten() {
                        part.member.insert(name.clone(), self.part(schema, open));
                    }
                }
                "patternProperties" => {
                    self.parts.patterns += named().count();
                    part.members.extend(named().map(|schema| self.part(schema, open)));
                }
                "additionalProperties" => part.members.push(self.part(value, open)),
                "propertyNames" => part.names.push(self.part(value, open)),
                "prefixItems" => part.item = list().map(|schema| self.part(schema, open)).collect(),
                "items" if value.is_array() => {
                    part.item = list().map(|schema| self.part(schema, open)).collect();
                }
                "items" | "additionalItems" | "contains" => part.items.push(self.part(value, open)),
                // What applies to the rest has to find out what the others apply to.
                "unevaluatedProperties" => {
                    twice = true;
                    part.members.push(self.part(value, open));
                }
                "unevaluatedItems" => {
                    twice = true;
                    part.items.push(self.part(value, open));
                }
                _ => {}
            }
        }
        if twice {
            part.same.extend_from_within(..);
        }
        self.parts.parts[number] = part;
    }

    /// The places that a reference may lead to: none outside of the schema.
    fn targets(&self, reference: &str) -> Vec<&'s Value> {
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if !address.is_empty() && Some(address) != self.address {
            return Vec::new();
        }
        let fragment = percent_decoded(fragment);
        if fragment.is_empty() {
            return vec![self.root];
        }
        if fragment.starts_with('/') {
            return self.root.pointer(&fragment).into_iter().collect();
        }
        self.anchors.get(fragment.as_str()).cloned().unwrap_or_default()
    }
}

/// Whether an object below the root has an address of its own.
fn has_inner_address(root: &Value, keyword: &str) -> bool {
    fn within(value: &Value, keyword: &str) -> bool {
        match value {
            Value::Object(members) => {
                members.get(keyword).is_some_and(Value::is_string)
                    || members.values().any(|value| within(value, keyword))
            }
            Value::Array(items) => items.iter().any(|value| within(value, keyword)),
            _ => false,
        }
    }
    root.as_object().is_some_and(|members| members.values().any(|value| within(value, keyword)))
}

/// Every object that has an anchor, by its name.
fn anchored<'s>(value: &'s Value, found: &mut HashMap<&'s str, Vec<&'s Value>>) {
    match value {
        Value::Object(members) => {
            for keyword in ["$anchor", "$dynamicAnchor"] {
                if let Some(name) = members.get(keyword).and_then(Value::as_str) {
                    found.entry(name).or_default().push(value);
                }
            }
            members.values().for_each(|value| anchored(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| anchored(value, found)),
        _ => {}
    }
}

/// A fragment without its escapes (RFC 3986, section 2.1).
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let escaped = (*first == b'%').then(|| behind.get(..2)).flatten();
        let escaped = escaped.and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &behind[2..];
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
