//! Tables in columns, without lines.

use std::fmt::Display;

use comfy_table::{Attribute, Color, ContentArrangement, Table, presets};

use super::style::{Style, Tone};
use super::terminal::clean;

/// A value in a table.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A plain value.
    pub fn new(text: impl Display) -> Self {
        Self::toned(text, Tone::Plain)
    }

    /// A value whose colour says something.
    pub fn toned(text: impl Display, tone: Tone) -> Self {
        Self { text: clean(&text.to_string()), tone }
    }

    /// A value that may be absent.
    pub fn optional(text: Option<impl Display>) -> Self {
        text.map_or_else(|| Self::toned("-", Tone::Dim), Self::new)
    }

    pub(super) fn show(&self, style: Style) -> String {
        style.tone(&self.text, self.tone)
    }
}

/// On a terminal, long values are wrapped to its width; elsewhere each row is one line.
pub(super) fn render(header: &[&str], rows: &[Vec<Cell>], terminal: bool, style: Style) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    if terminal && table.width().is_some() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.force_no_tty();
    }
    table.set_header(header.iter().map(|name| with_style(name, Tone::Dim, style)));
    table.add_rows(
        rows.iter()
            .map(|row| row.iter().map(|cell| with_style(&cell.text, cell.tone, style)).collect::<Vec<_>>()),
    );
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    if style.is_coloured() {
        table.enforce_styling();
    }
    table.trim_fmt()
}

fn with_style(text: &str, tone: Tone, style: Style) -> comfy_table::Cell {
    let cell = comfy_table::Cell::new(text);
    if !style.is_coloured() {
        return cell;
    }
    match tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Bad => cell.fg(Color::DarkRed).add_attribute(Attribute::Bold),
        Tone::Busy => cell.fg(Color::DarkCyan),
        Tone::Waiting => cell.fg(Color::DarkYellow),
        Tone::Dim => cell.add_attribute(Attribute::Dim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piped_table_is_plain_aligned_text() {
        let rows = vec![
            vec![Cell::new(1), Cell::toned("completed", Tone::Good), Cell::new("a\u{1b}[31m\nb")],
            vec![Cell::new(123), Cell::new("dead"), Cell::optional(None::<i64>)],
        ];
        let text = render(&["RUN", "STATUS", "NOTE"], &rows, false, Style::new(false));
        assert_eq!(text, "RUN  STATUS     NOTE\n1    completed  a\\x1b[31m b\n123  dead       -");
    }

    #[test]
    fn a_coloured_table_is_coloured() {
        let rows = vec![vec![Cell::toned("completed", Tone::Good)]];
        assert!(render(&["STATUS"], &rows, true, Style::new(true)).contains('\u{1b}'));
    }
}
