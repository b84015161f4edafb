//! Names that are no slugs, as other platforms allow them.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What `app.name` is in a Towerfile that may break every other rule.
pub fn name_in(text: &str) -> Option<String> {
    value(&DeTable::parse(text).ok()?)?.get_ref().as_str().map(str::to_owned)
}

/// The Towerfile with another `app.name`; everything else stays as it was written. `None` where it has no name.
pub fn renamed(text: &str, name: &str) -> Option<String> {
    let document = DeTable::parse(text).ok()?;
    let at = value(&document)?.span();
    // A slug needs no escapes.
    Some(format!("{}\"{name}\"{}", text.get(..at.start)?, text.get(at.end..)?))
}

fn value<'d, 't>(document: &'d Spanned<DeTable<'t>>) -> Option<&'d Spanned<DeValue<'t>>> {
    document.get_ref().get("app")?.get_ref().as_table()?.get("name")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("[app]\nname = 'My_App' # mine\nscript = 'x'\n", "[app]\nname = \"new\" # mine\nscript = 'x'\n")]
    #[case("app.name = \"My_App\"", "app.name = \"new\"")]
    #[case("app = { script = 'ü', name = '''My_App''' }", "app = { script = 'ü', name = \"new\" }")]
    #[case("\u{feff}[app]\r\n\"name\" = 'My_App'\r\n", "\u{feff}[app]\r\n\"name\" = \"new\"\r\n")]
    fn the_name_alone_changes(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(name_in(text).as_deref(), Some("My_App"));
        assert_eq!(renamed(text, "new").as_deref(), Some(expected));
    }

    #[rstest]
    #[case("")]
    #[case("app = 1")]
    #[case("[app]\nscript = 'x'")]
    #[case("[app")]
    fn texts_without_a_name(#[case] text: &str) {
        assert_eq!((name_in(text), renamed(text, "new")), (None, None));
    }
}
