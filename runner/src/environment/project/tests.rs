use rstest::rstest;

use super::super::files::tests::project;
use super::*;

const PROJECT: (&str, &str) =
    ("pyproject.toml", "[project]\nname='x'\nversion='0'\ndependencies=['a>=1', 'b==2']\n");
const BUILT: (&str, &str) = (
    "pyproject.toml",
    "[project]\nname='x'\nversion='0'\ndependencies=['a']\n[build-system]\nrequires=[]\nbuild-backend='b'\n",
);
const LOCK: (&str, &str) = ("uv.lock", "version = 1\n[[package]]\nname='x'\nsource={ virtual = '.' }\n");
const PYLOCK: (&str, &str) = ("pylock.toml", "lock-version='1.0'\n");
const TXT: (&str, &str) = ("requirements.txt", "c==1\n");
const HEADER: (&str, &str) =
    ("main.py", "# /// script\n# dependencies = ['d']\n# requires-python = '>=3.9'\n# ///\n");
const SETUP: (&str, &str) = ("setup.py", "");
const POETRY: (&str, &str) =
    ("pyproject.toml", "[tool.poetry]\nname='x'\n[build-system]\nrequires=['poetry-core']\n");

fn needs(files: &[(&str, &str)]) -> Needs {
    decide(project(files).path(), Some("main.py")).unwrap()
}

#[rstest]
#[case(&[], What::Nothing, "")]
#[case(&[("requirements.txt", "# nothing\n")], What::Nothing, "requirements.txt")]
#[case(&[("pyproject.toml", "[tool.ruff]\nline-length = 100\n")], What::Nothing, "")]
#[case(&[("pyproject.toml", "[project]\nname='x'\ndependencies=[]\n")], What::Nothing, "pyproject.toml")]
#[case(&[LOCK, PYLOCK, PROJECT, TXT, HEADER, SETUP], What::UvLock { checked_online: false }, "uv.lock")]
#[case(&[PYLOCK, PROJECT, TXT, HEADER, SETUP], What::Pylock, "pylock.toml")]
#[case(&[HEADER, PROJECT, TXT, SETUP], What::List(vec!["d".to_owned()]), "main.py")]
#[case(&[PROJECT, TXT, SETUP], What::List(vec!["a>=1".to_owned(), "b==2".to_owned()]), "pyproject.toml")]
#[case(&[BUILT, TXT], What::Project, "pyproject.toml")]
#[case(&[BUILT, ("requirements.txt", "-e .[x]\n")], What::RequirementsTxt, "requirements.txt")]
#[case(&[TXT, SETUP], What::RequirementsTxt, "requirements.txt")]
#[case(&[SETUP], What::Project, "setup.py")]
#[case(&[("pyproject.toml", "[build-system]\nrequires=['flit']\n[tool.flit.metadata]\nmodule='x'\n")], What::Project, "pyproject.toml")]
#[case(&[("pyproject.toml", "[project]\nname='x'\nrequires-python='>=3.8'\n"), TXT], What::RequirementsTxt, "requirements.txt")]
#[case(&[("pyproject.toml", "[project]\nname='x'\ndynamic=['dependencies']\n")], What::Project, "pyproject.toml")]
#[case(&[POETRY, TXT], What::RequirementsTxt, "requirements.txt")]
#[case(&[("Pipfile", ""), TXT], What::RequirementsTxt, "requirements.txt")]
fn the_first_file_in_order_decides(#[case] files: &[(&str, &str)], #[case] what: What, #[case] by: &str) {
    let needs = needs(files);
    assert_eq!((needs.what, needs.decided_by.as_str()), (what, by));
}

#[rstest]
#[case(&[POETRY], "pyproject.toml", "poetry export -f requirements.txt")]
#[case(&[("Pipfile", "")], "Pipfile", "pipenv requirements > requirements.txt")]
#[case(&[("Requirements.txt", "a")], "Requirements.txt", "mv Requirements.txt requirements.txt")]
#[case(&[("environment.yml", "")], "environment.yml", "requirements.txt")]
#[case(&[LOCK], "uv.lock", "pyproject.toml")]
#[case(&[("pyproject.toml", "[project]\nname='x'\ndependencies=['-r x']\n")], "pyproject.toml", "PEP 508")]
fn what_we_do_not_read_is_refused_with_the_way_out(
    #[case] files: &[(&str, &str)],
    #[case] file: &str,
    #[case] way_out: &str,
) {
    let error = decide(project(files).path(), None).unwrap_err();
    assert_eq!(error.file, file);
    assert!(error.reason.contains(way_out), "{error}");
}

