//! Files that jobs leave behind: what they may be called, and how many there may be.

use minitower_vocabulary::limits;
use minitower_vocabulary::time::Timestamp;

/// Most bytes of a path.
pub const MAX_PATH_BYTES: usize = 1024;

/// A file that a job left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Where it lay below the job's folder of artifacts.
    pub path: ArtifactPath,
    /// SHA-256 of its content, lower-case hexadecimal; also its name in the object store.
    pub sha256: String,
    /// Bytes of its content.
    pub bytes: i64,
    /// When it was stored, or last replaced.
    pub created_at: Timestamp,
}

/// The path of an artifact: relative, in its one normal form, at most [`MAX_PATH_BYTES`] long, without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactPath(String);

/// Why a path is refused. Displays as a sentence about the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It has no bytes, or more than [`MAX_PATH_BYTES`].
    #[error("the artifact's path must have 1 to {MAX_PATH_BYTES} bytes")]
    Length,
    /// It begins with `/`.
    #[error("the artifact's path must be relative: it begins with `/`")]
    Absolute,
    /// A component is empty, `.` or `..`: the same file would have several paths, or none.
    #[error("the artifact's path has an empty component, `.` or `..`: name the file by its normal path")]
    NotNormal,
    /// It has a control character.
    #[error("the artifact's path has a control character: rename the file")]
    Control,
}

impl ArtifactPath {
    /// Checks and takes a path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if !(1..=MAX_PATH_BYTES).contains(&text.len()) {
            return Err(PathError::Length);
        }
        if text.starts_with('/') {
            return Err(PathError::Absolute);
        }
        if text.contains(char::is_control) {
            return Err(PathError::Control);
        }
        if text.split('/').any(|component| matches!(component, "" | "." | "..")) {
            return Err(PathError::NotNormal);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part behind the last `/`.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

/// How much a run has left behind already, but for the file that is about to be replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    /// How many files.
    pub artifacts: u64,
    /// How many bytes they have together.
    pub bytes: u64,
}

/// Why a run may leave nothing more behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// It has as many files as it may.
    #[error(
        "the run has {} artifacts already, which is the most: leave fewer files, or pack them into one",
        limits::ARTIFACTS
    )]
    Artifacts,
    /// Together its files would have more bytes than they may.
    #[error(
        "with this artifact the run's artifacts would have more than {most} bytes together (the team's limit artifact_bytes): leave \
         less, or keep it elsewhere"
    )]
    Bytes {
        /// Most bytes.
        most: u64,
    },
}

impl Stored {
    /// Whether another file of so many bytes may be stored, when all of them may have `most`.
    pub fn takes(self, bytes: u64, most: u64) -> Result<(), TooMuch> {
        if self.artifacts >= limits::ARTIFACTS {
            Err(TooMuch::Artifacts)
        } else if self.bytes.saturating_add(bytes) > most {
            Err(TooMuch::Bytes { most })
        } else {
            Ok(())
        }
    }
}

/// What a file is by the end of its name: only what a browser can show without running any of it, and common formats that it saves.
/// Everything else is `application/octet-stream`; HTML, SVG and scripts are among that on purpose.
pub fn content_type(path: &ArtifactPath) -> &'static str {
    let name = path.file_name();
    let end = name.rsplit_once('.').map_or("", |(_, end)| end).to_ascii_lowercase();
    match end.as_str() {
        "txt" | "log" | "md" => "text/plain; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "json" => "application/json",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" | "tgz" => "application/gzip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("report.csv")]
    #[case("plots/2026/a b.png")]
    #[case(".hidden/..x/...")]
    #[case("größe.txt")]
    #[case("a\\b")]
    fn good_paths(#[case] text: &str) {
        assert_eq!(ArtifactPath::parse(text).unwrap().as_str(), text);
    }

    #[rstest]
    #[case("", PathError::Length)]
    #[case("/etc/passwd", PathError::Absolute)]
    #[case("..", PathError::NotNormal)]
    #[case("a/../b", PathError::NotNormal)]
    #[case("./a", PathError::NotNormal)]
    #[case("a//b", PathError::NotNormal)]
    #[case("a/", PathError::NotNormal)]
    #[case("a\nb", PathError::Control)]
    #[case("a\0b", PathError::Control)]
    #[case("a\u{85}", PathError::Control)]
    fn bad_paths(#[case] text: &str, #[case] error: PathError) {
        assert_eq!(ArtifactPath::parse(text), Err(error));
    }

    #[test]
    fn a_path_is_measured_in_bytes() {
        assert!(ArtifactPath::parse(&"ä".repeat(512)).is_ok());
        assert_eq!(ArtifactPath::parse(&"ä".repeat(513)), Err(PathError::Length));
    }

    #[test]
    fn the_last_file_and_the_last_byte_are_taken() {
        let almost = Stored { artifacts: limits::ARTIFACTS - 1, bytes: 95 };
        assert_eq!(almost.takes(5, 100), Ok(()));
        assert_eq!(almost.takes(6, 100), Err(TooMuch::Bytes { most: 100 }));
        let full = Stored { artifacts: limits::ARTIFACTS, bytes: 0 };
        assert_eq!(full.takes(0, 100), Err(TooMuch::Artifacts));
    }

    #[rstest]
    #[case("a/plot.PNG", "image/png")]
    #[case("notes.txt", "text/plain; charset=utf-8")]
    #[case("job.log", "text/plain; charset=utf-8")]
    #[case("README.md", "text/plain; charset=utf-8")]
    #[case("data.csv", "text/csv; charset=utf-8")]
    #[case("data.json", "application/json")]
    #[case("photo.jpg", "image/jpeg")]
    #[case("photo.jpeg", "image/jpeg")]
    #[case("moving.gif", "image/gif")]
    #[case("photo.webp", "image/webp")]
    #[case("paper.pdf", "application/pdf")]
    #[case("all.zip", "application/zip")]
    #[case("all.tar.gz", "application/gzip")]
    #[case("all.tgz", "application/gzip")]
    #[case("page.html", "application/octet-stream")]
    #[case("drawing.svg", "application/octet-stream")]
    #[case("code.js", "application/octet-stream")]
    #[case("png", "application/octet-stream")]
    #[case("folder.png/none", "application/octet-stream")]
    fn types_are_told_by_the_end_of_the_name(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(content_type(&ArtifactPath::parse(path).unwrap()), expected);
    }
}
