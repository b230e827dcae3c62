//! The plot of the document: a request of ours between bare and the usual composition, with the limits.

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::{
    DrawingArea, IntoDrawingArea, IntoFont, PathElement, RGBColor, Rectangle, SVGBackend, Text, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, TextStyle};

use super::limits::{
    CPU, CPU_LOKI, CPU_USUAL, Figure, INSTRUCTIONS, INSTRUCTIONS_BARE, INSTRUCTIONS_LEAN, INSTRUCTIONS_USUAL,
    Unit,
};
use super::results::Results;

const WIDTH: i32 = 920;
const LEFT: i32 = 190;
/// Room for the values right of the longest bar.
const RIGHT: i32 = 90;
/// Above the first panel, and between two.
const GAP: i32 = 24;
const TITLE: i32 = 30;
/// Below the bars, for the names of the limits.
const LIMITS: i32 = 22;
const ROW: i32 = 30;
const BAR: i32 = 18;

const TEXT: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const FLOOR: RGBColor = RGBColor(0x8c, 0x95, 0x9f);
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const USUAL: RGBColor = RGBColor(0xd9, 0x8a, 0x3a);
const MUST: RGBColor = RGBColor(0xc2, 0x2f, 0x3d);
const GOAL: RGBColor = RGBColor(0x2d, 0x8a, 0x4e);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Bars under a title, with lines at the limits.
#[derive(Debug)]
struct Panel {
    title: &'static str,
    bars: Vec<Bar>,
    must: f64,
    goal: f64,
    unit: Unit,
}

#[derive(Debug)]
struct Bar {
    name: &'static str,
    value: f64,
    color: RGBColor,
}

/// The plot as SVG.
///
/// # Errors
/// When it cannot be drawn.
pub(crate) fn draw(results: &Results) -> Result<String> {
    // Bare alone says nothing.
    let mut panels = vec![instructions(results)?, cpu(results)?];
    panels.retain(|panel| panel.bars.len() > 1);
    let height = panels.iter().map(Panel::height).sum::<i32>() + GAP;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH.cast_unsigned(), height.cast_unsigned()))
            .into_drawing_area();
        paint(&area, &panels).map_err(|error| anyhow!("draw the plot: {error}"))?;
        area.present()
            .map_err(|error| anyhow!("finish the plot: {error}"))?;
    }
    Ok(svg)
}

fn paint(area: &Area<'_>, panels: &[Panel]) -> Result<()> {
    area.fill(&WHITE)?;
    let mut top = GAP;
    for panel in panels {
        panel.paint(area, top)?;
        top += panel.height();
    }
    Ok(())
}

fn instructions(results: &Results) -> Result<Panel> {
    let value = |figure: &Figure| results.figures.get(figure.key).map(|entry| entry.estimate.median);
    let bare = value(&INSTRUCTIONS_BARE).unwrap_or_default();
    let over = |name, figure, color| {
        value(figure).map(|more| Bar {
            name,
            value: bare + more,
            color,
        })
    };
    let floor = Bar {
        name: "bare actix-web",
        value: bare,
        color: FLOOR,
    };
    let (must, goal) = limits(&INSTRUCTIONS)?;
    Ok(Panel {
        title: "Instructions of a request",
        bars: [
            Some(floor),
            over("the middleware alone", &INSTRUCTIONS_LEAN, OURS),
            over("gatewayz-api", &INSTRUCTIONS, OURS),
            over("usual composition", &INSTRUCTIONS_USUAL, USUAL),
        ]
        .into_iter()
        .flatten()
        .collect(),
        must: bare + must,
        goal: bare + goal,
        unit: Unit::Instructions,
    })
}

