//! The rule for paths and link targets, shared by Towerfiles, packing and unpacking.
//!
//! A path is relative to the project's root, separated by `/`. `.` and empty components mean nothing, so `./main.py`
//! and `main.py` are the same path; `..` is never allowed.

/// Most bytes of a path, and of a link's target.
///
/// A quarter of Linux's `PATH_MAX`, which leaves room for the folder the archive is unpacked into.
pub const MAX_PATH_BYTES: usize = 1024;

/// Most bytes of one component of a path: Linux's `NAME_MAX`.
pub const MAX_COMPONENT_BYTES: usize = 255;

/// The rule a path breaks. Displays as what follows "the path …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It names nothing below the root.
    #[error("names nothing")]
    Empty,
    /// It begins with `/`.
    #[error("is absolute")]
    Absolute,
    /// A component is `..`.
    #[error("contains `..`")]
    Parent,
    /// It holds a NUL byte.
    #[error("contains a NUL byte")]
    Nul,
    /// It is longer than [`MAX_PATH_BYTES`].
    #[error("is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// A component is longer than [`MAX_COMPONENT_BYTES`].
    #[error("has a component longer than {MAX_COMPONENT_BYTES} bytes")]
    ComponentTooLong,
}

/// The rule a symbolic link's target breaks. Displays as what follows "its target …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// It is empty, or breaks a rule that targets share with paths.
    #[error(transparent)]
    Path(#[from] PathFault),
    /// It climbs above the root.
    #[error("leaves the root")]
    LeavesRoot,
    /// It has a `..` behind a name.
    #[error("has `..` behind a name, where it could leave the root through another link")]
    ParentBehindName,
}

/// Brings a path into its one normal form: no `.`, no empty components, no slash at the end. The root itself
/// becomes the empty string.
pub fn normalise(path: &str) -> Result<String, PathFault> {
    check_text(path)?;
    if path.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    let mut normal = String::with_capacity(path.len());
    for component in path.split('/') {
        match component {
            "" | "." => continue,
            ".." => return Err(PathFault::Parent),
            long if long.len() > MAX_COMPONENT_BYTES => return Err(PathFault::ComponentTooLong),
            _ => {}
        }
        if !normal.is_empty() {
            normal.push('/');
        }
        normal.push_str(component);
    }
    Ok(normal)
}

/// Checks the target of the symbolic link at `link`, a normal path.
///
/// The root can never be left, whatever other links there are: `..` is only allowed at the target's beginning,
/// where it climbs real folders (no entry lies behind a link), at most up to the root. From there the target only
/// descends, and each link met on the way obeys the same rule.
pub fn check_link_target(link: &str, target: &str) -> Result<(), LinkFault> {
    if target.is_empty() {
        return Err(PathFault::Empty.into());
    }
    check_text(target)?;
    if target.starts_with('/') {
        return Err(PathFault::Absolute.into());
    }
    let mut height = link.matches('/').count();
    let mut descending = false;
    for component in target.split('/') {
        match component {
            "" | "." => {}
            ".." if descending => return Err(LinkFault::ParentBehindName),
            ".." => height = height.checked_sub(1).ok_or(LinkFault::LeavesRoot)?,
            long if long.len() > MAX_COMPONENT_BYTES => return Err(PathFault::ComponentTooLong.into()),
            _ => descending = true,
        }
    }
    Ok(())
}

fn check_text(path: &str) -> Result<(), PathFault> {
    if path.len() > MAX_PATH_BYTES {
        Err(PathFault::TooLong)
    } else if path.contains('\0') {
        Err(PathFault::Nul)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("main.py", "main.py")]
    #[case("./main.py", "main.py")]
    #[case("././a//b/./c/", "a/b/c")]
    #[case("./", "")]
    #[case("", "")]
    #[case("...", "...")]
    #[case("a..b/..c", "a..b/..c")]
    #[case("a\\..\\b", "a\\..\\b")]
    fn normal_paths(#[case] path: &str, #[case] normal: &str) {
        assert_eq!(normalise(path).as_deref(), Ok(normal));
    }

    #[rstest]
    #[case("/etc/passwd", PathFault::Absolute)]
    #[case("//x", PathFault::Absolute)]
    #[case("..", PathFault::Parent)]
    #[case("a/../b", PathFault::Parent)]
    #[case("a/..", PathFault::Parent)]
    #[case("./..", PathFault::Parent)]
    #[case("a\0b", PathFault::Nul)]
    #[case(&"a/".repeat(513), PathFault::TooLong)]
    #[case(&"a".repeat(256), PathFault::ComponentTooLong)]
    fn bad_paths(#[case] path: &str, #[case] fault: PathFault) {
        assert_eq!(normalise(path), Err(fault));
    }

    #[rstest]
    #[case("link", "file")]
    #[case("link", ".")]
    #[case("link", "a/b")]
    #[case("a/link", "..")]
    #[case("a/link", "../b")]
    #[case("a/b/link", "./../..//c/d")]
    fn links_inside(#[case] link: &str, #[case] target: &str) {
        assert_eq!(check_link_target(link, target), Ok(()));
    }

    #[rstest]
    #[case("link", "", LinkFault::Path(PathFault::Empty))]
    #[case("link", "/etc/passwd", LinkFault::Path(PathFault::Absolute))]
    #[case("link", "a\0", LinkFault::Path(PathFault::Nul))]
    #[case("link", "..", LinkFault::LeavesRoot)]
    #[case("a/link", "../../x", LinkFault::LeavesRoot)]
    #[case("a/link", ".././..", LinkFault::LeavesRoot)]
    #[case("link", "a/..", LinkFault::ParentBehindName)]
    #[case("a/b/link", "up/../..", LinkFault::ParentBehindName)]
    fn links_outside(#[case] link: &str, #[case] target: &str, #[case] fault: LinkFault) {
        assert_eq!(check_link_target(link, target), Err(fault));
    }
}
