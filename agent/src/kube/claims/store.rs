//! What an agent must not forget of its claims, in a folder beside its leases:
//! `<leases.dir>/<clusterAgent>-claims`.
//!
//! One file a block (`10.9.0.0.json`), and `agent.json` for the rest. Each is replaced whole, and only when
//! it changes; [`Store::save`] returns once all is on disk. The blocks come first: a term that says "all blocks
//! were read" never stands beside a block as it was before. A crash between two of them leaves blocks that are
//! newer than the term, of which nothing was sent.
//!
//! The agent's name is in there. Whoever cannot read what it did is another agent: damage, or a
//! lease file that is gone (promises without a name), or a ClusterAgent that was made anew (its blocks begin at
//! nothing again) has the folder kept aside, and a new name begin. Nothing is lost by that but
//! addresses for a while: what the former agent claimed comes back once its term is over.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::rand::{GetRandomFlags, getrandom};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::forms::{
    block_of, form_of_block, form_of_span, form_of_term, form_of_time, span_of, term_of, time_of,
};
use crate::claims::{AgentId, Block, BlockId, Copies, Granted, Known, Term};
use crate::kube::objects::{AddressBlockSpec, AgentTermSpec};

/// The name of the file that is about no block.
const AGENT: &str = "agent.json";

/// Folders that are kept aside before a start says so instead of beginning anew.
const ASIDE: u32 = 1000;

/// What is on disk.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    cluster_agent: String,
    me: AgentId,
    owner: Option<String>,
    /// As it is there; none: the file is not, or nobody knows what it says.
    agent: Option<AgentForm>,
    blocks: BTreeMap<BlockId, Known>,
}