fn cpu(results: &Results) -> Result<Panel> {
    let bar = |name, figure: &Figure, color| {
        results.figures.get(figure.key).map(|entry| Bar {
            name,
            value: entry.estimate.median,
            color,
        })
    };
    let floor = Bar {
        name: "bare actix-web",
        value: 1.0,
        color: FLOOR,
    };
    let (must, goal) = limits(&CPU)?;
    Ok(Panel {
        title: "CPU time of a request, of bare's",
        bars: [
            Some(floor),
            bar("gatewayz-api", &CPU, OURS),
            bar("gatewayz-api with Loki", &CPU_LOKI, OURS),
            bar("usual composition", &CPU_USUAL, USUAL),
        ]
        .into_iter()
        .flatten()
        .collect(),
        must,
        goal,
        unit: Unit::Times,
    })
}

fn limits(figure: &Figure) -> Result<(f64, f64)> {
    let both = figure.must.zip(figure.goal);
    both.map(|(must, goal)| (must.value(), goal.value()))
        .with_context(|| format!("find the limits of {}", figure.key))
}

impl Panel {
    /// With the gap below it.
    fn height(&self) -> i32 {
        TITLE + ROW * self.bars.len() as i32 + LIMITS + GAP
    }

    fn paint(&self, area: &Area<'_>, top: i32) -> Result<()> {
        text(area, self.title, 18, (LEFT, top), HPos::Left, TEXT)?;
        let first = top + TITLE;
        let end = top + self.height() - GAP - LIMITS;
        let most = self.bars.iter().map(|bar| bar.value).fold(self.must, f64::max);
        let x = |value: f64| LEFT + (f64::from(WIDTH - LEFT - RIGHT) * value / most) as i32;
        let mut y = first;
        for bar in &self.bars {
            text(area, bar.name, 15, (16, y + 3), HPos::Left, TEXT)?;
            area.draw(&Rectangle::new(
                [(LEFT, y), (x(bar.value), y + BAR)],
                bar.color.filled(),
            ))?;
            let value = self.unit.show(bar.value);
            text(area, &value, 15, (WIDTH - 16, y + 3), HPos::Right, TEXT)?;
            y += ROW;
        }
        for (name, value, color, side) in [
            ("goal", self.goal, GOAL, HPos::Right),
            ("must", self.must, MUST, HPos::Left),
        ] {
            let line = vec![(x(value), first - 6), (x(value), end + 4)];
            area.draw(&PathElement::new(line, color.stroke_width(2)))?;
            let label = format!("{name} {}", self.unit.show(value));
            text(area, &label, 14, (x(value), end + 8), side, color)?;
        }
        Ok(())
    }
}

/// Writes with its top left or top right corner at `place`.
fn text(
    area: &Area<'_>,
    text: &str,
    size: i32,
    place: (i32, i32),
    side: HPos,
    color: RGBColor,
) -> Result<()> {
    let style: TextStyle<'_> = ("sans-serif", size).into_font().color(&color);
    let style = style.pos(Pos::new(side, VPos::Top));
    area.draw(&Text::new(text.to_owned(), place, style))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::estimate::Estimate;
    use super::super::limits::{CPU, INSTRUCTIONS, INSTRUCTIONS_BARE};
    use super::super::results::{Entry, Results};
    use super::draw;

    #[test]
    fn the_plot_shows_what_was_measured_beside_the_limits() {
        let entry = |value| Entry {
            estimate: Estimate::once(value),
            noise: None,
        };
        let results = Results {
            figures: [
                (CPU.key.to_owned(), entry(1.2)),
                (INSTRUCTIONS.key.to_owned(), entry(6_789.0)),
                (INSTRUCTIONS_BARE.key.to_owned(), entry(19_000.0)),
            ]
            .into(),
            ..Results::default()
        };

        let svg = draw(&results).unwrap();

        for expected in ["1.20 x", "25,789", "must 1.25 x", "goal 1.15 x", "must 25,000"] {
            assert!(svg.contains(expected), "{expected} in {svg}");
        }
        assert!(!svg.contains("usual composition") && !svg.contains("with Loki"));
    }
}
