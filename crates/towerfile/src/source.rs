//! Which paths a Towerfile's `source` patterns select.
//!
//! A pattern is matched component by component: `**` stands for any number of folders, `*`, `?`, `[…]` and `{…,…}`
//! for text inside one component (`?` and `[…]` for one ASCII character). A component that begins with a dot is only
//! matched by a pattern component that does too, as in a shell. A pattern whose last component is a plain name also
//! selects what lies below that folder.
//!
//! A pattern may also *name* a file or folder, which then is packed although a `.gitignore` or a rule of packing
//! would leave it out: one without wildcards names exactly its path, and one with a component such as `.env` or
//! `.env.*` names what is matched up to there.

use globset::{GlobBuilder, GlobMatcher};

/// Most bytes of one pattern. Towerfiles come from strangers, and each pattern is compiled.
pub const MAX_PATTERN_BYTES: usize = 512;

/// Most patterns of one Towerfile.
pub const MAX_PATTERNS: usize = 100;

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// It is empty.
    #[error("must not be empty")]
    Empty,
    /// It is longer than [`MAX_PATTERN_BYTES`].
    #[error("must be at most {MAX_PATTERN_BYTES} bytes long")]
    TooLong,
    /// It begins with `/`.
    #[error("must be relative to the project's root, not absolute")]
    Absolute,
    /// A component is `..`.
    #[error("must not contain `..`")]
    Parent,
    /// It holds a control character.
    #[error("must not contain control characters")]
    Control,
    /// The glob's syntax is wrong.
    #[error("is not a valid glob: {0}")]
    Syntax(String),
}

/// One compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    components: Vec<Component>,
    /// How many of the components, from the first, name something; 0: the pattern names nothing.
    naming: usize,
    /// The path that is named, where no wildcard is in it.
    named_path: Option<String>,
}

#[derive(Debug, Clone)]
enum Component {
    /// `**`: any number of components that do not begin with a dot.
    AnyDepth,
    /// One component.
    One { glob: GlobMatcher, dotted: bool },
}

impl Pattern {
    /// Compiles a pattern.
    pub fn new(text: &str) -> Result<Self, PatternFault> {
        if text.is_empty() {
            return Err(PatternFault::Empty);
        }
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternFault::TooLong);
        }
        if text.starts_with('/') {
            return Err(PatternFault::Absolute);
        }
        if text.contains(char::is_control) {
            return Err(PatternFault::Control);
        }
        let parts: Vec<_> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let mut components = Vec::new();
        let mut ends_plain = true;
        for &part in &parts {
            ends_plain = is_plain(part);
            components.push(match part {
                ".." => return Err(PatternFault::Parent),
                "**" => Component::AnyDepth,
                _ => Component::One {
                    glob: GlobBuilder::new(part)
                        .build()
                        .map_err(|error| PatternFault::Syntax(error.kind().to_string()))?
                        .compile_matcher(),
                    dotted: part.starts_with('.'),
                },
            });
        }
        // A folder named outright means everything in it.
        if ends_plain {
            components.push(Component::AnyDepth);
        }
        let naming = if parts.iter().all(|part| is_plain(part)) {
            parts.len()
        } else {
            parts.iter().rposition(|part| is_dotted_word(part)).map_or(0, |last| last + 1)
        };
        let literal = naming > 0 && parts[..naming].iter().all(|part| is_plain(part));
        let named_path = literal.then(|| parts[..naming].join("/"));
        Ok(Self { text: text.to_owned(), components, naming, named_path })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern selects `path`, a normal path.
    ///
    /// Time: at most components of the pattern × components of the path.
    pub fn matches(&self, path: &str) -> bool {
        self.reached(path)[self.components.len()]
    }

    /// Whether the pattern could select anything below `folder`, a normal path.
    pub(crate) fn reaches_below(&self, folder: &str) -> bool {
        self.reached(folder)[..self.components.len()].contains(&true)
    }

    /// Whether the pattern names `path`, a normal path, and not merely something above or around it.
    pub(crate) fn names(&self, path: &str) -> bool {
        match &self.named_path {
            Some(named) => named == path,
            // `**` in front may stand for nothing, but what is named is the last component.
            None => self.naming > 0 && self.reached(path)[self.naming] && self.last_named_matches(path),
        }
    }

    /// Whether what the pattern names lies below `folder`, as far as that can be told without looking for it.
    pub(crate) fn leads_below(&self, folder: &str) -> bool {
        let named = self.named_path.as_deref();
        named.and_then(|named| named.strip_prefix(folder)).is_some_and(|rest| rest.starts_with('/'))
    }

    fn last_named_matches(&self, path: &str) -> bool {
        let last = path.rsplit('/').next().unwrap_or_default();
        match &self.components[self.naming - 1] {
            Component::AnyDepth => false,
            Component::One { glob, .. } => glob.is_match(last),
        }
    }

    /// At `i`: whether all of `path` is matched by the first `i` components of the pattern.
    fn reached(&self, path: &str) -> Vec<bool> {
        let mut reached = vec![false; self.components.len() + 1];
        reached[0] = true;
        self.skip_any_depth(&mut reached);
        for part in path.split('/') {
            let hidden = part.starts_with('.');
            let mut next = vec![false; reached.len()];
            for (i, component) in self.components.iter().enumerate() {
                if !reached[i] {
                    continue;
                }
                match component {
                    Component::AnyDepth => next[i] |= !hidden,
                    Component::One { glob, dotted } => {
                        next[i + 1] |= (*dotted || !hidden) && glob.is_match(part);
                    }
                }
            }
            self.skip_any_depth(&mut next);
            reached = next;
        }
        reached
    }

    /// `**` may stand for no component at all.
    fn skip_any_depth(&self, reached: &mut [bool]) {
        for (i, component) in self.components.iter().enumerate() {
            if reached[i] && matches!(component, Component::AnyDepth) {
                reached[i + 1] = true;
            }
        }
    }
}

