//! Questions to the run loop, and the handle to ask them with.
//!
//! The run loop is the one task that owns the engine, the lease table, the journal and the maps.
//! Whoever else wants to know or change something asks it here: a question carries the place for
//! its answer. The queue is bounded, and no single question keeps the loop for long: leases come
//! in pages. A loop that is gone or stuck is an error after [`PATIENCE`], never a hang.

#[cfg(test)]
pub mod fake;

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use xdhcpd_common::counters::TIME_BUCKETS;

use crate::engine::probes::ProbeCounts;
use crate::report::{LeaseReport, LeaseState, Mac, StatsReport};

/// How long a question waits for its answer.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How many questions may wait; one more asker waits outside, within its patience.
pub const QUEUE: usize = 64;

/// The most leases in one page: some milliseconds of the loop's time.
pub const PAGE: usize = 4096;

/// A question, with the place for its answer.
///
/// Whoever drops `reply` unanswered tells the asker that the loop is gone. An asker that lost its
/// patience has dropped its end; sending to it fails, which is to be ignored.
#[derive(Debug)]
pub enum Question {
    /// One page of leases, by address.
    Leases {
        /// Which ones.
        query: LeaseQuery,
        /// The answer.
        reply: oneshot::Sender<Result<LeasePage, UnknownNetwork>>,
    },
    /// The leases of some addresses.
    LeasesOf {
        /// Which ones, at most [`PAGE`]; the rest is left out.
        ips: Vec<Ipv4Addr>,
        /// The answer, in the order of the question.
        reply: oneshot::Sender<Vec<LeaseOf>>,
    },
    /// Everything that is counted.
    Snapshot {
        /// The answer.
        reply: oneshot::Sender<Snapshot>,
    },
    /// Give an address back.
    Release {
        /// Whose.
        target: Target,
        /// Whether the holder is asked first.
        probe: Probe,
        /// The answer, once the release is on disk and the map's entry is gone.
        reply: oneshot::Sender<Result<Released, ReleaseRefused>>,
    },
    /// How the agent is.
    Health {
        /// The answer.
        reply: oneshot::Sender<Health>,
    },
}

/// Which leases a page holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaseQuery {
    /// Those of this network; none: of all.
    pub network: Option<String>,
    /// Those of higher addresses than this; none: from the lowest.
    pub after: Option<Ipv4Addr>,
    /// At most so many; the loop may give fewer than are asked for, never more than [`PAGE`].
    pub limit: usize,
}

/// Some leases, in the order of their addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeasePage {
    /// The leases.
    pub leases: Vec<LeaseReport>,
    /// Where the next page goes on ([`LeaseQuery::after`]); none: that was all. A page may be empty
    /// and still have a next one: the loop looks at so many addresses, not for so many leases.
    pub next: Option<Ipv4Addr>,
}

/// An address, and what its lease is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseOf {
    /// The address.
    pub ip: Ipv4Addr,
    /// Its lease, if it is or was ever somebody's in a network that is served.
    pub lease: Option<LeaseReport>,
    /// Whether that has ended, and keeps the address for its client.
    pub kept: bool,
}

/// A network that the configuration does not name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no network is called {name:?}; there is {}", .known.join(", "))]
pub struct UnknownNetwork {
    /// The name asked for.
    pub name: String,
    /// Those that exist.
    pub known: Vec<String>,
}

/// Everything that is counted, at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// What `xdhcpd stats` shows.
    pub stats: StatsReport,
    /// How long the kernel's answers took: `answer_nanoseconds` of the map's counters.
    pub kernel_times: [u64; TIME_BUCKETS],
    /// Their sum in nanoseconds.
    pub kernel_times_sum: u64,
    /// Leases by network and state; a state that is not there counts 0.
    pub leases: BTreeMap<String, BTreeMap<LeaseState, u64>>,
    /// Messages of other DHCP servers, by network.
    pub rogue_servers: BTreeMap<String, u64>,
    /// How probes of new addresses ended.
    pub probes: ProbeCounts,
    /// Whether leases cannot be written to disk now.
    pub disk_fails: bool,
    /// Whether this agent is the one of its cluster that answers; none: it has no cluster.
    pub leads: Option<bool>,
}

/// Whose address is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The holder of this address.
    Ip(Ipv4Addr),
    /// The client with this hardware address.
    Mac(Mac),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Mac(mac) => mac.fmt(f),
        }
    }
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let ip = text.parse().map(Self::Ip);
        ip.or_else(|_| text.parse().map(Self::Mac)).map_err(|_| BadTarget(text.to_owned()))
    }
}

