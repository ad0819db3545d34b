//! From the OpenMetrics text format to the older Prometheus one (version 0.0.4), which is what a
//! scraper gets that does not ask for OpenMetrics.
//!
//! The two differ in what a counter's HELP and TYPE are named (without and with `_total`), and in
//! the end mark. Left as it is, a reader of the older format would find samples without a HELP.

/// The content type of what [`crate::http::metrics::render`] writes.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The content type of what [`classic`] writes.
pub const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether an `Accept` header asks for OpenMetrics.
pub fn wants_open_metrics(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let media = range.split(';').next().unwrap_or_default();
        media.trim().eq_ignore_ascii_case("application/openmetrics-text")
    })
}

/// The same metrics in the older format.
pub fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    // A family's HELP comes right before its TYPE, which alone says whether it is a counter.
    let mut help: Option<(&str, &str)> = None;
    for line in open_metrics.lines() {
        if let Some((name, words)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            help = Some((name, words));
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, words)) = help.take_if(|(of, _)| *of == name) {
                push(&mut text, &["# HELP ", name, suffix, " ", words]);
            }
            push(&mut text, &["# TYPE ", name, suffix, " ", kind]);
        } else if line != "# EOF" {
            push(&mut text, &[line]);
        }
    }
    text
}

fn push(text: &mut String, parts: &[&str]) {
    text.extend(parts.iter().copied().chain(["\n"]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counters_help_and_type_carry_its_samples_name() {
        let open = "# HELP a Apples.\n# TYPE a counter\na_total{x=\"# EOF\"} 1\n# EOF\n";
        let expected = "# HELP a_total Apples.\n# TYPE a_total counter\na_total{x=\"# EOF\"} 1\n";
        assert_eq!(classic(open), expected);
    }

    #[test]
    fn other_kinds_stay_as_they_are() {
        let open = "# HELP b Bees.\n# TYPE b gauge\nb 2\n";
        assert_eq!(classic(open), open);
    }

    #[test]
    fn only_a_scraper_that_asks_gets_open_metrics() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*";
        assert!(wants_open_metrics(prometheus));
        assert!(!wants_open_metrics("*/*"));
        assert!(!wants_open_metrics(""));
    }
}
