//! What the entries of an archive add up to: a tree of folders, files and links.
//!
//! It is kept in memory while an archive is read, at about 150 bytes and a name for each node, and answers whether an
//! entry may stand where it wants to.

use std::collections::HashMap;

use super::ArchiveError;

/// Index of a node; the root is 0.
type NodeId = usize;

#[derive(Debug)]
enum Node {
    Folder(HashMap<Box<str>, NodeId>),
    File,
    /// With its target; empty where targets already take [`MOST_TARGET_BYTES`].
    Link(Box<str>),
}

/// A file or link, as opposed to a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf<'t> {
    File,
    /// With its target.
    Link(&'t str),
}

/// Most links on the way to a file, as Linux follows (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// Most bytes of the links' targets that are kept: enough for 10,000 ordinary ones. Links beyond lead nowhere.
const MOST_TARGET_BYTES: usize = 512 * 1024;

/// The tree so far.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    most_nodes: u64,
    target_bytes: usize,
}

impl Tree {
    pub(super) fn new(most_nodes: u64) -> Self {
        Self { nodes: vec![Node::Folder(HashMap::new())], most_nodes, target_bytes: 0 }
    }

    /// Adds the folder at `path`, a normal path, and those above it. It may be there already.
    pub(super) fn add_folder(&mut self, path: &str) -> Result<(), ArchiveError> {
        let mut at = 0;
        for (end, name) in components(path) {
            at = match self.child(at, name) {
                Some(id) if matches!(self.nodes[id], Node::Folder(_)) => id,
                Some(_) if end == path.len() => {
                    return Err(ArchiveError::Conflict { name: path.to_owned() });
                }
                Some(_) => return Err(through(path, end)),
                None => self.push(at, name, Node::Folder(HashMap::new()))?,
            };
        }
        Ok(())
    }

    /// Adds a file or link at `path`, a normal path that is not the root, and the folders above it. Says whether it
    /// takes the place of another file or link.
    pub(super) fn add_leaf(&mut self, path: &str, leaf: Leaf<'_>) -> Result<bool, ArchiveError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut at = 0;
        for (end, name) in components(folder) {
            at = match self.child(at, name) {
                Some(id) if matches!(self.nodes[id], Node::Folder(_)) => id,
                Some(_) => return Err(through(path, end)),
                None => self.push(at, name, Node::Folder(HashMap::new()))?,
            };
        }
        let node = match leaf {
            Leaf::File => Node::File,
            Leaf::Link(target) => {
                self.target_bytes += target.len();
                let kept = if self.target_bytes <= MOST_TARGET_BYTES { target } else { "" };
                Node::Link(kept.into())
            }
        };
        match self.child(at, name) {
            None => self.push(at, name, node).map(|_| false),
            Some(id) if matches!(self.nodes[id], Node::Folder(_)) => {
                Err(ArchiveError::Conflict { name: path.to_owned() })
            }
            Some(id) => {
                self.nodes[id] = node;
                Ok(true)
            }
        }
    }

    /// Whether `path`, a normal path, is a regular file.
    pub(super) fn is_file(&self, path: &str) -> bool {
        let node = components(path).try_fold(0, |at, (_, name)| self.child(at, name));
        node.is_some_and(|id| matches!(self.nodes[id], Node::File))
    }

    /// Whether `path`, a normal path, leads to a regular file, perhaps over links inside the archive.
    pub(super) fn leads_to_file(&self, path: &str) -> bool {
        let mut links = 0;
        // The folders down to where we are; the root is never left.
        let mut above = vec![0];
        let mut rest: Vec<&str> = path.rsplit('/').collect();
        while let Some(name) = rest.pop() {
            let here = above.last().copied().unwrap_or_default();
            let next = match name {
                "" | "." => continue,
                ".." if above.len() > 1 => {
                    above.pop();
                    continue;
                }
                _ => self.child(here, name),
            };
            match next.map(|id| (id, &self.nodes[id])) {
                Some((id, Node::Folder(_))) => above.push(id),
                Some((_, Node::File)) => return rest.iter().all(|name| name.is_empty()),
                Some((_, Node::Link(target))) if links < MOST_LINKS => {
                    links += 1;
                    rest.extend(target.rsplit('/'));
                }
                _ => return false,
            }
        }
        false
    }

