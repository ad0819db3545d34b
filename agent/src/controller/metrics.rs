//! What the controller measures of itself.

use std::fmt;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::keep::Looked;

type Label = [(&'static str, &'static str); 1];

/// The numbers; cheap to clone, and the same for all clones.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    leads: Gauge,
    agents: Gauge,
    looks: Family<Label, Counter>,
}

impl Metrics {
    /// Whether we lead.
    pub fn leads(&self, leads: bool) {
        self.leads.set(leads.into());
    }

    /// How many agents there are.
    pub fn agents(&self, agents: usize) {
        self.agents.set(i64::try_from(agents).unwrap_or(i64::MAX));
    }

    /// An agent was looked at; none: the API server gave no answer.
    pub fn looked(&self, looked: Option<Looked>) {
        self.looks.get_or_create(&label(looked)).inc();
    }

    /// All of them, in the OpenMetrics text format.
    pub fn render(&self) -> Result<String, fmt::Error> {
        for looked in [Looked::Done, Looked::Refused, Looked::Failed, Looked::Waiting].map(Some) {
            drop(self.looks.get_or_create(&label(looked)));
        }
        drop(self.looks.get_or_create(&label(None)));
        let mut registry = Registry::default();
        registry.register(
            "xdhcpd_leader",
            "Whether this controller is the one that works",
            self.leads.clone(),
        );
        registry.register(
            "xdhcpd_controller_agents",
            "ClusterAgents that are looked after",
            self.agents.clone(),
        );
        registry.register(
            "xdhcpd_controller_looks",
            "Looks at ClusterAgents, by what came of them",
            self.looks.clone(),
        );
        let version = Family::<Label, Gauge>::default();
        version.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        registry.register("xdhcpd_build_info", "The controller's version; always 1", version);
        let mut written = String::new();
        text::encode(&mut written, &registry)?;
        Ok(written)
    }
}

const fn label(looked: Option<Looked>) -> Label {
    let result = match looked {
        Some(Looked::Done) => "done",
        Some(Looked::Refused) => "refused",
        Some(Looked::Failed) => "failed",
        Some(Looked::Waiting) => "waiting",
        None => "unanswered",
    };
    [("result", result)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start() {
        let metrics = Metrics::default();
        metrics.leads(true);
        metrics.looked(Some(Looked::Refused));
        let text = metrics.render().unwrap();
        for line in [
            "xdhcpd_leader 1",
            "xdhcpd_controller_agents 0",
            "xdhcpd_controller_looks_total{result=\"refused\"} 1",
            "xdhcpd_controller_looks_total{result=\"unanswered\"} 0",
        ] {
            assert!(text.lines().any(|said| said == line), "{line}: {text}");
        }
        assert!(text.contains("# HELP xdhcpd_build_info"), "{text}");
    }
}
