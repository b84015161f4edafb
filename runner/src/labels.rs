//! What a runner says of its machine when it registers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use minitower_client::wire::runner::{LABEL_PYTHON, LABEL_PYTHON_DOWNLOADS, MAX_LABEL_BYTES};
use pep440_rs::Version;

/// The labels of a runner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    /// By key.
    pub(crate) all: BTreeMap<String, String>,
    /// Whether its Pythons answered in time; otherwise no label tells them.
    pub(crate) complete: bool,
}

impl Labels {
    /// Of a machine with Pythons of these versions; `None`: they are not known. `downloads`: others can be fetched.
    pub(crate) fn of(versions: Option<&[String]>, downloads: bool) -> Self {
        let pythons = versions.map(newest_first).filter(|label| !label.is_empty());
        let complete = pythons.is_some();
        let downloads = downloads.then(|| "true".to_owned());
        let told = [(LABEL_PYTHON, pythons), (LABEL_PYTHON_DOWNLOADS, downloads)];
        let all = told.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
        Self { all, complete }
    }

    /// As they are kept on disk.
    pub(crate) fn to_text(&self) -> String {
        serde_json::json!(self.all).to_string()
    }
}

/// Each version once. When there are more than fit into a label, the oldest are left out.
fn newest_first(versions: &[String]) -> String {
    let known: BTreeSet<_> =
        versions.iter().filter_map(|text| Some(Reverse((Version::from_str(text).ok()?, text)))).collect();
    let mut label = String::new();
    for Reverse((_, text)) in known {
        if label.len() + 1 + text.len() > MAX_LABEL_BYTES {
            break;
        }
        if !label.is_empty() {
            label.push(',');
        }
        label.push_str(text);
    }
    label
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, false, "{}", false)]
    #[case(None, true, r#"{"python-downloads":"true"}"#, false)]
    #[case(Some(&[][..]), false, "{}", false)]
    #[case(Some(&["3.9.2", "3.13.1", "3.10.0", "3.9.2"][..]), false, r#"{"python":"3.13.1,3.10.0,3.9.2"}"#, true)]
    #[case(Some(&["3.12.9", "odd"][..]), true, r#"{"python":"3.12.9","python-downloads":"true"}"#, true)]
    fn a_machine_tells_its_pythons(
        #[case] versions: Option<&[&str]>,
        #[case] downloads: bool,
        #[case] text: &str,
        #[case] complete: bool,
    ) {
        let versions: Option<Vec<String>> =
            versions.map(|versions| versions.iter().map(|version| (*version).to_owned()).collect());
        let labels = Labels::of(versions.as_deref(), downloads);
        assert_eq!((labels.to_text().as_str(), labels.complete), (text, complete));
    }

    #[test]
    fn the_oldest_do_not_fit() {
        let many: Vec<String> = (0..100).map(|patch| format!("3.12.{patch}")).collect();
        let label = newest_first(&many);
        assert!(label.starts_with("3.12.99,3.12.98,") && label.ends_with(",3.12.69"), "{label}");
        assert!(label.len() <= MAX_LABEL_BYTES && label.len() > MAX_LABEL_BYTES - 10, "{}", label.len());
    }
}