    fn child(&self, folder: NodeId, name: &str) -> Option<NodeId> {
        match &self.nodes[folder] {
            Node::Folder(children) => children.get(name).copied(),
            Node::File | Node::Link(_) => None,
        }
    }

    fn push(&mut self, folder: NodeId, name: &str, node: Node) -> Result<NodeId, ArchiveError> {
        let id = self.nodes.len();
        // The root is not counted.
        if id as u64 > self.most_nodes {
            return Err(ArchiveError::TooManyEntries { limit: self.most_nodes });
        }
        self.nodes.push(node);
        if let Node::Folder(children) = &mut self.nodes[folder] {
            children.insert(name.into(), id);
        }
        Ok(id)
    }
}

fn through(path: &str, end: usize) -> ArchiveError {
    ArchiveError::Through { name: path.to_owned(), through: path[..end].to_owned() }
}

/// The components of a normal path, each with the length of the path up to its end.
fn components(path: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut end = 0;
    path.split('/').filter(|name| !name.is_empty()).map(move |name| {
        end += name.len() + usize::from(end > 0);
        (end, name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_replace_each_other_but_never_folders() {
        let mut tree = Tree::new(10);
        assert!(!tree.add_leaf("a/b", Leaf::File).unwrap());
        assert!(tree.is_file("a/b"));
        assert!(tree.add_leaf("a/b", Leaf::Link("b")).unwrap());
        assert!(!tree.is_file("a/b"));
        assert!(matches!(tree.add_leaf("a", Leaf::File), Err(ArchiveError::Conflict { .. })));
        assert!(matches!(tree.add_folder("a/b"), Err(ArchiveError::Conflict { .. })));
        tree.add_folder("a").unwrap();
        tree.add_folder("").unwrap();
    }

    #[test]
    fn links_lead_to_files_inside() {
        let mut tree = Tree::new(20);
        for file in ["main.py", "jobs/v2.py"] {
            tree.add_leaf(file, Leaf::File).unwrap();
        }
        for (link, target) in [
            ("now.py", "jobs/v2.py"),
            ("jobs/up.py", "../main.py"),
            ("latest", "./jobs"),
            ("twice.py", "now.py"),
            ("gone.py", "nothing"),
            ("circle.py", "circle.py"),
            ("through.py", "main.py/"),
        ] {
            tree.add_leaf(link, Leaf::Link(target)).unwrap();
        }
        for (path, expected) in [
            ("main.py", true),
            ("now.py", true),
            ("jobs/up.py", true),
            ("latest/v2.py", true),
            ("twice.py", true),
            ("latest", false),
            ("gone.py", false),
            ("circle.py", false),
            ("main.py/x", false),
            ("", false),
        ] {
            assert_eq!(tree.leads_to_file(path), expected, "{path}");
        }
        assert!(!tree.is_file("now.py"));
    }

    #[test]
    fn targets_are_kept_up_to_a_limit() {
        let mut tree = Tree::new(1000);
        tree.add_leaf("main.py", Leaf::File).unwrap();
        for number in 0..=MOST_TARGET_BYTES / 1024 {
            tree.add_leaf(&format!("{number}"), Leaf::Link(&format!("{}main.py", "./".repeat(508)))).unwrap();
        }
        assert!(tree.leads_to_file("0"));
        assert!(!tree.leads_to_file(&format!("{}", MOST_TARGET_BYTES / 1024)));
    }

    #[test]
    fn nothing_lies_behind_a_link_or_file() {
        let mut tree = Tree::new(10);
        tree.add_leaf("a/link", Leaf::Link("b")).unwrap();
        let error = tree.add_leaf("a/link/b/c", Leaf::File).unwrap_err();
        assert!(matches!(error, ArchiveError::Through { through, .. } if through == "a/link"));
        assert!(tree.add_folder("a/link/b").is_err());
    }

    #[test]
    fn folders_in_between_count() {
        let mut tree = Tree::new(3);
        assert!(tree.add_leaf("a/b/c", Leaf::File).is_ok());
        assert!(matches!(tree.add_folder("d"), Err(ArchiveError::TooManyEntries { limit: 3 })));
    }
}