/// Text that names neither an address nor a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an IPv4 address, such as 10.9.0.100, nor a MAC address, such as 02:00:00:00:00:01")]
pub struct BadTarget(String);

/// Whether the holder of an address is asked before it is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// The lease stands if anybody answers, or if nobody can be asked.
    First,
    /// The operator knows better.
    Skip,
}

/// A lease that was given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The address.
    pub ip: Ipv4Addr,
    /// The client that had it.
    pub mac: Mac,
    /// Its network.
    pub network: String,
}

/// Why nothing was given back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseRefused {
    /// Nobody has it, or the client has nothing.
    #[error("{0} has no lease")]
    NoLease(Target),
    /// There is a lease, and its address is free already.
    #[error("{ip} is not in use: its lease is {state}")]
    NotInUse {
        /// The address.
        ip: Ipv4Addr,
        /// What its lease is.
        state: LeaseState,
    },
    /// The client has addresses on several networks.
    #[error("{mac} has several leases: name one of {}", .ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Several {
        /// The client.
        mac: Mac,
        /// Its addresses.
        ips: Vec<Ipv4Addr>,
    },
    /// Somebody uses the address: the lease stands.
    #[error("{} {}; {OVERRIDE}", stays(*.ip, *.state), who_answers(*.client, *.by))]
    StillAnswers {
        /// The address.
        ip: Ipv4Addr,
        /// What its lease is.
        state: LeaseState,
        /// The client that has it.
        client: Mac,
        /// Who answered; none: whoever has the address, which does not say who that is.
        by: Option<Mac>,
    },
    /// Nobody could be asked, so that silence says nothing: the lease stands.
    #[error("{} whether its client still uses it cannot be told, for {reason}; {OVERRIDE}", stays(*.ip, *.state))]
    CannotTell {
        /// The address.
        ip: Ipv4Addr,
        /// What its lease is.
        state: LeaseState,
        /// Why not.
        reason: String,
    },
    /// It could not be written, or not be taken out of the kernel: the lease stands.
    #[error("{ip} stays leased: {reason}")]
    Failed {
        /// The address.
        ip: Ipv4Addr,
        /// What went wrong.
        reason: String,
    },
}

/// What an operator may do who knows better.
const OVERRIDE: &str = "--force gives it back all the same";

fn stays(ip: Ipv4Addr, state: LeaseState) -> String {
    let state = if state == LeaseState::Declined { "declined" } else { "leased" };
    format!("{ip} stays {state}:")
}

fn who_answers(client: Mac, by: Option<Mac>) -> String {
    match by {
        Some(by) if by != client => format!("{by}, which is not its client, answers for it"),
        _ => format!("its client {client} still answers"),
    }
}

/// How the agent is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// The run loop turns.
    pub live: bool,
    /// Clients are served: the configuration is valid, the journal can be written, and the program
    /// is attached or the agent has said that it answers alone.
    pub ready: bool,
    /// What is wrong, a sentence each; also what does not keep it from being ready.
    pub problems: Vec<String>,
}

/// The run loop gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It ended.
    #[error("the agent is stopping: its run loop has ended")]
    Gone,
    /// It is stuck, or has too much to do.
    #[error("the agent's run loop did not answer within {} s; what was asked may still be done", PATIENCE.as_secs())]
    Late,
}

/// Asks the run loop; cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    questions: mpsc::Sender<Question>,
}

/// A handle, and what the run loop receives its questions from.
pub fn channel() -> (Handle, mpsc::Receiver<Question>) {
    let (questions, receiver) = mpsc::channel(QUEUE);
    (Handle { questions }, receiver)
}

impl Handle {
    /// One page of leases.
    pub async fn leases(&self, query: LeaseQuery) -> Result<Result<LeasePage, UnknownNetwork>, NoAnswer> {
        self.ask(|reply| Question::Leases { query, reply }).await
    }

    /// The leases of some addresses, however many, in the order of the question.
    pub async fn leases_of(&self, ips: &[Ipv4Addr]) -> Result<Vec<LeaseOf>, NoAnswer> {
        let mut leases = Vec::with_capacity(ips.len());
        for some in ips.chunks(PAGE) {
            leases.extend(self.ask(|reply| Question::LeasesOf { ips: some.to_vec(), reply }).await?);
        }
        Ok(leases)
    }

    /// Everything that is counted.
    pub async fn snapshot(&self) -> Result<Snapshot, NoAnswer> {
        self.ask(|reply| Question::Snapshot { reply }).await
    }

