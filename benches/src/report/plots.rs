//! The plots: two panels each, throughput above, latency below, in greys and colours that read on light and dark alike.

use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::depth::Deep;
use super::numbers::{bare, whole};
use super::throughput::Loaded;
use crate::BenchError;
use crate::stats::median;

/// The plot over load, beside the report.
pub(super) const LOAD_PLOT: &str = "load.svg";
/// The plot over depth, beside the report.
pub(super) const DEPTH_PLOT: &str = "depth.svg";

const SIZE: (u32, u32) = (760, 640);
const INK: RGBColor = RGBColor(128, 128, 128);
const LINES: [RGBColor; 2] = [RGBColor(31, 138, 220), RGBColor(226, 106, 44)];

/// One line of a panel: its name, and a value for each place on the axis.
struct Line {
    name: &'static str,
    values: Vec<f64>,
}

/// One panel.
struct Panel<'a> {
    title: &'static str,
    below: &'static str,
    /// What stands at each place of the axis below; the places are evenly spaced whatever their values.
    places: &'a [String],
    /// Powers of ten on the axis at the side.
    logarithmic: bool,
    lines: Vec<Line>,
}

/// Draws both plots into `out`.
pub(super) fn draw(loaded: &[Loaded], deep: &[Deep], out: &Path) -> Result<(), BenchError> {
    let runners: Vec<String> = loaded.iter().map(|point| point.runners.to_string()).collect();
    let line = |name, values: Vec<f64>| Line { name, values };
    let of_load = |values: fn(&Loaded) -> &[f64]| loaded.iter().map(|point| median(values(point))).collect();
    let below = "runners";
    plot(
        &out.join(LOAD_PLOT),
        &[
            Panel {
                title: "lifecycles a second",
                below,
                places: &runners,
                logarithmic: false,
                lines: vec![line("lifecycles/s", of_load(|point| &point.throughput))],
            },
            Panel {
                title: "a runner's four calls for one run, ms",
                below,
                places: &runners,
                logarithmic: true,
                lines: vec![
                    line("p50", of_load(|point| &point.life_p50)),
                    line("p99", of_load(|point| &point.life_p99)),
                ],
            },
        ],
    )?;
    let depths: Vec<String> = deep.iter().map(|point| whole(point.depth)).collect();
    let of_depth = |values: fn(&Deep) -> &[f64]| deep.iter().map(|point| median(values(point))).collect();
    let below = "queued runs";
    plot(
        &out.join(DEPTH_PLOT),
        &[
            Panel {
                title: "lifecycles a second, 32 runners",
                below,
                places: &depths,
                logarithmic: false,
                lines: vec![line("lifecycles/s", of_depth(|point| &point.throughput))],
            },
            Panel {
                title: "p99 under that load, ms",
                below,
                places: &depths,
                logarithmic: true,
                lines: vec![
                    line("lease", of_depth(|point| &point.lease_p99)),
                    line("four calls of a run", of_depth(|point| &point.life_p99)),
                ],
            },
        ],
    )
}

fn plot(path: &Path, panels: &[Panel<'_>; 2]) -> Result<(), BenchError> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    let areas = area.split_evenly((2, 1));
    let drawn = areas.iter().zip(panels).try_for_each(|(area, panel)| draw_panel(area, panel));
    drawn.and_then(|()| area.present()).map_err(|error| BenchError::Io {
        what: format!("cannot draw {}", path.display()),
        source: std::io::Error::other(error.to_string()),
    })
}

type Drawing<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn draw_panel<'a>(area: &Drawing<'a>, panel: &Panel<'_>) -> Drawn<'a> {
    let values = || panel.lines.iter().flat_map(|line| line.values.iter().copied());
    let most = values().fold(f64::MIN_POSITIVE, f64::max);
    let last = f64::from(u32::try_from(panel.places.len().saturating_sub(1)).unwrap_or(u32::MAX));
    let mut builder = ChartBuilder::on(area);
    builder.margin(12).caption(panel.title, ("sans-serif", 16, &INK));
    builder.x_label_area_size(44).y_label_area_size(64);
    let across = -0.2..last + 0.2;
    if panel.logarithmic {
        let least = values().fold(most, f64::min).max(1e-3);
        let range = 10_f64.powf(least.log10().floor())..10_f64.powf(most.log10().ceil());
        finish(builder.build_cartesian_2d(across, range.log_scale())?, panel)
    } else {
        finish(builder.build_cartesian_2d(across, 0.0..most * 1.1)?, panel)
    }
}

fn finish<'a, Y>(
    mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, Y>>,
    panel: &Panel<'_>,
) -> Drawn<'a>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let place = |at: &f64| {
        // The axis has marks between places too; they stay bare.
        let place = panel
            .places
            .iter()
            .enumerate()
            .find(|(index, _)| (f64::from(u32::try_from(*index).unwrap_or(u32::MAX)) - at).abs() < 1e-6);
        place.map(|(_, name)| name.clone()).unwrap_or_default()
    };
    chart
        .configure_mesh()
        .x_labels(panel.places.len() + 1)
        .x_label_formatter(&place)
        .y_labels(6)
        .y_label_formatter(&|value| bare(*value))
        .x_desc(panel.below)
        .axis_style(INK)
        .bold_line_style(INK.mix(0.35))
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", 13, &INK))
        .draw()?;
    for (line, colour) in panel.lines.iter().zip(LINES) {
        let points = || (0..).map(f64::from).zip(line.values.iter().copied());
        chart
            .draw_series(LineSeries::new(points(), colour.stroke_width(2)))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(points().map(|point| Circle::new(point, 4, colour.filled())))?;
    }
    if panel.lines.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font(("sans-serif", 13, &INK))
            .draw()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Plan;
    use super::*;

    #[test]
    fn plots_name_their_places_and_lines() {
        let plan = Plan::full();
        let loaded: Vec<Loaded> = plan
            .runners
            .iter()
            .map(|runners| Loaded {
                runners: *runners,
                throughput: vec![3000.0],
                life_p50: vec![3.0],
                life_p99: vec![9.0],
            })
            .collect();
        let deep: Vec<Deep> = plan
            .depths
            .iter()
            .map(|depth| Deep {
                depth: *depth,
                throughput: vec![3000.0],
                life_p99: vec![22.0],
                lease_p99: vec![7.0],
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        draw(&loaded, &deep, folder.path()).unwrap();
        let read = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let (load, depth) = (read(LOAD_PLOT), read(DEPTH_PLOT));
        let named = |plot: &str, name: &str| plot.contains(&format!("\n{name}\n"));
        for runners in &plan.runners {
            assert!(named(&load, &runners.to_string()), "{runners} is missing: {load}");
        }
        for at in &plan.depths {
            assert!(named(&depth, &whole(*at)), "{at} is missing: {depth}");
        }
        for name in ["lifecycles a second", "runners", "p50", "p99", "3,000"] {
            assert!(named(&load, name), "{name} is missing: {load}");
        }
        for name in ["queued runs", "lease", "four calls of a run"] {
            assert!(named(&depth, name), "{name} is missing: {depth}");
        }
    }
}