fn is_plain(part: &str) -> bool {
    !part.contains(['*', '?', '[', '{', '\\'])
}

/// Whether the part is a name that begins with a dot, and not merely a dot and wildcards.
fn is_dotted_word(part: &str) -> bool {
    part.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c == '_' || c.is_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("./**", "main.py", true)]
    #[case("./**", "a/b/c.txt", true)]
    #[case("./**", ".env", false)]
    #[case("./**", ".git/config", false)]
    #[case("./**", "a/.cache/x", false)]
    #[case("**/*.py", "main.py", true)]
    #[case("**/*.py", "a/b/main.py", true)]
    #[case("**/*.py", "a/b/main.pyc", false)]
    #[case("*.py", "main.py", true)]
    #[case("*.py", "a/main.py", false)]
    #[case("*.py", ".hidden.py", false)]
    #[case("src/**/*.py", "src/main.py", true)]
    #[case("src/**/*.py", "src/a/b/main.py", true)]
    #[case("src/**/*.py", "lib/main.py", false)]
    #[case("src/**", "src/a", true)]
    #[case("src", "src/a/b", true)]
    #[case("./src/", "src/a/b", true)]
    #[case("src", "src/.env", false)]
    #[case("src", "srcs/a", false)]
    #[case("s*", "src/a", false)]
    #[case("main.py", "main.py", true)]
    #[case(".env", ".env", true)]
    #[case(".env", "a/.env", false)]
    #[case("**/.env", "a/b/.env", true)]
    #[case("**/.env", ".git/.env", false)]
    #[case(".github/**", ".github/workflows/ci.yml", true)]
    #[case(".github/**", ".github/.secret", false)]
    #[case(".*/**", ".a/b", true)]
    #[case("{a,b}.py", "b.py", true)]
    #[case("[ab].py", "c.py", false)]
    #[case("?.py", "a.py", true)]
    #[case("ä*.py", "äß.py", true)]
    #[case(".", "a/b", true)]
    #[case("**/**/**/x", "x", true)]
    fn selects(#[case] pattern: &str, #[case] path: &str, #[case] expected: bool) {
        assert_eq!(Pattern::new(pattern).unwrap().matches(path), expected, "{pattern} {path}");
    }

    #[rstest]
    #[case("", PatternFault::Empty)]
    #[case("/etc/**", PatternFault::Absolute)]
    #[case("../**", PatternFault::Parent)]
    #[case("a/../b", PatternFault::Parent)]
    #[case("a\nb", PatternFault::Control)]
    #[case(&"a".repeat(513), PatternFault::TooLong)]
    fn refused(#[case] pattern: &str, #[case] fault: PatternFault) {
        assert_eq!(Pattern::new(pattern).unwrap_err(), fault);
    }

    #[rstest]
    #[case("[a")]
    #[case("{a,b")]
    #[case("{a/b,c}")]
    fn refused_syntax(#[case] pattern: &str) {
        assert!(matches!(Pattern::new(pattern), Err(PatternFault::Syntax(_))), "{pattern}");
    }

    #[rstest]
    #[case("data/model.bin", "data/model.bin", true)]
    #[case("./data//model.bin", "data/model.bin", true)]
    #[case("data", "data", true)]
    #[case("data", "data/x", false)]
    #[case("data/*", "data/x", false)]
    #[case("**/model.bin", "model.bin", false)]
    #[case(".env", ".env", true)]
    #[case("**/.env", "a/b/.env", true)]
    #[case("**/.env", "a/b", false)]
    #[case("**/.env.*", ".env.prod", true)]
    #[case(".git/**", ".git", true)]
    #[case(".git/**", ".git/config", false)]
    #[case("*/.cache/x*", "a/.cache", true)]
    #[case("**/.*", ".git", false)]
    #[case(".*", ".git", false)]
    #[case(".", "a", false)]
    fn names_what_it_spells(#[case] pattern: &str, #[case] path: &str, #[case] expected: bool) {
        assert_eq!(Pattern::new(pattern).unwrap().names(path), expected, "{pattern} {path}");
    }

    #[rstest]
    #[case("a/b/c", "a", true, true)]
    #[case("a/b/c", "a/b", true, true)]
    #[case("a/b/c", "a/b/c", true, false)]
    #[case("a/b/c", "a/x", false, false)]
    #[case("a/b/c", "ab", false, false)]
    #[case("*.py", "src", false, false)]
    #[case("src/**/*.py", "src/deep/er", true, false)]
    #[case("**/*.py", ".git", false, false)]
    #[case("**/.env", "src", true, false)]
    #[case(".git/hooks/*", ".git", true, false)]
    fn reaches(#[case] pattern: &str, #[case] folder: &str, #[case] below: bool, #[case] leads: bool) {
        let compiled = Pattern::new(pattern).unwrap();
        assert_eq!(
            (compiled.reaches_below(folder), compiled.leads_below(folder)),
            (below, leads),
            "{pattern}"
        );
    }

    #[test]
    fn many_any_depth_components_stay_cheap() {
        let pattern = Pattern::new(&format!("{}x", "**/".repeat(150))).unwrap();
        assert!(!pattern.matches(&"a/".repeat(500)));
    }
}
