//! A term, and the object of it.

use super::text::{form_of_span, form_of_time, span_of, time_of};
use crate::claims::Term;
use crate::config::Problem;
use crate::kube::objects::AgentTermSpec;

/// How a term is published.
pub fn form_of_term(cluster_agent: &str, node: Option<&str>, term: &Term) -> AgentTermSpec {
    AgentTermSpec {
        cluster_agent: cluster_agent.to_owned(),
        node: node.map(str::to_owned),
        serial: term.serial,
        incarnation: term.incarnation,
        until: form_of_time(term.until),
        longest: form_of_span(term.longest),
    }
}

/// The term that is published.
pub fn term_of(spec: &AgentTermSpec) -> Result<Term, Problem> {
    let at = |path: &'static str| move |message| Problem { path: path.to_owned(), message };
    Ok(Term {
        serial: spec.serial,
        incarnation: spec.incarnation,
        until: time_of(&spec.until).map_err(at("spec.until"))?,
        longest: span_of(&spec.longest).map_err(at("spec.longest"))?,
    })
}