#[rstest]
#[case(&[TXT], None, None)]
#[case(&[TXT, ("uv.toml", "")], Some("uv.toml"), Some("uv.toml"))]
#[case(&[PYLOCK], None, Some("pylock.toml"))]
#[case(&[LOCK, PROJECT], None, Some("uv.lock"))]
#[case(&[BUILT], Some("itself"), None)]
#[case(&[("pyproject.toml", "[project]\nname='x'\ndependencies=['a']\n[tool.uv.sources]\na={path='a'}\n")], Some("sources"), Some("[tool.uv] sources"))]
#[case(&[("pyproject.toml", "[project]\nname='x'\ndependencies=['a @ https://h/a.whl']\n")], Some("address"), None)]
#[case(&[("pyproject.toml", "[tool.uv]\nindex-url='u'\n"), TXT], Some("index-url"), Some("[tool.uv] index-url"))]
#[case(&[("main.py", "# /// script\n# dependencies=['a']\n# [[tool.uv.index]]\n# url='u'\n# ///\n")], Some("index"), Some("[tool.uv] index"))]
fn what_is_private_and_what_only_uv_understands(
    #[case] files: &[(&str, &str)],
    #[case] private: Option<&str>,
    #[case] only_uv: Option<&str>,
) {
    let needs = needs(files);
    assert_eq!(needs.private.is_some(), private.is_some(), "{needs:?}");
    assert!(needs.private.unwrap_or_default().contains(private.unwrap_or_default()));
    assert_eq!(needs.only_uv.as_deref(), only_uv);
}

#[test]
fn every_file_that_asks_for_a_python_is_heard() {
    let towerfile = "# refreshed: 2026-01-02T03:04:05Z\n[app]\nname='x'\nscript='main.py'\npython='>=3.10'\n";
    let project = ("pyproject.toml", "[project]\nname='x'\nrequires-python='>=3.8'\n");
    let needs = needs(&[HEADER, project, ("Towerfile", towerfile)]);
    let asked: Vec<_> = needs.pythons.iter().map(|demand| demand.specifier.as_str()).collect();
    assert_eq!(asked[..2], [">=3.9", ">=3.8"]);
    assert_eq!(needs.refreshed.as_deref(), Some("2026-01-02T03:04:05Z"));
}

#[test]
fn a_file_that_does_not_decide_is_named() {
    let notes = needs(&[PROJECT, TXT, SETUP]).notes.join("\n");
    assert!(notes.contains("pyproject.toml decides") && notes.contains("requirements.txt"), "{notes}");
    assert!(needs(&[TXT, ("pyproject.toml", "[tool.ruff]\n")]).notes.is_empty());
    assert!(needs(&[LOCK, PROJECT]).notes.is_empty());
    assert!(needs(&[TXT]).notes.is_empty());
}

#[test]
fn what_decides_and_what_it_includes_is_part_of_the_key() {
    let needs =
        needs(&[("requirements.txt", "-r a.txt\n"), ("a.txt", "a==1\n-c c.txt\n"), ("c.txt", "b<2\n")]);
    for name in ["requirements.txt", "a.txt", "c.txt"] {
        assert!(needs.files.contains_key(Path::new(name)), "{name}: {:?}", needs.files);
    }
}

const ONLY_POETRYS: &str =
    "[project]\nname='x'\nversion='0'\n[tool.poetry.dependencies]\npython='^3.9'\ntabulate='^0.9'\n";

#[rstest]
#[case(ONLY_POETRYS)]
#[case(&format!("{ONLY_POETRYS}[build-system]\nrequires=['poetry-core']\n"))]
#[case(
    "[project]\nname='x'\ndynamic=['dependencies']\n[tool.poetry]\npackage-mode=false\n[tool.poetry.dependencies]\na='1'\n"
)]
fn what_only_poetry_reads_is_refused_beside_a_project_table_too(#[case] text: &str) {
    let error = decide(project(&[("pyproject.toml", text)]).path(), None).unwrap_err().to_string();
    assert!(error.contains("poetry export"), "{error}");
}

#[rstest]
#[case("[project]\nname='x'\ndependencies=['tabulate']\n[tool.poetry.dependencies]\ntabulate='^0.9'\n", What::List(vec!["tabulate".to_owned()]))]
#[case("[project]\nname='x'\nversion='0'\n[tool.poetry.dependencies]\npython='^3.9'\n", What::Nothing)]
#[case(
    "[project]\nname='x'\ndynamic=['dependencies']\n[tool.poetry.dependencies]\na='1'\n[build-system]\nrequires=['poetry-core']\n",
    What::Project
)]
#[case("[project]\nname='x'\ndependencies=['a']\n[tool.poetry]\npackage-mode=false\n[build-system]\nrequires=['poetry-core']\n", What::List(vec!["a".to_owned()]))]
fn beside_poetrys_tables_a_project_counts(#[case] text: &str, #[case] what: What) {
    assert_eq!(needs(&[("pyproject.toml", text)]).what, what);
}

#[test]
fn files_that_look_like_lists_are_named_when_nothing_is_installed() {
    let notes = needs(&[("requirements-dev.txt", "a\n"), ("dev-requirements.txt", "b\n")]).notes;
    assert!(notes[0].contains("dev-requirements.txt, requirements-dev.txt is not read"), "{notes:?}");
    assert!(needs(&[("requirements-dev.txt", "a\n"), TXT]).notes.is_empty());
}