/// What was read when the agent began.
#[derive(Debug)]
pub struct Saved {
    /// Who the agent is.
    pub me: AgentId,
    /// What it had on disk.
    pub copies: Copies,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AgentForm {
    id: String,
    /// The ClusterAgent, by its uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// A block that is named here has a file.
    blocks: BTreeSet<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    term: Option<AgentTermSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    term_in_flight: Option<AgentTermSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    granted: Option<GrantedForm>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GrantedForm {
    incarnation: u64,
    until: String,
    longest: String,
    has_read: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KnownForm {
    copy: AddressBlockSpec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_flight: Option<AddressBlockSpec>,
}

/// Why what is there is not used: a sentence.
type Why = String;

impl Store {
    /// Reads what an agent left, or begins anew. `has_leases`: its lease file is there. `owner`: the uid of its
    /// ClusterAgent, where the API server told it.
    ///
    /// # Errors
    ///
    /// Where the folder can be neither used nor kept aside, or a new one not be made.
    pub fn open(
        folder: &Path,
        cluster_agent: &str,
        has_leases: bool,
        owner: Option<&str>,
    ) -> io::Result<(Self, Saved)> {
        let folder = folder.join(format!("{cluster_agent}-claims"));
        let why = match read(&folder) {
            Ok(None) => return Self::begin(folder, cluster_agent, owner),
            Ok(Some((agent, copies))) => {
                let was = agent.owner.as_deref();
                if !has_leases {
                    "the lease file is gone, with what was promised by these".to_owned()
                } else if was.is_some() && owner.is_some() && was != owner {
                    format!("they are those of an earlier ClusterAgent {cluster_agent}")
                } else {
                    let me: AgentId = agent.id.as_str().into();
                    let store = Self {
                        folder,
                        cluster_agent: cluster_agent.to_owned(),
                        me: Arc::clone(&me),
                        owner: owner.or(was).map(str::to_owned),
                        blocks: copies.blocks.clone(),
                        agent: Some(agent),
                    };
                    return Ok((store, Saved { me, copies }));
                }
            }
            Err(why) => why,
        };
        let aside = put_aside(&folder)?;
        warn!("{why}: the claims that an agent left are kept as {}; this is a new agent", aside.display());
        Self::begin(folder, cluster_agent, owner)
    }

    fn begin(folder: PathBuf, cluster_agent: &str, owner: Option<&str>) -> io::Result<(Self, Saved)> {
        let mut name = [0; 8];
        getrandom(&mut name, GetRandomFlags::empty())?;
        let me: AgentId = format!("{:016x}", u64::from_be_bytes(name)).into();
        fs::create_dir_all(&folder)?;
        let mut store = Self {
            folder,
            cluster_agent: cluster_agent.to_owned(),
            me: Arc::clone(&me),
            owner: owner.map(str::to_owned),
            agent: None,
            blocks: BTreeMap::new(),
        };
        let copies = Copies::default();
        store.save(&copies)?;
        if let Some(around) = store.folder.parent() {
            sync(around)?;
        }
        info!("the claims of this agent are those of {me}");
        Ok((store, Saved { me, copies }))
    }

    /// Puts on disk what is not there yet, and returns once it is.
    ///
    /// # Errors
    ///
    /// What is there then is older, in part; saving again goes on.
    pub fn save(&mut self, copies: &Copies) -> io::Result<()> {
        let mut is_changed = false;
        for (id, known) in &copies.blocks {
            if self.blocks.get(id).is_some_and(|before| is_same(before, known)) {
                continue;
            }
            self.blocks.remove(id);
            let form = KnownForm {
                copy: form_of_block(&self.cluster_agent, &known.copy),
                in_flight: known.in_flight.as_ref().map(|block| form_of_block(&self.cluster_agent, block)),
            };
            replace(&self.folder.join(file_of(*id)), &serde_json::to_vec(&form)?)?;
            self.blocks.insert(*id, known.clone());
            is_changed = true;
        }
        if is_changed {
            sync(&self.folder)?;
        }
        let agent = self.agent_form(copies);
        if self.agent.as_ref() != Some(&agent) {
            self.agent = None;
            replace(&self.folder.join(AGENT), &serde_json::to_vec_pretty(&agent)?)?;
            sync(&self.folder)?;
            self.agent = Some(agent);
        }
        Ok(())
    }

    fn agent_form(&self, copies: &Copies) -> AgentForm {
        let term = |term: &Term| form_of_term(&self.cluster_agent, None, term);
        AgentForm {
            id: self.me.to_string(),
            owner: self.owner.clone(),
            blocks: copies.blocks.keys().map(|id| id.first()).collect(),
            term: copies.term.as_ref().map(term),
            term_in_flight: copies.term_in_flight.as_ref().map(term),
            granted: copies.granted.as_ref().map(|granted| GrantedForm {
                incarnation: granted.incarnation,
                until: form_of_time(granted.until),
                longest: form_of_span(granted.longest),
                has_read: granted.has_read,
            }),
        }
    }
}

fn is_same(one: &Known, other: &Known) -> bool {
    let same = |one: &Arc<Block>, other: &Arc<Block>| Arc::ptr_eq(one, other) || one == other;
    same(&one.copy, &other.copy)
        && match (&one.in_flight, &other.in_flight) {
            (None, None) => true,
            (Some(one), Some(other)) => same(one, other),
            _ => false,
        }
}

fn file_of(id: BlockId) -> String {
    format!("{}.json", id.first())
}

/// What a folder holds; none: there is no such folder.
fn read(folder: &Path) -> Result<Option<(AgentForm, Copies)>, Why> {
    match fs::exists(folder) {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", folder.display())),
    }
    let path = folder.join(AGENT);
    let agent: AgentForm = read_form(&path)?;
    let wrong = |what: &str, why: &dyn std::fmt::Display| format!("{}: {what}: {why}", path.display());
    if agent.id.len() != 16 || !agent.id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(wrong("id", &"expected sixteen lower-case hex digits"));
    }
    let term = |what: &str, form: &Option<AgentTermSpec>| {
        form.as_ref().map(term_of).transpose().map_err(|problem| wrong(what, &problem))
    };
    let mut copies = Copies {
        term: term("term", &agent.term)?,
        term_in_flight: term("termInFlight", &agent.term_in_flight)?,
        ..Copies::default()
    };
    if let Some(form) = &agent.granted {
        copies.granted = Some(Granted {
            incarnation: form.incarnation,
            until: time_of(&form.until).map_err(|why| wrong("granted.until", &why))?,
            longest: span_of(&form.longest).map_err(|why| wrong("granted.longest", &why))?,
            turn: 0,
            has_read: form.has_read,
        });
    }
    for id in blocks_in(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        copies.blocks.insert(id, read_block(&folder.join(file_of(id)), id)?);
    }
    match agent.blocks.iter().find(|ip| !copies.blocks.contains_key(&BlockId::of(**ip))) {
        Some(missing) => Err(format!("{}/{missing}.json: is gone", folder.display())),
        None => Ok(Some((agent, copies))),
    }
}

fn read_block(path: &Path, id: BlockId) -> Result<Known, Why> {
    let form: KnownForm = read_form(path)?;
    let block = |what: &str, form: &AddressBlockSpec| {
        let block = block_of(id, form).map(Arc::new);
        block.map_err(|problem| format!("{}: {what}: {problem}", path.display()))
    };
    let in_flight = form.in_flight.as_ref().map(|form| block("inFlight", form)).transpose()?;
    Ok(Known { copy: block("copy", &form.copy)?, in_flight })
}

fn read_form<T: DeserializeOwned>(path: &Path) -> Result<T, Why> {
    let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let text = fs::read(path).map_err(|error| wrong(&error))?;
    serde_json::from_slice(&text).map_err(|error| wrong(&error))
}

/// The blocks that have a file.
fn blocks_in(folder: &Path) -> io::Result<Vec<BlockId>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let ip = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse::<Ipv4Addr>().ok());
        // What a crash left half written has another ending.
        found.extend(ip.map(BlockId::of).filter(|id| Some(id.first()) == ip));
    }
    Ok(found)
}

/// Writes a file whole: what was there stays until all of the new one is on disk.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("json.new");
    // Not the pages of one whose sync has failed: they may count as clean.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Gives a folder another name.
fn put_aside(folder: &Path) -> io::Result<PathBuf> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for number in 1..=ASIDE {
        let aside = folder.with_file_name(format!("{name}.aside-{number}"));
        if !fs::exists(&aside)? {
            fs::rename(folder, &aside)?;
            if let Some(around) = folder.parent() {
                sync(around)?;
            }
            return Ok(aside);
        }
    }
    Err(io::Error::other(format!(
        "{}: there are {ASIDE} that were kept aside: remove some",
        folder.display()
    )))
}
