//! Sparklines: sixty minutes of a channel at a glance, drawn by the server.

use maud::{Markup, html};

use super::data::PerMinute;

/// The width and height of the drawing, in its own units: two for each minute.
const WIDTH: usize = 120;
const HEIGHT: f64 = 24.0;

/// Attempts in each minute, as bars; those that did not succeed are another colour at the top.
pub(super) fn throughput(minutes: &PerMinute) -> Markup {
    let most = minutes.attempts.iter().copied().max().unwrap_or_default();
    let label = format!("attempts in each of the last 60 minutes, at most {most} in one");
    let tall = |count: u64| if most == 0 { 0.0 } else { count as f64 / most as f64 * HEIGHT };
    drawing(
        &label,
        &html! {
            @for (at, (attempts, successes)) in minutes.attempts.iter().zip(&minutes.successes).enumerate() {
                @if *attempts > 0 {
                    (bar(at, 0.0, tall(*successes), "ok"))
                    (bar(at, tall(*successes), tall(*attempts), "wrong"))
                }
            }
        },
    )
}

/// The share of attempts in each minute that succeeded.
pub(super) fn success(minutes: &PerMinute) -> Markup {
    let share = |(attempts, successes): (&u64, &u64)| (*attempts > 0).then(|| *successes as f64 / *attempts as f64);
    let shares: Vec<_> = minutes.attempts.iter().zip(&minutes.successes).map(share).collect();
    let worst = shares.iter().flatten().copied().fold(1.0, f64::min);
    let label = format!("share of successes in each of the last 60 minutes, at least {:.0} %", (worst * 100.0).floor());
    drawing(&label, &line(&shares, 1.0))
}

/// The time within which 95 of 100 attempts ended in each minute.
pub(super) fn p95(minutes: &PerMinute) -> Markup {
    let values: Vec<_> = minutes.p95_ms.iter().map(|ms| ms.map(|ms| ms as f64)).collect();
    let most = values.iter().flatten().copied().fold(1.0, f64::max);
    drawing(&format!("p95 in each of the last 60 minutes, at most {most:.0} ms"), &line(&values, most))
}

fn drawing(label: &str, parts: &Markup) -> Markup {
    html! {
        svg.spark viewBox={ "0 0 " (WIDTH) " 24" } preserveAspectRatio="none" role="img" aria-label=(label) {
            title { (label) }
            path.ground d={ "M0 23.5H" (WIDTH) } {}
            (parts)
        }
    }
}

fn bar(minute: usize, from: f64, to: f64, style: &str) -> Markup {
    html! {
        @if to > from {
            rect class=(style) x=(minute * 2) y=(format!("{:.1}", HEIGHT - to)) width="1.6" height=(format!("{:.1}", (to - from).max(0.8))) {}
        }
    }
}

/// A line through the values; it breaks where there is none.
fn line(values: &[Option<f64>], most: f64) -> Markup {
    let mut path = String::new();
    let mut drawing = false;
    for (at, value) in values.iter().enumerate() {
        if let Some(value) = value {
            let (x, y) = (at * 2, 1.0 + (1.0 - value / most) * (HEIGHT - 3.0));
            path.push_str(&format!("{}{x} {y:.1}h1.6", if drawing { "L" } else { "M" }));
        }
        drawing = value.is_some();
    }
    html! { path.line d=(path) {} }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_without_attempts_is_an_empty_drawing_and_a_gap_breaks_the_line() {
        let none = PerMinute { attempts: vec![0; 60], successes: vec![0; 60], p95_ms: vec![None; 60] };
        for drawn in [throughput(&none), success(&none), p95(&none)] {
            assert!(!drawn.0.contains("<rect") && !drawn.0.contains("NaN"), "{}", drawn.0);
        }
        let drawn = line(&[Some(1.0), Some(0.0), None, Some(1.0)], 1.0).0;
        assert!(drawn.contains("M0 1.0h1.6L2 22.0h1.6M6 1.0h1.6"), "{drawn}");
    }

    #[test]
    fn failures_stand_on_successes() {
        let some = PerMinute { attempts: vec![4, 0], successes: vec![3, 0], p95_ms: vec![Some(8), None] };
        let drawn = throughput(&some).0;
        assert!(
            drawn.contains("class=\"ok\" x=\"0\" y=\"6.0\"") && drawn.contains("class=\"wrong\" x=\"0\" y=\"0.0\""),
            "{drawn}"
        );
        assert!(success(&some).0.contains("at least 75 %"));
    }
}