    /// Gives an address back; that its holder is silent takes about a second to know.
    pub async fn release(
        &self,
        target: Target,
        probe: Probe,
    ) -> Result<Result<Released, ReleaseRefused>, NoAnswer> {
        self.ask(|reply| Question::Release { target, probe, reply }).await
    }

    /// How the agent is; a loop that gives no answer is not live.
    pub async fn health(&self) -> Health {
        match self.ask(|reply| Question::Health { reply }).await {
            Ok(health) => health,
            Err(why) => Health { live: false, ready: false, problems: vec![why.to_string()] },
        }
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Result<T, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.questions.send(question(reply)).await.map_err(|_| NoAnswer::Gone)?;
            answer.await.map_err(|_| NoAnswer::Gone)
        };
        timeout(PATIENCE, asked).await.unwrap_or(Err(NoAnswer::Late))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_gets_its_answer() {
        let (handle, mut questions) = channel();
        let answering = tokio::spawn(async move {
            if let Some(Question::Snapshot { reply }) = questions.recv().await {
                let _ = reply.send(Snapshot { kernel_times_sum: 7, ..Snapshot::default() });
            }
        });
        assert_eq!(handle.snapshot().await.map(|snapshot| snapshot.kernel_times_sum), Ok(7));
        answering.await.unwrap();
    }

    #[tokio::test]
    async fn leases_of_many_addresses_are_asked_for_a_page_at_a_time() {
        let (handle, mut questions) = channel();
        let answering = tokio::spawn(async move {
            let mut pages = Vec::new();
            while let Some(Question::LeasesOf { ips, reply }) = questions.recv().await {
                pages.push(ips.len());
                let _ =
                    reply.send(ips.into_iter().map(|ip| LeaseOf { ip, lease: None, kept: false }).collect());
            }
            pages
        });
        let ips: Vec<Ipv4Addr> =
            (0..=PAGE).filter_map(|n| u32::try_from(n).ok()).map(Ipv4Addr::from).collect();
        let leases = handle.leases_of(&ips).await.unwrap();
        assert_eq!(leases.into_iter().map(|lease| lease.ip).collect::<Vec<_>>(), ips);
        drop(handle);
        assert_eq!(answering.await.unwrap(), [PAGE, 1]);
    }

    #[tokio::test]
    async fn a_loop_that_ended_is_said_to_be_gone() {
        let (handle, questions) = channel();
        drop(questions);
        assert_eq!(handle.snapshot().await, Err(NoAnswer::Gone));
        assert!(!handle.health().await.live);
    }

    #[tokio::test]
    async fn a_loop_that_drops_a_question_is_said_to_be_gone() {
        let (handle, mut questions) = channel();
        let dropping = tokio::spawn(async move { drop(questions.recv().await) });
        assert_eq!(handle.snapshot().await, Err(NoAnswer::Gone));
        dropping.await.unwrap();
    }

    #[tokio::test]
    async fn a_stuck_loop_is_an_error_and_no_hang() {
        let (handle, questions) = channel();
        assert_eq!(handle.snapshot().await, Err(NoAnswer::Late));
        let health = handle.health().await;
        assert!(!health.live && !health.ready && health.problems.len() == 1);
        drop(questions);
    }

    #[tokio::test]
    async fn a_full_queue_makes_the_next_asker_wait_within_its_patience() {
        let (handle, questions) = channel();
        for _ in 0..QUEUE {
            let (reply, _) = oneshot::channel();
            handle.questions.try_send(Question::Health { reply }).unwrap();
        }
        assert_eq!(handle.snapshot().await, Err(NoAnswer::Late));
        drop(questions);
    }

    #[test]
    fn a_target_is_an_address_or_a_mac() {
        assert_eq!("10.9.0.100".parse(), Ok(Target::Ip(Ipv4Addr::new(10, 9, 0, 100))));
        assert_eq!("02:00:00:00:00:01".parse(), Ok(Target::Mac(Mac([2, 0, 0, 0, 0, 1]))));
        let error = "rack1".parse::<Target>().unwrap_err().to_string();
        assert!(error.contains("\"rack1\" is neither"), "{error}");
    }

    #[test]
    fn a_target_in_json_says_which_it_is() {
        let target = Target::Ip(Ipv4Addr::new(10, 9, 0, 100));
        assert_eq!(serde_json::to_string(&target).unwrap(), r#"{"ip":"10.9.0.100"}"#);
        assert!(serde_json::from_str::<Target>(r#"{"ip":"10.9.0.100","mac":"02:00:00:00:00:01"}"#).is_err());
    }
}
