//! Plots as SVG, drawn here: bars with their spread, and lines.
//!
//! No more than a report of measurements needs: one axis of numbers from zero, or a logarithmic one
//! where what is compared lies orders of magnitude apart.

use std::fmt::Write as _;

use super::number;
use crate::part::median;

/// A plot.
#[derive(Debug, Clone)]
pub struct Plot {
    /// The name of its file, without `.svg`.
    pub name: &'static str,
    /// What stands above it.
    pub title: String,
    /// What the numbers are of.
    pub unit: &'static str,
    /// Whether each step of the axis is ten times the one before.
    pub logarithmic: bool,
    /// What is drawn.
    pub drawing: Drawing,
}

/// What is drawn.
#[derive(Debug, Clone)]
pub enum Drawing {
    /// A bar for each label: the median of its runs, with a line from the least to the most.
    Bars(Vec<(String, Vec<f64>)>),
    /// A line for each label, through its points; and what the other axis is of.
    Lines {
        /// What the horizontal axis is of.
        across: &'static str,
        /// The lines.
        lines: Vec<(String, Vec<(f64, f64)>)>,
    },
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 44.0;
const BAR: f64 = 22.0;
const GAP: f64 = 8.0;
const HEIGHT_OF_LINES: f64 = 260.0;
/// Told apart also by those who see no red or green.
const COLOURS: [&str; 6] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];

impl Plot {
    /// The name of its file.
    pub fn file(&self) -> String {
        format!("{}.svg", self.name)
    }

    /// The drawing.
    pub fn svg(&self) -> String {
        let (height, body) = match &self.drawing {
            Drawing::Bars(bars) => self.bars(bars),
            Drawing::Lines { across, lines } => self.lines(across, lines),
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"12\" y=\"24\" font-size=\"15\">{} ({})</text>\n{body}</svg>\n",
            escaped(&self.title),
            escaped(self.unit)
        )
    }

    fn bars(&self, bars: &[(String, Vec<f64>)]) -> (f64, String) {
        let values = || bars.iter().flat_map(|(_, runs)| runs.iter().copied());
        let scale = Scale::of(values(), self.logarithmic, LEFT, WIDTH - RIGHT);
        let mut body = String::new();
        for (n, (label, runs)) in bars.iter().enumerate() {
            let y = TOP + as_float(n) * (BAR + GAP);
            let middle = y + BAR / 2.0;
            let text = middle + 4.0;
            let value = median(runs);
            let least = runs.iter().copied().fold(f64::INFINITY, f64::min);
            let most = runs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let _ = writeln!(
                body,
                "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                escaped(label)
            );
            if !value.is_finite() {
                continue;
            }
            let (from, to) = (scale.at(least), scale.at(most));
            let _ = writeln!(
                body,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{}\"/>\n\
                 <line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"black\"/>\n\
                 <text x=\"{:.1}\" y=\"{text}\">{}</text>",
                (scale.at(value) - LEFT).max(1.0),
                COLOURS[0],
                to.max(scale.at(value)) + 6.0,
                number(value)
            );
        }
        (TOP + as_float(bars.len()) * (BAR + GAP) + 8.0, body)
    }

    fn lines(&self, across: &str, lines: &[(String, Vec<(f64, f64)>)]) -> (f64, String) {
        let (left, bottom) = (84.0, TOP + HEIGHT_OF_LINES);
        let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
        let up = Scale::of(points().map(|(_, y)| y), self.logarithmic, bottom, TOP);
        let right = Scale::of(points().map(|(x, _)| x), false, left, WIDTH - 24.0);
        let mut body = String::new();
        for mark in up.marks() {
            let y = up.at(mark);
            let _ = writeln!(
                body,
                "<line x1=\"{left}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\n\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - 24.0,
                left - 6.0,
                y + 4.0,
                number(mark)
            );
        }
        for mark in right.marks() {
            let x = right.at(mark);
            let _ = writeln!(
                body,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 16.0,
                number(mark)
            );
        }
        let _ = writeln!(
            body,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            WIDTH - 24.0,
            bottom + 34.0,
            escaped(across)
        );
        for (n, (label, points)) in lines.iter().enumerate() {
            let colour = COLOURS.get(n % COLOURS.len()).unwrap_or(&COLOURS[0]);
            let path: Vec<String> =
                points.iter().map(|(x, y)| format!("{:.1},{:.1}", right.at(*x), up.at(*y))).collect();
            let y = bottom + 34.0 + as_float(n) * 18.0;
            let _ = writeln!(
                body,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
                 <rect x=\"{left}\" y=\"{}\" width=\"14\" height=\"10\" fill=\"{colour}\"/>\n\
                 <text x=\"{}\" y=\"{y}\">{}</text>",
                path.join(" "),
                y - 9.0,
                left + 20.0,
                escaped(label)
            );
        }
        (bottom + 44.0 + as_float(lines.len()) * 18.0, body)
    }
}

