//! Tables in columns, without lines.

use std::fmt::Display;

use comfy_table::{Attribute, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

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

/// Spaces between two columns.
const GAP: usize = 2;
/// Most characters of a value that is never wrapped: a time, a size, `5m03s ago`.
const SHORT: usize = 20;

/// How many characters the terminal has in a line; none: it does not say, as those without a window do with a width of 0.
pub(super) fn terminal_width() -> Option<usize> {
    Table::new().width().map(usize::from).filter(|width| *width > 0)
}

/// The table, and the names of columns that were left out. Within `width`, the columns of `order` are left out until no word
/// and no short value need be broken, and long values are wrapped between words. Without, each row is one line.
pub(super) fn render<'h>(
    header: &[&'h str],
    order: &[&str],
    rows: &[Vec<Cell>],
    width: Option<usize>,
    style: Style,
) -> (String, Vec<&'h str>) {
    let columns: Vec<_> = (0..header.len()).map(|index| Widths::of(header[index], rows, index)).collect();
    let fitted = width.map(|width| fit(header, order, &columns, width));
    let kept: Vec<usize> = match &fitted {
        Some(fitted) => fitted.iter().map(|(index, _)| *index).collect(),
        None => (0..header.len()).collect(),
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.force_no_tty();
    table.set_header(kept.iter().map(|index| with_style(header[*index], Tone::Dim, style)));
    table.add_rows(rows.iter().map(|row| {
        let cells = kept.iter().filter_map(|index| row.get(*index));
        cells.map(|cell| with_style(&cell.text, cell.tone, style)).collect::<Vec<_>>()
    }));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    if let (Some(fitted), Some(width)) = (&fitted, width) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(width + GAP).unwrap_or(u16::MAX));
        table.set_constraints(fitted.iter().map(|(_, characters)| {
            ColumnConstraint::Absolute(Width::Fixed(u16::try_from(characters + GAP).unwrap_or(u16::MAX)))
        }));
    }
    if style.is_coloured() {
        table.enforce_styling();
    }
    let left_out = (0..header.len()).filter(|index| !kept.contains(index)).map(|index| header[index]);
    // A column of bars has no name.
    (table.trim_fmt(), left_out.filter(|name| !name.is_empty()).collect())
}

/// How wide a column is, in characters.
#[derive(Debug, Clone, Copy)]
struct Widths {
    /// With each value on one line.
    whole: usize,
    /// With the longest word or short value on one line.
    least: usize,
}

impl Widths {
    fn of(name: &str, rows: &[Vec<Cell>], index: usize) -> Self {
        let values =
            || rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.text.as_str()).chain([name]);
        let count = |text: &str| text.chars().count();
        let longest_word = |value: &str| value.split_whitespace().map(count).max().unwrap_or_default();
        let least = |value: &str| if count(value) <= SHORT { count(value) } else { longest_word(value) };
        Self {
            whole: values().map(count).max().unwrap_or_default(),
            least: values().map(least).max().unwrap_or_default(),
        }
    }
}

/// Which columns are shown, and how wide.
fn fit(header: &[&str], order: &[&str], columns: &[Widths], width: usize) -> Vec<(usize, usize)> {
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let needs = |kept: &[usize], of: fn(&Widths) -> usize| {
        kept.iter().map(|index| of(&columns[*index]) + GAP).sum::<usize>().saturating_sub(GAP)
    };
    for name in order {
        if needs(&kept, |column| column.least) <= width {
            break;
        }
        kept.retain(|index| header[*index] != *name);
    }
    let mut widths: Vec<_> = kept.iter().map(|index| (*index, columns[*index].whole)).collect();
    let mut over = needs(&kept, |column| column.whole).saturating_sub(width);
    // The widest gives way first, down to what may not be broken.
    while over > 0 {
        let wraps = widths.iter_mut().filter(|(index, now)| *now > columns[*index].least);
        let Some((_, widest)) = wraps.max_by_key(|(_, now)| *now) else { break };
        *widest -= 1;
        over -= 1;
    }
    widths
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
        let (text, _) = render(&["RUN", "STATUS", "NOTE"], &[], &rows, None, Style::new(false));
        assert_eq!(text, "RUN  STATUS     NOTE\n1    completed  a\\x1b[31m b\n123  dead       -");
    }

    #[test]
    fn a_coloured_table_is_coloured() {
        let rows = vec![vec![Cell::toned("completed", Tone::Good)]];
        assert!(render(&["STATUS"], &[], &rows, Some(80), Style::new(true)).0.contains('\u{1b}'));
    }

    fn narrow(width: usize) -> (String, Vec<&'static str>) {
        let rows = vec![
            vec![
                Cell::new(7),
                Cell::new("daily-report"),
                Cell::new("completed"),
                Cell::new("says hello to everybody who is there"),
            ],
            vec![Cell::new(12), Cell::new("x"), Cell::new("dead"), Cell::new("-")],
        ];
        let header = ["RUN", "APP", "STATUS", "NOTE"];
        render(&header, &["NOTE", "STATUS"], &rows, Some(width), Style::new(false))
    }

    #[test]
    fn a_wide_terminal_shows_each_row_on_a_line() {
        let (text, left_out) = narrow(80);
        assert_eq!((text.lines().count(), left_out), (3, vec![]));
    }

    #[test]
    fn long_values_wrap_between_words_where_that_is_enough() {
        let (text, left_out) = narrow(40);
        assert_eq!(left_out, Vec::<&str>::new());
        assert!(
            text.contains("daily-report") && text.contains("completed") && text.contains("hello"),
            "{text}"
        );
        assert!(text.lines().count() > 3 && text.lines().all(|line| line.chars().count() <= 40), "{text}");
    }

    #[test]
    fn a_short_value_is_not_wrapped_and_a_column_without_a_name_is_not_named() {
        let rows = vec![vec![Cell::new("ci"), Cell::new("2026-11-30 16:48:07Z"), Cell::new("####")]];
        let shown =
            |width| render(&["NAME", "CREATED", ""], &["", "CREATED"], &rows, Some(width), Style::new(false));
        assert_eq!(shown(32), ("NAME  CREATED\nci    2026-11-30 16:48:07Z  ####".to_owned(), vec![]));
        assert_eq!(shown(26), ("NAME  CREATED\nci    2026-11-30 16:48:07Z".to_owned(), vec![]));
        assert_eq!(shown(25), ("NAME\nci".to_owned(), vec!["CREATED"]));
    }

    #[test]
    fn columns_go_before_words_are_broken() {
        let (text, left_out) = narrow(30);
        assert_eq!(left_out, ["NOTE"]);
        assert_eq!(text, "RUN  APP           STATUS\n7    daily-report  completed\n12   x             dead");
        assert_eq!(narrow(20).1, ["STATUS", "NOTE"]);
        assert!(narrow(5).0.contains("RUN"), "what may not be left out stays, whatever the width");
    }
}