/// Where numbers lie on an axis.
struct Scale {
    least: f64,
    most: f64,
    logarithmic: bool,
    from: f64,
    to: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>, logarithmic: bool, from: f64, to: f64) -> Self {
        let values: Vec<f64> =
            values.filter(|value| value.is_finite() && (!logarithmic || *value > 0.0)).collect();
        let most = values.iter().copied().fold(0.0, f64::max);
        let most = if most > 0.0 { most } else { 1.0 };
        // A bar of the least value has to be seen, too.
        let least = values.iter().copied().fold(most, f64::min);
        let least = if logarithmic { 10_f64.powf(least.log10().floor()).min(most / 10.0) } else { 0.0 };
        Self { least, most, logarithmic, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.least).log10() - self.least.log10()) / (self.most.log10() - self.least.log10())
        } else {
            value / self.most
        };
        self.from + share * (self.to - self.from)
    }

    /// Round numbers to be written at the axis.
    fn marks(&self) -> Vec<f64> {
        if self.logarithmic {
            let powers = std::iter::successors(Some(self.least), |mark| Some(mark * 10.0));
            return powers.take_while(|mark| *mark <= self.most).collect();
        }
        let magnitude = 10_f64.powf(self.most.log10().floor());
        let step = [0.2, 0.5, 1.0, 2.0]
            .map(|step| step * magnitude)
            .into_iter()
            .find(|step| self.most / step <= 6.0);
        let step = step.unwrap_or(magnitude * 2.0);
        (0..=6).map(|n| f64::from(n) * step).filter(|mark| *mark <= self.most).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are a few dozen bars")]
fn as_float(count: usize) -> f64 {
    count as f64
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(values: &[f64], logarithmic: bool) -> Scale {
        Scale::of(values.iter().copied(), logarithmic, 100.0, 200.0)
    }

    fn rounded(value: f64) -> String {
        format!("{value:.1}")
    }

    #[test]
    fn an_axis_begins_at_zero_or_at_a_power_of_ten() {
        let plain = scale(&[10.0, 40.0], false);
        assert_eq!([0.0, 10.0, 40.0].map(|value| rounded(plain.at(value))), ["100.0", "125.0", "200.0"]);
        let steps = scale(&[30.0, 10_000.0], true);
        assert_eq!(
            [10.0, 100.0, 10_000.0].map(|value| rounded(steps.at(value))),
            ["100.0", "133.3", "200.0"]
        );
    }

    #[test]
    fn marks_are_round_and_few() {
        assert_eq!(
            scale(&[47.0], false).marks().iter().map(|mark| number(*mark)).collect::<Vec<_>>(),
            ["0", "10.0", "20.0", "30.0", "40.0"]
        );
        assert!(scale(&[], false).marks().len() <= 7);
    }

    #[test]
    fn labels_are_escaped_and_what_was_not_measured_has_no_bar() {
        let plot = Plot {
            name: "plot",
            title: "a < b".into(),
            unit: "ns",
            logarithmic: false,
            drawing: Drawing::Bars(vec![("hit & miss".into(), vec![1.0, 2.0]), ("none".into(), vec![])]),
        };
        let svg = plot.svg();
        assert!(svg.contains("a &lt; b") && svg.contains("hit &amp; miss"), "{svg}");
        assert_eq!(svg.matches("<rect x=").count(), 1, "{svg}");
    }
}
